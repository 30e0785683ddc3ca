"""The release: three subsets in TRL's columns, statistics, figures, a data card and a manifest (paper §3.3).

What a release is and how its parts are made is in `chimed.release`. The manifest is written last: where it is, the
release is whole. A release that drifts from the one before is held back (`chimed.release.diff`).
"""

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.reasons import TAKEN_DOWN
from chimed.release.provenance import making
from chimed.release.rows import tables_of
from chimed.release.statistics import statistics
from chimed.release.write import previous, write_release
from chimed.schema import left_rows
from chimed.storage.contents import SEAL
from chimed.storage.lease import turn
from chimed.storage.takedowns import takedowns


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Writes `releases/<build>/`; drops what was taken down since extract. Raises Drifted where it is held back."""
    gone = records.filter(takedowns(work.store).rows())["id"].to_list()
    kept = records.filter(~pl.col("id").is_in(gone))
    tables = tables_of(kept)
    with turn(work.store, work.lake.root, f"release {work.build}", work.say):  # a takedown may write there, too
        manifest = write_release(work.lake, work.build, tables, making(work), previous(work.lake, work.build))
    numbers = statistics(tables)
    figures = {name: numbers[name] for name in ("instances", "characters", "splits")}
    left = left_rows(records, dict.fromkeys(gone, (TAKEN_DOWN, "")))
    return Outcome(kept, left, figures={"checksum": manifest["checksum"], SEAL: manifest[SEAL], **figures})
