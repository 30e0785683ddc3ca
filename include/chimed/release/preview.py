"""What a release would be, before there is one: the build's ledger so far, and the changes to the release before.

For the person who is asked to approve it. Writes nothing.
"""

from chimed.build.builds import read_build, read_stage
from chimed.build.ledger import ledger
from chimed.build.order import before, of_build
from chimed.release import SUBSETS
from chimed.release.rows import tables_of
from chimed.release.write import compare, previous
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.storage.takedowns import takedowns


def preview(lake: Lake, store: Store, build: str) -> dict:
    """Keys: build, stages (`ledger.ledger`, without figures), rows (by subset), changes (`write.compare`).

    Raises UserError for an unknown build, or where a stage before the release is not done.
    """
    made = read_build(lake, build)
    version, last = made["version"], before("release", of_build(made))
    assert last is not None
    records = read_stage(lake, version, last.name)
    tables = tables_of(records.filter(~takedowns(store).rows()))
    stages = [{name: value for name, value in one.items() if name != "figures"} for one in ledger(lake, version)]
    rows = {subset: sum(len(table) for name, table in tables.items() if name.startswith(subset)) for subset in SUBSETS}
    changes = compare(lake, previous(lake, version), tables, made["options"])
    return {"build": version, "stages": stages, "rows": rows, "changes": changes}
