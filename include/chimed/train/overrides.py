"""Settings in the name of a recipe: `qwen3-1.7b,sft.learning_rate=0.0001` is that recipe with another rate in sft.

An override is `<field>=<value>`, which counts for every phase, or `<phase>.<field>=<value>`. Because the overrides are
part of the name, a model, its scores and its place in the lake are told apart from those of the plain recipe, and every
command that takes a recipe takes such a name. A phase that an override does not touch is shared with the plain recipe.
"""

import math
import re
from collections.abc import Iterable

import yaml

from chimed import lists
from chimed.errors import UserError, choose

# A value becomes part of a folder's name and of an address of S3.
_VALUE = re.compile(r"[\w.+-]{1,100}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,60}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def parted(name: str) -> tuple[str, dict[str, object]]:
    """Return (the plain recipe, the overrides) of a name; an override's key is `<field>` or `<phase>.<field>`."""
    recipe, *overrides = name.split(",")
    return recipe, dict(read(one) for one in overrides)


def read(override: str) -> tuple[str, object]:
    """Return an override as (key, value). Raises UserError for one that is not `[<phase>.]<field>=<value>`."""
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not _FIELD.fullmatch(key.rpartition(".")[2]):
        raise UserError(f"{override!r} is no setting of a recipe; write <field>=<value> or <phase>.<field>=<value>")
    if not _VALUE.fullmatch(text):
        raise UserError(
            f"the value of {key} may hold letters, digits and . _ + - only; a list, a path or a hub name is written in "
            "a recipe of your own (CHIMED_RECIPES)"
        )
    if _NUMBER.fullmatch(text):  # YAML reads 1e-4 as text
        number = float(text)
        if not math.isfinite(number):
            raise UserError(f"{key}={text} is larger than any number")
        return key, int(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else number
    value = yaml.safe_load(text)
    return key, value if isinstance(value, bool) or value is None else text


def named(recipe: str, overrides: Iterable[str], phases: tuple[str, ...], phase: str | None = None) -> str:
    """Return the name of a recipe with overrides, each written in its one way; of two of one field the later counts.

    overrides: texts of one or several, by comma or white space. phases: names that may stand before a field. phase:
    what an override without a phase is for; None: every phase.
    """
    plain, known = parted(recipe)
    for one in parts(overrides):
        key, value = read(one)
        known[key if "." in key or phase is None else f"{phase}.{key}"] = value
    for key in known:
        if "." in key:
            choose("phase", key.partition(".")[0], phases)
    return written(plain, known)


def parts(overrides: Iterable[str]) -> list[str]:
    """Return single overrides of texts with one or several, by comma or white space."""
    return [one for text in overrides for one in lists.words(text)]


def written(recipe: str, overrides: dict[str, object]) -> str:
    """Return the name of a recipe with these overrides, sorted."""
    return ",".join([recipe, *(f"{key}={_text(value)}" for key, value in sorted(overrides.items()))])


def of_phase(overrides: dict[str, object], phase: str) -> dict[str, object]:
    """Return the fields that overrides set for a phase: what names the phase goes before what names none."""
    general = {key: value for key, value in overrides.items() if "." not in key}
    own = {key.partition(".")[2]: value for key, value in overrides.items() if key.startswith(f"{phase}.")}
    return general | own


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, float) else str(value)
