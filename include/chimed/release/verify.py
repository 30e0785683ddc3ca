"""Is a release what its manifest says? Every file by checksum, every table by what it promises. Ours.

A release may come from anywhere: nothing in its manifest is believed before it was looked at, nothing but plain files
of its own folder is opened, and what cannot be read is a fault and no traceback.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import chimed
from chimed.build import reports
from chimed.characters import short
from chimed.errors import UserError, choose
from chimed.release import SPLITS, SUBSETS, TABLES, folder_of, releases
from chimed.release.file_names import jsonl_beside, jsonl_places, parquet_name, table_files
from chimed.release.graph import ENTITIES_FILE, RELATIONS_FILE, graph_of
from chimed.release.rows import ADDED, COLUMNS, dataset_info, jsonl
from chimed.release.statistics import Counter, statistics
from chimed.release.tables import read_batches
from chimed.release.write import ACCEPTED, checksum_of, data_files
from chimed.schema import name_in
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import SEAL, is_sealed, recorded_file
from chimed.storage.lake import Lake, find_lake
from chimed.storage.naming import is_file_path
from chimed.turns import alternates

NOT_LISTED = ("manifest.json", ACCEPTED)
MISSING = "missing"


def find_folder(release: str) -> tuple[Lake, str]:
    """Return a release's lake and folder. release: a version in this lake, `latest`, or a copy's path or URL.

    Raises UserError where there is no such folder.
    """
    if "/" in release:
        lakes.check_address(release, "the address")
        fs, path = fsspec.core.url_to_fs(release)
        parent, _, name = path.rstrip("/").rpartition("/")
        if not (name and fs.isdir(path)):
            raise UserError(f"no folder at {release}; name a release's folder, or a version of this lake")
        return Lake(fs, parent), name
    lake = find_lake()
    known = releases(lake)
    if release == "latest" and known:
        return lake, folder_of(known[-1])
    if release not in lakes.names(lake, layout.RELEASES):
        choose("release", release, known)
    return lake, folder_of(release)


def verify(lake: Lake, version: str) -> list[str]:
    """Return what is wrong with a release of this lake; see `faults_in`."""
    return faults_in(lake, folder_of(version))


def faults_in(lake: Lake, folder: str, partial: bool = False) -> list[str]:
    """List the faults of a release's folder, a sentence each that names the file; empty where it is intact.

    partial: the folder may lack files of the release (but the manifest); then what is there is checked.
    """
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
    if wrong := [
        name for name in files if not is_file_path(name) or name in NOT_LISTED or recorded_file(files, name) is None
    ]:
        return [
            f"manifest.json: unreadable ({short(ascii(name), 100)} is no file of a release, or has no size or hash)"
            for name in wrong[:5]
        ]
    present = there.keys() - set(NOT_LISTED)
    faults = [] if partial else [f"{name}: {MISSING}" for name in sorted(files.keys() - present)]
    faults += [f"{name}: not in the manifest" for name in sorted(present - files.keys())]
    for name in sorted(files.keys() & present):
        faults += _file_faults(lake, f"{folder}/{name}", name, files[name])
    if faults:
        return faults
    if is_sealed(manifest) is False:
        return ["manifest.json: its seal is not that of what it says"]
    if (said := _sealed_by_build(lake, folder)) and said != manifest.get(SEAL):
        return [f"manifest.json: not the one that its build wrote (seal {said[:12]}…)"]
    return _broken_promises(lake, folder, manifest, present)


def files_left_out(lake: Lake, folder: str) -> list[str]:
    """Return the files of a release that its folder does not have."""
    files = lakes.read_json(lake, f"{folder}/{layout.MANIFEST}")["files"]
    return sorted(files.keys() - _entries(lake, folder).keys())


def _broken_promises(lake: Lake, folder: str, manifest: dict[str, Any], there: set[str]) -> list[str]:
    """Return what of the tables is not as the manifest and the statistics say, a sentence each."""
    try:
        return _promises(lake, folder, manifest, there)
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
    """Return the seal of the manifest that a build of this lake wrote there, as the report of its last stage has it."""
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


def _file_faults(lake: Lake, path: str, name: str, said: dict[str, Any]) -> list[str]:
    size = lake.fs.size(lake.at(path))
    if size != said["bytes"]:
        return [f"{name}: {size} bytes, not {said['bytes']}"]
    with lakes.open_file(lake, path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [] if digest == said["sha256"] else [f"{name}: sha256 {digest[:12]}…, not {said['sha256'][:12]}…"]


def _promises(lake: Lake, folder: str, manifest: dict[str, Any], there: set[str]) -> list[str]:
    """Return what the files promise each other: the checksum, the statistics, the same rows in every form, the card.

    there: the files that the folder has; what only the others could break is not looked at.
    """
    files = manifest["files"]
    if "statistics.json" not in files:
        return ["statistics.json: not in the manifest's list"]
    if "statistics.json" not in there:
        return []
    numbers = lakes.read_json(lake, f"{folder}/{layout.STATISTICS}")
    tables = table_files(files)
    lost = [parquet_name(table) for table in TABLES if numbers["splits"].get(table) and not tables[table]]
    if unlisted := [name for name in [*lost, *data_files(files)] if name not in files]:
        return [f"{name}: not in the manifest's list" for name in unlisted]
    if checksum_of(files) != manifest.get("checksum"):
        return ["manifest.json: its checksum is not that of its files"]
    if not there.issuperset(name for names in tables.values() for name in names):
        return []
    if faults := _column_faults(lake, folder, tables):
        return faults
    lines: list[str] = []
    if faults := _row_faults(lake, folder, tables, numbers, files, lines, there):
        return faults
    return lines + _graph_faults(lake, folder, files, there) + _form_faults(lake, folder, manifest, there)


def _graph_faults(lake: Lake, folder: str, files: dict[str, Any], there: set[str]) -> list[str]:
    """Say where the graph's tables are not what the rows state; a release of an older version has none."""
    if not any(name in files for name in (ENTITIES_FILE, RELATIONS_FILE)):
        return []
    faults, stated = [], graph_of(lake, folder)
    for name, expected in ((ENTITIES_FILE, stated.entities), (RELATIONS_FILE, stated.relations)):
        if name not in files:
            faults.append(f"{name}: not in the manifest's list")
        if name not in there:
            continue
        with lakes.open_file(lake, f"{folder}/{name}") as file:
            if not pl.read_parquet(file).equals(expected):
                faults.append(f"{name}: not what the rows of pretrain state")
    return faults


