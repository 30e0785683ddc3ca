"""Find and delete older versions of objects in a bucket that keeps them. Ours.

What was rewritten or deleted still exists there. Nothing in a lake is read by its version, so older versions are only
what was replaced; a purge deletes them.
"""

from chimed.errors import UserError
from chimed.storage.lake import Lake

MAX_KEYS = 1_000  # keys of one request (S3's limit)


def list_older(lake: Lake, path: str) -> list[tuple[str, str]]:
    """Return (key, version) of everything below a path that readers do not get: older versions, then delete markers.

    Empty if the lake is not an S3 bucket or keeps no versions. Raises UserError if the bucket does not allow listing
    them.
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


def delete_older(lake: Lake, path: str) -> int:
    """Delete every older version and delete marker below a path; return how many.

    Markers are deleted last: without its marker, a deleted object reappears as long as one of its versions exists.
    Raises UserError as `list_older`, and OSError if some could not be deleted.
    """
    found = list_older(lake, path)
    bucket = lake.at(path).partition("/")[0]
    for start in range(0, len(found), MAX_KEYS):
        some = [{"Key": key, "VersionId": version} for key, version in found[start : start + MAX_KEYS]]
        answer = lake.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        if errors := answer.get("Errors"):
            raise OSError(f"{len(errors)} older versions below {lake.at(path)} stay: {errors[0].get('Message')}")
    if found:
        lake.fs.invalidate_cache()
    return len(found)
