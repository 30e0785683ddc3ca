"""Where recipes lie: built in, and in the folder of `CHIMED_RECIPES`, which may lie on S3. Ours.

A folder with a phase's file is a recipe. One that cannot be used is listed with what is wrong with it, and is refused
when it is named; the others do not care.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from chimed.characters import short
from chimed.errors import UserError
from chimed.settings import settings
from chimed.storage import lake as lakes

FOLDER = Path(__file__).parent / "recipes"
MOST_BYTES = 1 << 20  # of a recipe's file
_NAME = re.compile(r"[\w.-]+")


def listed(phases: tuple[str, ...]) -> dict[str, str | None]:
    """Return the recipes there are, and what is wrong with each; None for one that can be used.

    Of the files only the names are looked at. phases: whose files make a folder a recipe. Raises UserError where there
    is no folder `CHIMED_RECIPES`.
    """
    found: dict[str, str | None] = {one.name: None for one in FOLDER.iterdir() if (one / "cpt.yaml").exists()}
    built_in = set(found)
    if lake := _own():
        for name in sorted(lakes.names(lake, "")):
            try:
                held = set(lakes.names(lake, name)) if not name.startswith(".") else set()
            except OSError as error:
                found[name] = f"its folder cannot be read ({error.strerror or error}); change its rights"
                continue
            if held & {f"{phase}{ending}" for phase in phases for ending in (".yaml", ".yml")}:
                found[name] = _fault(name, held, built_in)
    return dict(sorted(found.items()))


def _fault(name: str, files: set[str], built_in: set[str]) -> str | None:
    if name in built_in:
        return f"{settings().recipes} (CHIMED_RECIPES) has a recipe of this name, and so has chimed; rename yours"
    if not _NAME.fullmatch(name):
        return "the name of a recipe has letters, digits and . _ - only; rename its folder"
    if "cpt.yaml" not in files:
        other = next((file for file in sorted(files) if file.endswith(".yml")), None)
        if other:
            return f"{other} does not count: a recipe's files end in .yaml; rename it"
        return "it has no cpt.yaml, with which every recipe begins; one line is enough there: extends: <another recipe>"
    return None


def _own() -> lakes.Lake | None:
    """Open the folder of `CHIMED_RECIPES`, where it is set. Raises UserError where there is none."""
    folder = settings().recipes
    if not folder:
        return None
    if "://" not in folder and not Path(folder).expanduser().is_dir():
        raise UserError(f"CHIMED_RECIPES is {folder}, and there is no such folder")
    return lakes.open_lake(folder if "://" in folder else str(Path(folder).expanduser().resolve()))


def read(recipe: str, name: str) -> str | None:
    """Return the text of a recipe's file; None where it has none."""
    if not _NAME.fullmatch(recipe):
        return None
    path = FOLDER / recipe / name
    if path.exists():
        return path.read_text(encoding="utf-8")
    lake = _own()
    if lake is None or not lakes.exists(lake, f"{recipe}/{name}"):
        return None
    try:
        return lakes.read_bytes(lake, f"{recipe}/{name}", most=MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise UserError(f"{recipe}/{name} of CHIMED_RECIPES is not UTF-8 text") from None


def fields_of(text: str, where: str) -> dict[str, Any]:
    """Return a file's fields. where: what an error calls it. Raises UserError for what is no mapping of names."""
    try:
        fields = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{where} is not YAML: line {line}, {short(str(error.problem), 100)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a character, a date that is none, lists in lists
        raise UserError(f"{where} is not YAML: {short(str(error), 100)}") from None
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise UserError(f"{where} is no list of fields with their values")
    return fields
