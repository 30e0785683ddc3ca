"""What a build may change of the paper's method. Light on purpose: Airflow makes its trigger form of it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chimed.sources import NAMES as SOURCES


class Options(BaseModel):
    """What a build may change of the paper's method; kept in build.json. Defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[str, ...] = Field(SOURCES, description="the sites whose records take part")
    corpora: bool = Field(True, description="whether the corpora that were ingested take part too")
    keep_gone: bool = Field(
        False, description="whether pages that their site took away, as it said twice, stay in the build"
    )
    answers: Literal["every", "best"] = Field(
        "every", description="which answers of a question become pairs: every one, or one, the adopted before the first"
    )
    skip: tuple[str, ...] = Field((), description="stages that let every record through unread")
    max_records: int | None = Field(None, ge=1, description="take no more records than this of each source")
    perplexity_cut: float = Field(
        0.01, ge=0, lt=1, description="share with the highest perplexity that leaves (§3.2: top 1 %)"
    )
    perplexity_within: Literal["corpus", "source"] = Field(
        "corpus", description="cut over the corpus (paper), or within each source and language"
    )
    perplexity_exact: bool = Field(
        False, description="score every text in fp32 (paper), and not only those that the cut may take"
    )
    prefer_share: float = Field(
        0.12, ge=0, le=1, description="share of the questions that get two judged answers (Table 4: 41.7 K of 351.6 K)"
    )
    judge_order: Literal["both", "once"] = Field(
        "both", description="prefer: both orders and only verdicts that survive the swap, or one order (paper)"
    )
    judge_is_generator: bool = Field(False, description="prefer: allow one model to judge itself (paper: never)")
    qa_answer: Literal["free", "span"] = Field(
        "free", description="generate_qa: the model words the answer, or may only pick a span of the document"
    )
    second_opinion: bool = Field(
        True, description="translate, generate_qa: ask the judge too, 是 or 否, about what the gates' rules let pass"
    )
    screen_model: bool = Field(
        True, description="screen: ask the model as well (paper), not only look for identifiers and names by rule"
    )
    redact: bool = Field(
        False, description="replace identifiers and full names that a rule finds by 【已隐去】, and keep the record"
    )
    part_rows: int = Field(20_000, ge=1, description="rows of one part file: the unit of work of a worker")


# The stages that a model or a GPU does, but for `screen`, whose rules need none.
OF_MODELS = ("perplexity", "department", "translate", "generate_qa", "prefer")


def without_models(options: dict[str, Any], exams: str | None) -> dict[str, Any]:
    """The same options for a build that asks no model: its stages skipped, `screen` by rule only.

    exams: the folder of exams to decontaminate against; without one `decontaminate` is skipped, too.
    """
    skip = [*options.get("skip", ()), *OF_MODELS, *(() if exams else ("decontaminate",))]
    return {**options, "skip": list(dict.fromkeys(skip)), "screen_model": False}
