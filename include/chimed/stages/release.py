"""The release: four subsets in TRL's columns, statistics, figures, a data card and a manifest (paper §3.3).

What a release is and how its parts are made is in `chimed.release`. The manifest is written last: where it is, the
release is whole. A release that drifts from the one before is held back (`chimed.release.diff`).
"""

import hashlib

import polars as pl
import pyarrow as pa

import chimed
from chimed.build.context import StageContext
from chimed.build.contract import CorpusStage
from chimed.build.corpus import Parts, Verdicts, left
from chimed.reasons import TAKEN_DOWN
from chimed.release import folder_of
from chimed.release.provenance import making
from chimed.release.sorting import of_build
from chimed.release.write import previous, write_release
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import SEAL
from chimed.storage.lease import wait_for_lease
from chimed.storage.takedowns import COLUMNS, read_takedowns


def select_dropped(parts: Parts, work: StageContext) -> Verdicts:
    """Write `releases/<build>/`; drop what was taken down since extract. Raises Drifted where it is held back."""
    gone = read_takedowns(work.store).rows()
    places = ["id", *COLUMNS]
    taken = [batch.filter(gone).select("row", "id") for batch in parts.read(places)]
    leaving = pl.concat([pl.DataFrame(schema={"row": pl.UInt32, "id": pl.String}), *taken])
    rows = of_build(work.lake, parts.paths, gone, _made_of(parts, leaving))
    with wait_for_lease(
        work.store, work.lake.root, f"release {work.build}", work.say
    ):  # a takedown may write there, too
        manifest = write_release(work.lake, work.build, rows, making(work), previous(work.lake, work.build))
    numbers = lakes.read_json(work.lake, f"{folder_of(work.build)}/{layout.STATISTICS}")
    figures = {name: numbers[name] for name in ("instances", "characters", "splits")}
    dropped = left(leaving["row"], TAKEN_DOWN)
    return Verdicts(dropped, {"checksum": manifest["checksum"], SEAL: manifest[SEAL], **figures})


def _made_of(parts: Parts, leaving: pl.DataFrame) -> str:
    """Hash what a release is made from: the code's version, the bytes of all parts, and the ids that are left out."""
    assert parts.lake is not None
    digest = hashlib.sha256(f"{chimed.__version__} {pl.__version__} {pa.__version__}".encode())
    for path in parts.paths:
        with lakes.open_file(parts.lake, path) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update("\n".join(leaving["id"].sort()).encode())
    return digest.hexdigest()


STAGE = CorpusStage(select_dropped)
