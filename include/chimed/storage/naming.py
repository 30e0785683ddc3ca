"""What may name a folder or a file of the lake. The one place that decides it; ours, the paper is silent.

Versions, crawls and the files of a release come from people, from Airflow's forms and from manifests that someone else
may have written. A name is a name here and never a way: nothing outside the lake is read, served or written.
"""

import re

from chimed.characters import short
from chimed.errors import UserError

LONGEST = 64  # characters of a version or a crawl's name, as the store's columns have it
DEEPEST = 8  # folders on the way to a release's file; a release has one
_NAME = re.compile(r"\A[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
CORPUS = re.compile(r"[a-z][a-z0-9_]{1,31}\Z")  # what `ingest` calls a corpus; other folders of raw/ are none
_TAKEN = frozenset({"latest", "all", "start", "now"})  # words that commands understand otherwise


def check_name(kind: str, name: str) -> str:
    """`name`, if it may name a version or a crawl: letters, digits, `-`, `_` and `.`, no sign first or last.

    Raises UserError.
    """
    if not isinstance(name, str) or len(name) > LONGEST or not _NAME.match(name) or name in _TAKEN:
        raise UserError(
            f"{short(ascii(name)[1:-1], LONGEST)!r} cannot name a {kind}; use up to {LONGEST} letters, digits, - _ and "
            "., a letter or digit first and last, and no word that means another thing (latest, all)"
        )
    return name


def is_way(name: object) -> bool:
    """Whether this is a way to a file from a release's folder, as a manifest names it: plain names, none hidden."""
    if not isinstance(name, str) or not name or len(name) > 4 * LONGEST:
        return False
    steps = name.split("/")
    return len(steps) <= DEEPEST and all(len(step) <= LONGEST and _NAME.match(step) for step in steps)


def check_inside(path: str) -> None:
    """Raises UserError for a path that would leave the folder it is joined to, or that no file system takes."""
    if ".." in path.split("/") or "\0" in path:
        raise UserError(f"{short(path, 200)!r} is not a path in the lake")
