"""Read the reports of finished crawls and ingested corpora, and check that their files are unchanged (paper §3.1).

A crawl's report has the number of detail pages, the size and the hash of every WARC file (`chimed.storage.contents`).
For crawls of older versions, the index lists the responses with their digests. Everything that is read is compared with
one of the two, so that lost pages are an error and not just fewer pages.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chimed.errors import UserError
from chimed.sources import FILES
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.checked import check_file, describe_file
from chimed.storage.contents import SpoiltFile, recorded_file, sealed
from chimed.storage.lake import Lake

if TYPE_CHECKING:  # what only asks for reports does without what reads pages
    from chimed.storage.warc import StoredResponse

INDEX = layout.INDEX

log = logging.getLogger("chimed")


@dataclass
class ExpectedFile:
    """What a WARC file should contain.

    pages: number of detail pages. digests: of responses, by their offset in the file. Both None if not recorded.
    """

    path: str
    restore: str
    pages: int | None = None
    digests: dict[int, str] | None = None
    seen: int = field(default=0, init=False)

    def count_page(self, stored: "StoredResponse") -> None:
        """Count a detail page that was read. Raise SpoiltFile if it is not the page that was crawled."""
        self.seen += 1
        place = int(stored.page.rpartition("#")[2])
        if self.digests is not None and self.digests.get(place) != stored.digest:
            raise SpoiltFile(f"{stored.page} is not the page that was crawled (its digest differs); {self.restore}")

    def check_complete(self) -> None:
        """Raise SpoiltFile unless as many pages were read as were crawled."""
        if self.pages is not None and self.seen != self.pages:
            raise SpoiltFile(f"{self.path} has {self.seen} of the {self.pages} pages that were crawled; {self.restore}")


def read_report(lake: Lake, source: str, crawl: str) -> dict[str, Any] | None:
    """Return the report of a finished crawl; None if the crawl is not finished or its report was cut short."""
    path = layout.raw(source, crawl, layout.REPORT)
    try:
        return lakes.read_json(lake, path)
    except FileNotFoundError:
        return None
    except UserError as error:
        log.warning("%s; %s/%s counts as unfinished: crawl or ingest it again", error, source, crawl)
        return None


def write_report(lake: Lake, folder: str, said: Mapping[str, object]) -> dict[str, Any]:
    """Write the report that makes a crawl finished, with what its files are; return it. It is written last."""
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", sealed({**said, "written": describe_files(lake, folder)}))
    return lakes.read_json(lake, f"{folder}/{layout.REPORT}")


def describe_files(lake: Lake, folder: str) -> dict[str, dict[str, Any]]:
    """Return pages (`rows`), bytes and sha256 of a crawl's WARC files and index, for its report."""
    names = [name for name in lakes.names(lake, folder) if name.endswith(".warc.gz")]
    pages = Counter(entry["filename"] for entry in _read_index(lake, folder) if _is_detail(entry))
    told = {name: describe_file(lake, f"{folder}/{name}", pages[name]) for name in names}
    if lakes.exists(lake, f"{folder}/{INDEX}"):
        told[INDEX] = describe_file(lake, f"{folder}/{INDEX}")
    return told


def expect_file(lake: Lake, report: dict[str, Any], folder: str, name: str) -> ExpectedFile:
    """Return what a WARC file should contain, by its crawl's report or index. Raise SpoiltFile if its bytes changed.

    The whole file is read once for its hash, if that was recorded.
    """
    path, how = f"{folder}/{name}", restore_hint(folder)
    told = recorded_file(report.get("written"), name)
    check_file(lake, path, told, how)
    if told is not None:
        return ExpectedFile(path, how, told.get("rows"))
    if not lakes.exists(lake, f"{folder}/{INDEX}"):
        return ExpectedFile(path, how)
    mine = [entry for entry in _read_index(lake, folder, name) if entry["mime"] != "warc/revisit"]
    digests = {int(entry["offset"]): f"sha1:{entry['digest']}" for entry in mine}
    return ExpectedFile(path, how, sum(map(_is_detail, mine)), digests)


def check_files_exist(lake: Lake, report: dict[str, Any], folder: str) -> None:
    """Raise SpoiltFile if a file of a finished crawl or corpus is gone or has another size. Nothing is read."""
    for name in file_names(report):
        check_file(
            lake, f"{folder}/{name}", recorded_file(report.get("written"), name), restore_hint(folder), whole=False
        )


def file_names(report: dict[str, Any]) -> list[str]:
    """Return the files that a report names, without the index; empty for a report of an older version."""
    if report.get("form") == FILES:
        return report["files"]
    written = report.get("written")
    return sorted(name for name in written if name != INDEX) if isinstance(written, dict) else []


def restore_hint(folder: str) -> str:
    """Return what to do if a file of a crawl is damaged or gone."""
    _, source, crawl = folder.split("/")
    return (
        f"restore it from a copy, or remove it and {folder}/report.json and crawl the lost pages again: "
        f"python -m chimed crawl {source} --crawl {crawl} (of a corpus: ingest its files again)"
    )


def _is_detail(entry: dict[str, Any]) -> bool:
    from chimed.storage.warc import KIND

    return entry.get(KIND) == "detail"


def _read_index(lake: Lake, folder: str, name: str | None = None) -> list[dict[str, Any]]:
    """Return the entries of a crawl's index, of one file or of all. Raise SpoiltFile if it cannot be read."""
    path = f"{folder}/{INDEX}"
    if not lakes.exists(lake, path):
        return []
    wanted = f'"filename": "{name}"'.encode() if name else b""
    try:
        return [
            json.loads(line.split(b" ", 2)[2]) for line in lakes.read_bytes(lake, path).splitlines() if wanted in line
        ]
    except (ValueError, IndexError, RecursionError):
        raise SpoiltFile(f"{path} is not the index of a crawl; {restore_hint(folder)}") from None
