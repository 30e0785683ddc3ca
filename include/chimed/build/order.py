"""The stages of a build, in order.

One name for one thing: stage = module here = table in the lake = command = Airflow task.

A stage module's docstring opens with its help text and names the paper's section. Its `run(records, work) -> Outcome`
is a function on one table; `chimed.pipeline.runner` reads and writes around it. A stage that has to know the whole
corpus before it can judge a part has steps (`chimed.build.steps`): what they find is small, and each part is then
judged on its own. This file is light on purpose: Airflow parses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Step:
    """A step that a stage takes before its parts, in the module `<stage>_<name>`.

    over: one task for each part of the table before it, one for each range of the corpus's keys, or one for all of it.
    """

    name: str
    over: Literal["part", "range", "all"]


@dataclass(frozen=True)
class Stage:
    """scope: shard (each part file on its own) or corpus (all of them). needs: what the machine must have.

    steps: what has to be known of the whole corpus first, in order.
    """

    name: str
    scope: Literal["shard", "corpus"]
    needs: Literal["cpu", "gpu", "llm"]
    skippable: bool = False
    steps: tuple[Step, ...] = ()


STAGES = (
    Stage("extract", "shard", "cpu"),
    Stage("clean", "shard", "cpu"),
    Stage(
        "dedup",
        "shard",
        "cpu",
        steps=(
            Step("sign", "part"),
            Step("exact", "all"),
            Step("bucket", "range"),
            Step("verify", "range"),
            Step("resolve", "all"),
        ),
    ),
    Stage("perplexity", "shard", "gpu", skippable=True),
    Stage("filter", "shard", "cpu", steps=(Step("threshold", "all"),)),
    Stage("screen", "shard", "llm"),
    Stage("department", "shard", "llm", skippable=True),
    Stage("translate", "shard", "llm", skippable=True),
    Stage("generate_qa", "shard", "llm", skippable=True),
    Stage("prefer", "shard", "llm", skippable=True),
    Stage("decontaminate", "shard", "cpu", skippable=True),
    Stage("release", "corpus", "cpu"),
)
NAMES = tuple(stage.name for stage in STAGES)

# Builds that were opened before `build.json` told their stages: copies left before the texts were cleaned.
_UNTOLD = {
    "extract": "shard", "dedup": "corpus", "clean": "shard", "perplexity": "shard", "filter": "corpus",
    "screen": "shard", "department": "shard", "translate": "shard", "generate_qa": "shard", "prefer": "shard",
    "decontaminate": "corpus", "release": "corpus",
}  # fmt: skip


def stage(name: str, among: Sequence[Stage] = STAGES) -> Stage:
    """The stage of that name. Raises KeyError."""
    return {one.name: one for one in among}[name]


def before(name: str, among: Sequence[Stage] = STAGES) -> Stage | None:
    """The stage whose table `name` reads; None for the first."""
    names = [one.name for one in among]
    place = names.index(name)
    return among[place - 1] if place else None


def told() -> list[list[str]]:
    """The stages as a new build's `build.json` keeps them: name and scope of each, in order."""
    return [[one.name, one.scope] for one in STAGES]


def of_build(made: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of a build in the order and with the scopes it was opened with (`made`: its build.json)."""
    kept = made.get("stages") or list(_UNTOLD.items())
    return tuple(replace(stage(name), scope=scope) for name, scope in kept)
