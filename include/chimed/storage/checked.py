"""Compare files of the lake with what their reports say of them (`chimed.storage.contents`): size and hash."""

import hashlib
import io
from typing import IO, Any

from chimed.errors import UserError
from chimed.storage.contents import SpoiltFile
from chimed.storage.lake import Lake, exists, open_file, read_bytes


def hash_file(lake: Lake, path: str) -> str:
    """Return the sha256 of a file of the lake. Raises what `lake.open_file` raises."""
    with open_file(lake, path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(lake: Lake, path: str, rows: int | None = None) -> dict[str, Any]:
    """Return the entry of a report for an existing file. Raises what `lake.open_file` raises."""
    said = {"bytes": lake.fs.size(lake.at(path)), "sha256": hash_file(lake, path)}
    return said if rows is None else {"rows": rows, **said}


def find_fault(lake: Lake, path: str, said: dict[str, Any] | None, whole: bool = True) -> str | None:
    """Return how a file differs from its entry in a report, as half a sentence; None if it does not.

    whole: compare the hash too, not only the size.
    """
    try:
        if not exists(lake, path):
            return "is gone"
        if said is None:
            return None
        if (size := lake.fs.size(lake.at(path))) != said["bytes"]:
            return f"has {size} bytes instead of {said['bytes']}"
        if whole and (digest := hash_file(lake, path)) != said["sha256"]:
            return f"has other bytes than were written (sha256 {digest[:12]}…, not {said['sha256'][:12]}…)"
    except FileNotFoundError:
        return "is a link to nothing"
    except UserError as error:
        return str(error).removeprefix(path).strip()
    except OSError as error:
        return f"cannot be read ({type(error).__name__}: {error.strerror})"
    return None


def check_file(lake: Lake, path: str, said: dict[str, Any] | None, mend: str, whole: bool = True) -> None:
    """Raise SpoiltFile if a file differs from its entry in a report. mend: what to do then."""
    if fault := find_fault(lake, path, said, whole):
        raise SpoiltFile(f"{path} {fault}; {mend}")


def read_checked(lake: Lake, path: str, said: dict[str, Any] | None, mend: str) -> IO[bytes]:
    """Return the whole content of a file as a stream, after comparing it with its entry in a report.

    Raises SpoiltFile if it differs, and what `open_file` raises.
    """
    check_file(lake, path, said, mend, whole=False)
    data = read_bytes(lake, path)
    if said is not None and (digest := hashlib.sha256(data).hexdigest()) != said["sha256"]:
        raise SpoiltFile(
            f"{path} has other bytes than were written (sha256 {digest[:12]}…, not {said['sha256'][:12]}…); {mend}"
        )
    return io.BytesIO(data)
