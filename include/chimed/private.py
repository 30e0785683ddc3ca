"""Provide folders that only this user can enter, for local copies of weights, checkpoints and locks.

Everybody can write to the temporary folder. A file under a name that can be guessed may be someone else's: foreign
weights, or a link that makes us write elsewhere. So all our files are in one folder that belongs to us, that nobody
else can enter, and that is checked on each use. Ours; the paper does not cover it.
"""

import os
import stat
import tempfile
from pathlib import Path

from chimed.errors import UserError
from chimed.settings import settings


def private_folder(*parts: str) -> Path:
    """Return a folder under `chimed-<user id>` in the temporary folder; create it if needed.

    Raises UserError if that folder is not ours alone, or cannot be created.
    """
    own = Path(tempfile.gettempdir()) / f"chimed-{os.getuid()}"
    folder = make_private(own, "TMPDIR").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_folder() -> Path:
    """Return this machine's folder for process ids and logs of our servers (`CHIMED_SCRATCH`).

    Raises UserError if it is not ours alone: who can write there could make us end any process.
    """
    return make_private(Path(settings().scratch), "CHIMED_SCRATCH")


def make_private(folder: Path, setting: str) -> Path:
    """Return the folder; create it with mode 0700 if needed.

    setting: the variable that names it. A folder that others can only read is closed to them. Raises UserError if it is
    a link, belongs to somebody else, or can be written by others.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be created: {error.strerror}; set {setting} to a folder of your own"
        ) from None
    found = folder.lstat()  # of a link itself, not of what it points to
    if why := _ownership_problem(found):
        raise UserError(f"{folder} {why}; remove it, or set {setting} to a folder of your own")
    if found.st_mode & 0o077:
        folder.chmod(0o700)  # it was made by an older version, or by hand
    return folder


def _ownership_problem(found: os.stat_result) -> str | None:
    """Return why others could change a folder; None if only we can."""
    if stat.S_ISLNK(found.st_mode):
        return "is a link, so its target may not be ours"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if found.st_uid != os.getuid():
        return "belongs to another user, who could change what we keep there"
    if found.st_mode & 0o022:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o} instead of 0700)"
    return None
