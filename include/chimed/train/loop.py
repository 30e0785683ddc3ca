"""What the phases share: the rows, the training itself with resume, and what is left behind."""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from peft import LoraConfig
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback, Trainer
from transformers.trainer_callback import EarlyStoppingCallback, TrainerCallback

from chimed.errors import UserError
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.train import checkpoint, mix, results, stopping, tracking
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint, last_checkpoint
from chimed.train.merge import FULL, merge
from chimed.train.run import Run
from chimed.train.tokens import prepare_rows

log = logging.getLogger("chimed")
LOGS = ("tensorboard", "trackio")  # folders that trackers write here
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Rows:
    """The rows of each split as a trainer takes them. validation: None where nothing is held out.

    counts: by split, rows read, kept, lost, cut, and those that held control tokens (`defused`). mixed: what general
    data are among those of `train` (`mix.Mixed`). items: what became of the exam items that grpo learns from.
    """

    train: datasets.Dataset
    validation: datasets.Dataset | None
    counts: dict[str, dict[str, int]]
    mixed: dict[str, Any] | None = None
    items: dict[str, Any] | None = None


def prepare(run: Run, tokenizer: PreTrainedTokenizerBase) -> tuple[Path, Path | None]:
    """Make the run's rows as tokens, and those with general data mixed in; return their folders.

    Done before there are several processes, of which all but one would wait for it. Raises as `prepare_rows` and
    `mix.prepare`.
    """
    folder = prepare_rows(run, tokenizer)
    return folder, mix.prepare(run, tokenizer, folder) if run.mixed else None


def read_rows(run: Run, tokenizer: PreTrainedTokenizerBase, args: Any) -> Rows:
    """Return the run's rows, made by the first process of this machine if they are not here. Raises as `prepare`."""
    with args.main_process_first():
        folder, mixed = prepare(run, tokenizer)
    counts = json.loads((folder / "counts.json").read_text())
    found = {split: datasets.load_from_disk(folder / split) for split in counts}
    if mixed is None:
        return Rows(found["train"], found.get("validation"), counts)
    told = json.loads((mixed / "mixed.json").read_text())
    return Rows(datasets.load_from_disk(mixed / "train"), found.get("validation"), counts, told)


