"""Folders of this user alone, for what is kept on this machine between two runs: copies of weights, checkpoints, locks.

The folder for temporary files is everybody's. What lies there under a name that can be guessed may be someone else's:
weights that are not ours, or a link that makes us write elsewhere. So all of ours lies in one folder that belongs to us
and that nobody else may enter, and that is checked each time it is used. Ours; the paper is silent.
"""

import os
import stat
import tempfile
from pathlib import Path

from chimed.errors import UserError
from chimed.settings import settings


def private_folder(*parts: str) -> Path:
    """A folder under the temporary folder's `chimed-<user id>`, made where it is not there.

    Raises UserError where that folder is not ours alone, or cannot be made.
    """
    own = Path(tempfile.gettempdir()) / f"chimed-{os.getuid()}"
    folder = make_private(own, "TMPDIR").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch() -> Path:
    """The folder of this machine for process ids and logs of our servers (`CHIMED_SCRATCH`), ours alone.

    Raises UserError where it is not: who can write there could have us end any process.
    """
    return make_private(Path(settings().scratch), "CHIMED_SCRATCH")


def make_private(folder: Path, setting: str) -> Path:
    """The folder, made with mode 0700 where it is not there.

    setting: the variable that says where it is. A folder that others could only read is closed to them. Raises
    UserError where it is a link, somebody else's, or one that others can write to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}; set {setting} to a folder of your own") from None
    found = folder.lstat()  # of a link itself, not of what it points to
    if why := _not_ours(found):
        raise UserError(f"{folder} {why}; remove it, or set {setting} to a folder of your own")
    if found.st_mode & 0o077:
        folder.chmod(0o700)  # it was made by an older version, or by hand
    return folder


def _not_ours(found: os.stat_result) -> str | None:
    """Why a folder is not one that only we can change; None where it is."""
    if stat.S_ISLNK(found.st_mode):
        return "is a link, and what lies behind it is not known to be ours"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if found.st_uid != os.getuid():
        return "belongs to another user, who could change what we keep there"
    if found.st_mode & 0o022:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o} instead of 0700)"
    return None