def _column_faults(lake: Lake, folder: str, tables: dict[str, list[str]]) -> list[str]:
    faults = []
    for table, names in tables.items():
        for name in names:
            schema = _schema_of(lake, f"{folder}/{name}")
            if not _are_columns_of(schema, table.split("/")[0]):
                faults.append(f"{name}: columns are not those of this code")
    return faults


def _row_faults(
    lake: Lake,
    folder: str,
    tables: dict[str, list[str]],
    numbers: dict[str, Any],
    files: dict[str, Any],
    lines: list[str],
    there: set[str],
) -> list[str]:
    """Promises that no checksum keeps: the order, ids once, a page on one side, statistics that can be counted again.

    Every row is read once. lines: gets what is wrong with the JSON lines, which are made again on the way.
    """
    counter, faults = Counter(), []
    for subset in SUBSETS:
        seen = Seen()
        for split in reversed(SPLITS):  # validation first: its hashes are held, and it is a twentieth of all
            seen.begin(split)
            for name in tables[f"{subset}/{split}"]:
                beside, digest = jsonl_beside(name), hashlib.sha256()
                names = _columns_of(lake, f"{folder}/{name}")
                for rows in read_batches(lake, f"{folder}/{name}", subset):
                    counter.add(f"{subset}/{split}", rows)
                    seen.look(rows)
                    digest.update(jsonl(_as_in_file(rows, names), subset))
                if beside not in there:
                    continue
                is_same = digest.hexdigest() == files[beside]["sha256"]
                if not is_same and not _same_rows(lake, f"{folder}/{name}", f"{folder}/{beside}", subset):
                    lines.append(f"{beside}: not the rows of {name}")
        faults += [f"{subset}: {fault}" for fault in seen.faults()]
    if json.loads(json.dumps(statistics(counter.counts()))) != _with_later_subsets(numbers):
        faults.append("statistics.json: not what the tables hold")
    return faults


