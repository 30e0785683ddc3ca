"""Order builds and releases as they were opened, independent of clocks. Ours.

A version is a day, and a clock that was once ahead makes a version that stays the largest. So each build has a number,
one more than those before it; its release and the release's patches inherit it. Builds from before there were numbers
come first, ordered by version. This module is light, because training imports it too.
"""

from functools import lru_cache

from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake


def read_number(lake: Lake, path: str) -> int:
    """Return the number in a build's or release's JSON; 0 if it has none or cannot be read."""
    try:
        found = lake.fs.info(lake.at(path))
    except FileNotFoundError:
        return 0
    state = next((str(found[key]) for key in ("ETag", "mtime", "LastModified", "created") if key in found), "")
    return _number(lake, path, found.get("size"), state)


@lru_cache(maxsize=4096)
def _number(lake: Lake, path: str, size: int | None, state: str) -> int:
    """Return the number, read once, because the file never changes and may be large.

    size, state: part of the cache key, to tell apart two files of one name.
    """
    del size, state
    try:
        number = lakes.read_json(lake, path).get("number", 0)
    except (UserError, FileNotFoundError):
        return 0
    return number if isinstance(number, int) else 0
