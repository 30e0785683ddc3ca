"""How near the judge of answers is to the models it judges, and to those that wrote what they learnt. Ours.

A model prefers what it or its family wrote (arXiv 2404.13076), so whoever reads a win rate has to know it.
"""

import re
from typing import Any

from chimed.release import public_name

_FAMILY = re.compile(r"[A-Za-z]+")


def family(model: str) -> str | None:
    """Return the family in a model's name, Qwen/Qwen3-32B-FP8 → qwen; None for a hash or another name without one."""
    name = public_name(model).split("/")[-1].split("@")[0]
    found = _FAMILY.match(name)
    return found[0].lower() if found and not re.fullmatch(r"[0-9a-f]{16}", name) else None


def kinship(judge: str, manifest: dict[str, Any], base: str) -> list[str]:
    """Return sentences on the judge's relations.

    manifest: of the release that was trained on. base: name or folder of the base model.
    """
    models = manifest.get("models", {})
    wrote = _answered(
        models,
        ("translate llm", "translate llm again", "generate_qa llm", "generate_qa llm_two_steps", "prefer writer"),
    )
    ranked = _answered(models, ("prefer judge",))
    said = []
    if judge in wrote:
        said.append(
            f"The judge, {judge}, is the model that wrote rows of the training data: it may prefer its own words."
        )
    elif relatives := sorted(one for one in wrote if family(one) and family(one) == family(judge)):
        said.append(
            f"The judge, {judge}, is of one family with {', '.join(relatives)}, which wrote rows of the training data: "
            "it may prefer words like its own."
        )
    if judge in ranked:
        said.append(
            "It also ranked the pairs of the preference data: a phase that learnt from them was trained to please it."
        )
    elif any(family(one) and family(one) == family(judge) for one in ranked):
        said.append("The judge that ranked the preference data is of its family.")
    if family(base) and family(base) == family(judge):
        said.append(f"It is of one family with the base model {public_name(base)}.")
    if not models:
        said.append("The release does not record which models wrote its rows, so the judge may be one of them.")
    return said or [f"The judge, {judge}, is of no family that wrote the training data or is trained here."]


def _answered(models: dict[str, list[str]], kinds: tuple[str, ...]) -> set[str]:
    return {one for kind in kinds for one in models.get(kind, ())}
