"""A recipe: `<recipe>/<phase>.yaml`, in TRL's own field names; the numbers of the paper's Table 5 or better ones.

The fields are those of TRL's configuration of the phase and of its ModelConfig, and those of `OURS`. A file that says
`extends: <recipe>` or `extends: <recipe>/<phase>` has the fields of that file and its own on top; `null` takes one out.
`<recipe>/model.yaml` has the model's dimensions, for the plan. Recipes lie in `train/recipes`, and in the folder that
`CHIMED_RECIPES` names, which may lie on S3 so that every pod sees it (`recipe_files`).
"""

import re
from typing import Any

from chimed.errors import UserError, choose
from chimed.train import recipe_files
from chimed.train.overrides import named, of_phase, parted, parts, written

PHASES = ("cpt", "sft", "dpo")  # the paper's
OPTIONAL = ("kto", "orpo", "grpo")  # ours: neighbours of dpo, and learning by rewards that can be checked
EVERY_PHASE = (*PHASES, *OPTIONAL)
# The phase that a phase starts from, where its recipe does not say another (`after`)
AFTER = {"sft": "cpt", "dpo": "sft", "kto": "sft", "orpo": "sft", "grpo": "dpo"}

# Fields that are not TRL's, with the type of their values.
OURS: dict[str, object] = {
    "gpus": int,  # how many a pod asks for; on any other number that can share the batch the training is the same
    # Over all GPUs, where TRL's batch size counts one; `per_device_train_batch_size` is then the most that fits a GPU's
    # memory, and accumulation is worked out. grpo counts completions.
    "global_batch_size": int,
    "reasoning": bool,  # sft also learns from the release's subset reasoning, the thought before the answer included
    "most_lost": float,  # the share of rows that may have no counted token left within max_length
    "most_cut": float,  # and that may be cut by it, before the run stops
    "after": str,
    "mix": str,  # general data: a folder, a name of the hub, or release:<version>/<subset>
    "mix_share": float,  # of all tokens that are trained on
    "mix_revision": str,  # a branch, tag or commit of the hub
    "accelerate_config": str,  # one of TRL's (fsdp2, zero3, ...) or a file's path
    "early_stopping_patience": int,  # validations without a better loss after which training ends
    "early_stopping_threshold": float,  # how much lower a better loss is
    "items": str,  # exam items of a training split, for grpo: a folder or a name of the hub
    "most_items": int,
    "items_held_out": float,  # the share of items on which the reward is measured and nothing is learnt
    "grounded_share": float,  # of grpo's prompts: questions about a document of the release
}
# The numbers that a field may have, from and to; a plan or a run would trip over others.
ABOVE_ZERO = 1e-12
RANGES = {
    **dict.fromkeys(("learning_rate", "num_train_epochs"), (ABOVE_ZERO, 1e6)),
    **dict.fromkeys(
        ("gpus", "global_batch_size", "per_device_train_batch_size", "per_device_eval_batch_size"), (1, 1e6)
    ),
    **dict.fromkeys(("lora_r", "lora_alpha", "max_length", "num_generations", "early_stopping_patience"), (1, 1e9)),
    **dict.fromkeys(("lora_dropout", "warmup_ratio", "most_lost", "most_cut", "grounded_share"), (0, 1)),
    **dict.fromkeys(("mix_share", "items_held_out"), (ABOVE_ZERO, 1)),
}
NEEDED = ("gpus", "global_batch_size", "per_device_train_batch_size", "learning_rate", "dtype")

# Phases whose result depends on how many rows the GPUs take at once, and so on how many GPUs there are: kto estimates
# its KL term from those rows, orpo takes the mean of their losses. What a run had is kept, and not changed under way.
BY_ROWS = ("kto", "orpo")