def whole_batches(rows: datasets.Dataset, batch: int) -> datasets.Dataset:
    """Return as many rows as fill the last batch of an epoch, the first ones once more where they do not.

    Else that batch would be a smaller one in one process, and in several be filled up with other rows in each.
    """
    return rows.select(index % len(rows) for index in range(-(-len(rows) // batch) * batch))


def tokenizer(run: Run) -> PreTrainedTokenizerBase:
    """Return the tokenizer the run starts with."""
    return AutoTokenizer.from_pretrained(run.start, revision=run.revision or "main")


def trainer_of(
    kind: type[Trainer],
    run: Run,
    args: Any,
    tokens: PreTrainedTokenizerBase,
    rows: Rows,
    lora: LoraConfig | None,
    **more: Any,
) -> Trainer:
    """Return a phase's trainer (one of TRL's) for the model that the run starts from, over the run's rows.

    lora: None to train all weights. more: what only this trainer takes.
    """
    return kind(
        model=run.start,
        args=args,
        processing_class=tokens,
        train_dataset=rows.train,
        eval_dataset=rows.validation,
        peft_config=lora,
        **more,
    )


class Lines(TrainerCallback):
    """Metrics as JSON lines in a file, progress as lines of the log, checkpoints into the lake."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        # The whole history each time: a resumed run's comes back with its checkpoint, so no step is told twice.
        lines = "".join(json.dumps(entry) + "\n" for entry in state.log_history)
        (self.run.folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
        told = {
            name: (logs or {}).get(name)
            for name in ("loss", "eval_loss", "reward", "eval_reward", "rewards/accuracies")
        }
        values = " ".join(f"{name} {value:.4f}" for name, value in told.items() if value is not None)
        if values:
            log.info("%s step %d/%d %s", self.run.phase, state.global_step, state.max_steps, values)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        args.distributed_state.wait_for_everyone()  # each process writes its own random state into the checkpoint
        if state.is_world_process_zero:
            run, saved = self.run, self.run.folder / "checkpoints" / f"checkpoint-{state.global_step}"
            checkpoint.keep(run.lake, saved, f"{run.place}/checkpoints", args.save_total_limit)
            put_metrics(run)


def put_metrics(run: Run) -> None:
    """Put the metrics so far into the lake, where a run can be watched from."""
    metrics = run.folder / "metrics.jsonl"
    if metrics.exists() and not lakes.is_local(run.lake.fs):
        lakes.write_bytes(run.lake, f"{run.place}/metrics.jsonl", metrics.read_bytes())
        for part in LOGS:
            if (run.folder / part).is_dir():
                copies.put_folder(run.lake, run.folder / part, f"{run.place}/{part}")


class Stopping(TrainerCallback):
    """Ends the training with a checkpoint, at one step of all processes, when one of them is told to stop."""

    stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        told = torch.tensor(float(stopping.asked()), device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        if told.item() and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True
            control.should_evaluate = False  # there may be no time for it


def finish(run: Run, trainer: Any, rows: Rows) -> dict[str, Any]:
    """Train from the start or the last checkpoint, merge, write what the run leaves behind, report last.

    rows of `trainer` are filled up to whole batches. Returns the report; `{"stopped": step}` where it was told to stop;
    nothing in a process that is not the first.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where the command's result goes
    stop = Stopping()
    trainer.add_callback(Lines(run))
    trainer.add_callback(stop)
    if patience := run.fields.get("early_stopping_patience"):
        trainer.add_callback(EarlyStopping(patience, run.fields.get("early_stopping_threshold", 0.0)))
    sequences = len(trainer.train_dataset)
    several = getattr(trainer, "num_generations", 1)  # grpo's batch counts completions, several of each prompt
    trainer.train_dataset = whole_batches(trainer.train_dataset, run.fields["global_batch_size"] // several)
    resumed = last_checkpoint(run.folder / "checkpoints")
    if resumed:
        log.info("%s continues from %s", run.phase, resumed.name)
    began = time.monotonic()
    with stopping.training():
        try:
            outcome = trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"a GPU's memory ran out at step {trainer.state.global_step}; run it again with {_less(run)} "
                f"({str(error).splitlines()[0][:200]})"
            ) from None
    seconds = time.monotonic() - began
    report: dict[str, Any] = {"stopped": trainer.state.global_step}
    if not stop.stopped:
        if trainer.eval_dataset is not None:
            trainer.evaluate()
        # every process: it is a collective call under sharding
        trainer.save_model(str(run.folder / ("adapter" if run.fields.get("use_peft", True) else FULL)))
        report = results.report(run, trainer, sequences, outcome, seconds, rows)
    history, first = trainer.state.log_history, trainer.accelerator.is_main_process
    if first:
        tracking.close(trainer.args.report_to)
    _end_group(trainer)
    if stop.stopped:
        return report
    return _leave_behind(run, report, history) if first else {}


def _less(run: Run) -> str:
    """Say what to change after a GPU's memory ran out: the run goes on from its checkpoint, or begins anew."""
    rows = run.fields["per_device_train_batch_size"]
    if rows == 1:
        return (
            "more memory: gradient_checkpointing=true, another accelerate_config, or a shorter max_length in a new run"
        )
    less = f"--set per_device_train_batch_size={rows // 2}"
    if "per_device_train_batch_size" in recipes.free_fields(run.phase, run.fields):
        return f"{less}: the batch stays the same, and it goes on from its checkpoint"
    return f"{less}, which begins anew: what {run.phase} learns depends on the rows a GPU takes at once"


class EarlyStopping(EarlyStoppingCallback):
    """Ends the training when the loss on held-out rows has not become better for some validations.

    A run that was killed counts on where its checkpoint was. The validation before the first step is none of them.
    """

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **more: Any) -> None:
        """Look at a validation's loss, as its base does."""
        if state.global_step:
            super().on_evaluate(args, state, control, metrics, **more)


def _end_group(trainer: Any) -> None:
    """Let the other processes go: merging and sending 14 B parameters takes longer than they would wait."""
    trainer.accelerator.wait_for_everyone()
    # What else holds the process group goes first. Were the wrapped model its last holder, gloo's end would wait, with
    # the GIL, for a thread of its own that may be waiting for the GIL to drop the last barrier.
    trainer.model_wrapped = trainer.model
    trainer.accelerator.free_memory()
    trainer.accelerator.end_training()
    trainer.model = trainer.model_wrapped = None  # the merge needs its memory


def _leave_behind(run: Run, report: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the merged model, the figure, the cards, and the report last; return the report."""
    merged = merge(run)
    report = report | {"fingerprint": fingerprint(str(merged))}
    if (run.folder / "adapter").is_dir():
        report["adapter_fingerprint"] = fingerprint(str(run.folder / "adapter"))
    results.figure(run, history)
    for kind, folder in (("adapter", run.folder / "adapter"), ("model", merged)):
        if folder.is_dir():
            (folder / "README.md").write_text(results.card(run, report, kind), encoding="utf-8")
    for part in ("adapter", "merged", *LOGS):
        if (run.folder / part).is_dir():
            copies.put_folder(run.lake, run.folder / part, f"{run.place}/{part}")
    for part in ("metrics.jsonl", "loss.png"):
        lakes.write_bytes(run.lake, f"{run.place}/{part}", (run.folder / part).read_bytes())
    lakes.write_json(run.lake, f"{run.place}/{layout.REPORT}", report)
    return report
