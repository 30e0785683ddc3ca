"""Is a release what its manifest says? Every file by checksum, every table by what it promises. Ours.

A release may come from anywhere: nothing in its manifest is believed before it was looked at, nothing but plain files
of its own folder is opened, and what cannot be read is a fault and no traceback.
"""

import hashlib
import json
import os
from pathlib import Path

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import chimed
from chimed.build import reports
from chimed.characters import short
from chimed.errors import UserError, choose
from chimed.release import SUBSETS, TABLES, folder_of, releases
from chimed.release.rows import COLUMNS, dataset_info, jsonl, jsonl_name, tables_in, with_rows
from chimed.release.statistics import statistics
from chimed.release.write import ACCEPTED, checksum_of, data_files
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import SEAL, is_sealed, told_of
from chimed.storage.lake import Lake, open_lake
from chimed.storage.naming import is_way

NOT_LISTED = ("manifest.json", ACCEPTED)


def find_folder(release: str) -> tuple[Lake, str]:
    """The lake and folder of a release: a version of this lake, `latest`, or the path or URL of a copy elsewhere.

    Raises UserError where there is no such folder.
    """
    if "/" in release:
        lakes.check_address(release, "the address")
        fs, path = fsspec.core.url_to_fs(release)
        parent, _, name = path.rstrip("/").rpartition("/")
        if not (name and fs.isdir(path)):
            raise UserError(f"no folder at {release}; name a release's folder, or a version of this lake")
        return Lake(fs, parent), name
    lake = open_lake()
    known = releases(lake)
    if release == "latest" and known:
        return lake, folder_of(known[-1])
    if release not in lakes.names(lake, layout.RELEASES):
        choose("release", release, known)
    return lake, folder_of(release)


def verify(lake: Lake, version: str) -> list[str]:
    """What is wrong with a release of this lake; see `faults_in`."""
    return faults_in(lake, folder_of(version))


def faults_in(lake: Lake, folder: str) -> list[str]:
    """What is wrong with a release's folder, a sentence each that names the file; none: it is as it was written."""
    there = _entries(lake, folder)
    if "manifest.json" not in there:
        return ["manifest.json: missing, so the release is not whole (interrupted, held back or withdrawn)"]
    if strange := [f"{name}: {what}, and no plain file" for name, what in sorted(there.items()) if what]:
        return strange
    try:
        manifest = lakes.read_json(lake, f"{folder}/{layout.MANIFEST}")
    except UserError as error:
        return [f"manifest.json: unreadable ({error})"]
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        return ["manifest.json: unreadable (it lists no files)"]
    if wrong := [name for name in files if not is_way(name) or name in NOT_LISTED or told_of(files, name) is None]:
        return [
            f"manifest.json: unreadable ({short(ascii(name), 100)} is no file of a release, or has no size or hash)"
            for name in wrong[:5]
        ]
    present = there.keys() - set(NOT_LISTED)
    faults = [f"{name}: missing" for name in sorted(files.keys() - present)]
    faults += [f"{name}: not in the manifest" for name in sorted(present - files.keys())]
    for name in sorted(files.keys() & present):
        faults += _file_faults(lake, f"{folder}/{name}", name, files[name])
    if faults:
        return faults
    if is_sealed(manifest) is False:
        return ["manifest.json: its seal is not that of what it says"]
    if (said := _sealed_by_build(lake, folder)) and said != manifest.get(SEAL):
        return [f"manifest.json: not the one that its build wrote (seal {said[:12]}…)"]
    return _broken_promises(lake, folder, manifest)


def _broken_promises(lake: Lake, folder: str, manifest: dict) -> list[str]:
    """What of the tables is not as the manifest and the statistics say, a sentence each."""
    try:
        return _promises(lake, folder, manifest)
    except (
        UserError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        pa.ArrowException,
        pl.exceptions.PolarsError,
    ) as error:
        return [
            "statistics.json: it or the tables it tells of cannot be read "
            f"({type(error).__name__}: {short(str(error), 200)})"
        ]


def _sealed_by_build(lake: Lake, folder: str) -> str | None:
    """The seal of the manifest that a build of this lake wrote there, as the report of its last stage has it."""
    if folder.split("/")[0] != "releases":  # a copy elsewhere
        return None
    report = reports.read(lake, folder.split("/")[-1], "release", 0) or {}
    return report.get("figures", {}).get(SEAL)


