"""Training (paper §4): continued pre-training, supervised fine-tuning, preference tuning; one phase a command.

    python -m chimed train --recipe qwen3-1.7b --plan
    python -m chimed train cpt|sft|dpo --recipe qwen3-1.7b --release latest

The paper trains with LoRA. Ours are three more phases, kto, orpo (each in the place of dpo) and grpo, and all weights
instead of LoRA where a recipe says so.

Each phase starts from the *merged* checkpoint of the phase before, with a fresh adapter of its own rank. So the frozen
reference of dpo is exactly the sft model (the same weights with the adapter switched off), and every phase is a plain
checkpoint that vLLM serves and lm-eval scores without PEFT. The price is one more copy of the weights a phase.

Written to `models/<release>/<recipe>/<phase>/` of the lake: `run.json` (what is trained on what, written first),
`checkpoints/`, `metrics.jsonl`, `adapter/`, `merged/`, `loss.png`, `tensorboard/` where that is installed, and
`report.json` (written last: it means done).
A finished phase is not trained again; a killed one goes on from its last checkpoint.
"""

import contextlib
import importlib
import logging
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chimed.errors import UserError, WorkStopped, choose
from chimed.gpus import held
from chimed.llm.torch_environment import prepare
from chimed.release import find_release
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.train import general_data, stopping
from chimed.train import recipe as recipes
from chimed.train.phase_lease import one_at_a_time
from chimed.train.recipe import PHASES
from chimed.train.run import Run, base_of, open_run, place_of
from chimed.train.sharding import config_file

log = logging.getLogger("chimed")

DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU
LAUNCHED = "ACCELERATE_MIXED_PRECISION"  # accelerate sets it in what it starts


def train_phase(phase: str, recipe: str, release: str, processes: int | None = None) -> dict[str, Any]:
    """Train one phase and return its report; where several processes share the batch, through accelerate.

    processes: by default as many as GPUs are seen, and one without a GPU. Raises UserError for an unknown phase,
    recipe or release, a phase whose predecessor is not done, a release without rows for it, a batch that so many
    processes cannot share, more of them than GPUs, or a run begun with other settings. Raises WorkStopped where a
    process of several dies, or at SIGTERM, when a checkpoint is written.
    """
    choose("phase", phase, recipes.EVERY_PHASE)
    recipe = recipes.known(recipe)
    lake = lakes.find_lake()
    release = find_release(lake, release)
    base, fields = settings().base_checkpoint, recipes.load(recipe, phase)
    prepare("train", offline=not _needs_hub(recipe, phase, fields, base))
    with stopping.listening(), one_at_a_time(lake, place_of(release, recipe, phase)):
        if not lakes.exists(lake, f"{place_of(release, recipe, phase)}/{layout.REPORT}"):
            # before the run's settings are written down: a slip of the pen must not stay in its way
            importlib.import_module("chimed.train.arguments").check(recipe, phase)
        run = open_run(lake, phase, recipe, release, base)
        if run.report is not None:
            log.info("%s is already trained", run.place)
            return run.report
        if "," in recipe:
            log.info("%s is trained as recipe %s, its name for evaluate, compare and the next phase", phase, recipe)
        gpus = _gpus(run.fields)
        processes = processes or max(1, gpus)
        if run.fields.get("accelerate_config") and not gpus:
            raise UserError(
                f"accelerate_config {run.fields['accelerate_config']} shards a model over GPUs; there is none"
            )
        if gpus and processes > gpus:
            raise UserError(f"{processes} processes need as many GPUs; this machine has {gpus}")
        if (processes > 1 or run.fields.get("accelerate_config")) and "WORLD_SIZE" not in os.environ:
            if LAUNCHED in os.environ:
                raise WorkStopped(f"accelerate should have started {processes} processes and started one")
            return _launch(run, processes, gpus)
        if "WORLD_SIZE" not in os.environ:
            _prepare_rows(run)
        with (
            stopping.refusals_told(),
            held(f"train {phase} of {recipe}", processes),
            contextlib.redirect_stdout(sys.stderr),  # what a tracker prints must not stand where the result goes
        ):
            done = importlib.import_module(f"chimed.train.{phase}").train(run)
    if "stopped" in done and "WORLD_SIZE" not in os.environ:
        raise WorkStopped(_stopped(run))
    return done


def _needs_hub(recipe: str, phase: str, fields: dict[str, Any], base: str | None) -> bool:
    """Tell whether weights, general data or exam items are of the hub."""
    items = fields.get("items")
    if general_data.on_hub(fields.get("mix")) or (items and not items.startswith((".", "/", "~"))):
        return True
    return phase == PHASES[0] and not Path(base_of(recipe, base)).is_dir()


