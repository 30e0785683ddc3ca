"""Estimate what a build still has to ask the models: requests, tokens and hours, before anything is paid. Ours.

Unfinished model stages run without sending anything: replies in the store are used, all others are counted. Rows
without a reply go on to the next stage, and unfinished perplexity scores and cuts are assumed to drop nothing. Requests
that depend on missing replies are estimated if their round declares them (a verdict for each answer), else left out
(second tries of a translation, preferences and reasons about questions not generated yet).
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from sqlalchemy import func, select

from chimed.build import order, reports
from chimed.build.builds import count_parts, list_builds, read_stage, stages_of
from chimed.build.context import StageContext
from chimed.build.contract import Expected, ModelStage, SteppedStage, load_stage
from chimed.errors import UserError
from chimed.llm import connecting
from chimed.llm.asking import NOT_ASKED, PlannedRequest, ask_models
from chimed.schema import RECORD
from chimed.storage.store import Store
from chimed.storage.store_tables import REPLIES

TOKENS_PER_CHARACTER = 0.7  # of Qwen3 on Chinese text; used if the store has no replies to measure


@dataclass(frozen=True)
class Sizes:
    """Sizes of earlier replies to a prompt: tokens per character of the messages, tokens per answer."""

    tokens_a_character: float
    completion_tokens: float | None


def estimate_build(work: StageContext, rate: float | None = None) -> dict[str, Any]:
    """Estimate the requests, tokens and hours that a build's model stages still need, by stage and prompt and in sum.

    rate: tokens a second, prompt and completion together; by default the rate measured in earlier reports. Raises
    UserError if extract is not done, or if no rate was ever measured and none is given.
    """
    planned = _plan_requests(work)
    speed = rate or measure_rate(work)
    if speed is None and any(not one.known for _, one in planned):
        raise UserError("no LLM stage has been measured in any build yet; give --rate in tokens a second")
    groups: dict[tuple[str, str, str], list[PlannedRequest]] = defaultdict(list)
    brought: dict[tuple[str, Expected], list[PlannedRequest]] = defaultdict(list)
    for stage, one in planned:
        groups[stage, one.question.request.prompt, one.server.who].append(one)
        for brings in () if one.known else one.brings:
            brought[stage, brings].append(one)
    entries = [_entry(work, *key, several, speed) for key, several in groups.items()]
    entries += [
        _entry_for_expected(work, stage, brings, several, speed) for (stage, brings), several in brought.items()
    ]
    sums = {
        name: round(sum(one[name] for one in entries), 6)
        for name in ("requests", "remain", "prompt_tokens", "completion_tokens", "hours")
    }
    return {"build": work.build, "tokens_per_second": speed and round(speed, 1), **sums, "stages": entries}


def _plan_requests(work: StageContext) -> list[tuple[str, PlannedRequest]]:
    """Return every request that the unfinished stages would send, with its stage."""
    found: list[tuple[str, PlannedRequest]] = []
    records = None
    for stage in stages_of(work.lake, work.build):
        if _is_done(work, stage.name):
            records = read_stage(work.lake, work.build, stage.name)
        elif records is None:
            count_parts(work.lake, work.build, stage.name)  # raises with the command to run
        elif stage.asks_models and stage.name not in work.options.skip:
            planning = replace(work, planned=[])
            loaded = load_stage(stage)
            does = loaded.asks if isinstance(loaded, SteppedStage) else loaded
            assert isinstance(does, ModelStage)
            outcome = ask_models(stage.name, does, records, planning)
            found += [(stage.name, one) for one in planning.planned or []]
            unanswered = outcome.dropped.filter(pl.col("reason") == NOT_ASKED)
            records = pl.concat([frame.select(RECORD.names) for frame in (outcome.kept, outcome.derived, unanswered)])
    return found


def _is_done(work: StageContext, stage: str) -> bool:
    try:
        count_parts(work.lake, work.build, stage)
    except UserError:
        return False
    return True


def _entry(
    work: StageContext, stage: str, prompt: str, model: str, several: list[PlannedRequest], speed: float | None
) -> dict[str, Any]:
    remain = [one for one in several if not one.known]
    sizes = _measure_sizes(work.store, prompt, model)
    characters = sum(len(message["content"]) for one in remain for message in one.question.request.messages)
    most = remain[0].question.request.sampling.get("max_tokens", 256) if remain else 0
    answer = most if sizes.completion_tokens is None else sizes.completion_tokens
    return _make_entry(
        work, stage, prompt, model, len(several), len(remain), characters * sizes.tokens_a_character, answer, speed
    )


def _entry_for_expected(
    work: StageContext, stage: str, brings: Expected, answers: list[PlannedRequest], speed: float | None
) -> dict[str, Any]:
    """Estimate the requests that follow from answers that do not exist yet."""
    remain = round(len(answers) * brings.times)
    model = (connecting.judge_server(work) if brings.server == "judge" else connecting.generator_server(work)).who
    sizes = _measure_sizes(work.store, brings.prompt, model)
    characters = brings.times * sum(one.question.about * brings.about + brings.more for one in answers)
    answer = brings.tokens if sizes.completion_tokens is None else sizes.completion_tokens
    return _make_entry(
        work, stage, brings.prompt, model, remain, remain, characters * sizes.tokens_a_character, answer, speed
    )


def _make_entry(
    work: StageContext,
    stage: str,
    prompt: str,
    model: str,
    requests: int,
    remain: int,
    prompt_tokens: float,
    answer: float,
    speed: float | None,
) -> dict[str, Any]:
    tokens = prompt_tokens + remain * answer
    return {
        "stage": stage,
        "prompt": prompt,
        "model": model,
        "requests": requests,
        "remain": remain,
        "prompt_tokens": round(prompt_tokens),
        "completion_tokens": round(remain * answer),
        "hours": round(tokens / speed / 3600, 6) if speed else 0.0,
    }


def _measure_sizes(store: Store, prompt: str, model: str) -> Sizes:
    """Return the sizes of the store's replies to this prompt, or what is usual for Qwen3 if there are none."""
    column = REPLIES.c
    wanted = select(
        func.sum(column.prompt_tokens), func.sum(func.length(column.messages)), func.avg(column.completion_tokens)
    ).where(column.prompt == prompt, column.model == model)
    with store.engine.connect() as connection:
        tokens, characters, answer = connection.execute(wanted).one()
    if not characters:
        return Sizes(TOKENS_PER_CHARACTER, None)
    return Sizes(float(tokens) / float(characters), float(answer))


def measure_rate(work: StageContext) -> float | None:
    """Return tokens a second while asking, from the newest build that asked models; None if none did."""
    for version in reversed(list_builds(work.lake)):
        tokens, seconds = 0, 0.0
        for stage in order.STAGES:
            for report in reports.read_all(work.lake, version, stage.name) if stage.asks_models else []:
                for spent in report.get("figures", {}).values():
                    if isinstance(spent, dict) and spent.get("wall_seconds"):
                        tokens += spent["prompt_tokens"] + spent["completion_tokens"]
                        seconds += spent["wall_seconds"]
        if seconds:
            return tokens / seconds
    return None
