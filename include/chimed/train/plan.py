"""What training a recipe will take, before anything is loaded: parameters, memory of a GPU, steps, hours (paper §4.1).

    python -m chimed train --recipe qwen3-14b --plan
    python -m chimed train --recipe qwen3-14b --plan --measure

The model is built on `meta` tensors, which have shapes and no memory. Everything printed is an estimate by the
formulas of `plan_memory` and `plan_speed`, of which nothing was measured on an A40; `--measure` takes a few steps of
each phase on this machine's GPU (or CPU), with random weights, and puts them beside the estimate (`plan_measure`).
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError, choose
from chimed.release import find_release, releases
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.train import plan_tokens
from chimed.train import recipe as recipes
from chimed.train.arguments import check_settings
from chimed.train.plan_memory import SEQUENCES, longest_of, memory, on_meta, smaller, storage
from chimed.train.plan_speed import A40, REFERENCES, Device, forward_flops, generation, passes, seen, validations
from chimed.train.plan_tokens import Counts
from chimed.train.recipe import EVERY_PHASE, PHASES
from chimed.train.run import SUBSET, base_of


@dataclass(frozen=True)
class Plan:
    """One phase. parameters include the trainable ones. memory: GB of a GPU by what takes it. hours: on all GPUs.

    batch: GPUs, rows that one takes at once, batches accumulated. asked: rows at once that the recipe allows.

    counts: what it trains on. checking: hours of the validations, not in `hours`. disk: GB that checkpoints, adapter
    and merged weights take. host: GB of the machine's memory while all GPUs' processes load the weights. checkpointed:
    whether gradients are recomputed; without_checkpointing: (GB of a GPU, hours) if they were not, where that fits.
    flash: whether FlashAttention is counted on; with_flash: (GB of a GPU, hours) if it were installed.
    """

    phase: str
    device: Device
    gpus: int
    parameters: int
    trainable: int
    batch: tuple[int, int, int]
    asked: int
    memory: dict[str, float]
    counts: Counts
    epochs: float
    steps: int
    hours: float
    checking: float
    disk: float
    host: float
    checkpointed: bool
    flash: bool
    without_checkpointing: tuple[float, float] | None
    with_flash: tuple[float, float] | None

    @property
    def tokens(self) -> int:
        """Tokens of an epoch."""
        return round(self.counts.tokens)


def plan_recipe(recipe: str, phase: str | None, release: str, gpus: int | None) -> str:
    """Return the plan of a recipe's phases as text; see `plans_of`."""
    of, plans = plans_of(recipe, phase, release, gpus)
    return told(recipe, of, plans)


def plans_of(recipe: str, phase: str | None, release: str, gpus: int | None) -> tuple[str, list[Plan]]:
    """Return what the plans are counted from, and the plans. gpus: how many A40s, default the recipe's own.

    Raises UserError for an unknown name, a batch that so many GPUs cannot share, or a phase that does not fit one.
    """
    recipe = recipes.known(recipe)
    phases: tuple[str, ...] = PHASES if phase is None else (choose("phase", phase, EVERY_PHASE),)
    lake = lakes.lake_at()
    fields = {one: recipes.load(recipe, one) for one in phases}
    for one in dict.fromkeys((*phases, *recipes.phases_named(recipe))):
        check_settings(recipes.load(recipe, one), one, f"recipe {recipe}/{one}.yaml")
    shape = model_shape(recipe)
    if release == "latest" and not releases(lake):
        counts = {one: plan_tokens.of_paper(one, fields[one]) for one in phases}
        of = "the paper's Table 4, for want of a release"
    else:
        release = find_release(lake, release)
        tokenizer = local_tokenizer(recipe)
        counts = {one: plan_tokens.of_release(lake, release, one, fields[one], tokenizer) for one in phases}
        of = f"release {release}"
        if empty := [one for one in phases if not counts[one].rows]:
            said = f"no rows for {' and '.join(empty)} (its subset {SUBSET[empty[0]]} is empty)"
            phases = tuple(one for one in phases if one not in empty)
            if not phases:
                raise UserError(f"release {release} has {said}; there is nothing to train on")
            of += f", which has {said}"
    return of, [plan_phase(one, fields[one], shape, counts[one], gpus) for one in phases]


