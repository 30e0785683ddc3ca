"""Training (paper §4): continued pre-training, supervised fine-tuning, preference tuning; LoRA; one phase a command.

    python -m chimed train cpt|sft|dpo --recipe qwen3-1.7b --release latest

Each phase starts from the *merged* checkpoint of the phase before, with a fresh adapter of its own rank. So the frozen
reference of dpo is exactly the sft model (the same weights with the adapter switched off), and every phase is a plain
checkpoint that vLLM serves and lm-eval scores without PEFT. The price is one more copy of the weights a phase.

Written to `models/<release>/<recipe>/<phase>/` of the lake: `run.json` (what is trained on what, written first),
`checkpoints/`, `metrics.jsonl`, `adapter/`, `merged/`, `loss.png`, `report.json` (written last: it means done).
A finished phase is not trained again; a killed one goes on from its last checkpoint.
"""

import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path

from chimed import lake as lakes
from chimed.errors import choose
from chimed.release import find_release
from chimed.settings import settings
from chimed.train import recipe as recipes
from chimed.train.run import PHASES, Run, open_run

log = logging.getLogger("chimed")


def train_phase(phase: str, recipe: str, release: str) -> dict:
    """Trains one phase and returns its report; where several GPUs are seen, on all of them through accelerate.

    Raises UserError for an unknown phase, recipe or release, a phase whose predecessor is not done, a release without
    rows for it, a batch that this number of GPUs cannot make, or a run begun with other settings.
    """
    choose("phase", phase, PHASES)
    choose("recipe", recipe, recipes.names())
    lake = lakes.open_lake()
    release = find_release(lake, release)
    run = open_run(lake, phase, recipe, release, settings().base_checkpoint)
    if run.report is not None:
        log.info("%s is trained already", run.place)
        return run.report
    _quiet(run.start)
    gpus = _gpus()
    if gpus > 1 and "WORLD_SIZE" not in os.environ:
        _launch(run, gpus)
        return lakes.read_json(lake, f"{run.place}/report.json")
    return importlib.import_module(f"chimed.train.{phase}").train(run)


def _quiet(start: str) -> None:
    """Lines instead of bars, and no look at the hub for a checkpoint that lies here. Before torch is imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if Path(start).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _launch(run: Run, gpus: int) -> None:
    """This same command once a GPU. Without it the trainer would fall back to DataParallel, whose batch differs."""
    recipes.batches(run.fields["global_batch_size"], run.fields["per_device_train_batch_size"], gpus)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_machines", "1", "--num_processes", str(gpus), "--mixed_precision", "bf16"]
    command += ["--dynamo_backend", "no", "-m", "chimed", "train", run.phase]
    command += ["--recipe", run.recipe, "--release", run.release]
    log.info("training %s on %d GPUs", run.phase, gpus)
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise RuntimeError(f"training {run.phase} on {gpus} GPUs ended with exit code {code}; its log is above")
