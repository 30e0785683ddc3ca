"""Read the rubric: what a text is rated by, and how the criteria become one number (`llm/prompts/rate.yaml`). Ours.

The same file holds the judge's prompt, so one edit changes both. Four criteria are the judge's; the fifth, how much
medicine a text teaches, is counted: the share of its characters that are names of the term list.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from chimed.errors import UserError
from chimed.llm import prompts
from chimed.schema import QUALITY
from chimed.text.terms import load_terms

PROMPT = "rate"
FILE = Path(prompts.__file__).parent / f"{PROMPT}.yaml"
COUNTED = "teaches"
CRITERIA = tuple(name.removeprefix("quality_") for name in QUALITY[1:])
JUDGED = tuple(name for name in CRITERIA if name != COUNTED)
LEAST, MOST = 1, 5
KINDS = ("herbs", "formulas", "acupoints", "drugs", "diseases", "ailments")  # of `terms.yaml`


@dataclass(frozen=True)
class Rubric:
    """version: a hash of the whole file. titles: criterion → title in English and Chinese. weights: by criterion.

    edges: the shares of medical names from which on a text gets 2, 3, 4 and 5 for what it teaches.
    """

    version: str
    titles: dict[str, tuple[str, str]]
    weights: dict[str, float]
    edges: tuple[float, ...]

    def overall(self) -> pl.Expr:
        """Return the weighted mean of a row's criteria, to two places; null where one of them is."""
        total = pl.sum_horizontal(
            *(pl.col(f"quality_{name}") * weight for name, weight in self.weights.items()), ignore_nulls=False
        )
        return (total / sum(self.weights.values())).round(2)


@lru_cache
def load(file: Path = FILE) -> Rubric:
    """Read the rubric. Raises UserError where its criteria, weights or edges are not what they must be."""
    text = file.read_bytes()
    said = yaml.safe_load(text).get("rubric")
    if not isinstance(said, dict) or set(said) != set(CRITERIA):
        raise UserError(
            f"{file.name}: the rubric's criteria must be {', '.join(CRITERIA)}; they are columns of the release"
        )
    weights = {name: said[name].get("weight") for name in CRITERIA}
    if not all(_is_number(weight) and weight >= 0 for weight in weights.values()) or not sum(weights.values()):
        raise UserError(f"{file.name}: each criterion needs a weight of 0 or more, and one of them more than 0")
    edges = said[COUNTED].get("edges")
    rising = isinstance(edges, list) and all(map(_is_number, edges)) and edges == sorted(set(edges))
    if not rising or len(edges) != MOST - LEAST:
        raise UserError(f"{file.name}: {COUNTED} needs {MOST - LEAST} edges, each larger than the one before")
    titles = {name: (str(said[name].get("title", name)), str(said[name].get("title_zh", name))) for name in CRITERIA}
    return Rubric(f"{PROMPT}@{hashlib.sha256(text).hexdigest()[:8]}", titles, weights, tuple(edges))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache
def _names() -> list[str]:
    """Every name and synonym of the term list with more than one character: one alone is often part of a word."""
    terms = load_terms()
    every = {name for kind in KINDS for name in terms[kind]} | {name for line in terms["same"] for name in line}
    return sorted(name for name in every if len(name) > 1)


def density(text: pl.Expr) -> pl.Expr:
    """Return the share of a text's characters that are in medical names, 0 to 1."""
    found = text.str.extract_many(_names(), leftmost=True).list.eval(pl.element().str.len_chars()).list.sum()
    return (found / text.str.len_chars().clip(1)).fill_null(0.0)


def teaches(share: pl.Expr, rubric: Rubric) -> pl.Expr:
    """Return what a text with this share of medical names gets for what it teaches, 1 to 5."""
    return pl.sum_horizontal(LEAST, *((share >= edge).cast(pl.Int32) for edge in rubric.edges)).cast(pl.Float64)