def local_tokenizer(recipe: str) -> Any | None:
    """Return the tokenizer of a recipe's model if it is on this machine, in a folder or the hub's cache; else None."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base_of(recipe, settings().base_checkpoint), local_files_only=True)
    except (OSError, ValueError, UserError):  # not there, or no model named: the plan counts by kind, and says so
        return None


def model_shape(recipe: str) -> Any:
    """Return the config of a recipe's model: of `CHIMED_BASE_CHECKPOINT`, if set, else the recipe's model.yaml."""
    from transformers import AutoConfig

    base = settings().base_checkpoint
    fields = recipes.shape(recipe)
    if base or fields is None:
        return AutoConfig.from_pretrained(base_of(recipe, base), local_files_only=Path(base or "").is_dir())
    try:
        return AutoConfig.for_model(**fields)
    except Exception as error:  # of many kinds: no model_type, an unknown one, a text for a number
        raise UserError(f"recipe {recipe}/model.yaml is no config of transformers: {short(str(error), 200)}") from None


def plan_phase(
    phase: str,
    fields: dict[str, Any],
    shape: Any,
    counts: Counts,
    gpus: int | None,
    device: Device = A40,
    flash: bool | None = None,
) -> Plan:
    """Plan one phase, of a model of this shape. flash: default, whether FlashAttention is installed here."""
    sizes = on_meta(fields, shape)
    made = _planned(phase, fields, shape, sizes, counts, gpus or fields["gpus"], device, _flash(flash))
    need = sum(made.memory.values())
    if need > device.gb:
        raise UserError(
            f"{phase} needs about {need:.0f} GB of a GPU and an {device.name} has {device.gb:g}; "
            f"{smaller(fields, made.memory, made.gpus, made.batch[1], device.gb)}"
        )
    if made.checkpointed:
        keeping = fields | {"gradient_checkpointing": False}
        off = _planned(phase, keeping, shape, sizes, counts, made.gpus, device, made.flash)
        if sum(off.memory.values()) <= device.gb:
            made = replace(made, without_checkpointing=(sum(off.memory.values()), off.hours))
    if not made.flash:
        on = _planned(phase, fields, shape, sizes, counts, made.gpus, device, True)
        made = replace(made, with_flash=(sum(on.memory.values()), on.hours))
    return made


def _flash(asked: bool | None) -> bool:
    return find_spec("flash_attn") is not None if asked is None else asked


def _planned(
    phase: str,
    fields: dict[str, Any],
    shape: Any,
    sizes: tuple[int, int],
    counts: Counts,
    gpus: int,
    device: Device,
    flash: bool,
) -> Plan:
    per_device, accumulated = recipes.batches(fields["global_batch_size"], fields["per_device_train_batch_size"], gpus)
    parameters, trainable = sizes
    longest = longest_of(fields)
    if counts.longest is not None:  # of a pair, both texts
        longest = min(longest, ceil(counts.longest / SEQUENCES.get(phase, 1)))
    need = memory(phase, fields | {"max_length": longest}, shape, parameters, trainable, per_device, gpus, flash)
    epochs = float(fields.get("num_train_epochs", 1))
    per_epoch = ceil(counts.sequences / fields["global_batch_size"])
    steps = per_epoch * epochs
    if fields.get("max_steps", 0) > 0 and steps:
        epochs, steps = epochs * fields["max_steps"] / steps, fields["max_steps"]
    filled = per_epoch * fields["global_batch_size"] / counts.sequences if counts.sequences else 1.0
    row = counts.tokens / max(1, counts.sequences)
    once = forward_flops(shape, parameters, seen(fields, flash, per_device, row, min(row, counts.text)))
    speed = gpus * device.flops * device.reached * 3600
    worked = counts.tokens * filled * (1 + counts.padding) * epochs
    checked = validations(fields, steps) * counts.held * row * (1 + counts.padding)
    writing = generation(phase, fields, parameters, steps, accumulated, device)
    disk, host = storage(fields, parameters, trainable, gpus)
    return Plan(
        phase=phase,
        device=device,
        gpus=gpus,
        parameters=parameters,
        trainable=trainable,
        batch=(gpus, per_device, accumulated),
        asked=fields["per_device_train_batch_size"],
        memory=need,
        counts=counts,
        epochs=epochs,
        steps=round(steps),
        hours=worked * once * passes(phase, fields) / speed + writing,
        checking=checked * once * (1 + REFERENCES.get(phase, 0.0)) / speed,
        disk=disk,
        host=host,
        checkpointed=bool(fields["gradient_checkpointing"]),
        flash=flash,
        without_checkpointing=None,
        with_flash=None,
    )


def told(recipe: str, of: str, plans: list[Plan]) -> str:
    """Return plans for a person's eyes."""
    device = plans[0].device
    lines = [f"{recipe} on {plans[0].gpus} {device.name}, for {of}:"]
    for plan in plans:
        gpus, rows, accumulated = plan.batch
        need = " + ".join(f"{name} {size:.1f}" for name, size in plan.memory.items() if size >= 0.05)
        lines += [
            "",
            f"{plan.phase}  {plan.parameters:,} parameters, {plan.trainable:,} trainable "
            f"({100 * plan.trainable / plan.parameters:.2f} %)",
            f"     batch   {gpus * rows * accumulated} = {gpus} GPU{'s' * (gpus > 1)} × {rows} at once × {accumulated} "
            "accumulated" + ("" if rows == plan.asked else f"; {recipes.fewer(plan.asked, rows)}"),
            f"     memory  {need} = {sum(plan.memory.values()):.1f} of {device.gb:g} GB a GPU",
            f"     time    {plan.tokens / 1e6:,.2f} M tokens ({_counted(plan.counts)}), {plan.epochs:.3g} times: "
            f"{plan.steps:,} steps, {hours(plan.hours)}, and {hours(plan.checking)} of validation",
            f"     machine {plan.disk:,.0f} GB of disk, {plan.host:,.0f} GB of memory",
        ]
        if plan.without_checkpointing is not None:
            need_off, hours_off = plan.without_checkpointing
            lines.append(
                f"     faster  gradient_checkpointing: false fits, too ({need_off:.0f} GB a GPU), and takes "
                f"{hours(hours_off)}"
            )
        elif plan.checkpointed:
            lines.append("     note    without gradient checkpointing it would not fit")
        if plan.with_flash is not None:
            lines.append(
                f"     note    FlashAttention is not installed: with it {plan.with_flash[0]:.1f} GB a GPU and "
                f"{hours(plan.with_flash[1])}"
            )
    lines += [
        "",
        f"All phases: {hours(sum(plan.hours + plan.checking for plan in plans))}. Estimates, not measured: "
        f"{device.flops / 1e12:g} TFLOPS a GPU of which {device.reached:.0%} are reached; loading, saving and merging "
        "are not counted. The formulas and their sources: chimed/train/plan_memory.py and plan_speed.py; --measure "
        "takes a few steps on this machine.",
    ]
    return "\n".join(lines)


def _counted(counts: Counts) -> str:
    return f"{counts.density:.2f} characters each: {counts.how}" if counts.characters else counts.how


def hours(many: float) -> str:
    """Return a time in the unit that suits it."""
    if many >= 1:
        return f"{many:,.1f} h"
    return f"{60 * many:.1f} min" if many >= 1 / 60 else f"{3600 * many:.1f} s"
