"""How many GPUs a recipe's phases take, without Polars: a DAG file is read every minute.

Reads the files as `chimed.train.recipe` does, with `extends`, but nothing on S3, which a DAG file does not wait for.
"""

from pathlib import Path

import yaml

import chimed
from chimed.settings import settings

FOLDER = Path(chimed.__file__).parent / "train" / "recipes"
MOST_DEEP = 5  # files that extend each other, as in chimed.train.recipe
MOST_BYTES = 1 << 20  # of a recipe's file


def slots() -> int:
    """Return the slots of the pool `gpus` that a training's pod takes: enough for every recipe that a form may name.

    A task's slots are fixed before anybody fills in the form. Never more than `CHIMED_GPUS`, which are all there are:
    a recipe that wants more is refused when its run begins.
    """
    names = {path.parent.name for folder in _folders() for path in folder.glob("*/*.yaml")} | {settings().recipe}
    return max(1, min(settings().gpus, max(map(most_gpus, names))))


def most_gpus(recipe: str) -> int:
    """Return the most GPUs that a phase of a recipe takes.

    All of `CHIMED_GPUS` where that cannot be read here: the recipe lies on S3, is unknown or wrong. A pool's slots that
    are too many make tasks wait; too few would start more pods than there are GPUs.
    """
    phases = {path.stem for folder in _folders() for path in (folder / recipe).glob("*.yaml")} - {"model"}
    found = [_gpus(recipe, phase, MOST_DEEP) for phase in sorted(phases)]
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else settings().gpus


def _folders() -> list[Path]:
    own = settings().recipes
    return [FOLDER] if not own or "://" in own else [FOLDER, Path(own).expanduser()]


def _gpus(recipe: str, phase: str, deep: int) -> int | None:
    """Return the GPUs of a phase, its own or those of the file that it extends; None where neither says."""
    for folder in _folders():
        file = folder / recipe / f"{phase}.yaml"
        try:
            if not file.is_file() or file.stat().st_size > MOST_BYTES:
                continue
            fields = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # the training itself says what is wrong with it
            return None
        if not isinstance(fields, dict):
            return None
        if "gpus" in fields:
            own = fields["gpus"]
            return own if isinstance(own, int) and not isinstance(own, bool) and own > 0 else None
        base, _, of = str(fields.get("extends") or "").partition("/")
        return _gpus(base, of or phase, deep - 1) if base and deep else None
    return None
