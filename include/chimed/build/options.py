"""The options of a build: what may differ from the paper's method. Kept light, because Airflow makes its form of it."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from chimed.sources import names as source_names


class Options(BaseModel):
    """What a build may change of the paper's method; stored in build.json. The defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[str, ...] = Field(default_factory=source_names, description="sites whose records are used")
    corpora: bool = Field(True, description="also use your own ingested corpora")
    keep_gone: bool = Field(False, description="keep records of pages that their site has deleted (confirmed twice)")
    answers: Literal["every", "best"] = Field(
        "every", description="use every answer of a question, or only the best: the accepted one, else the first"
    )
    turns: Literal["all", "first"] = Field(
        "all", description="keep all turns of a consultation (ours), or only the first question and its answer (paper)"
    )
    skip: tuple[str, ...] = Field((), description="stages to skip: they let every record through unchanged")
    max_records: int | None = Field(None, ge=1, description="use at most this many records of each source; empty: all")
    perplexity_cut: float = Field(
        0.01, ge=0, lt=1, description="share of records with the highest perplexity to drop (paper §3.2: 1 %)"
    )
    perplexity_within: Literal["corpus", "source"] = Field(
        "corpus", description="make the cut over the whole corpus (paper) or within each source and language"
    )
    perplexity_exact: bool = Field(False, description="score every text in fp32 (paper), not only those near the cut")
    preference_share: float = Field(
        0.12,
        ge=0,
        le=1,
        description="share of questions that get a preference pair (paper, Table 4: 41.7 K of 351.6 K)",
    )
    judge_order: Literal["both", "once"] = Field(
        "both",
        description="compare two answers in both orders and keep only consistent verdicts, or in one order (paper)",
    )
    judge_is_generator: bool = Field(False, description="allow the generator to judge its own answers (paper: never)")
    preference_candidates: int = Field(
        2, ge=2, le=8, description="answers to each question, of which the judge compares every two (paper: 2)"
    )
    preference_length_ratio: float | None = Field(
        None, ge=1, description="how many times as long as the other an answer of a pair may be; empty: any (paper)"
    )
    preference_spoilt: float = Field(
        0,
        ge=0,
        le=1,
        description="share of pairs whose rejected answer is the chosen one with a wrong dose or a lost warning, where "
        "it has one (paper: none)",
    )
    preference_scores: bool = Field(
        False, description="let the judge rate both answers of each pair by the rubric of `rate` (paper: no)"
    )
    reason_share: float = Field(
        0.1, ge=0, le=1, description="share of the generated questions that get a reasoning; exam questions all do"
    )
    reason_tries: int = Field(
        4, ge=1, le=16, description="how often the generator reasons about a question; the shortest right try is kept"
    )
    qa_answer: Literal["free", "span"] = Field(
        "free", description="generated answers: in the model's words, or a span of the document only"
    )
    hops: int = Field(
        1,
        ge=1,
        le=2,
        description="make questions over one document only (paper: 1), or also over two steps, whose answer needs a "
        "formula's entry and a herb's (2)",
    )
    rate_sample: int = Field(
        2_000, ge=1, description="rows that the judge rates by the rubric; a classifier learns from them to rate all"
    )
    quality_cut: float = Field(
        0.0, ge=0, lt=1, description="share of rows with the lowest rating to drop, of each kind of record; 0: none"
    )
    cluster_cap: float | None = Field(
        None, gt=0, lt=1, description="share of each kind of record that one cluster of topics may have; empty: any"
    )
    second_opinion: bool = Field(
        True, description="ask the judge to confirm translations and generated answers that the rules accept"
    )
    screen_model: bool = Field(
        True, description="screen with the model as well (paper), not only by rules for identifiers and names"
    )
    redact: bool = Field(
        False,
        description="replace identifiers and full names by 【已隐去】 and keep the record, instead of dropping it",
    )
    part_rows: int = Field(20_000, ge=1, description="rows of one part, the unit of work of a worker, about")
    file_bytes: int = Field(
        500_000_000,
        ge=1_000,
        description="about how many bytes of text one file of the release holds; a larger table has several",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, options: Any) -> Any:
        return current_names(options) if isinstance(options, dict) else options

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truths_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and {int, float} & {wanted, *get_args(wanted)}:
            raise ValueError(f"a number is wanted, not {str(value).lower()}")
        return value


# Options that had another name in an earlier version. Builds, releases and settings of then still have the old one.
OLD_OPTION_NAMES = {"prefer_share": "preference_share"}


def current_names(options: Mapping[str, Any], say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Return options under their present names. say: called with a sentence for each old name.

    An option that is given under both names keeps the old name, too, so that validation rejects it.
    """
    named = dict(options)
    for old, new in OLD_OPTION_NAMES.items():
        if old in named and new not in named:
            named = {new if name == old else name: value for name, value in named.items()}
            if say:
                say(f"the build option {old} is now called {new}; please use the new name")
    return named


# Options that only some stages read: without any of them they change nothing.
_READ_BY = {
    **dict.fromkeys(("perplexity_cut", "perplexity_within", "perplexity_exact"), ("perplexity",)),
    **dict.fromkeys(("preference_share", "judge_order", "preference_candidates", "preference_scores"), ("prefer",)),
    **dict.fromkeys(("preference_length_ratio", "preference_spoilt"), ("prefer",)),
    **dict.fromkeys(("reason_share", "reason_tries"), ("reason",)),
    **dict.fromkeys(("qa_answer", "hops"), ("generate_qa",)),
    **dict.fromkeys(("rate_sample", "quality_cut"), ("rate",)),
    "second_opinion": ("translate", "generate_qa"),
    "cluster_cap": ("diversify",),
}


def without_effect(options: Options) -> list[str]:
    """Return a sentence for each option that is not at its default and whose stages the build skips."""
    found = []
    for name, stages in _READ_BY.items():
        is_given = getattr(options, name) != Options.model_fields[name].default
        if is_given and set(stages) <= set(options.skip):
            found.append(f"{name} has no effect: {' and '.join(stages)} {'are' if len(stages) > 1 else 'is'} skipped")
    return found


# The stages that a model or a GPU does, but for `screen`, whose rules need none.
MODEL_STAGES = ("perplexity", "department", "translate", "generate_qa", "prefer", "reason", "rate")


def without_models(options: dict[str, Any], exams: str | None) -> dict[str, Any]:
    """Return the options for a build that asks no model: model stages skipped, `screen` by rules only.

    exams: the folder of exams to decontaminate against; without one, `decontaminate` is skipped too. So is `diversify`
    where scikit-learn is not installed: the basic packages do without it.
    """
    lacking = () if find_spec("sklearn") else ("diversify",)
    skip = [*options.get("skip", ()), *MODEL_STAGES, *lacking, *(() if exams else ("decontaminate",))]
    return {**options, "skip": list(dict.fromkeys(skip)), "screen_model": False}
