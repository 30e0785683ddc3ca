"""Checkpoints on disk: which one is the last whole one, and what a model is, by content."""

import hashlib
import json
from pathlib import Path

from chimed import lake as lakes
from chimed.lake import Lake


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete `checkpoint-<step>` in a folder; one whose writing was cut short does not count."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    return next((path for path in found if _whole(path)), None)


def remote_checkpoints(lake: Lake, place: str) -> list[str]:
    """Names of the checkpoints in a folder of the lake, newest first; an upload may have been cut short."""
    found = [name for name in lakes.names(lake, place) if name.startswith("checkpoint-")]
    return sorted(found, key=lambda name: int(name.rsplit("-", 1)[1]), reverse=True)


def _whole(checkpoint: Path) -> bool:
    """The trainer writes trainer_state.json last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def fingerprint(checkpoint: str) -> str:
    """What a model is: over weights, config and tokenizer of a folder, or name and commit of one on the hub."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        from transformers import AutoConfig

        return f"{checkpoint}@{AutoConfig.from_pretrained(checkpoint)._commit_hash}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in ("config.json", "tokenizer.json"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
