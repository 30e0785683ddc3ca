"""What the three phases share: arguments for this machine, the training itself with resume, merge and report."""

import json
import logging
import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, HfArgumentParser, PreTrainedTokenizerBase, PrinterCallback
from transformers.trainer_callback import TrainerCallback
from trl import ModelConfig, get_peft_config

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.train import results
from chimed.train.checkpoint import fingerprint, last_checkpoint, remote_checkpoints
from chimed.train.recipe import batches
from chimed.train.rows import Rows
from chimed.train.run import Run

log = logging.getLogger("chimed")
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()


def arguments(run: Run, config: type) -> tuple[Any, LoraConfig]:
    """TRL's arguments of a run on this machine, and its LoRA. Raises UserError for a field that TRL does not know.

    bf16, gradient checkpointing and FlashAttention are of the GPU; without one everything is fp32.
    """
    fields = {name: value for name, value in run.fields.items() if name != "gpus"}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    per_device, accumulated = batches(fields.pop("global_batch_size"), fields["per_device_train_batch_size"], world)
    fields |= {"per_device_train_batch_size": per_device, "gradient_accumulation_steps": accumulated}
    fields |= {"output_dir": str(run.folder / "checkpoints"), "disable_tqdm": True, "report_to": "none"}
    if find_spec("tensorboard"):
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(run.folder / "tensorboard"))
        fields["report_to"] = "tensorboard"
    if not torch.cuda.is_available():
        fields |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
        fields |= {"dtype": "float32", "attn_implementation": "sdpa"}
        if world > 1:
            fields["ddp_backend"] = "gloo"
    elif find_spec("flash_attn"):
        # sdpa isolates packed documents as exactly, but by a dense mask over the whole row
        fields.setdefault("attn_implementation", "flash_attention_2")
    try:
        args, model = HfArgumentParser((config, ModelConfig)).parse_dict(fields)
    except ValueError as error:
        raise UserError(f"recipe {run.recipe}/{run.phase}.yaml: {error}") from None
    loading = {"dtype": model.dtype, "attn_implementation": model.attn_implementation}
    args.model_init_kwargs = {name: value for name, value in loading.items() if value}
    # The validation loss before the first step is half of "did it fall"; a resumed run has it in its state.
    with args.main_process_first():  # one fetches for all processes of this machine
        args.eval_on_start = "validation" in run.rows and _resumable(run) is None
    lora = get_peft_config(model)
    if lora is None:
        raise UserError(f"recipe {run.recipe}/{run.phase}.yaml: use_peft must be true, the paper trains with LoRA")
    return args, lora


def whole_batches(rows: datasets.Dataset, batch: int) -> datasets.Dataset:
    """As many rows as fill the last batch of an epoch, the first ones once more where they do not.

    Else that batch would be a smaller one in one process, and in several be filled up with other rows in each.
    """
    return rows.select(index % len(rows) for index in range(-(-len(rows) // batch) * batch))


def tokenizer(run: Run) -> PreTrainedTokenizerBase:
    """The tokenizer the run starts with."""
    return AutoTokenizer.from_pretrained(run.start)


class Lines(TrainerCallback):
    """Metrics as JSON lines in a file, progress as lines of the log, checkpoints into the lake."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        # The whole history each time: a resumed run's comes back with its checkpoint, so no step is told twice.
        lines = "".join(json.dumps(entry) + "\n" for entry in state.log_history)
        (self.run.folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
        told = {name: (logs or {}).get(name) for name in ("loss", "eval_loss", "rewards/accuracies")}
        values = " ".join(f"{name} {value:.4f}" for name, value in told.items() if value is not None)
        if values:
            log.info("%s step %d/%d %s", self.run.phase, state.global_step, state.max_steps, values)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        args.distributed_state.wait_for_everyone()  # each process writes its own random state into the checkpoint
        if state.is_world_process_zero:
            name = f"checkpoints/checkpoint-{state.global_step}"
            lakes.put_folder(self.run.lake, self.run.folder / name, f"{self.run.place}/{name}")


def finish(run: Run, trainer: Any, rows: Rows) -> dict:
    """Trains from the start or the last checkpoint, merges, writes what the run leaves behind, report last."""
    run.folder.mkdir(parents=True, exist_ok=True)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where the command's result goes
    trainer.add_callback(Lines(run))
    sequences = len(trainer.train_dataset)
    trainer.train_dataset = whole_batches(trainer.train_dataset, run.fields["global_batch_size"])
    resumed = last_checkpoint(run.folder / "checkpoints")
    if resumed:
        log.info("%s continues from %s", run.phase, resumed.name)
    began = time.monotonic()
    outcome = trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.monotonic() - began
    if trainer.eval_dataset is not None:
        trainer.evaluate()
    trainer.save_model(str(run.folder / "adapter"))  # every process: it is a collective call under sharding
    if trainer.accelerator.is_main_process:
        merged = merge(run)
        report = results.report(run, trainer, sequences, outcome, seconds)
        report |= {"fingerprint": fingerprint(str(merged)), "rows_with_control_tokens": rows.defused}
        results.figure(run, trainer.state.log_history)
        for kind, folder in (("adapter", run.folder / "adapter"), ("model", merged)):
            (folder / "README.md").write_text(results.card(run, report, kind), encoding="utf-8")
        for part in ("adapter", "merged", "tensorboard"):
            if (run.folder / part).is_dir():
                lakes.put_folder(run.lake, run.folder / part, f"{run.place}/{part}")
        for part in ("metrics.jsonl", "loss.png"):
            lakes.write_bytes(run.lake, f"{run.place}/{part}", (run.folder / part).read_bytes())
        lakes.write_json(run.lake, f"{run.place}/report.json", report)
    trainer.accelerator.wait_for_everyone()
    # What else holds the process group goes first. Were the wrapped model its last holder, gloo's end would wait, with
    # the GIL, for a thread of its own that may be waiting for the GIL to drop the last barrier.
    trainer.model_wrapped = trainer.model
    trainer.accelerator.free_memory()
    trainer.accelerator.end_training()
    return lakes.read_json(run.lake, f"{run.place}/report.json")


def merge(run: Run) -> Path:
    """Base and adapter as one plain checkpoint in `merged/`, which vLLM serves as it is.

    Base, config and tokenizer are read anew from where the run started: the trainer changes its own (end and padding
    tokens). Added up in fp32, rounded once to the recipe's dtype.
    """
    target = run.folder / "merged"
    draft = run.folder / "merged.part"
    shutil.rmtree(draft, ignore_errors=True)
    base = AutoModelForCausalLM.from_pretrained(run.start, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(run.folder / "adapter")).merge_and_unload()
    model.to(getattr(torch, run.fields["dtype"])).save_pretrained(draft)
    AutoTokenizer.from_pretrained(run.start).save_pretrained(draft)
    for file in draft.iterdir():
        file.chmod(0o644)  # weights are written for their owner only; a server may run as another user
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target


def _resumable(run: Run) -> Path | None:
    """The checkpoint to go on from, if there is one; of those in a remote lake the newest whole one is fetched."""
    checkpoints = run.folder / "checkpoints"
    if lakes.is_local(run.lake.fs):
        return last_checkpoint(checkpoints)
    for name in remote_checkpoints(run.lake, f"{run.place}/checkpoints"):
        if found := last_checkpoint(checkpoints):
            return found
        there = lakes.local_path(run.lake, f"{run.place}/checkpoints/{name}")
        shutil.copytree(there, checkpoints / name, dirs_exist_ok=True)
    return last_checkpoint(checkpoints)
