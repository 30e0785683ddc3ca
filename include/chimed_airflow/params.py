"""What DAGs are made with: trigger forms, from the models that the commands check again.

A form shows first what is chosen often; the rest lies folded in sections. A field's label is plain English, its name in
the run's configuration stays the option's.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from airflow.sdk import Param

from chimed.build import order
from chimed.build.options import OLD_OPTION_NAMES, Options, current_names
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed_airflow import titles

log = logging.getLogger(__name__)


# A build's form: every option's label, in the order of the form. What stands under "" is open, the rest is folded.
BUILD_FORM = {
    "": {
        "sources": "Sites",
        "corpora": "Use ingested corpora",
        "train": "Train models on the release",
        "require_approval": "Require manual approval of the release",
    },
    "For an experiment": {
        "max_records": "At most this many records of each source",
        "skip": "Stages to skip",
    },
    "Filtering": {
        "perplexity_cut": "Share with the highest perplexity to drop",
        "perplexity_within": "Compare perplexity within",
        "perplexity_exact": "Score every text in full precision",
        "screen_model": "Screen with the model, too",
        "redact": "Redact identifiers instead of dropping the record",
        "keep_gone": "Keep pages that their site has deleted",
    },
    "Questions and answers": {
        "answers": "Answers of a question to use",
        "turns": "Turns of a consultation to keep",
        "qa_answer": "How generated answers are worded",
        "second_opinion": "Ask the judge for a second opinion",
    },
    "Preferences": {
        "preference_share": "Share of the questions that get a preference",
        "preference_candidates": "Answers to each question",
        "preference_length_ratio": "How much longer one answer may be",
        "preference_spoilt": "Share with a rejected answer spoilt on purpose",
        "preference_scores": "Rate both answers by the rubric",
        "judge_order": "Orders in which the judge compares",
        "judge_is_generator": "Let the generator judge itself",
    },
    "Reasons": {
        "reason_share": "Share of the generated questions that get a reasoning",
        "reason_tries": "Tries at each question",
    },
    "Ratings": {
        "rate_sample": "Rows that the judge rates",
        "quality_cut": "Share with the lowest rating to drop",
    },
    "Running": {"part_rows": "Rows of one part", "file_bytes": "Bytes of text in one file of the release"},
}
OTHER = "More options"  # the section of an option that BUILD_FORM does not know yet


def build_params() -> dict[str, Param]:
    """Return a param for each field of `Options`, with its limits; the defaults are the settings' build options.

    The params `train` and `require_approval` are added. They do not change what a build contains, so they are not among
    its options.
    """
    properties = Options.model_json_schema()["properties"]
    made = {
        "train": Param(
            settings().train,
            type="boolean",
            description="start train_models when the release is made; switch it off for an experiment",
        ),
        "require_approval": Param(
            settings().require_approval,
            type="boolean",
            description="wait before the release until a person, shown the ledger and the changes, has approved it",
        ),
    }
    made |= {name: _param(name, dict(schema)) for name, schema in properties.items()}
    placed = {name: (section, label) for section, some in BUILD_FORM.items() for name, label in some.items()}
    ordered = [*(name for name in placed if name in made), *(name for name in made if name not in placed)]
    for name in ordered:
        section, label = placed.get(name, (OTHER, name.replace("_", " ")))
        made[name].schema |= {"title": label} | ({"section": section} if section else {})
    return {name: made[name] for name in ordered}


def build_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run's build from the run's params. A configuration may use an option's old name."""
    given = {name: params[name] for name in Options.model_fields}
    return given | current_names({name: params[name] for name in OLD_OPTION_NAMES if name in params}, log.warning)


