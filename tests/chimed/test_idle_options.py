"""Options that a build cannot use: those of stages that it skips, and booleans in the place of numbers."""

import pytest

from chimed.build.builds import new_build, parse_options
from chimed.build.options import Options, without_effect, without_models
from chimed.errors import UserError
from chimed.storage import lake as lakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip": ["diversify"], "cluster_cap": 0.05}, ["cluster_cap has no effect: diversify is skipped"]),
        ({"cluster_cap": 0.05}, []),
        ({"skip": ["diversify", "rate", "prefer"]}, []),
        ({"skip": ["rate"], "quality_cut": 0.1}, ["quality_cut has no effect: rate is skipped"]),
        ({"skip": ["rate"], "quality_cut": 0}, []),
        ({"skip": ["translate"], "second_opinion": False}, []),
        (
            {"skip": ["translate", "generate_qa"], "second_opinion": False, "hops": 2},
            [
                "hops has no effect: generate_qa is skipped",
                "second_opinion has no effect: translate and generate_qa are skipped",
            ],
        ),
        ({"skip": ["perplexity"], "perplexity_cut": 0.2}, ["perplexity_cut has no effect: perplexity is skipped"]),
        ({"skip": ["prefer"], "prefer_share": 0.5}, ["preference_share has no effect: prefer is skipped"]),
    ],
)
def test_options_of_skipped_stages_are_told(options, said) -> None:
    assert without_effect(Options(**options)) == said


def test_every_option_of_models_is_known() -> None:
    changed = {
        "perplexity_cut": 0.2, "perplexity_within": "source", "perplexity_exact": True, "preference_share": 0.5,
        "judge_order": "once", "preference_candidates": 3, "preference_length_ratio": 2, "preference_spoilt": 0.5,
        "preference_scores": True, "reason_share": 0.5, "reason_tries": 2, "qa_answer": "span", "hops": 2,
        "rate_sample": 9, "quality_cut": 0.1, "second_opinion": False,
    }  # fmt: skip
    told = without_effect(Options(**without_models(changed, "exams")))
    assert {sentence.split(" ")[0] for sentence in told} == set(changed)


@pytest.mark.parametrize("name", ["hops", "cluster_cap", "quality_cut", "max_records", "part_rows"])
@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(name, value) -> None:
    with pytest.raises(UserError, match=f"{name}: .*a number is wanted, not {str(value).lower()}"):
        parse_options({name: value})
    assert parse_options({"keep_gone": value}).keep_gone is value


def test_opening_a_build_tells_idle_options(work, caplog) -> None:
    lakes.write_json(work.lake, "raw/ask39/2026-11-16/report.json", {"pages": 3})
    assert new_build(work.lake, {"skip": ["diversify"], "cluster_cap": 0.05})
    assert "cluster_cap has no effect: diversify is skipped" in caplog.text