# Fields that say how the work is done and what is told of it; the model that comes out is the same.
FREE = (
    *("gpus", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_checkpointing"),
    *("most_lost", "most_cut", "dataset_num_proc", "dataloader_num_workers", "dataloader_pin_memory", "ddp_timeout"),
    *("logging_steps", "save_steps", "save_total_limit", "eval_steps", "report_to", "run_name", "project"),
    *("logging_dir", "trackio_space_id", "accelerate_config"),
)
MOST_DEEP = 5  # files that extend each other


def names() -> list[str]:
    """Return the recipes that can be named: built in, or of `CHIMED_RECIPES`."""
    return [name for name, fault in recipe_files.listed(EVERY_PHASE).items() if fault is None]


def faults() -> dict[str, str | None]:
    """Return every recipe there is with the first thing that is wrong with it or a file of it; None: nothing is."""
    found = recipe_files.listed(EVERY_PHASE)
    return {name: fault or _first_fault(name) for name, fault in found.items()}


def _first_fault(recipe: str) -> str | None:
    try:
        for phase in phases_of(recipe):
            load(recipe, phase)
        shape(recipe)
    except UserError as error:
        return str(error)
    return None


def known(recipe: str) -> str:
    """Return the name of a recipe, overrides included, in its one way of writing. Raises UserError for what is none."""
    plain, _ = parted(recipe)
    there = recipe_files.listed(EVERY_PHASE)
    if fault := there.get(plain):
        raise UserError(f"recipe {plain}: {fault}")
    choose("recipe", plain, [name for name, fault in there.items() if fault is None])
    return named(recipe, (), EVERY_PHASE)


def known_phase(phase: str, more: tuple[str, ...] = ()) -> str:
    """Return the name of a phase. more: other names that may stand in its place. Raises UserError for what is none."""
    if phase.partition(",")[0] in names():
        raise UserError(f"{phase} is a recipe, and here stands a phase; write --recipe {phase}")
    return choose("phase", phase, (*more, *EVERY_PHASE))


def named_with(recipe: str, overrides: list[str], phase: str | None = None) -> str:
    """Return the name of a recipe with overrides as a person types them (`learning_rate=1e-4`), for a phase or all.

    Raises UserError where the phase does not build on the one that an override is for: it would change nothing.
    """
    known(recipe)
    made = named(recipe, overrides, EVERY_PHASE, phase)
    if phase in EVERY_PHASE:
        line = chain(made, phase)
        for of in phases_named(",".join(["", *parts(overrides)])):
            if of not in line:
                before = f"comes after {' and '.join(line[:-1])}" if len(line) > 1 else "comes first"
                raise UserError(f"a setting of {of} changes nothing in {phase}, which {before}; leave it out")
    return made


def phases_named(recipe: str) -> list[str]:
    """Return the phases that overrides in a recipe's name are for."""
    return sorted({key.partition(".")[0] for key in parted(recipe)[1] if "." in key})


def placed(recipe: str, phase: str) -> str:
    """Return the name under which a phase of a recipe is kept: without what does not change what comes out of it.

    That is what is set for another phase which this one does not build on, and what is free to change.
    """
    plain, overrides = parted(recipe)
    if not overrides:
        return plain
    line = chain(recipe, phase)
    free = {one: free_fields(one, load(recipe, one)) for one in line}
    kept = {}
    for key, value in overrides.items():
        of, _, field = key.rpartition(".")
        if any(one in line and field not in free[one] for one in ([of] if of else line)):
            kept[key] = value
    return written(plain, kept)


def told_apart(recipe: str) -> str:
    """Return the name under which a recipe's models are scored: without what is free to change in every phase."""
    plain, overrides = parted(known(recipe))
    kept = {}
    for key, value in overrides.items():
        of, _, field = key.rpartition(".")
        if any(field not in free_fields(one, load(recipe, one)) for one in ([of] if of else phases_of(recipe))):
            kept[key] = value
    return written(plain, kept)


def free_fields(phase: str, fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields that may change between two attempts at a phase.

    Of the phases `BY_ROWS` the rows at once may not. Where the best checkpoint is kept, the steps at which there is one
    decide which that is.
    """
    tied = {"per_device_train_batch_size"} if phase in BY_ROWS else set()
    if fields.get("load_best_model_at_end"):
        tied |= {"eval_steps", "save_steps"}
    return tuple(field for field in FREE if field not in tied)


def chain(recipe: str, phase: str) -> tuple[str, ...]:
    """Return the phases that lead to one, itself the last: `after` of the recipe says which is before which."""
    line = [phase]
    while (before := before_of(recipe, line[0])) is not None:
        if before in line:
            raise UserError(f"{recipe}: {before} comes after itself; change `after` in {line[0]}.yaml")
        line.insert(0, before)
    return tuple(line)


def before_of(recipe: str, phase: str) -> str | None:
    """Return the phase that one starts from; None for the first."""
    if phase == PHASES[0]:
        return None
    after = load(recipe, phase).get("after", AFTER[phase]) if phase in OPTIONAL else AFTER[phase]
    return choose("phase (after)", str(after), EVERY_PHASE)


def phases_of(recipe: str) -> tuple[str, ...]:
    """Return the phases that a recipe has a file for."""
    plain, _ = parted(recipe)
    return tuple(phase for phase in EVERY_PHASE if recipe_files.read(plain, f"{phase}.yaml") is not None)


def load(recipe: str, phase: str) -> dict[str, Any]:
    """Return a recipe's fields for a phase, with its overrides. Raises UserError where a needed one is not there."""
    plain, overrides = parted(recipe)
    fields = _fields(plain, phase, MOST_DEEP) | of_phase(overrides, phase)
    fields = {name: value for name, value in fields.items() if value is not None}
    if missing := set(NEEDED) - fields.keys():
        raise UserError(f"recipe {phase}.yaml of {recipe} does not set {', '.join(sorted(missing))}")
    # YAML reads 1e-5 as text: only 1.0e-5 is a number to it
    rate = fields["learning_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise UserError(f"learning_rate of {recipe}/{phase} is not a number; write it as 1.0e-5")
    fields["learning_rate"] = float(rate)
    check_ranges(fields, f"{recipe}/{phase}")
    return fields


def check_ranges(fields: dict[str, Any], where: str) -> None:
    """Raise UserError for a number that its field cannot have: a batch of 0, a rate below 0, a share above 1, nan."""
    for name, (least, most) in RANGES.items():
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{where}: {name} is {value!r}, and that is not a number")
        if not least <= value <= most:
            wanted = f"above 0 and at most {most:g}" if least == ABOVE_ZERO else f"from {least:g} to {most:g}"
            raise UserError(f"{where}: {name} is {value!r}; it must be {wanted}")


def _fields(recipe: str, phase: str, deep: int, named_by: str = "") -> dict[str, Any]:
    """Return a file's fields on top of those that it extends. named_by: the file that extends this one."""
    text = recipe_files.read(recipe, f"{phase}.yaml")
    if text is None:
        have = ", ".join(phases_of(recipe))
        what = f"recipe {recipe} has no {phase}.yaml; it has {have}" if have else f"there is no recipe {recipe}"
        raise UserError(f"{named_by}{what}" + ("" if have else f"; there are {', '.join(names())}"))
    where = f"recipe {recipe}/{phase}.yaml"
    fields = recipe_files.fields_of(text, where)
    base = fields.pop("extends", None)
    if base is None:
        return fields
    if not re.fullmatch(r"[\w.-]+(/[a-z]+)?", str(base)):
        raise UserError(f"{where} extends {base!r}; write the name of a recipe, or <recipe>/<phase>")
    if not deep:
        raise UserError(f"{where} extends {base!r}, and so on in a circle, or over more than {MOST_DEEP} files")
    other, _, of = str(base).partition("/")
    return _fields(other, of or phase, deep - 1, f"{where} extends {base}, and ") | fields


def shape(recipe: str) -> dict[str, Any] | None:
    """Return the dimensions of a recipe's model, as fields of its config in transformers; None where there are none.

    Those of the recipe it extends, where it has no `model.yaml` of its own.
    """
    plain, _ = parted(recipe)
    for _ in range(MOST_DEEP):
        if (text := recipe_files.read(plain, "model.yaml")) is not None:
            return recipe_files.fields_of(text, f"recipe {plain}/model.yaml")
        first = recipe_files.fields_of(recipe_files.read(plain, "cpt.yaml") or "{}", f"recipe {plain}/cpt.yaml")
        plain = str(first.get("extends") or "").partition("/")[0]
        if not plain:
            return None
    return None


def batches(global_batch: int, most_per_device: int, world: int) -> tuple[int, int]:
    """Return (rows a device takes at once, batches accumulated) whose product with `world` is exactly `global_batch`.

    Takes the largest number of rows that is no more than `most_per_device`. Raises UserError where the batch cannot
    be shared out evenly.
    """
    share, rest = divmod(global_batch, world)
    if rest or not share:
        fitting = [str(count) for count in range(1, min(global_batch, 64) + 1) if global_batch % count == 0]
        raise UserError(
            f"a global batch of {global_batch} cannot be divided among {world} GPUs; use {', '.join(fitting)} of them, "
            "or change global_batch_size in the recipe"
        )
    per_device = next(rows for rows in range(min(most_per_device, share), 0, -1) if share % rows == 0)
    return per_device, share // per_device


def fewer(asked: int, rows: int) -> str:
    """Return why a GPU takes fewer rows at once than the recipe allows."""
    return f"{asked} at once (per_device_train_batch_size) would not share the batch out evenly, {rows} do"
