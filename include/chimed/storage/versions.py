"""Older versions of a lake's objects: where a bucket keeps them, what was rewritten or deleted is still there. Ours.

Nothing in a lake is read by its version, so an older one is only what was replaced. A purge deletes them.
"""

from chimed.errors import UserError
from chimed.storage.lake import Lake

AT_A_TIME = 1_000  # keys of one request (S3's limit)


def older(lake: Lake, path: str) -> list[tuple[str, str]]:
    """(key, version) of everything below a path that is not what a reader gets: older versions, then marks of deletion.

    Nothing where the lake is no S3 bucket, or keeps no versions. Raises UserError where the bucket does not tell.
    """
    if not hasattr(lake.fs, "call_s3"):
        return []
    bucket, _, prefix = lake.at(path).partition("/")
    versions: list[tuple[str, str]] = []
    deletions: list[tuple[str, str]] = []
    start: dict[str, str] = {}
    while True:
        try:
            page = lake.fs.call_s3("list_object_versions", Bucket=bucket, Prefix=prefix, **start)
        except PermissionError:
            raise UserError(
                f"the bucket {bucket} does not tell which older versions it keeps; the lake's user needs "
                "s3:ListBucketVersions, and for a purge s3:DeleteObjectVersion"
            ) from None
        versions += [(one["Key"], one["VersionId"]) for one in page.get("Versions") or [] if not one["IsLatest"]]
        deletions += [(one["Key"], one["VersionId"]) for one in page.get("DeleteMarkers") or []]
        if not page.get("IsTruncated"):
            return versions + deletions
        start = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextVersionIdMarker"):
            start["VersionIdMarker"] = page["NextVersionIdMarker"]


def forget_older(lake: Lake, path: str) -> int:
    """Deletes every older version and mark of deletion below a path; returns how many.

    Marks go last: without its mark a deleted object is there again for as long as one of its versions is. Raises
    UserError, and OSError where some could not be deleted.
    """
    found = older(lake, path)
    bucket = lake.at(path).partition("/")[0]
    for start in range(0, len(found), AT_A_TIME):
        some = [{"Key": key, "VersionId": version} for key, version in found[start : start + AT_A_TIME]]
        answer = lake.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        if errors := answer.get("Errors"):
            raise OSError(f"{len(errors)} older versions below {lake.at(path)} stay: {errors[0].get('Message')}")
    if found:
        lake.fs.invalidate_cache()
    return len(found)
