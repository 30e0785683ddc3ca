"""What a run leaves behind for people: its report, the loss curve, the card of the adapter and of the merged model."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import torch
from pyarrow import parquet

from chimed.train.run import PHASES, SUBSET, Run

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
USE = {
    "model": "    vllm serve <this folder>",
    "adapter": "    vllm serve <the model it was trained on> --enable-lora --lora-modules chimed=<this folder>",
}


def report(run: Run, trainer: Any, sequences: int, outcome: Any, seconds: float, counts: dict) -> dict:
    """The numbers of a finished run; losses are None where nothing was logged or held out.

    sequences: what an epoch holds, fewer than rows where packed. counts: by split, rows read, kept, lost and cut.
    """
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    checked = [entry for entry in history if "eval_loss" in entry]
    accuracies = [entry["eval_rewards/accuracies"] for entry in checked if "eval_rewards/accuracies" in entry]
    tokens = trainer.state.num_input_tokens_seen or max((e.get("num_tokens", 0) for e in history), default=0)
    args = trainer.args
    files = run.rows.items()
    rows = {split: sum(parquet.read_metadata(path).num_rows for path in paths) for split, paths in files}
    model = trainer.accelerator.unwrap_model(trainer.model)
    return run.about | {
        "rows": rows,
        "counts": counts,
        "rows_with_control_tokens": sum(count["defused"] for count in counts.values()),
        "sequences": sequences,
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "tokens": tokens,
        "batch": {
            "processes": args.world_size,
            "per_device": args.per_device_train_batch_size,
            "accumulated": args.gradient_accumulation_steps,
        },
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "loss": {"first": losses[0], "last": losses[-1], "mean": outcome.training_loss} if losses else None,
        "eval_loss": {"before": checked[0]["eval_loss"], "after": checked[-1]["eval_loss"]} if checked else None,
        "eval_accuracy": {"before": accuracies[0], "after": accuracies[-1]} if accuracies else None,
        "seconds": round(seconds, 1),  # of this process; a resumed run's earlier ones are not in it
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: version(name) for name in PACKAGES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def figure(run: Run, history: list[dict]) -> None:
    """Writes the loss curve: training loss by step, validation loss as points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    trained = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    checked = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    if trained:
        axes.plot(*zip(*trained, strict=True), label="training")
    if checked:
        axes.plot(*zip(*checked, strict=True), "o--", label="validation")
    axes.set(xlabel="step", ylabel="loss", title=f"{run.recipe} · {run.phase} · release {run.release}")
    axes.legend()
    drawn.savefig(run.folder / "loss.png", dpi=120)
    plt.close(drawn)


def card(run: Run, known: dict, kind: str) -> str:
    """The card of the `adapter` or of the merged `model`; known: the run's report."""
    number = PHASES.index(run.phase)
    start = f"{run.recipe} after {PHASES[number - 1]}" if number else run.fields.get("model_name_or_path", run.start)
    what = {
        "adapter": f"A LoRA adapter for {start} (`{run.start_model}`), which it was trained on",
        "model": f"The weights of {start} (`{run.start_model}`) with one LoRA adapter merged into them",
    }
    numbers = [f"- {known['steps']:,} steps on {_told_rows(known)}, {known['tokens']:,.0f} tokens read"]
    numbers += [f"- {known['trainable_parameters']:,} trainable parameters, on {known['device']}"]
    for name, told in (("eval_loss", "held-out loss"), ("eval_accuracy", "held-out pairs ranked right")):
        if known[name]:
            numbers.append(f"- {told}: {known[name]['before']:.4f} before, {known[name]['after']:.4f} after")
    return Template((Path(__file__).parent / "card.md").read_text(encoding="utf-8")).substitute(
        phase=run.phase, recipe=run.recipe, release=run.release, subset=SUBSET[run.phase], what=what[kind],
        library="peft" if kind == "adapter" else "transformers", use=USE[kind], numbers="\n".join(numbers),
        fields="\n".join(f"- `{name}`: {value}" for name, value in run.fields.items()),
        packages=", ".join(f"{name} {number}" for name, number in known["versions"].items()),
    )  # fmt: skip


def _told_rows(known: dict) -> str:
    """How many rows were trained on, and what became of the others."""
    read, count = known["rows"]["train"], known.get("counts", {}).get("train")
    if not count or not (count["lost"] or count["cut"]):
        return f"{read:,} rows"
    return f"{count['kept']:,} of {read:,} rows ({count['lost']:,} lost and {count['cut']:,} cut by max_length)"
