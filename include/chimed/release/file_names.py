"""Where a release's tables lie: each in one file, or in several of bounded size that are read as one (paper §3.3).

`sft/train.parquet`, and beside it `jsonl/sft.train.jsonl`; a table that is larger than a file may be lies in
`sft/train-00000-of-00012.parquet` and the following, and its JSON lines in the folder `jsonl/sft.train/`. Both are the
names that `datasets` and LLaMA-Factory read as one table. A table without rows has no file. Light on purpose: training
imports it too.
"""

import re
from collections.abc import Iterable

from chimed.errors import UserError
from chimed.release import SPLITS, SUBSETS, TABLES

_FILE = re.compile(rf"({'|'.join(SUBSETS)})/({'|'.join(SPLITS)})(?:-(\d{{5}})-of-(\d{{5}}))?\.parquet")


def parquet_name(table: str, number: int = 0, of: int = 1) -> str:
    """Return the name of a table's file, by the file's number and how many there are."""
    return f"{table}.parquet" if of == 1 else f"{table}-{number:05d}-of-{of:05d}.parquet"


def jsonl_name(table: str, number: int = 0, of: int = 1) -> str:
    """Return the name of the JSON lines with the rows of the parquet file of the same number."""
    whole = f"jsonl/{table.replace('/', '.')}"
    return f"{whole}.jsonl" if of == 1 else f"{whole}/{number:05d}-of-{of:05d}.jsonl"


def jsonl_beside(parquet: str) -> str:
    """Return the name of the JSON lines that hold the rows of a parquet file."""
    found = _FILE.fullmatch(parquet)
    assert found is not None
    return jsonl_name(f"{found[1]}/{found[2]}", int(found[3] or 0), int(found[4] or 1))


def table_files(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the parquet files of every table, in order, among the names in a release's folder; an empty list: no rows.

    Raises UserError where one of several is missing, or where files of two writings lie side by side.
    """
    found: dict[str, dict[int, str]] = {table: {} for table in TABLES}
    counts: dict[str, set[int]] = {table: set() for table in TABLES}
    for name in names:
        if said := _FILE.fullmatch(name):
            table = f"{said[1]}/{said[2]}"
            found[table][int(said[3] or 0)] = name
            counts[table].add(int(said[4] or 1))
    for table, several in found.items():
        if several and (counts[table] != {len(several)} or max(several) != len(several) - 1):
            raise UserError(
                f"{table}: its files are not those of one writing ({', '.join(sorted(several.values())[:3])}…); "
                "restore the release from a copy, or run release again"
            )
    return {table: [several[number] for number in sorted(several)] for table, several in found.items()}


def jsonl_places(names: Iterable[str]) -> dict[str, str]:
    """Where each table's JSON lines lie, by the names in a release's folder: a file, or the folder of several."""
    places = {}
    for table, several in table_files(names).items():
        if several:
            name = jsonl_beside(several[0])
            places[table] = name if len(several) == 1 else name.rpartition("/")[0]
    return places
