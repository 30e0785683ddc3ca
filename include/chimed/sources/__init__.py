"""The five sites of the paper (§3.1). One file per site: which pages it has, how they are found, how one is parsed.

A file with a `SITE` is a source, named after the file. `CHIMED_SOURCES` names a folder with more of them. This module
is light, because Airflow parses it: it imports none of the sites.
"""

import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from chimed.settings import settings

FILES = "files"  # what a raw report's `form` says where its pages are files of a corpus and not WARC
PAPER = ("zydcd", "zhongyoo", "cnkang", "ask39", "ask120")


@cache
def names() -> tuple[str, ...]:
    """Return the names of all sources: the paper's sites in its order, then the others by name.

    Raises UserError where a setting is wrong.
    """
    if settings().sources:
        __path__.append(str(Path(settings().sources or "").resolve()))
    files = [file for folder in __path__ for file in sorted(Path(folder).glob("*.py"))]
    found = [file.stem for file in files if re.search(r"^SITE\b", file.read_text(encoding="utf-8"), re.M)]
    return (*PAPER, *sorted(set(found) - set(PAPER)))


def module(source: str) -> ModuleType:
    """Import a source's file, of the paper or of the folder that the settings name."""
    names()  # makes that folder known
    return importlib.import_module(f"chimed.sources.{source}")
