"""What a release would be, before there is one: the build's ledger so far, and the changes to the release before.

For the person who is asked to approve it. Writes nothing.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from chimed.build.builds import count_parts, read_build
from chimed.build.ledger import read_ledger
from chimed.build.order import previous_stage, stages_of_build
from chimed.release import SUBSETS
from chimed.release.diff import Side
from chimed.release.rows import KINDS, tables_of
from chimed.release.statistics import Counter
from chimed.release.write import compare, previous
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.storage.takedowns import COLUMNS, read_takedowns


def preview(lake: Lake, store: Store, build: str) -> dict[str, Any]:
    """Keys: build, stages (`ledger.read_ledger`, without figures), rows (by subset), changes (`write.compare`).

    Raises UserError for an unknown build, or where a stage before the release is not done.
    """
    made = read_build(lake, build)
    version, last = made["version"], previous_stage("release", stages_of_build(made))
    assert last is not None
    side = side_of_build(lake, version, last.name, read_takedowns(store).rows())
    stages = [{name: value for name, value in one.items() if name != "figures"} for one in read_ledger(lake, version)]
    counted = side.counts.rows
    rows = {subset: sum(count for name, count in counted.items() if name.startswith(subset)) for subset in SUBSETS}
    changes = compare(lake, previous(lake, version), side, made["options"])
    return {"build": version, "stages": stages, "rows": rows, "changes": changes}


def side_of_build(lake: Lake, version: str, stage: str, gone: pl.Expr) -> Side:
    """Return a stage's table, without the rows that are gone, as one side of a comparison; a part is held at a time."""
    parts = range(count_parts(lake, version, stage))
    paths = [layout.build(version, stage, layout.kept(part)) for part in parts]
    counter = Counter()
    for path in paths:
        for table, rows in tables_of(lakes.read_table(lake, path, schema=RECORD).filter(~gone)).items():
            counter.add(table, rows)

    def read() -> Iterator[pl.DataFrame]:
        subset = pl.col("kind").replace_strict({kind: name for name, kind in KINDS.items()}, default=None)
        for path in paths:
            for batch in lakes.read_batches(lake, path, ["id", "kind", *COLUMNS], RECORD):
                named = batch.filter(~gone).with_columns(subset=subset)
                yield named.filter(pl.col("subset").is_not_null()).select("id", "source", "url", "subset")

    return Side(counter.counts(), read)