def _param(name: str, schema: dict[str, Any]) -> Param:
    usual = Options.model_fields[name].get_default(call_default_factory=True, validated_data={})
    default = (
        current_names(settings().build_options).get(name, usual)
        if name in Options.model_fields
        else schema.get("default")
    )
    schema.pop("default", None)
    # what a list may hold; the form offers it
    choices = {"sources": [*source_names()], "skip": [stage.name for stage in order.STAGES if stage.skippable]}
    if "anyOf" in schema:  # an optional field: a number or nothing
        some, nothing = schema.pop("anyOf")
        schema |= some | {"type": [some["type"], nothing["type"]]}
    if name in choices:
        schema["items"] = {"type": "string", "enum": choices[name]}
        schema["examples"] = choices[name]
        schema["uniqueItems"] = True
        if name == "sources":
            schema["values_display"] = {source: titles.site(source) for source in source_names()}
    default = list(default) if isinstance(default, tuple) else default
    if default is None:
        said = "empty"
    elif isinstance(default, list):
        said = "all" if name == "sources" and default == list(source_names()) else ", ".join(default) or "none"
    else:
        said = {True: "on", False: "off"}.get(default, f"{default}") if isinstance(default, bool) else f"{default}"
    schema["description"] = f"{schema.get('description', '')} (default: {said}; in the configuration: {name})"
    return Param(default, **schema)


# --- a crawl's form -----------------------------------------------------------------------------------------------


def crawl_params(source: str) -> dict[str, Param]:
    """Return the params of a site's crawl."""
    known = sections(source)
    return {
        "week": Param(
            None,
            type=["string", "null"],
            format="date",
            title="Week",
            description="the Monday of the week to crawl (any day of it will do); empty: the week that ended last. "
            "Logical Date, below, has no effect",
        ),
        "sections": Param(
            None,
            # a text, by comma, is what runs could be given before there was a list
            type=["array", "string", "null"],
            title="Sections",
            items={"type": "string", "enum": list(known)} if known else {"type": "string"},
            examples=list(known),
            uniqueItems=True,
            pattern="^[\\w,-]*$",
            description="only these lists of the site; empty: all of them",
        ),
        "mode": Param(
            "refresh",
            enum=["refresh", "full"],
            title="What to fetch",
            values_display={"refresh": "what is new or changed in the week", "full": "every page of all weeks"},
            description="full is refused in a backfill, which would fetch everything once for each week",
        ),
        "max_pages": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            title="At most this many pages",
            section="For an experiment, or after an alarm",
            description="fetch no more detail pages than this; empty: no limit",
        ),
        "accept": Param(
            False,
            type="boolean",
            title="Accept what an alarm refused",
            section="For an experiment, or after an alarm",
            description="accept a week that is unusually small, or whose records lack a field that earlier crawls had",
        ),
    }


@cache
def sections(source: str) -> tuple[str, ...]:
    """Return the sections of a site to which a crawl can be limited.

    Empty where the source's file cannot be read: the crawl itself then fails with the reason.
    """
    from chimed.sources.page import load  # here: it brings an HTML parser

    try:
        return tuple(load(source).sections)
    except Exception:
        log.exception("the file of source %s cannot be read; its form offers no sections", source)
        return ()


def listed(chosen: str | Sequence[str]) -> str:
    """Sections as the command takes them: by comma."""
    return chosen if isinstance(chosen, str) else ",".join(chosen)


# --- the form of a training ---------------------------------------------------------------------------------------


def train_params(further: Sequence[str]) -> dict[str, Param]:
    """Return the params of a training run: recipe, release, settings. further: phases beyond the paper's three."""
    return {
        "recipe": Param(
            settings().recipe,
            type="string",
            pattern="^[\\w.-]+$",
            title="Recipe",
            description="which model is trained, and how: the name of a folder of train/recipes, or of CHIMED_RECIPES",
        ),
        "release": Param(
            None,
            type=["string", "null"],
            pattern="^[\\w.]*$",
            title="Release",
            description="a release's version, or latest; empty: the release that started the run, else the latest",
        ),
        "settings": Param(
            [],
            type="array",  # without `items` it is a field of lines
            title="Other settings",
            section="For an experiment",
            description="other values of the recipe's fields, one a line: learning_rate=1e-4 in every phase, "
            "sft.num_train_epochs=3 in one. The models and scores are kept under a name that says so",
        ),
        "further": Param(
            [],
            type="array",
            items={"type": "string", "enum": list(further)},
            examples=list(further),
            uniqueItems=True,
            title="Further phases",
            section="For an experiment",
            description="beside the paper's cpt, sft and dpo: kto and orpo in the place of dpo, grpo after it "
            "(it needs `items` in the recipe); empty: none",
        ),
    }


def further_phases(params: Mapping[str, Any]) -> list[str]:
    """Return the further phases selected in a run's form: their tasks are not skipped."""
    return list(params["further"] or [])
