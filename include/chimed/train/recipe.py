"""A recipe: `recipes/<model>/<phase>.yaml`, in TRL's own field names; the numbers of the paper's Table 5.

They are fields of TRL's SFTConfig or DPOConfig and of its ModelConfig. Four fields are ours. `global_batch_size`: the
paper's batch size counts over all GPUs and TRL's does not; `per_device_train_batch_size` is then the most that fits one
GPU's memory, and accumulation is worked out. `gpus`: how many a pod of this recipe asks for; on any other number that
can share the batch the training is the same. `most_lost` and `most_cut`: the share of rows that may have no counted
token left within `max_length`, and that may be cut by it, before the run stops; 0.01 and 0.1 where a recipe is silent.
`recipes/<model>/model.yaml` has the model's dimensions, for the plan.
"""

from pathlib import Path

import yaml

from chimed.errors import UserError

FOLDER = Path(__file__).parent / "recipes"
PHASES = ("cpt", "sft", "dpo")
OURS = ("gpus", "global_batch_size", "most_lost", "most_cut")


def names() -> list[str]:
    """The recipes there are: folders with one file a phase."""
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "cpt.yaml").exists())


def load(recipe: str, phase: str) -> dict:
    """A recipe's fields for one phase. Raises UserError where it lacks what every run needs."""
    path = FOLDER / recipe / f"{phase}.yaml"
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = {"gpus", "global_batch_size", "per_device_train_batch_size", "learning_rate", "dtype"} - fields.keys()
    if missing:
        raise UserError(f"recipe {path.name} of {recipe} does not set {', '.join(sorted(missing))}")
    # YAML reads 1e-5 as text: only 1.0e-5 is a number to it
    if not isinstance(fields["learning_rate"], float):
        raise UserError(f"learning_rate of {recipe}/{phase} is not a number; write it as 1.0e-5")
    return fields


def shape(recipe: str) -> dict | None:
    """The dimensions of a recipe's model, as fields of its config in transformers; None for a recipe without them."""
    path = FOLDER / recipe / "model.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def batches(global_batch: int, most_per_device: int, world: int) -> tuple[int, int]:
    """(rows a device takes at once, batches accumulated) whose product with `world` is exactly `global_batch`.

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
