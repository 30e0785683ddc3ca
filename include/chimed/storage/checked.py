"""Files of the lake compared with what their reports say of them (`chimed.storage.contents`): sizes and hashes."""

import hashlib
import io
from typing import IO

from chimed.errors import UserError
from chimed.storage.contents import SpoiltFile
from chimed.storage.lake import Lake, exists, open_file, read_bytes


def hash_of(lake: Lake, path: str) -> str:
    """The sha256 of a file of the lake. Raises what `lake.open_file` raises."""
    with open_file(lake, path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told_file(lake: Lake, path: str, rows: int | None = None) -> dict:
    """What a report says of a file that is there already. Raises what `lake.open_file` raises."""
    said = {"bytes": lake.fs.size(lake.at(path)), "sha256": hash_of(lake, path)}
    return said if rows is None else {"rows": rows, **said}


def fault_of(lake: Lake, path: str, said: dict | None, whole: bool = True) -> str | None:
    """What is wrong with a file by what its report says of it, as half a sentence; None where nothing is.

    whole: look at its hash, too, and not at its size only.
    """
    try:
        if not exists(lake, path):
            return "is gone"
        if said is None:
            return None
        if (size := lake.fs.size(lake.at(path))) != said["bytes"]:
            return f"has {size} bytes, not the {said['bytes']} that were written"
        if whole and (digest := hash_of(lake, path)) != said["sha256"]:
            return f"has other bytes than were written (sha256 {digest[:12]}…, not {said['sha256'][:12]}…)"
    except FileNotFoundError:
        return "is a link to nothing"
    except UserError as error:
        return str(error).removeprefix(path).strip()
    except OSError as error:
        return f"cannot be read ({type(error).__name__}: {error.strerror})"
    return None


def check_file(lake: Lake, path: str, said: dict | None, mend: str, whole: bool = True) -> None:
    """Raises SpoiltFile where a file is not what its report says. mend: what to do then."""
    if fault := fault_of(lake, path, said, whole):
        raise SpoiltFile(f"{path} {fault}; {mend}")


def read_checked(lake: Lake, path: str, said: dict | None, mend: str) -> IO[bytes]:
    """All of a file, once it is known to be what its report says. Raises SpoiltFile, and what `open_file` raises."""
    check_file(lake, path, said, mend, whole=False)
    data = read_bytes(lake, path)
    if said is not None and (digest := hashlib.sha256(data).hexdigest()) != said["sha256"]:
        raise SpoiltFile(
            f"{path} has other bytes than were written (sha256 {digest[:12]}…, not {said['sha256'][:12]}…); {mend}"
        )
    return io.BytesIO(data)
