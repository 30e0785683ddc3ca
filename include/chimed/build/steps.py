"""The steps that a stage takes before its parts: what has to be known of the whole corpus. Ours.

A step is some tasks, each of which reads and writes files and may run on any worker; its report is written last, so it
also means done. A task that was killed is done again and leaves the same bytes; one that is done is not done again. The
files lie in `steps/<build>/<stage>/<step>/` and hold letters of texts: when every part of the stage is done they go.
"""

import hashlib
import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed.build import order, reports
from chimed.build.builds import count_parts
from chimed.build.context import StageContext
from chimed.build.inputs import ranges_of
from chimed.errors import UserError
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.storage.contents import recorded_file
from chimed.storage.lake import Lake

log = logging.getLogger("chimed")


@dataclass(frozen=True)
class Corpus:
    """The table that a stage's steps read. rows: of each part. digest: another one where a part is another one."""

    build: str
    stage: str
    rows: tuple[int, ...]
    digest: str

    @property
    def starts(self) -> list[int]:
        """The number in the whole table of the first row of each part, and how many rows there are."""
        return [0, *accumulate(self.rows)]

    @property
    def ranges(self) -> int:
        """How many ranges the corpus is divided into."""
        return ranges_of(sum(self.rows))

    def tasks(self, step: order.Step) -> int:
        """How many tasks a step has."""
        return {"all": 1, "part": len(self.rows), "range": self.ranges}[step.over]

    def path(self, step: str, name: str) -> str:
        """Return the path of a step's file, or of its folder where `name` is empty."""
        return layout.steps(self.build, self.stage, step, name).rstrip("/")

    def before(self, part: int) -> str:
        """Return the path of a part of the table that the previous stage wrote."""
        previous = order.previous_stage(self.stage)
        assert previous is not None  # the first stage reads pages and takes no steps
        return layout.build(self.build, previous.name, layout.kept(part))


def corpus_of(work: StageContext, stage: str) -> Corpus:
    """Return the table that a stage's steps read. Raises UserError where the previous stage is not finished."""
    previous = order.previous_stage(stage)
    assert previous is not None
    found = work.lake.fs.find(work.lake.at(layout.build(work.build, previous.name)), detail=True)
    state = [
        (name, one["size"], *(str(one[key]) for key in copies.VERSION_KEYS if key in one))
        for name, one in found.items()
        if name.endswith(".json")
    ]
    return _corpus(work.lake, work.build, stage, previous.name, tuple(state))


@lru_cache(maxsize=8)
def _corpus(lake: Lake, build: str, stage: str, previous: str, state: tuple[Any, ...]) -> Corpus:
    """Read once as long as the reports of the stage before are those (`state`): there are hundreds."""
    del state
    rows, hashes = [], []
    for part in range(count_parts(lake, build, previous)):
        name = layout.kept(part)
        told = recorded_file((reports.read(lake, build, previous, part) or {}).get("written"), name) or {}
        # a part that was written anew may have fewer rows than its stage counted
        rows.append(told["rows"] if "rows" in told else lakes.count_rows(lake, layout.build(build, previous, name)))
        hashes.append(f"{rows[-1]} {told.get('sha256')}")
    return Corpus(build, stage, tuple(rows), hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16])


def report_of(work: StageContext, corpus: Corpus, step: str, number: int) -> dict[str, Any] | None:
    """Read the report of a step's task on this corpus; None where the task is not finished."""
    try:
        report = lakes.read_json(work.lake, corpus.path(step, layout.report(number)))
    except FileNotFoundError:
        return None
    except UserError as error:
        log.warning("%s; that step is taken again", error)
        return None
    return report if report.get("corpus") == corpus.digest else None


# --- tables that steps hand on ---------------------------------------------------------------------------------


def write_groups(lake: Lake, path: str, groups: Iterable[pl.DataFrame], schema: pa.Schema) -> None:
    """Write frames as the row groups of one Parquet file, so that each can be read alone, the empty ones too.

    Numbers that are hashes do not compress, and are written as they are.
    """
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
        for frame in groups:
            writer.write_table(frame.select(schema.names).to_arrow().cast(schema), row_group_size=max(1, len(frame)))
    lakes.write_bytes(lake, path, sink.getvalue())


def read_group(lake: Lake, path: str, number: int, columns: list[str] | None = None) -> pl.DataFrame:
    """One row group of such a file. Raises UserError where it cannot be read."""
    with _opened(lake, path) as table:
        return pl.DataFrame(table.read_row_group(number, columns=columns))


def read_groups(lake: Lake, path: str, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the row groups of a file, in order. Raises UserError where the file cannot be read."""
    with _opened(lake, path) as table:
        for number in range(table.num_row_groups):
            yield pl.DataFrame(table.read_row_group(number, columns=columns))


def read_whole(lake: Lake, path: str, columns: list[str] | None = None) -> pl.DataFrame:
    """All of such a file, or some columns of it. Raises UserError where it cannot be read."""
    with _opened(lake, path) as table:
        return pl.DataFrame(table.read(columns=columns))


@contextmanager
def _opened(lake: Lake, path: str) -> Iterator[pq.ParquetFile]:
    _, build, stage, *_ = path.split("/")
    mend = f"remove {layout.steps(build, stage)} and run: python -m chimed run {stage} --build {build}"
    try:
        with lakes.open_file(lake, path) as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        why = f"{path}, which a step of {stage} wrote, cannot be read ({type(error).__name__})"
        raise UserError(f"{why}; {mend}") from None
