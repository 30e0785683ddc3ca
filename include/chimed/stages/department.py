"""Assign every question one of a fixed list of departments (paper §3.2, Figure 1).

The page's breadcrumb decides if it names a known department; otherwise a model chooses from the list. A sample of the
questions with a breadcrumb is sent to the model too, and the report has their agreement.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.figures import DepartmentFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.schema import left_rows

# The 39 site's departments, merged; prompts/department.yaml says the same list to the model.
DEPARTMENTS = {
    "内科": ("内科", "血液科", "风湿免疫科", "肾内科", "老年科", "急诊"),
    "外科": ("外科", "胃肠外科", "普外科", "肝胆外科", "血管外科", "心胸外科", "烧伤科", "整形美容", "肛肠外科"),
    "骨科": ("骨科", "骨外科"),
    "妇产科": ("妇产科", "妇科", "产科", "乳腺外科", "不孕不育"),
    "儿科": ("儿科", "小儿内科", "小儿外科", "新生儿科", "小儿精神科"),
    "男科": ("男科", "泌尿外科"),
    "眼科": ("眼科",),
    "耳鼻咽喉科": ("耳鼻咽喉科", "耳鼻喉科", "五官科"),
    "口腔科": ("口腔科", "牙科"),
    "皮肤性病科": ("皮肤性病科", "皮肤科", "皮肤病科", "性病科"),
    "传染病科": ("传染病科", "传染科", "肝病科"),
    "肿瘤科": ("肿瘤科",),
    "精神心理科": ("精神心理科", "心理健康科", "心理科", "精神科"),
    "神经科": ("神经科", "神经内科", "神经外科"),
    "心血管科": ("心血管科", "心血管内科", "心内科"),
    "消化科": ("消化科", "消化内科", "肠胃科"),
    "呼吸科": ("呼吸科", "呼吸内科"),
    "内分泌科": ("内分泌科", "糖尿病"),
    "中医科": ("中医科", "中医", "针灸", "推拿"),
    "营养与保健": ("营养与保健", "营养科", "营养", "减肥科", "保健", "体检科", "药品", "康复医学"),
}
_NAMED = {alias: name for name, aliases in DEPARTMENTS.items() for alias in aliases}

SAMPLE_EVERY = 10  # one in this many questions with a breadcrumb is sent to the model too
SAMPLING = {"max_tokens": 12, "temperature": 0.0}


def from_breadcrumb(path: str | None) -> str | None:
    """Return the department that a breadcrumb (`内科 > 心血管内科`) names, most specific step first; None if none."""
    return next((_NAMED[step] for step in reversed((path or "").split(" > ")) if step in _NAMED), None)


@dataclass(frozen=True)
class Labelling:
    """The records, and what is known about each question's department.

    named: the breadcrumb's department (None: it names none). asked: ids that the model is asked about. answers: for
    those, in their order.
    """

    records: pl.DataFrame
    named: dict[str, str | None]
    asked: tuple[str, ...]
    answers: Sequence[Answer[str] | Failure] = ()


def prepare(records: pl.DataFrame, options: Options) -> Labelling:
    """Choose the questions to ask about: those whose breadcrumb names no department, and a sample of the others."""
    questions = records.filter(pl.col("kind") == "qa")
    named = {id: from_breadcrumb(path) for id, path in questions.select("id", "department").iter_rows()}
    asked = tuple(id for id, name in named.items() if name is None or int(id, 16) % SAMPLE_EVERY == 0)
    return Labelling(records, named, asked)


def build_requests(state: Labelling, options: Options) -> list[Question]:
    """Ask for each chosen question which department suits it."""
    words = pl.concat_str("title", "question", separator="\n", ignore_nulls=True)
    texts = dict(state.records.filter(pl.col("kind") == "qa").select("id", words).iter_rows())
    return [choose_department(texts[id]) for id in state.asked]


def choose_department(text: str) -> Question:
    """Ask which department of the list suits this question."""
    return asking.make_question(prompts.load("department"), text, SAMPLING, {"choice": list(DEPARTMENTS)}, text=text)


def parse_reply(text: str) -> str:
    """Return the department that a reply names. Raises UnusableReply."""
    name = text.strip().strip("。.“”\"'*")
    if name not in DEPARTMENTS:
        raise UnusableReply("not a department")
    return name


def accept(state: Labelling, answers: Sequence[Answer[str] | Failure]) -> Labelling:
    """Store the answers."""
    return replace(state, answers=answers)


def finish(state: Labelling, options: Options) -> Outcome:
    """Assign every question its department: the breadcrumb's, else the model's, else it fails.

    Documents pass unchanged.
    """
    said = dict(zip(state.asked, state.answers, strict=True))
    chosen: dict[str, tuple[str, list[str]]] = {}
    failed: dict[str, tuple[str, str]] = {}
    for id, name in state.named.items():
        answer = said.get(id)
        if name is not None:
            chosen[id] = (name, [])
        elif isinstance(answer, Answer):
            chosen[id] = (answer.value, [answer.key])
        elif isinstance(answer, Failure):
            failed[id] = (answer.reason, answer.detail)
    both = [(state.named[id], one.value) for id, one in said.items() if state.named[id] and isinstance(one, Answer)]
    by_breadcrumb = sum(name is not None for name in state.named.values())
    figures: DepartmentFigures = {
        "by_breadcrumb": by_breadcrumb,
        "by_llm": len(chosen) - by_breadcrumb,
        "asked_though_known": len(both),
        "llm_agreed": sum(a == b for a, b in both),
    }
    return Outcome(
        kept=_labelled(state.records, chosen, failed),
        dropped=left_rows(state.records, failed, "failed"),
        figures=figures,
    )


def _labelled(records: pl.DataFrame, chosen: dict[str, Any], failed: dict[str, Any]) -> pl.DataFrame:
    labels = pl.DataFrame(
        [(id, name, keys) for id, (name, keys) in chosen.items()],
        schema={"id": pl.String, "chosen": pl.String, "keys": pl.List(pl.String)},
        orient="row",
    )
    joined = records.filter(~pl.col("id").is_in(list(failed))).join(labels, on="id", how="left", maintain_order="left")
    return joined.with_columns(
        department=pl.coalesce("chosen", pl.when(pl.col("kind") != "qa").then("department")),
        replies=asking.join_replies("keys"),
    ).select(records.columns)


STAGE = ModelStage(prepare, (Round("llm", "generator", build_requests, parse_reply, accept),), finish)
