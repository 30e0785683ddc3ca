"""What a run leaves behind for people: its report, the loss curve, the card of the adapter and of the merged model."""

import math
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import torch
from pyarrow import parquet

from chimed.train import recipe as recipes
from chimed.train.run import SUBSET, Run

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
USE = {
    "model": "    vllm serve <this folder>",
    "adapter": "    vllm serve <the model it was trained on> --enable-lora --lora-modules chimed=<this folder>",
}


def report(run: Run, trainer: Any, sequences: int, outcome: Any, seconds: float, rows: Any) -> dict[str, Any]:
    """Return the numbers of a finished run; losses are None where nothing was logged or held out.

    sequences: what an epoch holds, fewer than rows where packed. rows: a `loop.Rows`.
    """
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    checked = [entry for entry in history if "eval_loss" in entry or "eval_reward" in entry]
    tokens = trainer.state.num_input_tokens_seen or max((e.get("num_tokens", 0) for e in history), default=0)
    args = trainer.args
    files = run.rows.items()
    read = {split: sum(parquet.read_metadata(path).num_rows for path in paths) for split, paths in files}
    if rows.items is not None:
        read = {"train": len(rows.train), "validation": len(rows.validation or ())}
    model = trainer.accelerator.unwrap_model(trainer.model)
    return run.about | {
        "rows": read,
        "counts": rows.counts,
        "rows_with_control_tokens": sum(count["defused"] for count in rows.counts.values()),
        "mix": rows.mixed,
        "items": rows.items,
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
        # of grpo the loss says nothing: it is near nought at any reward
        "eval_loss": told(checked, "eval_loss") if run.phase != "grpo" else None,
        "reward": rewards(checked),
        "best": best(trainer),
        "stopped_early": trainer.state.global_step < trainer.state.max_steps,
        "eval_accuracy": told(checked, "eval_rewards/accuracies"),
        "seconds": round(seconds, 1),  # of this process; a resumed run's earlier ones are not in it
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: version(name) for name in PACKAGES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def told(checked: list[dict[str, Any]], name: str) -> dict[str, float] | None:
    """Return a figure of the validations before and after training; None where there is none."""
    found = [entry[name] for entry in checked if entry.get(name) is not None and math.isfinite(entry[name])]
    return {"before": found[0], "after": found[-1]} if found else None


def rewards(checked: list[dict[str, Any]]) -> dict[str, dict[str, float] | None] | None:
    """Return the reward on held-out items before and after, in all and by what it is for; None but for grpo."""
    names = {name for entry in checked for name in entry if name.startswith("eval_rewards/") and name.endswith("/mean")}
    if not told(checked, "eval_reward"):
        return None
    parts = {name.split("/")[1]: told(checked, name) for name in sorted(names)}
    return {"all": told(checked, "eval_reward")} | {name: part for name, part in parts.items() if part}


def best(trainer: Any) -> dict[str, Any] | None:
    """Return the step whose checkpoint was taken for the best, by which measure; None where the last one is kept."""
    state, args = trainer.state, trainer.args
    if not args.load_best_model_at_end or not state.best_global_step:
        return None
    return {"step": state.best_global_step, args.metric_for_best_model: state.best_metric}


def figure(run: Run, history: list[dict[str, Any]]) -> None:
    """Write the loss curve: training loss by step, validation loss as points."""
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


def card(run: Run, known: dict[str, Any], kind: str) -> str:
    """Return the card of the `adapter` or of the merged `model`; known: the run's report."""
    before = recipes.before_of(run.recipe, run.phase)
    recipe = known["recipe"]
    start = f"{recipe} after {before}" if before else run.fields.get("model_name_or_path", run.start)
    with_adapter = f"The weights of {start} (`{run.start_model}`) with one LoRA adapter merged into them"
    what = {
        "adapter": f"A LoRA adapter for {start} (`{run.start_model}`), which it was trained on",
        "model": with_adapter
        if run.fields["use_peft"]
        else f"{start} (`{run.start_model}`), all weights of it trained",
    }
    numbers = [f"- {known['steps']:,} steps on {_told_rows(known)}, {known['tokens']:,.0f} tokens read"]
    numbers += [f"- {known['trainable_parameters']:,} trainable parameters, on {known['device']}"]
    for name, told in (("eval_loss", "held-out loss"), ("eval_accuracy", "held-out pairs ranked right")):
        if known[name]:
            numbers.append(f"- {told}: {known[name]['before']:.4f} before, {known[name]['after']:.4f} after")
    if run.phase in recipes.BY_ROWS:
        many, rows = known["batch"]["processes"], known["batch"]["per_device"]
        numbers.append(
            f"- {many * rows} rows at once, {rows} on each of {many} GPUs or processes: another number of them gives "
            "another model"
        )
    if known["reward"]:
        numbers += [
            f"- reward on held-out prompts, {name.replace('_', ' ')}: "
            f"{both['before']:.3f} before, {both['after']:.3f} after"
            for name, both in known["reward"].items()
        ]
    if known["best"]:
        numbers.append(
            f"- the checkpoint of step {known['best']['step']:,} was the best on held-out rows and is this one"
        )
    numbers += _told_mix(known["mix"]) + _told_items(known["items"])
    reads = f"subset `{SUBSET[run.phase]}` of release {run.release}" if run.phase in SUBSET else "exam items"
    if run.fields.get("reasoning"):
        reads += ", and its subset `reasoning`"
    return Template((Path(__file__).parent / "card.md").read_text(encoding="utf-8")).substitute(
        phase=run.phase, recipe=recipe, release=run.release, reads=reads, what=what[kind],
        library="peft" if kind == "adapter" else "transformers", use=USE[kind], numbers="\n".join(numbers),
        fields="\n".join(f"- `{name}`: {value}" for name, value in run.fields.items()),
        packages=", ".join(f"{name} {number}" for name, number in known["versions"].items()),
    )  # fmt: skip


def _told_mix(mix: dict[str, Any] | None) -> list[str]:
    """Return what a card says of the general data mixed in."""
    if not mix:
        return []
    if mix["looked_at"] is None:
        exams = "not compared with the exams"
    else:
        exams = f"{mix['held_exams']:,} of {mix['looked_at']:,} drawn rows held an exam question and were left out"
    said = f"- {mix['share']:.1%} of all tokens are general: {mix['rows']:,} rows of `{mix['source']}`; {exams}"
    return [said]


def _told_items(items: dict[str, Any] | None) -> list[str]:
    """Return what a card says of the items whose rewards it learnt from."""
    if not items:
        return []
    return [
        f"- {items['trained']:,} prompts learnt from and {items['held_out']:,} held out: items of `{items['source']}`, "
        f"of which {items['measured']:,} were questions of the exams measured and were left out, and "
        f"{items['grounded']:,} questions about documents of the release"
    ]


def _told_rows(known: dict[str, Any]) -> str:
    """Return how many rows were trained on, and what became of the others."""
    read, count = known["rows"]["train"], known.get("counts", {}).get("train")
    if not count or not (count.get("lost") or count.get("cut")):
        return f"{read:,} rows"
    return f"{count['kept']:,} of {read:,} rows ({count['lost']:,} lost and {count['cut']:,} cut by max_length)"
