"""Record the contents of a file when it is written, and check them when it is read: rows, bytes and a hash. Ours.

Every report has `written`, the files it describes (`{"kept-00000.parquet": {"rows": …, "bytes": …, "sha256": …}}`), and
`inputs`, the files they were made from, with their hashes at that time: a chain from a release back to the crawl. A
report's `seal` is a hash over everything else in it. Reports of older versions have none of this: they are read as they
are, and `chimed audit` says that nothing was recorded.

A reader always checks the size of a part, and its hash if it reads the whole part. Hashes show what happened to a file,
not who did it: anyone who can write to the lake can write its reports too.
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
    """A file differs from its entry in a report: it was truncated, edited or replaced, or is gone."""


class HashedFile:
    """A file that is written sequentially, with a hash of its contents."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.bytes, self.rows = file, hashlib.sha256(), 0, 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Write bytes or an Arrow buffer."""
        view = memoryview(data)
        self.digest.update(view)
        self.bytes += view.nbytes
        return self.file.write(view)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Flush the underlying file."""
        self.file.flush()

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""

    def writable(self) -> bool:
        """Return True, as a writable file does."""
        return True

    def describe(self) -> dict[str, Any]:
        """Return the file's entry for a report."""
        return {"rows": self.rows, "bytes": self.bytes, "sha256": self.digest.hexdigest()}


# --- JSON ---------------------------------------------------------------------------------------------------------


def as_json(value: object) -> bytes:
    """Return readable JSON with sorted keys."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode() + b"\n"


def parse_json(data: bytes, path: str) -> dict[str, Any]:
    """Return the object in a JSON file. Raise UserError if it has none."""
    try:
        value = json.loads(data)
        if b"\\ud" in data.lower():  # half a character: no file, store or terminal takes it
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, of a number of 5,000 digits; nested without end
        raise UserError(f"{path} is not valid JSON ({short(str(error), 200)}); restore it from a copy") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a JSON object; restore it from a copy")
    return value


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a report with its seal."""
    rest = {name: one for name, one in value.items() if name != SEAL}
    return rest | {SEAL: _seal(rest)}


def is_sealed(value: dict[str, Any]) -> bool | None:
    """Return whether a report matches its seal; None if it has no seal."""
    if SEAL not in value:
        return None
    return value[SEAL] == _seal({name: one for name, one in value.items() if name != SEAL})


def _seal(rest: dict[str, Any]) -> str:
    plain = json.loads(as_json(rest))  # a moment or a tuple is, once it was written, a text or a list
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# --- files --------------------------------------------------------------------------------------------------------


def check_plain_file(full: str, path: str) -> None:
    """Raise FileNotFoundError if there is nothing, and UserError if it is a folder, a pipe or the like."""
    mode = os.stat(full).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
        what = next((word for asks, word in kinds.items() if asks(mode)), "a device")
        raise UserError(f"{path} is {what} and not a plain file; remove it")


def recorded_file(written: object, name: str) -> dict[str, Any] | None:
    """Return a file's entry in a report's `written`; None if it has no entry that can be compared."""
    said = written.get(name) if isinstance(written, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("bytes"), int) or not isinstance(said.get("sha256"), str):
        return None
    return said


# --- a part that is written anew ----------------------------------------------------------------------------------


def describe_rewrite(said: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a part that was rewritten without some of its rows.

    `was`: its earlier hashes, so that files made from it still match. `removed`: how many rows were removed in total.
    """
    before = said or {}
    was = [*before.get("was", []), *([before["sha256"]] if before.get("sha256") else [])]
    removed = before.get("removed", 0) + max(0, before.get("rows", now["rows"]) - now["rows"])
    return now | {"was": was, "removed": removed}
