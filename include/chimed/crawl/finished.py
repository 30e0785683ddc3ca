"""Finished crawls and ingested corpora: their reports, and whether their files are what they were then (paper §3.1).

A crawl's report says of every WARC file how many detail pages it holds, its bytes and its hash
(`chimed.storage.contents`). Of crawls of older versions the index says which responses there were, with their digests.
What is read is compared with either, so that pages which are gone are an error and not fewer pages.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chimed.errors import UserError
from chimed.sources import FILES
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.checked import check_file, told_file
from chimed.storage.contents import SpoiltFile, sealed, told_of
from chimed.storage.lake import Lake

if TYPE_CHECKING:  # what only asks for reports does without what reads pages
    from chimed.storage.warc import Stored

INDEX = layout.INDEX

log = logging.getLogger("chimed")


@dataclass
class Expected:
    """What a WARC file should hold. pages: detail pages; digests: of responses by their place in the file. None where
    that was not recorded."""

    path: str
    mend: str
    pages: int | None = None
    digests: dict[int, str] | None = None
    seen: int = field(default=0, init=False)

    def see(self, stored: "Stored") -> None:
        """Counts a detail page that was read. Raises SpoiltFile where it is not the one that was crawled."""
        self.seen += 1
        place = int(stored.page.rpartition("#")[2])
        if self.digests is not None and self.digests.get(place) != stored.digest:
            raise SpoiltFile(f"{stored.page} is not the page that was crawled: its digest is another; {self.mend}")

    def end(self) -> None:
        """Raises SpoiltFile unless as many pages were read as were crawled."""
        if self.pages is not None and self.seen != self.pages:
            raise SpoiltFile(
                f"{self.path} holds {self.seen} whole pages of the {self.pages} that were crawled; {self.mend}"
            )


def report_of(lake: Lake, source: str, crawl: str) -> dict | None:
    """The report of a finished crawl; None where it is not finished: a report that was cut short is as good as none."""
    path = layout.raw(source, crawl, layout.REPORT)
    try:
        return lakes.read_json(lake, path)
    except FileNotFoundError:
        return None
    except UserError as error:
        log.warning("%s; %s/%s counts as not finished: crawl or ingest it again", error, source, crawl)
        return None


def write_report(lake: Lake, folder: str, said: Mapping[str, object]) -> dict:
    """Write the report that makes a crawl finished, with what its files are; return it. It is written last."""
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", sealed({**said, "written": written_files(lake, folder)}))
    return lakes.read_json(lake, f"{folder}/{layout.REPORT}")


def written_files(lake: Lake, folder: str) -> dict[str, dict]:
    """What a crawl's report says of its WARC files and of their index: pages (`rows`), bytes and sha256."""
    names = [name for name in lakes.names(lake, folder) if name.endswith(".warc.gz")]
    pages = Counter(entry["filename"] for entry in _index(lake, folder) if _is_detail(entry))
    told = {name: told_file(lake, f"{folder}/{name}", pages[name]) for name in names}
    if lakes.exists(lake, f"{folder}/{INDEX}"):
        told[INDEX] = told_file(lake, f"{folder}/{INDEX}")
    return told


def expected(lake: Lake, report: dict, folder: str, name: str) -> Expected:
    """What a WARC file should hold by its crawl's report, or by its index. Raises SpoiltFile for other bytes.

    The whole file is read once for its hash, where that was recorded.
    """
    path, how = f"{folder}/{name}", mend(folder)
    told = told_of(report.get("written"), name)
    check_file(lake, path, told, how)
    if told is not None:
        return Expected(path, how, told.get("rows"))
    if not lakes.exists(lake, f"{folder}/{INDEX}"):
        return Expected(path, how)
    mine = [entry for entry in _index(lake, folder, name) if entry["mime"] != "warc/revisit"]
    digests = {int(entry["offset"]): f"sha1:{entry['digest']}" for entry in mine}
    return Expected(path, how, sum(map(_is_detail, mine)), digests)


def check_there(lake: Lake, report: dict, folder: str) -> None:
    """Raises SpoiltFile where a file of a finished crawl or corpus is gone or has another size. Nothing is read."""
    for name in names_of(report):
        check_file(lake, f"{folder}/{name}", told_of(report.get("written"), name), mend(folder), whole=False)


def names_of(report: dict) -> list[str]:
    """The files that a report names, without the index; none where an older version wrote it."""
    if report.get("form") == FILES:
        return report["files"]
    written = report.get("written")
    return sorted(name for name in written if name != INDEX) if isinstance(written, dict) else []


def mend(folder: str) -> str:
    """What to do where a file of a crawl is not what it was."""
    _, source, crawl = folder.split("/")
    return (
        f"restore it from a copy, or take it and {folder}/report.json away and crawl what is lost again: "
        f"python -m chimed crawl {source} --crawl {crawl} (of a corpus: ingest its files again)"
    )


def _is_detail(entry: dict) -> bool:
    from chimed.storage.warc import KIND

    return entry.get(KIND) == "detail"


def _index(lake: Lake, folder: str, name: str | None = None) -> list[dict]:
    """The entries of a crawl's index, of one file or of all. Raises UserError where it is none."""
    path = f"{folder}/{INDEX}"
    if not lakes.exists(lake, path):
        return []
    wanted = f'"filename": "{name}"'.encode() if name else b""
    try:
        return [
            json.loads(line.split(b" ", 2)[2]) for line in lakes.read_bytes(lake, path).splitlines() if wanted in line
        ]
    except (ValueError, IndexError, RecursionError):
        raise SpoiltFile(f"{path} is not the index of a crawl; {mend(folder)}") from None
