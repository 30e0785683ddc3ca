"""Write files under a draft name until they are complete. Ours.

`kept-00000.parquet.1a2b3c4d.part` is renamed to `kept-00000.parquet` when its last byte is on the disk. A killed writer
leaves its draft behind; drafts are never listed, and the next run removes abandoned ones. A writer holds a lock on its
draft, so that an abandoned draft is recognized without comparing clocks.
"""

import contextlib
import fcntl
import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_DRAFT = re.compile(r"\.[0-9a-f]{8}\.part\Z")
LOCK_SECONDS = 2.0  # seconds in which an empty draft may not be held yet


def draft_path(full: str) -> str:
    """Return a draft's path for a file."""
    return f"{full}.{uuid.uuid4().hex[:8]}.part"


def is_draft(name: str) -> bool:
    """Return whether a file name is that of a draft."""
    return _DRAFT.search(name) is not None


def lock_draft(file: BinaryIO) -> None:
    """Lock an open draft; closing it, or the end of the process, releases the lock."""
    with contextlib.suppress(OSError):  # a file system without locks: then no draft of it is taken away either
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_abandoned(folder: Path, ours: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Remove the drafts below a folder that nobody writes any more; return their relative paths.

    ours: whether a draft of this name cannot belong to another writer, because the caller has the shard's lease. Such a
    draft is removed even if it was created just now.
    """
    gone = []
    for draft in sorted(folder.rglob("*.part")):
        if (
            is_draft(draft.name)
            and draft.is_file()
            and not draft.is_symlink()
            and _is_abandoned(draft, ours(draft.name))
        ):
            draft.unlink(missing_ok=True)
            gone.append(str(draft.relative_to(folder)))
    return gone


def _is_abandoned(draft: Path, is_ours: bool) -> bool:
    try:
        with draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(file.fileno())
            return is_ours or found.st_size > 0 or time.time() - found.st_mtime > LOCK_SECONDS
    except OSError:  # its writer lives, or it is gone by now
        return False
