"""A judge reads what base and phases answered: which answer is better by the rubric, and which are safe. Ours.

    python -m chimed judge --recipe qwen3-1.7b --release latest

Open questions: for each phase the judge sees its answer beside the base model's in both orders, and a win or loss
counts only if it survives the swap (arXiv 2305.17926). Safety questions: each point of the rubric is judged with yes or
no for every model, and an answer is safe if it does everything that it must and nothing that it must not.

Replies are kept in the store as those of a build are, so nothing is asked twice. Written to
`answers/<release>/<recipe>/`: `verdicts.parquet`, a row a reply, and `judged.json`, written last. A judge is a model,
often a relative of the one that wrote the training data: the report says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.contract import UnusableReply
from chimed.build.ledger import TooManyFailed, too_many
from chimed.build.options import Options
from chimed.errors import UserError
from chimed.evaluate.answering import place, read_answers, read_report, trained_phases
from chimed.evaluate.judged import pairwise, safety
from chimed.evaluate.kinship import kinship
from chimed.evaluate.questions import OPEN_ENDED, SAFETY, Rubric
from chimed.evaluate.questions import load as load_set
from chimed.llm import asking, client, prompts
from chimed.llm.protocol import Refused, Request
from chimed.llm.reply import Reply
from chimed.release import find_release, read_manifest
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.train import recipe as recipes
from chimed.train.run import trained

LONGEST = 4_000  # characters of an answer that the judge sees
VERDICT_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
BETTER = {"choice": ["A", "B", "平"]}
NO_POINT = "（没有）"
NO_ANSWER = "（没有回答）"
_VERDICT = re.compile(r"(?:(?:答案|输出|结果)(?:是|为)?)?(?:回答)?(A|B|平|是|否)(?:更好|手)?")
_MARKS = re.compile(r"[\s*_`#.,:!()\[\]\"'。，：！“”‘’「」『』【】（）]+")
_WIDTH = str.maketrans("ＡＢａｂab", "ABABAB")

VERDICTS = pa.schema(
    [
        pa.field("set", pa.string(), False),
        pa.field("id", pa.string(), False),
        pa.field("kind", pa.string(), False),
        pa.field("model", pa.string(), False),
        # what was judged: the order of two answers (base first, base second), or the point of a rubric
        pa.field("about", pa.string(), False),
        # better, worse, tie; yes, no; empty where the reply could not be used
        pa.field("said", pa.string(), False),
        pa.field("reply", pa.string(), False),
    ]
)


@dataclass(frozen=True)
class Judgement:
    """A request to the judge, and what its row of `VERDICTS` says beside the reply."""

    request: Request
    about: dict[str, str]


def judge_answers(recipe: str, release: str) -> dict[str, Any]:
    """Have the judge read the answers to both sets, and return what `judged.json` holds.

    Raises UserError where base or every phase has not answered, or answered under other terms, and TooManyFailed where
    the judge's replies cannot be used.
    """
    lake, recipe = lakes.find_lake(), recipes.told_apart(recipe)
    release = find_release(lake, release)
    phases = trained_phases(lake, release, recipe)
    reports = {of: _reports(lake, release, recipe, of, ("base", *phases)) for of in (OPEN_ENDED, SAFETY)}
    work = StageContext(
        "judge", Options(judge_is_generator=True), lake, cache(_open_store), settings()
    )  # that the judge is a relative is told, not refused
    judge = client.judge_server(work)
    tables = {of: read_answers(lake, release, recipe, of, list(found)) for of, found in reports.items()}
    asked = [*_comparisons(tables[OPEN_ENDED]), *_points(tables[SAFETY])]
    replies = client.ask([one.request for one in asked], judge, work)
    rows = [one.about | _read(reply, one.about["set"]) for one, reply in zip(asked, replies, strict=True)]
    failed = [row for row in rows if not row["said"]]
    if too_many(len(failed), len(rows)):
        example = next((reply.text if isinstance(reply, Reply) else reply.reason for reply in replies), "")
        raise TooManyFailed(
            f"{len(failed)} of {len(rows)} replies of the judge {judge.who} could not be used, the first of all begins "
            f"{example[:80]!r}; {asking.USE_STRUCTURED_OUTPUTS}"
        )
    verdicts = pl.DataFrame(rows, schema_overrides=dict.fromkeys(("said", "reply"), pl.String))
    base = trained(lake, release, recipe, phases[0])
    result = {
        "judge": judge.who,
        "kinship": kinship(judge.who, read_manifest(lake, release), str(base["start"])),
        "answers": {of: {model: report["key"] for model, report in found.items()} for of, found in reports.items()},
        "sampling": reports[OPEN_ENDED]["base"]["sampling"],
        "cut": {of: {model: report["cut"] for model, report in found.items()} for of, found in reports.items()},
        "unused": len(failed),
        OPEN_ENDED: pairwise(verdicts.filter(pl.col("set") == OPEN_ENDED)),
        SAFETY: safety(verdicts.filter(pl.col("set") == SAFETY)),
        "prompts": [prompts.load(name).version for name in ("compare_by_rubric", "meets_point")],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    lakes.write_table(lake, layout.answers(release, recipe, "verdicts.parquet"), verdicts, VERDICTS)
    path = layout.answers(release, recipe, layout.JUDGED)
    lakes.write_json(lake, path, result)
    return lakes.read_json(lake, path)


def _open_store() -> Store:
    from chimed.storage.store import open_store

    return open_store()


def _reports(lake: Lake, release: str, recipe: str, of: str, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the reports of the models that answered a set. Raises UserError where they cannot be compared."""
    again = f"run: python -m chimed answer --recipe {recipe} --release {release}"
    places = {model: read_report(lake, place(release, recipe, of, model)) for model in models}
    found = {model: report for model, report in places.items() if report}
    if "base" not in found:
        raise UserError(f"the base model of {recipe} has not answered the set {of}; {again}")
    if len(found) < 2:
        raise UserError(f"no phase of {recipe} has answered the set {of} on release {release}; {again}")
    content = load_set(of).content
    for model, report in found.items():
        if report["content"] != content:
            raise UserError(f"{model} answered other questions or rubrics of {of} than there are now; {again}")
        if report["sampling"] != found["base"]["sampling"]:
            raise UserError(f"base and {model} answered {of} with other sampling; {again}")
        if model != "base" and report["base_model"] != found["base"]["model"]:
            raise UserError(f"{model} was trained from another base model than the one that answered; {again}")
    return found


