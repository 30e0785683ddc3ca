"""Checkpoints on disk: which one is the last whole one, and what a model is, by content."""

import hashlib
import json
from pathlib import Path


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete `checkpoint-<step>` in a folder; one whose writing was cut short does not count."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    return next((path for path in found if _whole(path)), None)


def _whole(checkpoint: Path) -> bool:
    """The trainer writes trainer_state.json last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
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
