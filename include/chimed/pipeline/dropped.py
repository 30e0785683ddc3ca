"""Search the records that left a build: by stage, reason and words, in one build or in all.

No table is read whole. Of each file the reasons are read first, then the words of the rows with that reason, until
enough rows are found or a limit is reached.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chimed.build.builds import list_builds, read_build, stages_of
from chimed.roles import SPOKEN
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

WORDS = ("title", "text", "question", "reasoning", "answer", "rejected")
COLUMNS = ("id", "source", "domain", "kind", "url", "fate", "reason", "detail", *WORDS, "turns")
MAX_BYTES = 16_000_000  # bytes of text that a search reads before it returns what it has
MAX_FILES = 400  # files that a search opens before it returns


@dataclass(frozen=True)
class Search:
    """What to search for: a build, a stage, a reason, words in the text. An empty field matches everything."""

    build: str = ""
    stage: str = ""
    reason: str = ""
    words: str = ""


@dataclass(frozen=True)
class FoundRows:
    """rows: dicts of `SHOWN`, `build`, `stage` and `said` (what, text). after: where the search goes on, None at the
    end.
    """

    rows: list[dict[str, Any]]
    after: str | None


def find_dropped(lake: Lake, sought: Search, start: str = "", most: int = 20) -> FoundRows:
    """Return the next `most` matching records from `start` (the `after` of the page before).

    Raises UserError for an unknown build.
    """
    files = _files_to_search(lake, sought)
    at, _, number = start.partition("#")
    first = files.index(at) if at in files else 0
    skip = int(number) if at in files and number.isdigit() else 0
    found: list[dict[str, Any]] = []
    read = 0
    for opened, path in enumerate(files[first:]):
        if opened >= MAX_FILES or read >= MAX_BYTES:
            return FoundRows(found, f"{path}#0")
        rows, after, size = _search_file(lake, path, sought, skip, most - len(found))
        found, read, skip = [*found, *rows], read + size, 0
        if after is not None:
            return FoundRows(found, f"{path}#{after}")
    return FoundRows(found, None)


def _files_to_search(lake: Lake, sought: Search) -> list[str]:
    """List the files of dropped rows to search, newest build first, stages in their order."""
    versions = [read_build(lake, sought.build)["version"]] if sought.build else list(reversed(list_builds(lake)))
    return [
        layout.build(version, stage.name, name)
        for version in versions
        for stage in stages_of(lake, version)
        if sought.stage in ("", stage.name)
        for name in lakes.names(lake, layout.build(version, stage.name))
        if name.startswith("dropped-")
    ]


def _search_file(
    lake: Lake, path: str, sought: Search, skip: int, most: int
) -> tuple[list[dict[str, Any]], int | None, int]:
    """Search one file from row `skip` on; return rows, where to go on (None: end of file), and bytes read."""
    found: list[dict[str, Any]] = []
    looked, first = 0, 0
    with lake.fs.open(lake.at(path), "rb") as opened:
        file = pq.ParquetFile(opened)
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if end > skip and _may_hold(file, group, sought.reason):
                names = [name for name in COLUMNS if name in file.schema_arrow.names]
                table = file.read_row_group(group, columns=names)
                looked += table.nbytes
                wanted = _matching_rows(table, sought)
                for place in wanted:
                    if first + place < skip:
                        continue
                    if len(found) == most:
                        return found, first + place, looked
                    found.append(_with_texts(table.slice(place, 1).to_pylist()[0], path))
            first = end
    return found, None, looked


def _may_hold(file: pq.ParquetFile, group: int, reason: str) -> bool:
    """Return whether a row group has a row with the reason. Reads only that column."""
    if not reason:
        return True
    reasons = file.read_row_group(group, columns=["reason"])["reason"]
    return bool(pc.any(pc.equal(reasons, reason)).as_py())


def _matching_rows(table: pa.Table, sought: Search) -> list[int]:
    """Return the numbers of the rows with the reason and the words."""
    wanted = pc.equal(table["reason"], sought.reason) if sought.reason else pa.array([True] * table.num_rows)
    if sought.words:
        says = pa.array([False] * table.num_rows)
        for name in WORDS:
            if name in table.column_names:
                says = pc.or_(says, pc.fill_null(pc.match_substring(table[name], sought.words), False))
        if "turns" in table.column_names:
            later = table["turns"].combine_chunks()
            hits = pc.fill_null(pc.match_substring(later.flatten().field("text"), sought.words), False)
            rows = set(pc.list_parent_indices(later).filter(hits).to_pylist())
            says = pc.or_(says, pa.array([row in rows for row in range(table.num_rows)], pa.bool_()))
        wanted = pc.and_(wanted, says)
    return pc.indices_nonzero(wanted).to_pylist()


def _with_texts(row: dict[str, Any], path: str) -> dict[str, Any]:
    _, build, stage, _ = path.split("/")
    said = [(name, row[name]) for name in WORDS if row.get(name)]
    said += [(SPOKEN[turn["role"]], turn["text"]) for turn in row.pop("turns", None) or ()]
    return {**row, "build": build, "stage": stage, "said": said}