def _with_later_subsets(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return statistics with nothing under the subsets that their version did not have."""
    none = json.loads(json.dumps(statistics(Counter().counts())))
    return numbers | {name: none[name] | numbers[name] for name in ("splits", "lengths")}


class Seen:
    """What a subset's rows promise each other, looked at as they come by: validation first, then train."""

    def __init__(self) -> None:
        self.held: list[pl.DataFrame] = []  # hashes of addresses and ids of validation
        self.known = pl.DataFrame(schema={"url": pl.UInt64, "id": pl.UInt64})
        self.both: set[str] = set()
        self.last, self.twice, self.in_order, self.split = "", 0, True, ""
        self.torn = 0  # conversations that do not alternate from a question to an answer

    def begin(self, split: str) -> None:
        """Begin a table."""
        self.known = pl.concat([self.known, *self.held])
        self.last, self.split = "", split

    def look(self, rows: pl.DataFrame) -> None:
        """Look at the next rows of the table."""
        before = pl.concat([pl.Series("id", [self.last], dtype=pl.String), rows["id"]]).head(len(rows))
        self.twice += int((before == rows["id"]).sum())
        self.in_order = self.in_order and bool((before <= rows["id"]).all())
        self.last = rows["id"][-1] if len(rows) else self.last
        if "messages" in rows.columns:
            self.torn += int(rows.select((~alternates()).sum()).item())
        hashes = rows.select(pl.col("url", "id").hash(seed=0))
        if self.split == "validation":
            self.held.append(hashes)
        elif len(self.known):
            self.both |= set(rows["url"].filter(hashes["url"].is_in(self.known["url"].implode())))
            self.twice += int(hashes["id"].is_in(self.known["id"].implode()).sum())

    def faults(self) -> list[str]:
        """Return what is wrong, a sentence each."""
        said = []
        if self.both:
            said.append(f"{len(self.both)} pages are in train and in validation, one is {sorted(self.both)[0]}")
        if self.twice:
            said.append(f"{self.twice} ids are there twice")
        if self.torn:
            said.append(f"{self.torn} conversations do not alternate from a question to an answer")
        if not self.in_order:
            said.append("rows are not in the order of their ids")
        return said


def _form_faults(lake: Lake, folder: str, manifest: dict[str, Any], there: set[str]) -> list[str]:
    """Where LLaMA-Factory's description is not what this code would write, or the card tells another checksum."""
    faults: list[str] = []
    if SEAL not in manifest or manifest.get("code") != chimed.__version__:  # other versions may write these otherwise
        return faults
    info = f"{folder}/dataset_info.json"
    if "dataset_info.json" in there and lakes.read_json(lake, info) != dataset_info(jsonl_places(manifest["files"])):
        faults.append("dataset_info.json: not what the tables ask for")
    if "README.md" in there and manifest["checksum"].encode() not in lakes.read_bytes(lake, f"{folder}/README.md"):
        faults.append("README.md: it does not tell this release's checksum")
    return faults


def _same_rows(lake: Lake, table: str, lines: str, subset: str) -> bool:
    """Whether JSON lines say the same as a table: another library's version may write them otherwise."""
    names = _columns_of(lake, table)
    with lakes.open_file(lake, lines) as file:
        for rows in read_batches(lake, table, subset, names):
            for made in jsonl(rows, subset).splitlines():
                if not (there := file.readline()) or json.loads(there) != json.loads(made):
                    return False
        return not file.readline()


def _schema_of(lake: Lake, path: str) -> pa.Schema:
    with lakes.open_file(lake, path) as file:
        return pq.read_schema(file)


def _columns_of(lake: Lake, path: str) -> list[str]:
    return _schema_of(lake, path).names


def seal_of(lake: Lake, folder: str) -> str | None:
    """Return the hash of a release's manifest, which names every file; None where the manifest has no hash."""
    return lakes.read_json(lake, f"{folder}/{layout.MANIFEST}").get(SEAL)


def _are_columns_of(have: pa.Schema, subset: str) -> bool:
    """Whether a file has a subset's columns; it may lack those that came with a later version than its own, and call
    those otherwise that a later version renamed.
    """
    want = [field.with_name(name_in(have.names, field.name)) for field in COLUMNS[subset]]
    want = [field for field in want if field.name in have.names or field.name not in ADDED]
    return have.remove_metadata().equals(pa.schema(want))


def _as_in_file(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Return rows with a file's columns, as that file calls them."""
    own = {name: name_in(names, name) for name in rows.columns}
    return rows.rename(own).select(names)
