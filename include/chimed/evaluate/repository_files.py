"""Find a file of an exam's repository: in its folder, as the hub or a clone leaves it, or in an archive there. Ours."""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chimed.errors import UserError
from chimed.text.exams.exam_table import MOST_BYTES, check_fetched, read_file


@dataclass(frozen=True)
class Found:
    """A file. where: what an error calls it: its path, or its name and its archive's path."""

    where: str
    content: bytes


def wanted(folder: Path, names: Iterable[str]) -> Found:
    """Return the first of these files that is there. Raises UserError where none is, or where it cannot be read."""
    names = list(names)
    for name in names:
        if (found := find(folder, name)) is not None:
            return found
    held = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    raise UserError(
        f"{folder} has no {' or '.join(names)}, neither as a file nor in a zip archive; it has "
        f"{', '.join(held[:5]) + (', …' if len(held) > 5 else '') or 'no files'}"
    )


def find(folder: Path, name: str) -> Found | None:
    """Return the file whose path in a folder, or in an archive there, ends with `name`: the one that lies highest.

    Raises UserError for an archive that is not whole, and for a file far larger than an exam's.
    """
    ending = f"/{name}"
    paths = [path for path in folder.rglob(PurePosixPath(name).name) if f"/{path.relative_to(folder)}".endswith(ending)]
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        return Found(str(path), read_file(path))
    for path in sorted(folder.rglob("*.zip")):
        for member in sorted(_members(path), key=lambda member: (member.filename.count("/"), member.filename)):
            if f"/{member.filename}".endswith(ending):
                return Found(f"{name} in {path}", _unpacked(path, member))
    return None


def _members(path: Path) -> Iterator[zipfile.ZipInfo]:
    with _open(path) as archive:
        yield from archive.infolist()


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if path.is_file():
            check_fetched(path.open("rb").read(1000), str(path))  # these have sentences of their own
        raise UserError(f"{path} is not a whole zip archive ({error}); fetch it again") from None


def _unpacked(path: Path, member: zipfile.ZipInfo) -> bytes:
    """Return an archive's member. What it says of its size is held to: no more is unpacked than that."""
    where = f"{member.filename} in {path}"
    if member.file_size > MOST_BYTES:
        raise UserError(f"{where} has {member.file_size:,} bytes, more than any exam has")
    try:
        with _open(path) as archive:
            return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise UserError(f"{where} is damaged ({error}); fetch the archive again") from None
    except (RuntimeError, NotImplementedError) as error:  # a password, a compression that this Python does not know
        raise UserError(f"{where} cannot be unpacked ({error}); unpack the archive beside it") from None
