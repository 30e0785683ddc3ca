"""The release: three subsets in TRL's columns, statistics, figures, a data card and a manifest (paper §3.3).

What a release is and how its parts are made is in `chimed.release`. The manifest is written last: where it is, the
release is whole. A release that drifts from the one before is held back (`chimed.release.diff`).
"""

import polars as pl

from chimed.build.context import Work
from chimed.build.contract import CorpusStage
from chimed.build.corpus import Parts, Verdicts, left
from chimed.reasons import TAKEN_DOWN
from chimed.release.provenance import making
from chimed.release.rows import tables_of
from chimed.release.statistics import statistics
from chimed.release.write import previous, write_release
from chimed.schema import RECORD
from chimed.storage.contents import SEAL
from chimed.storage.lease import turn
from chimed.storage.takedowns import takedowns


def select_dropped(parts: Parts, work: Work) -> Verdicts:
    """Write `releases/<build>/`; drop what was taken down since extract. Raises Drifted where it is held back."""
    records = pl.concat(list(parts.read(RECORD.names)))
    gone = takedowns(work.store).rows()
    tables = tables_of(records.filter(~gone).drop("row"))
    with turn(work.store, work.lake.root, f"release {work.build}", work.say):  # a takedown may write there, too
        manifest = write_release(work.lake, work.build, tables, making(work), previous(work.lake, work.build))
    numbers = statistics(tables)
    figures = {name: numbers[name] for name in ("instances", "characters", "splits")}
    dropped = left(records.filter(gone)["row"], TAKEN_DOWN)
    return Verdicts(dropped, {"checksum": manifest["checksum"], SEAL: manifest[SEAL], **figures})


STAGE = CorpusStage(select_dropped)
