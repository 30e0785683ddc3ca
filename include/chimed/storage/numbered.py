"""Builds and releases in the order in which they were opened, whatever a clock said. Ours.

A version is a day, and a clock that is once ahead makes a version that stays the largest. So each build has a number,
one more than those before it, and its release and the release's patches carry it on. What was made before builds had
numbers comes first, in the order of its versions. Light on purpose: training imports it too.
"""

from functools import lru_cache

from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake


def number_in(lake: Lake, path: str) -> int:
    """The number in a build's or a release's JSON; 0 where it has none, or where it cannot be read."""
    try:
        found = lake.fs.info(lake.at(path))
    except FileNotFoundError:
        return 0
    state = next((str(found[key]) for key in ("ETag", "mtime", "LastModified", "created") if key in found), "")
    return _number(lake, path, found.get("size"), state)


@lru_cache(maxsize=4096)
def _number(lake: Lake, path: str, size: int | None, state: str) -> int:
    """Read once: such a file is written once, and may be large. size, state: tell another file of the same name."""
    del size, state
    try:
        number = lakes.read_json(lake, path).get("number", 0)
    except (UserError, FileNotFoundError):
        return 0
    return number if isinstance(number, int) else 0
