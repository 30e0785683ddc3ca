"""How a release was made and how far to trust it: its build's inputs, ledger, verdicts, reviews and cost (paper §3.2).

All of it from the build's reports and the store's reviews. It goes into the manifest, and the card is written from
there, so a patch of the release can tell it again without the build.
"""

import hashlib
from collections import Counter
from typing import Any

import polars as pl
import pyarrow as pa
from sqlalchemy import select

import chimed
from chimed.build import inputs
from chimed.build.builds import count_parts, read_build
from chimed.build.context import StageContext
from chimed.build.corpus import Parts
from chimed.build.ledger import read_ledger
from chimed.intervals import wilson
from chimed.llm import prompts
from chimed.release import public_name
from chimed.release.pairs import preferences
from chimed.release.people import rated_by_people
from chimed.release.statistics import PERPLEXITY_EDGES, histogram, occurrences
from chimed.schema import WORD_COLUMNS, words
from chimed.sources import FILES
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.storage.store_tables import REVIEWS

# the stage that asks with a prompt, where it does not have its name
ASKED_BY = {
    "sensitive": "screen",
    "translate_again": "translate",
    "answer": "prefer",
    "judge": "prefer",
    "reason_choice": "reason",
    "two_steps": "generate_qa",
}

# what decides over a build's bytes besides its options
_SETTINGS = ("perplexity_model", "llm_model", "llm_checkpoint", "judge_model", "judge_checkpoint", "contact")
_COSTS = ("requests", "known", "refused", "prompt_tokens", "completion_tokens", "characters", "seconds", "gpu_seconds")


def making(work: StageContext) -> dict[str, Any]:
    """Return what a manifest tells besides checksums: inputs, settings, ledger, quality and cost of the build."""
    made = read_build(work.lake, work.build)
    entries = read_ledger(work.lake, work.build)
    figures = {entry["stage"]: entry["figures"] for entry in entries}
    costs = [cost for stage, shards in figures.items() for cost in _costs(stage, shards)]
    return {
        "build": work.build,
        "number": made.get("number", 0),
        "code": chimed.__version__,
        "libraries": {"polars": pl.__version__, "pyarrow": pa.__version__},
        "options": made["options"],
        "settings": {name: _public(name, getattr(work.settings, name)) for name in _SETTINGS},
        "crawls": inputs.list_crawls(made["shards"]),
        "inputs": [_crawl(work.lake, crawl) for crawl in inputs.list_crawls(made["shards"])],
        "prompts": _prompts({one["stage"] for one in costs if one.get("requests")}, made["options"]),
        "models": _models(figures),
        "ledger": [_counts(entry) for entry in entries],
        "figures": {stage: _plain(shards) for stage, shards in figures.items()},
        "perplexity": _perplexity(work, figures),
        "screening": screening(work),
        "judge": _judge(_plain(figures["prefer"])),
        "two_steps": _two_steps(figures.get("generate_qa", [])),
        "preferences": preferences(figures["prefer"]),
        "reasons": _reasons(figures.get("reason", [])),
        "rating": _rating(work, figures.get("rate", [])),
        "diversity": diversity(figures.get("diversify", [])),
        "exams": _by_exam(figures["decontaminate"]),
        "cost": costs,
    }


def _public(name: str, value: str) -> str:
    return public_name(value) if name.endswith(("_model", "_checkpoint")) else value


def _crawl(lake: Lake, crawl: str) -> dict[str, Any]:
    """Return a crawl and what fixes its bytes: the hash of its index, which holds every response's digest.

    Of a corpus's files the crawl's own name is that hash; form, files, ingested and rights are told besides.
    """
    report = lakes.read_json(lake, layout.raw(crawl, layout.REPORT))
    index = layout.raw(crawl, layout.INDEX)
    digest = hashlib.sha256(lakes.read_bytes(lake, index)).hexdigest() if lakes.exists(lake, index) else None
    told = {"crawl": crawl, "pages": report.get("pages"), "replica": report.get("replica", False), "index": digest}
    if report.get("form") != FILES:
        return told
    more = {"files": report["files"], "ingested": report["finished"], "rights": report.get("rights", {})}
    return told | {"form": FILES, **more}


