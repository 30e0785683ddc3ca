"""A lake with the demo recipe's phases as training leaves them, without training: files, reports, a release."""

from pathlib import Path

from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint
from support import tiny

VERSION = "2026.11.22"
BASE = "Qwen/Qwen3-1.7B@" + "c0ffee" * 6 + "abcd"
COUNTS = {"train": {"read": 40, "kept": 38, "lost": 1, "cut": 1, "defused": 0}}


def write(folder: Path, phases: tuple[str, ...] = ("cpt", "sft"), manifest: dict | None = None) -> Lake:
    """The lake below a folder; its weights are a few bytes."""
    lake = open_lake(str(folder / "lake"))
    tiny.release(folder / "lake", VERSION)
    lakes.write_json(lake, f"releases/{VERSION}/manifest.json", manifest or {})
    before = BASE
    for phase in phases:
        before = finish(lake, phase, before)
    return lake


def finish(lake: Lake, phase: str, before: str, weights: bytes | None = None) -> str:
    """Leaves a finished phase; returns what its merged model is."""
    place = f"models/{VERSION}/demo/{phase}"
    content = weights or f"weights after {phase}".encode()
    for kind, files in (
        ("merged", {"config.json": b'{"model_type": "qwen3"}', "model.safetensors": content}),
        (
            "adapter",
            {"adapter_config.json": b'{"base_model_name_or_path": "/root/private", "r": 48}',
             "adapter_model.safetensors": content, "training_args.bin": b"pickled /root/private"},
        ),
    ):  # fmt: skip
        for name, data in {**files, "tokenizer.json": b"{}", "README.md": b"an old card"}.items():
            lakes.write_bytes(lake, f"{place}/{kind}/{name}", data)
    merged, adapter = (fingerprint(str(copies.local_path(lake, f"{place}/{kind}"))) for kind in ("merged", "adapter"))
    loss = {"before": 3.0, "after": 2.5}
    report = {
        "phase": phase, "recipe": "demo", "release": VERSION, "start": "Qwen/Qwen3-1.7B", "start_model": before,
        "base_model": BASE, "fields": recipes.load("demo", phase), "rows": {"train": 40, "validation": 8},
        "counts": COUNTS, "tokens": 8_740, "steps": 10, "eval_loss": loss, "loss": None, "eval_accuracy": None,
        "reward": None, "mix": None, "device": "cpu", "versions": {"torch": "2.13.0"},
        "finished": "2026-11-22T10:00:00+00:00", "fingerprint": merged, "adapter_fingerprint": adapter,
    }  # fmt: skip
    lakes.write_json(lake, f"{place}/report.json", report)
    return merged
