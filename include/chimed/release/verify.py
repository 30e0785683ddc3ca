"""Is a release what its manifest says? Every file by checksum, every table by what it promises. Ours."""

import hashlib
import json

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.lake import Lake, open_lake
from chimed.release import SUBSETS, TABLES, folder_of, releases
from chimed.release.rows import COLUMNS, tables_in
from chimed.release.statistics import statistics
from chimed.release.write import ACCEPTED, checksum_of, data_files


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
    if release not in lakes.names(lake, "releases"):
        raise UserError(f"unknown release {release!r}; there is: {', '.join(known) or 'none yet'}")
    return lake, folder_of(release)


def verify(lake: Lake, version: str) -> list[str]:
    """What is wrong with a release of this lake; see `faults_in`."""
    return faults_in(lake, folder_of(version))


def faults_in(lake: Lake, folder: str) -> list[str]:
    """What is wrong with a release's folder, a sentence each that names the file; none: it is as it was written."""
    if not lakes.exists(lake, f"{folder}/manifest.json"):
        return ["manifest.json: missing, so the release is not whole (interrupted, held back or withdrawn)"]
    try:
        manifest = lakes.read_json(lake, f"{folder}/manifest.json")
        files = manifest["files"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        return [f"manifest.json: unreadable ({type(error).__name__}: {error})"]
    there = set(lakes.files(lake, folder)) - {"manifest.json", ACCEPTED}
    faults = [f"{name}: missing" for name in sorted(files.keys() - there)]
    faults += [f"{name}: not in the manifest" for name in sorted(there - files.keys())]
    for name in sorted(files.keys() & there):
        faults += _file_faults(lake, f"{folder}/{name}", name, files[name])
    if faults:
        return faults
    if "statistics.json" not in files:
        return ["statistics.json: not in the manifest's list"]
    numbers = lakes.read_json(lake, f"{folder}/statistics.json")
    if unlisted := [name for name in data_files(numbers) if name not in files]:
        return [f"{name}: not in the manifest's list" for name in unlisted]
    if checksum_of(files, numbers) != manifest.get("checksum"):
        return ["manifest.json: its checksum is not that of its files"]
    return _table_faults(lake, folder, numbers)


def _file_faults(lake: Lake, path: str, name: str, said: dict) -> list[str]:
    size = lake.fs.size(lake.at(path))
    if size != said["bytes"]:
        return [f"{name}: {size} bytes, not {said['bytes']}"]
    with lake.fs.open(lake.at(path), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [] if digest == said["sha256"] else [f"{name}: sha256 {digest[:12]}…, not {said['sha256'][:12]}…"]


def _table_faults(lake: Lake, folder: str, numbers: dict) -> list[str]:
    """Promises that no checksum keeps: columns, ids once, a page on one side, statistics that can be counted again."""
    faults = []
    for name in (name for name in TABLES if numbers["splits"][name]):
        with lake.fs.open(lake.at(f"{folder}/{name}.parquet"), "rb") as file:
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


def _same_columns(have: pa.Schema, want: pa.Schema) -> bool:
    return have.remove_metadata().equals(want)