def _prompts(asked: set[str], options: dict[str, Any]) -> list[str]:
    """<name>@<hash> of the prompts of the stages that asked a model in this build."""
    names = [name for name in prompts.names() if name != "two_steps" or options.get("hops", 1) > 1]
    return [prompts.load(name).version for name in names if ASKED_BY.get(name, name) in asked]


def _models(figures: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Who really answered (identity.py), for each kind of request of each stage: `<stage> <kind>` → identities."""
    found: dict[str, set[str]] = {}
    for stage, shards in figures.items():
        for one in shards:
            for kind, spent in one.items():
                if _is_cost(spent) and spent.get("model"):
                    found.setdefault(f"{stage} {kind}", set()).add(spent["model"])
    return {kind: sorted(models) for kind, models in found.items()}


# --- the reports ------------------------------------------------------------------------------------------------


def _counts(entry: dict[str, Any]) -> dict[str, Any]:
    told = ("stage", "read", "kept", "dropped", "failed", "derived", "derived_dropped", "skipped")
    return {name: entry[name] for name in told}


def _plain(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a stage's plain figures: counts added up over its shards, other values where all shards say the same."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in shards for name in one):
        values = [one[name] for one in shards if name in one]
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            merged[name] = sum(values)
        elif not isinstance(values[0], dict | list) and all(value == values[0] for value in values):
            merged[name] = values[0]
    return merged


def _by_exam(shards: list[dict[str, Any]]) -> dict[str, int]:
    """Characters that left because they held a question, by exam."""
    total: Counter[str] = Counter()
    for one in shards:
        total.update(one.get("characters_by_exam", {}))
    return dict(sorted(total.items()))


def _costs(stage: str, shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each kind of request of a stage cost this build; what was known before cost nothing again."""
    found = []
    for kind in dict.fromkeys(name for one in shards for name, value in one.items() if _is_cost(value)):
        spent = [one[kind] for one in shards if _is_cost(one.get(kind))]
        total = {name: sum(one[name] for one in spent) for name in _COSTS if all(name in one for one in spent)}
        per_million = None
        if total.get("gpu_seconds") and total.get("characters"):
            per_million = round(total["gpu_seconds"] / total["characters"] * 1e6, 1)
        found.append({"stage": stage, "kind": kind, **total, "gpu_seconds_per_million": per_million})
    return found


def _is_cost(value: object) -> bool:
    return isinstance(value, dict) and "prompt_tokens" in value


# --- quality ----------------------------------------------------------------------------------------------------


def _perplexity(work: StageContext, figures: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the distribution before the cut, to two places, where the cut was, and what scoring cost."""
    values, characters = occurrences(pl.Series(dtype=pl.Float64)), 0
    for batch in stage_parts(work, "perplexity").read(["perplexity", *WORD_COLUMNS]):
        found = [values, occurrences(batch["perplexity"].round(2))]
        values = pl.concat(found).group_by("value").agg(pl.col("rows").sum()).sort("value")
        characters += int(batch.select(words().str.len_chars().sum()).item() or 0)
    shards = figures["perplexity"]
    return {
        "cut": _plain(figures["filter"]).get("perplexity_cut_at"),
        **histogram(values, PERPLEXITY_EDGES),
        "characters": characters,
        "seconds": round(sum(one.get("seconds", 0.0) for one in shards), 3),
        "device": next((one["device"] for one in shards if "device" in one), None),
        **{name: sum(one.get(name, 0) for one in shards) for name in ("known", "scored")},
    }


def stage_parts(work: StageContext, stage: str) -> Parts:
    """Return the table of a finished stage, to be read in batches. Raises UserError where the stage is not finished."""
    parts = range(count_parts(work.lake, work.build, stage))
    return Parts(work.lake, tuple(layout.build(work.build, stage, layout.kept(part)) for part in parts))


def screening(work: StageContext) -> dict[str, Any] | None:
    """How often reviewers agree with `screen`, of what it flagged and of what it let pass; None without reviews.

    Keys flagged and passed, each: records reviewed, agreed, and the Wilson interval of the share; None where none.
    A reviewer's verdict is the word the stage would have had to say, `flagged` or `passed`; the last one counts.
    """
    verdicts = _verdicts(work.store, "screen")
    if not verdicts:
        return None
    reviewed = pl.col("id").is_in(sorted(verdicts))
    folder = layout.build(work.build, "screen")
    left = [f"{folder}/{name}" for name in lakes.names(work.lake, folder) if name.startswith("dropped-")]
    gone = (batch for path in left for batch in lakes.read_batches(work.lake, path, ["id", "fate"]))
    flagged = {id for batch in gone for id in batch.filter(reviewed, fate="dropped")["id"]}
    kept = stage_parts(work, "screen").read(["id"])
    passed = {id for batch in kept for id in batch.filter(reviewed)["id"]}
    return {
        kind: _share(sum(verdict == kind for verdict in said), len(said)) if said else None
        for kind, ids in (("flagged", flagged), ("passed", passed))
        for said in [[verdict for record, verdict in verdicts.items() if record in ids]]
    }


def _verdicts(store: Store, stage: str) -> dict[str, str]:
    """Return the last verdict on every reviewed record of a stage."""
    with store.engine.connect() as connection:
        query = select(REVIEWS.c.record, REVIEWS.c.verdict).where(REVIEWS.c.stage == stage)
        rows = connection.execute(query.order_by(REVIEWS.c.created)).all()
    return {row.record: row.verdict for row in rows}


def _judge(figures: dict[str, Any]) -> dict[str, Any] | None:
    """How often the judge's verdict survived the swap of the two answers, with its interval; None where none was."""
    judged, survived = figures.get("judged"), figures.get("verdict_survived_swap")
    return _share(survived, judged) if judged and survived is not None else None


def _reasons(shards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How many questions got a reasoning, in all and by department; None where none was asked."""
    told = [one for one in shards if one.get("questions")]
    if not told:
        return None
    by_department: dict[str, Counter[str]] = {}
    for one in told:
        for name, counts in one["by_department"].items():
            by_department.setdefault(name, Counter()).update(counts)
    return {
        "questions": sum(one["questions"] for one in told),
        "kept": sum(one["reasoned"] for one in told),
        "tries": sum(one["tries"] for one in told),
        "by_department": {name: dict(by_department[name]) for name in sorted(by_department)},
    }


def _two_steps(shards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How many questions over two steps were made, and why the others were not; None where the build asks none."""
    told = [one["two_steps"] for one in shards if "two_steps" in one]
    if not told:
        return None
    rejected: Counter[str] = Counter()
    for one in told:
        rejected.update(one["rejected"])
    sums = {name: sum(one[name] for one in told) for name in ("allowed", "asked", "made")}
    return sums | {"rejected": dict(rejected.most_common())}


def _rating(work: StageContext, shards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How rows were rated: by which rubric, how many by the judge itself, how well the classifier agrees with it, and
    the judge with people. None where the build rates nothing, or was opened before there were ratings.
    """
    told = next((one for one in shards if "rubric" in one), None)
    if told is None:
        return None
    return {
        "rubric": told["rubric"],
        "judged": sum(one.get("judged", 0) for one in shards),
        "agreement": told.get("agreement", {}),
        "people": rated_by_people(work.store, work.build)["criteria"],
        "cut": sum(one["cut"] for one in told["cuts"].values()),
    }


DIVERSITY = ("sample", "clusters", "spread", "would_take", "paraphrases", "coverage", "departments", "unasked")


def diversity(shards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what rows vary in, as `diversify` measured it (`DiversifyFigures`); None where the build has not."""
    told = next((one for one in shards if "spread" in one), None)
    return None if told is None else {name: told[name] for name in DIVERSITY}


def _share(part: int, whole: int) -> dict[str, Any]:
    low, high = wilson(part, whole)
    return {"of": whole, "agreed": part, "low": low, "high": high}
