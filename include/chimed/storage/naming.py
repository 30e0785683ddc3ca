"""Define what may name a folder or file of the lake, in one place. Ours; the paper does not cover it.

Names of versions, crawls and files of a release come from people, from Airflow's forms, and from manifests that others
may have written. A name is only a name and never a path: nothing outside the lake is read, served or written.
"""

import re

from chimed.characters import short
from chimed.errors import UserError

MAX_NAME_LENGTH = 64  # characters of a version or a crawl's name, as the store's columns have it
MAX_DEPTH = 8  # folders on the way to a release's file; a release has one
_NAME = re.compile(r"\A[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
CORPUS_NAME = re.compile(r"[a-z][a-z0-9_]{1,31}\Z")  # what `ingest` calls a corpus; other folders of raw/ are none
_RESERVED = frozenset({"latest", "all", "start", "now"})  # words that commands understand otherwise


def check_name(kind: str, name: str) -> str:
    """Return `name` if it may name a version or a crawl: letters, digits, `-`, `_` and `.`, a letter or digit at both
    ends.

    Raises UserError otherwise.
    """
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not _NAME.match(name) or name in _RESERVED:
        raise UserError(
            f"{short(ascii(name)[1:-1], MAX_NAME_LENGTH)!r} cannot name a {kind}; "
            f"use up to {MAX_NAME_LENGTH} letters, digits, - _ and "
            "., a letter or digit first and last, and not a reserved word (latest, all)"
        )
    return name


def is_file_path(name: object) -> bool:
    """Return whether this is a valid path to a file from a release's folder: plain names, none hidden."""
    if not isinstance(name, str) or not name or len(name) > 4 * MAX_NAME_LENGTH:
        return False
    steps = name.split("/")
    return len(steps) <= MAX_DEPTH and all(len(step) <= MAX_NAME_LENGTH and _NAME.match(step) for step in steps)


def check_inside(path: str) -> None:
    """Raise UserError for a path that leaves the folder it is joined to, or that no file system accepts."""
    if ".." in path.split("/") or "\0" in path:
        raise UserError(f"{short(path, 200)!r} is not a path in the lake")
