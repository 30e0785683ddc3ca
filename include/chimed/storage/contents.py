"""What a file holds, put down when it is written and looked at when it is read: rows, bytes and a hash. Ours.

Every report has `written`, the files it is about (`{"kept-00000.parquet": {"rows": …, "bytes": …, "sha256": …}}`), and
`inputs`, the files that were read to make them, with the hashes they had: a chain from a release back to the crawl. A
report's own `seal` is a hash over all else in it. What an older version wrote has none of it: it is read as it is, and
`chimed audit` says that it was not recorded.

A reader looks at the size of a part always, and at its hash where it reads all of it. Hashes show what happened to a
file, not who did it: whoever can write to the lake can write its reports too.
"""

import hashlib
import json
import os
import stat
from typing import IO, Any

from chimed.characters import short
from chimed.errors import UserError

SEAL = "seal"
PIECE = 1 << 20


class SpoiltFile(UserError):
    """A file is not what its report says: it was cut, edited, swapped, or is gone."""


class Hashed:
    """A file that is written from its beginning to its end, with the hash of what went into it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.bytes, self.rows = file, hashlib.sha256(), 0, 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Writes bytes, or an Arrow buffer."""
        view = memoryview(data)
        self.digest.update(view)
        self.bytes += view.nbytes
        return self.file.write(view)

    def tell(self) -> int:
        """How many bytes there are."""
        return self.bytes

    def flush(self) -> None:
        """Hands what was written to the system."""
        self.file.flush()

    def close(self) -> None:
        """Leaves the file to who opened it."""

    def writable(self) -> bool:
        """As a file says it."""
        return True

    def told(self) -> dict:
        """What a report says of the file."""
        return {"rows": self.rows, "bytes": self.bytes, "sha256": self.digest.hexdigest()}


# --- JSON ---------------------------------------------------------------------------------------------------------


def as_json(value: object) -> bytes:
    """JSON for a file: readable, with sorted keys."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode() + b"\n"


def json_of(data: bytes, path: str) -> dict:
    """The object that a JSON file holds. Raises UserError where it holds none."""
    try:
        value = json.loads(data)
        if b"\\ud" in data.lower():  # half a character: no file, store or terminal takes it
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, of a number of 5,000 digits; nested without end
        raise UserError(f"{path} is not the JSON it should be: {short(str(error), 200)}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is not the JSON it should be: it holds no object")
    return value


def sealed(value: dict) -> dict:
    """A report with its seal."""
    rest = {name: one for name, one in value.items() if name != SEAL}
    return rest | {SEAL: _seal(rest)}


def is_sealed(value: dict) -> bool | None:
    """Whether a report is as it was sealed; None where it has no seal."""
    if SEAL not in value:
        return None
    return value[SEAL] == _seal({name: one for name, one in value.items() if name != SEAL})


def _seal(rest: dict) -> str:
    plain = json.loads(as_json(rest))  # a moment or a tuple is, once it was written, a text or a list
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# --- files --------------------------------------------------------------------------------------------------------


def plain_file(full: str, path: str) -> None:
    """Raises FileNotFoundError, and UserError where what is there has no end or is no file."""
    mode = os.stat(full).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
        what = next((word for asks, word in kinds.items() if asks(mode)), "a device")
        raise UserError(f"{path} is {what} and no plain file; remove it")


def told_of(written: object, name: str) -> dict | None:
    """What a report's `written` says of a file; None where it says nothing that can be compared."""
    said = written.get(name) if isinstance(written, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("bytes"), int) or not isinstance(said.get("sha256"), str):
        return None
    return said


# --- a part that is written anew ----------------------------------------------------------------------------------


def replaced(said: dict | None, now: dict) -> dict:
    """What a report says of a part that was written anew without some of its rows.

    `was`: the hashes it had, so that what was made of it still finds it. `removed`: how many rows left it in all.
    """
    before = said or {}
    was = [*before.get("was", []), *([before["sha256"]] if before.get("sha256") else [])]
    removed = before.get("removed", 0) + max(0, before.get("rows", now["rows"]) - now["rows"])
    return now | {"was": was, "removed": removed}