def _entries(lake: Lake, folder: str) -> dict[str, str]:
    """Everything in a release's folder that is no folder, by its way from there: what it is instead of a plain file."""
    if not lakes.is_local(lake.fs):
        return dict.fromkeys(lakes.files(lake, folder), "")
    root, found = Path(lake.at(folder)), {}
    for above, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(above, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                found[path.relative_to(root).as_posix()] = "a link" if path.is_symlink() else "a pipe or a device"
            elif path.is_file():
                found[path.relative_to(root).as_posix()] = ""
    return found


def _file_faults(lake: Lake, path: str, name: str, said: dict) -> list[str]:
    size = lake.fs.size(lake.at(path))
    if size != said["bytes"]:
        return [f"{name}: {size} bytes, not {said['bytes']}"]
    with lakes.open_file(lake, path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [] if digest == said["sha256"] else [f"{name}: sha256 {digest[:12]}…, not {said['sha256'][:12]}…"]


def _promises(lake: Lake, folder: str, manifest: dict) -> list[str]:
    """What the files promise each other: the checksum, the statistics, the same rows in every form, the card."""
    files = manifest["files"]
    if "statistics.json" not in files:
        return ["statistics.json: not in the manifest's list"]
    numbers = lakes.read_json(lake, f"{folder}/{layout.STATISTICS}")
    if unlisted := [name for name in data_files(numbers) if name not in files]:
        return [f"{name}: not in the manifest's list" for name in unlisted]
    if checksum_of(files, numbers) != manifest.get("checksum"):
        return ["manifest.json: its checksum is not that of its files"]
    if faults := _table_faults(lake, folder, numbers):
        return faults
    return _form_faults(lake, folder, manifest)


def _table_faults(lake: Lake, folder: str, numbers: dict) -> list[str]:
    """Promises that no checksum keeps: columns, ids once, a page on one side, statistics that can be counted again."""
    faults = []
    for name in (name for name in TABLES if numbers["splits"][name]):
        with lakes.open_file(lake, f"{folder}/{name}.parquet") as file:
            schema = pq.read_schema(file)
        if not _same_columns(schema, COLUMNS[name.split("/")[0]]):
            faults.append(f"{name}.parquet: columns are not those of this code")
    if faults:
        return faults
    tables = tables_in(lake, folder)
    for subset in SUBSETS:
        train, held = tables[f"{subset}/train"], tables[f"{subset}/validation"]
        if both := set(train["url"]) & set(held["url"]):
            faults.append(f"{subset}: {len(both)} pages are in train and in validation, one is {sorted(both)[0]}")
        ids = [*train["id"], *held["id"]]
        if len(set(ids)) < len(ids):
            faults.append(f"{subset}: {len(ids) - len(set(ids))} ids are there twice")
    if json.loads(json.dumps(statistics(tables))) != numbers:
        faults.append("statistics.json: not what the tables hold")
    return faults


def _form_faults(lake: Lake, folder: str, manifest: dict) -> list[str]:
    """Where the JSON lines hold other rows than the tables, LLaMA-Factory's description is not what this code would
    write, or the card tells another checksum."""
    tables, faults = tables_in(lake, folder), []
    for name in with_rows(tables):
        file = jsonl_name(name)
        made = jsonl(tables[name], name.split("/")[0])
        if hashlib.sha256(made).hexdigest() != manifest["files"][file]["sha256"] and not _same_rows(
            lake, f"{folder}/{file}", made
        ):
            faults.append(f"{file}: not the rows of {name}.parquet")
    if SEAL not in manifest or manifest.get("code") != chimed.__version__:  # other versions may write these otherwise
        return faults
    if lakes.read_json(lake, f"{folder}/dataset_info.json") != dataset_info(tables):
        faults.append("dataset_info.json: not what the tables ask for")
    if manifest["checksum"].encode() not in lakes.read_bytes(lake, f"{folder}/README.md"):
        faults.append("README.md: it does not tell this release's checksum")
    return faults


def _same_rows(lake: Lake, path: str, made: bytes) -> bool:
    """Whether two files of JSON lines say the same: another library's version may write it otherwise."""
    have, want = lakes.read_bytes(lake, path).splitlines(), made.splitlines()
    return len(have) == len(want) and all(
        json.loads(one) == json.loads(two) for one, two in zip(have, want, strict=True)
    )


def seal_of(lake: Lake, folder: str) -> str | None:
    """The one hash over a release's whole manifest, which names every file; None where it was written without."""
    return lakes.read_json(lake, f"{folder}/{layout.MANIFEST}").get(SEAL)


def _same_columns(have: pa.Schema, want: pa.Schema) -> bool:
    return have.remove_metadata().equals(want)
