"""Drafts: files that are being written, under a name of their own until they are whole. Ours.

`kept-00000.parquet.1a2b3c4d.part` becomes `kept-00000.parquet` when its last byte is on the disk. A killed writer
leaves its draft behind, which is no part of anything: it is not listed, and the next run takes it away. Who writes one
holds a lock on it, so that it shows whose writer is dead, whatever a clock says.
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
BEGUN = 2.0  # seconds in which an empty draft may not be held yet


def name_of(full: str) -> str:
    """A draft's path for a file's."""
    return f"{full}.{uuid.uuid4().hex[:8]}.part"


def is_draft(name: str) -> bool:
    """Whether a file of that name is a draft."""
    return _DRAFT.search(name) is not None


def hold(file: BinaryIO) -> None:
    """Marks an open draft as one that is being written; its end, or its process's, gives it free."""
    with contextlib.suppress(OSError):  # a file system without locks: then no draft of it is taken away either
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def clear(folder: Path, ours: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Takes away the drafts below a folder that nobody writes any more; returns their ways from there.

    ours: whether a draft of this name can be no other writer's, as who has the lease of a shard knows: then it goes
    even if it was begun just now.
    """
    gone = []
    for draft in sorted(folder.rglob("*.part")):
        if is_draft(draft.name) and draft.is_file() and not draft.is_symlink() and _is_left(draft, ours(draft.name)):
            draft.unlink(missing_ok=True)
            gone.append(str(draft.relative_to(folder)))
    return gone


def _is_left(draft: Path, is_ours: bool) -> bool:
    try:
        with draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(file.fileno())
            return is_ours or found.st_size > 0 or time.time() - found.st_mtime > BEGUN
    except OSError:  # its writer lives, or it is gone by now
        return False
