"""Trains phases of the tiny model in other processes, kills them, and compares what they leave."""

import logging
import os
import time
from pathlib import Path

from chimed.settings import PROJECT, settings
from chimed.train import train_phase
from chimed.train.checkpoint import last_checkpoint
from support import forks

VERSION = "2026.11.22"


def environment(lake: Path, base: Path, recipes: Path | None = None) -> dict[str, str]:
    return {
        "CHIMED_DATA": str(lake),
        "CHIMED_BASE_CHECKPOINT": str(base),
        "PYTHONPATH": str(PROJECT / "include"),
        "OMP_NUM_THREADS": "1",
    } | ({"CHIMED_RECIPES": str(recipes)} if recipes else {})


def folder(lake: Path, phase: str, recipe: str = "demo") -> Path:
    return lake / "models" / VERSION / recipe / phase


def tensors(checkpoint: Path) -> dict:
    from safetensors.torch import load_file

    name = "model" if (checkpoint / "model.safetensors").exists() else "adapter_model"
    return load_file(checkpoint / f"{name}.safetensors")


def furthest(one: Path, other: Path) -> float:
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def train_here(told: dict[str, str], recipe: str, phase: str, log: Path) -> None:
    """Trains a phase in this process, as the command does; what it says goes to the log."""
    import torch

    os.environ.update(told)
    torch.set_num_threads(1)  # two threads that spin against each other are five times slower than one
    settings.cache_clear()
    logging.basicConfig(filename=log, level=logging.INFO)
    train_phase(phase, recipe, "latest")


def kill_and_resume(told: dict[str, str], recipe: str, phase: str, log: Path, place: Path, again: str) -> None:
    """Trains a phase, ends it by kill -9 at its first checkpoint, and trains it again with the recipe `again`."""
    killed = forks.started(train_here, told, recipe, phase, log)
    while killed.is_alive() and not last_checkpoint(place / "checkpoints"):
        time.sleep(0.002)
    killed.kill()
    killed.join()
    assert not (place / "report.json").exists()
    resumed = forks.started(train_here, told, again, phase, log)
    resumed.join()
    assert resumed.exitcode == 0, log.read_text()[-3000:]
    assert "continues from checkpoint-" in log.read_text()
