"""What remains to be asked, told before it is paid."""

import dataclasses

import pytest

from chimed.build import order
from chimed.errors import UserError
from chimed.pipeline.estimate import estimate_build
from chimed.schema import DROPPED, RECORD, dropped_table
from chimed.stages import screen
from chimed.storage import lake as lakes
from support.samples import document, model_outcome, qa, rows

TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。"


@pytest.fixture
def planned(work, served):
    """A build whose filter is done: a document, a classic, two questions, and one text that a rule drops."""
    table = rows(
        document(TEXT),
        document("黄芪四两，桂枝二两，久服不饥。" * 3, language="lzh", url="http://a/2"),
        qa("头晕怎么办？", "测血压。", department="内科"),
        qa("看东西模糊？", "查视力。", department=None),
        document(f"{TEXT}电话13800138000", url="http://a/3"),
    )
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    work = dataclasses.replace(work, settings=where, options=work.options.model_copy(update={"preference_share": 1.0}))
    made = {"version": "2026.11.22", "shards": [[]], "options": {}, "stages": order.stages_for_build_json()}
    lakes.write_json(work.lake, "builds/2026.11.22/build.json", made)
    for stage in ("extract", "clean", "dedup", "perplexity", "filter"):
        lakes.write_json(work.lake, f"builds/2026.11.22/{stage}/report-00000.json", {"parts": 1, "figures": {}})
        lakes.write_table(work.lake, f"builds/2026.11.22/{stage}/kept-00000.parquet", table, RECORD)
        lakes.write_table(work.lake, f"builds/2026.11.22/{stage}/dropped-00000.parquet", dropped_table([]), DROPPED)
    return work, table


def test_an_estimate_asks_nothing(planned, served):
    work, table = planned
    told = estimate_build(work, rate=1000)
    asked = {(one["stage"], one["prompt"].split("@")[0]): one["remain"] for one in told["stages"]}
    assert asked[("screen", "screen")] == 4  # the rule's is not asked
    assert asked[("department", "department")] >= 1
    assert asked[("translate", "translate")] == 1
    assert asked[("generate_qa", "generate_qa")] == 1
    assert (asked[("prefer", "answer")], asked[("prefer", "judge")]) == (4, 4)
    assert asked[("rate", "rate")] >= 4  # of what is rated, only what is there already is known
    assert told["hours"] > 0
    assert served.bodies == []
    served.answer = lambda body: "否"
    model_outcome(screen, table, work)
    again = {(one["stage"], one["prompt"].split("@")[0]): one["remain"] for one in estimate_build(work, 1000)["stages"]}
    assert again[("screen", "screen")] == again[("screen", "sensitive")] == 0


def test_without_a_rate_it_needs_one_measured(planned):
    work, _ = planned
    with pytest.raises(UserError, match="--rate"):
        estimate_build(work)
    spent = {"prompt_tokens": 900, "completion_tokens": 100, "wall_seconds": 2.0}
    lakes.write_json(work.lake, "builds/2026.11.15/build.json", {"version": "2026.11.15"})
    lakes.write_json(work.lake, "builds/2026.11.15/screen/report-00000.json", {"figures": {"screen": spent}})
    assert estimate_build(work)["tokens_per_second"] == 500


def test_an_empty_build_says_what_to_run(work):
    lakes.write_json(work.lake, "builds/2026.11.22/build.json", {"version": "2026.11.22", "shards": [["a/b"]]})
    with pytest.raises(UserError, match="run extract"):
        estimate_build(work, rate=1)
