"""Checkpoints, here and in the lake: which is the last whole one, and what a model is, by content.

A folder's files are sent side by side and the small ones end first, so none of them says that the rest is there. A
checkpoint is whole when its mark, written after all others, names every file with its hash and every file has it.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path

from chimed.errors import UserError
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

log = logging.getLogger("chimed")

MARK = "whole.json"  # {name: sha256} of a checkpoint's other files, written last


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole `checkpoint-<step>` in a folder; one whose writing was cut short does not count."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: step(path.name), reverse=True)
    return next((path for path in found if whole(path)), None)


def step(name: str) -> int:
    """Return the step in the name of a checkpoint's folder."""
    return int(name.rsplit("-", 1)[1])


def whole(checkpoint: Path) -> bool:
    """Tell whether every file that the mark names is there and has its hash."""
    try:
        sums = json.loads((checkpoint / MARK).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return isinstance(sums, dict) and bool(sums) and sums == _sums(checkpoint)


def keep(lake: Lake, checkpoint: Path, place: str, most: int | None) -> None:
    """Put a checkpoint into a folder of the lake, its mark last, and take away those that are no longer wanted.

    most: how many of the newest stay, beside those that the trainer still has here; None keeps all.
    """
    sums = _sums(checkpoint)
    (checkpoint / MARK).unlink(missing_ok=True)  # of an earlier save of this step
    copies.put_folder(lake, checkpoint, f"{place}/{checkpoint.name}")
    lakes.write_json(lake, f"{place}/{checkpoint.name}/{MARK}", sums)
    if lakes.is_local(lake.fs):
        return  # the trainer's own folder: it takes its old ones away itself
    (checkpoint / MARK).write_text(json.dumps(sums))
    for name in remote_checkpoints(lake, place)[most:] if most else []:
        if not (checkpoint.parent / name).exists():
            lakes.remove(lake, f"{place}/{name}/{MARK}")  # first: what is half gone must not count
            lakes.remove_folder(lake, f"{place}/{name}")


def remote_checkpoints(lake: Lake, place: str) -> list[str]:
    """Return names of the marked checkpoints in a folder of the lake, newest first."""
    found = [name for name in lakes.names(lake, place) if name.startswith("checkpoint-")]
    marked = [name for name in found if lakes.exists(lake, f"{place}/{name}/{MARK}")]
    return sorted(marked, key=step, reverse=True)


def resumable(lake: Lake, place: str, folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, in `folder` or in the lake's `place`, from where it is fetched.

    What the lake holds half, or what does not arrive whole, is passed over for an older one.
    """
    here = last_checkpoint(folder)
    if lakes.is_local(lake.fs):
        if here:
            _fetch_best(lake, place, here)
        return here
    for name in remote_checkpoints(lake, place):
        if here and step(here.name) >= step(name):
            break
        copies.get_folder(lake, f"{place}/{name}", folder / name)
        if whole(folder / name):
            _fetch_best(lake, place, folder / name)
            return folder / name
        log.warning("%s of the lake is not whole: an older one is used", name)
        shutil.rmtree(folder / name)
    return here


def _fetch_best(lake: Lake, place: str, fetched: Path) -> None:
    """Fetch the best checkpoint so far, which another one names, and name it there by its path on this machine."""
    path = fetched / "trainer_state.json"
    state = json.loads(path.read_text())
    best = state.get("best_model_checkpoint")
    if not best or best == str(here := fetched.parent / Path(best).name):
        return
    if not whole(here) and not lakes.is_local(lake.fs):
        shutil.rmtree(here, ignore_errors=True)
        copies.get_folder(lake, f"{place}/{here.name}", here)
    if not whole(here):
        raise UserError(
            f"{place}/{here.name}, the best checkpoint so far, is not whole: move {place.rpartition('/')[0]} away and "
            "train the phase anew"
        )
    path.write_text(json.dumps(state | {"best_model_checkpoint": str(here)}, indent=2, sort_keys=True) + "\n")
    (fetched / MARK).write_text(json.dumps(_sums(fetched)))


def _sums(folder: Path) -> dict[str, str]:
    """Return SHA-256 of every file in a folder but the mark."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(checkpoint: str, revision: str | None = None) -> str:
    """Return what a model is: `<name>@<commit>` of one on the hub; of a folder, a hash of what it answers with.

    That is weights, config, tokenizer and chat template. revision: a branch, tag or commit of the hub. Raises UserError
    where the hub does not give it.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        return f"{checkpoint}@{_commit(checkpoint, revision or 'main')}"
    return _hashes(folder)[0]


def same_model(known: str, checkpoint: str) -> bool:
    """Tell whether a folder's fingerprint is a known one, or the one of earlier versions, without the chat template."""
    return known in _hashes(Path(checkpoint))


def _hashes(folder: Path) -> tuple[str, str]:
    """Return a folder's fingerprint, and the one without its chat template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in ("config.json", "tokenizer.json"):
            digest.update(path.name.encode())
            digest.update(bytes.fromhex(sha256_of(path)))
    without = digest.hexdigest()[:16]
    if (template := _template(folder)) is not None:
        digest.update(f"chat template\n{template}".encode())
    return digest.hexdigest()[:16], without


def _template(folder: Path) -> str | None:
    """Return a folder's chat template: a file of its own, or as in older ones a field of the tokenizer's config."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    told = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return None if told is None else told if isinstance(told, str) else json.dumps(told, sort_keys=True)


def _commit(name: str, revision: str) -> str:
    """Return the commit that a revision of a model on the hub is now."""
    from transformers import AutoConfig

    try:
        commit = AutoConfig.from_pretrained(name, revision=revision)._commit_hash
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name} at revision {revision} cannot be read from the hub or its mirror (HF_ENDPOINT): "
            f"{str(error).splitlines()[0]}"
        ) from None
    if not commit:
        raise UserError(f"the hub does not say which commit {name} at revision {revision} is; name a folder instead")
    return commit