def _comparisons(tables: dict[str, pl.DataFrame]) -> list[Judgement]:
    """Compare each phase's answer with base's, in both orders."""
    prompt, base = prompts.load("compare_by_rubric"), _by_id(tables["base"])
    made = []
    for model in (one for one in tables if one != "base"):
        answers = _by_id(tables[model])
        for rubric in load_set(OPEN_ENDED).questions:
            both = (base[rubric.id], answers[rubric.id])
            for about, (one, two) in (("base first", both), ("base second", both[::-1])):
                messages = prompts.build_messages(
                    prompt,
                    question=rubric.question,
                    must=_listed(rubric.must),
                    must_not=_listed(rubric.must_not),
                    answer1=one,
                    answer2=two,
                )
                request = Request(prompt.version, messages, VERDICT_SAMPLING, BETTER)
                made.append(Judgement(request, _row(OPEN_ENDED, rubric, model, about)))
    return made


def _points(tables: dict[str, pl.DataFrame]) -> list[Judgement]:
    """Judge each point of each safety question, for every model."""
    prompt = prompts.load("meets_point")
    made = []
    for model, table in tables.items():
        answers = _by_id(table)
        for rubric in load_set(SAFETY).questions:
            for kind, words, points in (("must", "做到了", rubric.must), ("must_not", "出现了", rubric.must_not)):
                for point in points:
                    messages = prompts.build_messages(
                        prompt, question=rubric.question, answer=answers[rubric.id], claim=f"这个回答{words}：{point}"
                    )
                    request = Request(prompt.version, messages, asking.YES_NO_SAMPLING, asking.YES_NO)
                    made.append(Judgement(request, _row(SAFETY, rubric, model, f"{kind}: {point}")))
    return made


def _row(of: str, rubric: Rubric, model: str, about: str) -> dict[str, str]:
    return {"set": of, "id": rubric.id, "kind": rubric.kind, "model": model, "about": about}


def _by_id(table: pl.DataFrame) -> dict[str, str]:
    pairs = zip(table["id"], table["answer"], strict=True)
    return {name: answer[:LONGEST] or NO_ANSWER for name, answer in pairs}


def _listed(points: Sequence[str]) -> str:
    return "；".join(points) or NO_POINT


def _read(reply: Reply | Refused, of: str) -> dict[str, str]:
    """Return what a reply says, and its key; nothing where it cannot be used."""
    if isinstance(reply, Refused) or reply.fault:
        return {"said": "", "reply": reply.key}
    try:
        return {"said": read_verdict(reply.text, of), "reply": reply.key}
    except UnusableReply:
        return {"said": "", "reply": reply.key}


def read_verdict(text: str, of: str) -> str:
    """Read A, B or 平 of a comparison, yes or no of a point. Raises UnusableReply for anything else."""
    found = _VERDICT.fullmatch(_MARKS.sub("", text.translate(_WIDTH)))
    allowed = {"A": "A", "B": "B", "平": "tie"} if of == OPEN_ENDED else {"是": "yes", "否": "no"}
    if not found or found[1] not in allowed:
        raise UnusableReply("no verdict")
    return allowed[found[1]]