def _stopped(run: Run) -> str:
    return f"{run.phase} was told to stop (SIGTERM) and left a checkpoint; the same command continues from it"


def plan_phases(
    phase: str | None, recipe: str, release: str, processes: int | None = None, measured: bool = False
) -> str:
    """Return what the phases of a recipe will take, as text; see `plan`. measured: with a few steps of each here."""
    prepare("train --plan", offline=not _plan_needs_hub(recipe))
    if measured:
        from chimed.train.plan_measure import measure_recipe

        return measure_recipe(recipe, phase, release, processes)
    from chimed.train.plan import plan_recipe

    return plan_recipe(recipe, phase, release, processes)


def _plan_needs_hub(recipe: str) -> bool:
    """Tell whether the dimensions of a recipe's model are only known to the hub."""
    base = settings().base_checkpoint
    known = recipes.shape(recipes.known(recipe)) is not None and not base
    return not known and not Path(base_of(recipe, base)).is_dir()


def planned(phase: str | None, recipe: str, release: str, processes: int | None = None) -> dict[str, Any]:
    """Return the same as numbers: recipe, of (what it is counted from), phases."""
    prepare("train --plan", offline=not _plan_needs_hub(recipe))
    from chimed.train.plan import plans_of

    of, plans = plans_of(recipe, phase, release, processes)
    phases = [asdict(one) for one in plans]
    for one in phases:
        del one["counts"]["sample"]  # the lengths of single rows, for --measure
    return {"recipe": recipe, "of": of, "phases": phases}


def _gpus(fields: dict[str, Any]) -> int:
    """Return how many GPUs torch sees. Raises UserError where it can see none, and a recipe for GPUs would go without.

    Of a recipe without bf16, as the demo's, the processor is enough.
    """
    import torch

    count = torch.cuda.device_count()
    if not count and torch.version.cuda is None and fields.get("bf16") and any(DRIVER.glob("*")):
        raise UserError(
            "this machine has GPUs, and torch here is the build for processors; run it in an environment of "
            "requirements-gpu.txt (docs/train.md)"
        )
    return count


def launch_command(run: Run, processes: int, gpus: int, port: int) -> list[str]:
    """Return this same command in several processes: NCCL between GPUs, gloo without one.

    Without accelerate the trainer would fall back to DataParallel on several GPUs, whose batch differs. `--multi_gpu`
    means torchrun, on a CPU too: by `--cpu` accelerate starts one process and leaves the others to MPI.
    """
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    sharded = run.fields.get("accelerate_config")
    command += ["--config_file", str(config_file(sharded))] if sharded else ["--multi_gpu"]
    command += ["--num_machines", "1", "--num_processes", str(processes), "--dynamo_backend", "no"]
    command += ["--mixed_precision", "bf16" if gpus and run.fields.get("bf16") else "no"]
    command += ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    command += ["-m", "chimed", "train", run.phase, "--recipe", run.recipe, "--release", run.release]
    return [*command, "--processes", str(processes)]


def _prepare_rows(run: Run) -> None:
    """Tokenize the run's rows, before there are processes that would wait for it, or a GPU that others wait for."""
    if run.phase == "grpo":  # it has prompts, made when it begins
        return
    from chimed.train.loop import prepare as prepare_rows
    from chimed.train.loop import tokenizer

    prepare_rows(run, tokenizer(run))


def _launch(run: Run, processes: int, gpus: int) -> dict[str, Any]:
    recipes.batches(run.fields["global_batch_size"], run.fields["per_device_train_batch_size"], processes)
    _prepare_rows(run)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = launch_command(run, processes, gpus, port)
    log.info("training %s in %d processes: %s", run.phase, processes, " ".join(command[1:]))
    with held(f"train {run.phase} of {run.recipe}", processes), stopping.passing_on() as told:
        code = subprocess.run(command, stdout=sys.stderr, check=False, env=os.environ | told).returncode
        if refused := stopping.refusal(told):
            raise UserError(refused)
    report = f"{run.place}/{layout.REPORT}"
    if code == 0 and lakes.exists(run.lake, report):
        return lakes.read_json(run.lake, report)
    if stopping.asked():
        raise WorkStopped(_stopped(run) if code == 0 else f"{run.phase} was ended by SIGTERM; run it again")
    raise WorkStopped(f"training {run.phase} in {processes} processes ended with exit code {code}; see above")
