"""The stages of a build, in order.

One name for one thing: stage = module here = table in the lake = command = Airflow task.

A stage module's docstring opens with its help text and names the paper's section. Its
`run(records, work) -> Outcome` is a function on one table; `chimed.build` reads and writes around it. A corpus stage
that only takes rows out has `judge(parts, work) -> Verdicts` instead, over a table of any size (`chimed.streaming`).
This file is light on purpose: Airflow parses it.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stage:
    """scope: shard (each part file on its own) or corpus (all of them). needs: what the machine must have."""

    name: str
    scope: Literal["shard", "corpus"]
    needs: Literal["cpu", "gpu", "llm"]
    skippable: bool = False


STAGES = (
    Stage("extract", "shard", "cpu"),
    Stage("dedup", "corpus", "cpu"),
    Stage("clean", "shard", "cpu"),
    Stage("perplexity", "shard", "gpu"),
    Stage("filter", "corpus", "cpu"),
    Stage("screen", "shard", "llm"),
    Stage("department", "shard", "llm", skippable=True),
    Stage("translate", "shard", "llm", skippable=True),
    Stage("generate_qa", "shard", "llm", skippable=True),
    Stage("prefer", "shard", "llm", skippable=True),
    Stage("decontaminate", "shard", "cpu", skippable=True),
    Stage("release", "corpus", "cpu"),
)
NAMES = tuple(stage.name for stage in STAGES)


def stage(name: str) -> Stage:
    """The stage of that name. Raises KeyError."""
    return {one.name: one for one in STAGES}[name]


def before(name: str) -> Stage | None:
    """The stage whose table `name` reads; None for the first."""
    place = NAMES.index(name)
    return STAGES[place - 1] if place else None
