"""Keep copies of the lake's files and folders on this machine, for what only reads local files: models, archives."""

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from chimed.private import private_folder
from chimed.storage.lake import Lake, is_local

# how object stores name a version of a file in their listings: by content first, else by when it was written
VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "created", "mtime")


def local_name(lake: Lake) -> str:
    """Return a name for this machine's copies of a lake, unique across lakes and servers."""
    server = str(
        (getattr(lake.fs, "client_kwargs", None) or {}).get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL")
    )
    protocol = lake.fs.protocol if isinstance(lake.fs.protocol, str) else lake.fs.protocol[0]
    digest = hashlib.sha256("\n".join([protocol, server, lake.root]).encode()).hexdigest()[:12]
    return f"{protocol}-{lake.root.strip('/').replace('/', '-')[:80]}-{digest}"


def local_path(lake: Lake, path: str) -> Path:
    """Return a local path to a file or folder of the lake; a remote one is copied to this machine first."""
    if is_local(lake.fs):
        return Path(lake.at(path))
    copy = _local_copy(lake, path)
    versions = _versions(lake, path)
    if _is_current(copy, versions):
        return copy
    draft = copy.with_name(f"{copy.name}.{uuid.uuid4().hex[:8]}.part")
    draft.parent.mkdir(parents=True, exist_ok=True)
    lake.fs.get(lake.at(path), str(draft), recursive=lake.fs.isdir(lake.at(path)))
    if copy.is_dir():
        shutil.rmtree(copy, ignore_errors=True)  # of an older file or folder under that name
    try:
        draft.replace(copy)
    except OSError:  # another process put its own copy there
        shutil.rmtree(draft)
        return copy
    _versions_file(copy).write_text(json.dumps(versions))
    return copy


def remove_local(lake: Lake, path: str) -> None:
    """Remove this machine's copy of a file or folder of the lake; the next `local_path` fetches it again."""
    if not is_local(lake.fs):
        copy = _local_copy(lake, path)
        _versions_file(copy).unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)


def _local_copy(lake: Lake, path: str) -> Path:
    """Return where this machine keeps its copy of a file or folder of the lake."""
    return private_folder("lake", local_name(lake)) / path


def _versions_file(copy: Path) -> Path:
    """Return the path of the note that lists which versions of the lake's files a copy has."""
    return copy.with_name(f"{copy.name}.versions")


def _versions(lake: Lake, path: str) -> dict[str, list[Any]]:
    """Return [size, the store's name for this version] of every file under a path, by relative name.

    The size alone is not enough: a retrained model is as large as the one before.
    """
    above = lake.at(path).strip("/")
    found = lake.fs.find(lake.at(path), detail=True)
    return {
        name.strip("/").removeprefix(above).strip("/"): [
            entry["size"],
            str(next((entry[key] for key in VERSION_KEYS if entry.get(key)), "")),
        ]
        for name, entry in found.items()
    }


def _is_current(copy: Path, versions: dict[str, list[Any]]) -> bool:
    """Return whether a copy is complete and has these versions, so that eight processes fetch a model once."""
    note = _versions_file(copy)
    if not note.is_file() or json.loads(note.read_text()) != versions:
        return False
    held = {copy / name if name else copy: size for name, (size, _) in versions.items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in held.items())


def get_folder(lake: Lake, path: str, folder: Path) -> None:
    """Copy a folder of the lake to a local folder, replacing what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lake.fs.get(lake.at(path), str(folder), recursive=True)


def put_folder(lake: Lake, folder: Path, path: str) -> None:
    """Copy a local folder into the lake; do nothing if it is already there."""
    if is_local(lake.fs) and Path(lake.at(path)).resolve() == folder.resolve():
        return
    lake.fs.makedirs(lake.at(path), exist_ok=True)
    lake.fs.put(f"{folder}/", f"{lake.at(path)}/", recursive=True)
