"""The five sites of the paper (§3.1). One file per site: which pages it has, how they are found, how one is parsed.

A file with a `SITE` is a source, named after the file. `CHIMED_SOURCES` names a folder with more of them. This module
is light, because Airflow parses it: it imports none of the sites.
"""

import re
from contextlib import suppress
from pathlib import Path

from chimed.errors import UserError
from chimed.settings import settings

FILES = "files"  # what a raw report's `form` says where its pages are files of a corpus and not WARC
PAPER = ("zydcd", "zhongyoo", "cnkang", "ask39", "ask120")
# a wrong setting is told by whoever reads one next, as a sentence: what is imported here stands before all commands
with suppress(UserError):
    if settings().sources:
        __path__.append(str(Path(settings().sources or "").resolve()))


def _names() -> tuple[str, ...]:
    """Return the paper's sites in its order, then the others by name."""
    files = [file for folder in __path__ for file in sorted(Path(folder).glob("*.py"))]
    found = [file.stem for file in files if re.search(r"^SITE\b", file.read_text(encoding="utf-8"), re.M)]
    return (*PAPER, *sorted(set(found) - set(PAPER)))


NAMES = _names()
