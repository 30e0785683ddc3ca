"""Takes a release out of the lake: to a folder, to `s3://`, or to the Hugging Face Hub. Ours.

What is pushed has been verified, its manifest goes last, and the copy is verified again. On the hub a push is one
commit, tagged with the version; the repository is made private where there is none, for who may publish these texts
is not for a program to decide.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chimed.errors import UserError, WorkStopped
from chimed.release import folder_of, is_whole, read_manifest
from chimed.release.verify import verify
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import Store, upsert
from chimed.storage.store_tables import PUSHES

HUB = "hf://"
MODEL_COPY = "model: "  # what the address of a copy of a model, not of the release, begins with


def push(lake: Lake, version: str, to: str, store: Store | None = None) -> dict[str, Any]:
    """Copy a whole release to `<to>/releases/<version>/`, or to the hub's `hf://<owner>/<name>`.

    store: where the copy is written down, so that a takedown can name it. Returns where it lies now, its files and its
    checksum; a copy that is there already is left as it is. Raises WorkStopped where the release or its copy is not
    sound, UserError where other rows lie there under this version.
    """
    _sound(lake, version)
    manifest = read_manifest(lake, version)
    if not to.startswith(HUB):
        lakes.check_address(to, "the address")
    if store:  # before anything is there: a copy that was broken off is a copy
        write_down(store, version, to, manifest["checksum"])
    if to.startswith(HUB):
        where = _to_hub(lake, version, to.removeprefix(HUB).strip("/"))
    else:
        where = _to_folder(lake, version, to, manifest["checksum"])
    return {"to": where, "files": len(manifest["files"]) + 1, "checksum": manifest["checksum"]}


def write_down(store: Store, version: str, to: str, checksum: str) -> None:
    """Write down that a copy of a release, or of a model trained on it, lies at an address."""
    key = hashlib.sha256(f"{version}\0{to}".encode()).hexdigest()
    address = to if "://" in to or to.startswith(MODEL_COPY) else str(Path(to).resolve())
    row = {"key": key, "version": version, "address": address, "checksum": checksum, "pushed": datetime.now(UTC)}
    upsert(store, PUSHES, [row])


def _to_folder(lake: Lake, version: str, to: str, checksum: str) -> str:
    target = open_lake(to)
    where = target.at(folder_of(version))
    if is_whole(target, version):
        if read_manifest(target, version)["checksum"] != checksum:
            raise UserError(f"{where} already holds different rows under this version; delete them or push elsewhere")
    else:
        names = [name for name in lakes.files(lake, folder_of(version)) if name != "manifest.json"]
        for name in [*names, "manifest.json"]:
            lakes.copy(lake, target, f"{folder_of(version)}/{name}")
    _sound(target, version)
    return where


def _to_hub(lake: Lake, version: str, repository: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError(
            "huggingface_hub is not installed here; push with the models' environment: "
            f".venv-models/bin/python -m chimed push {version} {HUB}{repository}"
        ) from None
    hub = HfApi()
    hub.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
    folder: Path = copies.local_path(lake, folder_of(version))
    hub.upload_folder(
        repo_id=repository,
        repo_type="dataset",
        folder_path=folder,
        commit_message=f"release {version}",
        delete_patterns="*",
    )
    hub.create_tag(repository, repo_type="dataset", tag=version, exist_ok=True)
    return f"{HUB}{repository}@{version}"


def _sound(lake: Lake, version: str) -> None:
    if faults := verify(lake, version):
        raise WorkStopped(f"{lake.at(folder_of(version))} is damaged: {'; '.join(faults[:5])}")
