"""Every stage that asks a model, with a server that refuses all, answers nothing or nonsense: red, and it says why."""

import dataclasses
import re

import pytest

from chimed.build import order
from chimed.build.ledger import NothingLeft, TooManyFailed
from chimed.errors import WorkStopped
from chimed.pipeline.runner import run_stage
from chimed.schema import DROPPED, RECORD, dropped_table
from chimed.storage import lake as lakes
from support.samples import document, qa, rows

TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。"
CLASSIC = "凡水肿之证，用茯苓三两，白术二两，水煎，日再服，勿食咸物。第{}方。"
BUILD = "2026.11.22"
REFUSED = (400, {}, b'{"error": "maximum context length is 16 tokens"}')
NONSENSE = "%%%%% 锟斤拷 %%%%%"
# what a server does, and what a person is told of it
BAD = {
    "refuses": (REFUSED, "request refused", "maximum context length is 16 tokens"),
    "empty": ("", "empty reply", "chat template"),
    "thinks": ("<think>想一想", "thinking and no answer", "--reasoning-parser"),
    "will not": ("作为AI语言模型，我无法回答这个问题。", "model's refusal|unparsed reply", "serve"),
    "malformed": ((200, {}, b'{"choices": null}'), "unusable reply", "forget-faults"),
}
LLM = [stage.name for stage in order.STAGES if stage.needs == "llm"]


@pytest.fixture
def built(work, served):
    """A build whose stages before the asked one are done: classics, documents and questions, a dozen each."""
    table = rows(
        *(document(CLASSIC.format(n), language="lzh", url=f"http://a/{n}", source="zydcd") for n in range(12)),
        *(document(f"{TEXT}第{n}种。", url=f"http://b/{n}") for n in range(12)),
        *(qa(f"第{n}位：头晕怎么办？\nA. 测血压\nB. 喝水", "A. 测血压", department=None) for n in range(12)),
    )
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    options = work.options.model_copy(update={"preference_share": 1.0})
    made = {"version": BUILD, "shards": [[]], "options": {}, "stages": order.stages_for_build_json()}
    lakes.write_json(work.lake, f"builds/{BUILD}/build.json", made)
    for stage in order.NAMES:
        folder = f"builds/{BUILD}/{stage}"
        lakes.write_json(work.lake, f"{folder}/report-00000.json", {"parts": 1, "figures": {}})
        lakes.write_table(work.lake, f"{folder}/kept-00000.parquet", table, RECORD)
        lakes.write_table(work.lake, f"{folder}/dropped-00000.parquet", dropped_table([]), DROPPED)
    return dataclasses.replace(work, build=BUILD, settings=where, options=options)


def ended(work, stage: str) -> WorkStopped:
    """How a stage ends that must not succeed."""
    lakes.remove(work.lake, f"builds/{BUILD}/{stage}/report-00000.json")
    with pytest.raises(WorkStopped) as caught:
        run_stage(work, stage)
    assert not lakes.exists(work.lake, f"builds/{BUILD}/{stage}/report-00000.json")
    return caught.value


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("stage", LLM)
def test_a_useless_server_is_never_green(built, served, stage, bad):
    answer, reason, mend = BAD[bad]
    served.answer = lambda body: answer
    error = ended(built, stage)
    assert isinstance(error, TooManyFailed)
    said = str(error)
    assert any(one in said for one in reason.split("|")), said
    assert mend in said
    assert said.startswith(f"{stage}: ")
    assert "test/generator" in said
    assert served.url in said
    assert len(said) < 1_000


@pytest.mark.parametrize("stage", LLM)
def test_nonsense_is_never_green(built, served, stage):
    served.answer = lambda body: NONSENSE
    error = ended(built, stage)
    assert isinstance(error, TooManyFailed | NothingLeft)
    assert NONSENSE in str(error) or "of them: " in str(error), error


def test_a_judge_that_argues_is_no_judge(built, served):
    samples = ("多喝水，注意休息。", "尽快到医院就诊，查明原因。")
    served.answer = lambda body: "我认为回答A更好" if body["model"] == "chimed-judge" else samples[body["seed"]]
    said = str(ended(built, "prefer"))
    assert "24 of 24 answers of test/judge" in said
    assert "unparsed reply: neither A nor B (24); for example: 我认为回答A更好" in said


def test_the_three_commonest_reasons_are_told(built, served):
    replies = [REFUSED, REFUSED, REFUSED, "", "", "也许", "<think>想"]
    served.answer = lambda body: replies[len(served.bodies) % len(replies)]
    said = str(ended(built, "screen"))
    assert len(re.findall(r"\w \(\d+\)", said)) == 3, said
    assert "request refused (" in said


def test_a_few_failures_are_rows_and_no_alarm(built, served):
    served.answer = lambda body: "" if "第3" in body["messages"][-1]["content"] else "否"
    lakes.remove(built.lake, f"builds/{BUILD}/screen/report-00000.json")
    (report,) = run_stage(built, "screen")
    assert report["failed"] == {"empty reply": 3}
    assert report["kept"] == 33
    assert report["figures"]["screen"]["failures"] == {"empty reply": 3}
