"""screen, department, translate, generate_qa, prefer: their gates, against a server on loopback."""

import dataclasses

import pytest

from chimed.build.contract import Answer
from chimed.build.ledger import check_ledger
from chimed.errors import UserError
from chimed.llm import connecting
from chimed.stages import department, generate_qa, generate_qa_chunks, prefer, screen, translate
from chimed.stages.prefer_contest import Contest, find_fit_candidates
from chimed.storage.store_tables import REVIEW_QUEUE
from chimed.text import fidelity, identifiers
from support.samples import document, model_outcome, qa, rows

TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。"


@pytest.fixture
def asked(work, served):
    """The surroundings with both models at the test's own server."""
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    return dataclasses.replace(work, settings=where)


def said(body: dict) -> str:
    return body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("身份证11010519491231002X，请查收", ["ID card"]),
        ("编号110105194912310021不是身份证", []),  # check character wrong
        ("手机13800138000，或 138-0013-8000", ["mobile number", "mobile number"]),
        ("电话010-62345678", ["landline"]),
        ("邮箱 li.ming@example.com", ["e-mail address"]),
        ("加QQ：123456789，微信号 wx_doctor88", ["QQ number", "WeChat id"]),
        ("卡号6222 0212 3456 7890 129", []),  # no Luhn
        ("卡号4111111111111111", ["bank card"]),
        ("车牌京A·12345", ["licence plate"]),
        ("护照号E12345678", ["passport or permit"]),
        ("住北京市朝阳区幸福路12号", ["street address"]),
        ("血压140/90mmHg，每次0.25g，一日3次，随访20261101", []),
    ],
)
def test_rules_find_identifiers_and_leave_medicine_alone(text, kinds):
    assert [one.kind for one in identifiers.find_identifiers(text)] == kinds


def test_screen_asks_only_what_rules_pass(asked, served):
    served.answer = lambda body: "是" if "蠢货" in said(body) else "也许" if "怪" in said(body) else "否"
    private, toxic, odd, fine = (
        document(f"{TEXT}{end}", url=f"http://a/{end}") for end in ("电话13800138000", "你这蠢货", "怪", "好")
    )
    table = rows(private, toxic, odd, fine)
    outcome = model_outcome(screen, table, asked)
    check_ledger("screen", table, outcome)
    assert outcome.kept["id"].to_list() == [fine["id"]]
    assert dict(outcome.dropped.select("id", "fate").iter_rows()) == {
        private["id"]: "dropped",
        toxic["id"]: "dropped",
        odd["id"]: "failed",
    }
    detail = outcome.dropped.filter(outcome.dropped["id"] == private["id"])["detail"].item()
    assert detail == f"mobile number text[{len(TEXT) + 2}:{len(TEXT) + 13}]"
    assert not any("13800138000" in said(body) for body in served.bodies)


def test_redact_keeps_the_record(asked, served):
    asked = dataclasses.replace(asked, options=asked.options.model_copy(update={"redact": True}))
    private = qa("我是13800138000，头晕怎么办？", "加微信 wx_doctor88 再说。", title="头晕，电话010-62345678")
    outcome = model_outcome(screen, rows(private, qa("头晕怎么办？", "测血压。")), asked)
    kept = {row["id"]: row for row in outcome.kept.to_dicts()}[private["id"]]
    assert (kept["title"], kept["question"], kept["answer"]) == (
        "头晕，电话【已隐去】",
        "我是【已隐去】，头晕怎么办？",
        "加【已隐去】 再说。",
    )
    assert outcome.figures["redacted"] == {"WeChat id": 1, "landline": 1, "mobile number": 1}
    assert not any("13800138000" in said(body) for body in served.bodies)


def test_screen_queues_rows_for_review(asked, served, monkeypatch):
    monkeypatch.setattr(screen, "REVIEW_SAMPLE", 3)
    served.answer = lambda body: "否"
    table = rows(*(document(f"{TEXT}{n}", url=f"http://a/{n}") for n in range(9)), document(f"{TEXT}电话13800138000"))
    for _ in range(2):  # a second run changes nothing
        outcome = model_outcome(screen, table, asked)
        with asked.store.engine.connect() as connection:
            queued = connection.execute(REVIEW_QUEUE.select().order_by("kind", "record")).mappings().all()
        assert [row["kind"] for row in queued] == ["flagged", "passed", "passed", "passed"]
        assert queued[0]["reason"] == "identifier: mobile number"
        assert "13800138000" in queued[0]["text"]
        assert [row["record"] for row in queued[1:]] == sorted(outcome.kept["id"])[:3]


def test_department_is_the_breadcrumbs_where_it_has_one(asked, served):
    served.answer = lambda body: "眼科"
    table = rows(
        qa("头晕怎么办？", "测血压。", department="内科 > 心血管内科"),
        qa("看东西模糊？", "查视力。", department=None),
        document(TEXT),
    )
    outcome = model_outcome(department, table, asked)
    check_ledger("department", table, outcome)
    assert dict(outcome.kept.select("question", "department").iter_rows()) == {
        "头晕怎么办？": "心血管科",
        "看东西模糊？": "眼科",
        None: None,
    }
    assert len(outcome.kept.filter(outcome.kept["question"] == "看东西模糊？")["replies"].item()) == 1


CLASSIC = "凡水肿之证，用茯苓三两，白术二两，水煎，日再服，勿食咸物。"
MODERN = "凡是水肿的病证，用茯苓三两、白术2两，加水煎煮，一天服用两次，不要吃咸的食物。"


@pytest.mark.parametrize(
    ("modern", "fault"),
    [
        (MODERN, None),
        (CLASSIC, "照抄原文"),
        (MODERN.replace("白术", "苍耳"), "漏译药名或方名：白术"),
        (MODERN.replace("三两", "五两"), "剂量不符：茯苓3两"),
        (MODERN.replace("不要吃", "多吃"), "漏译否定：勿食咸物"),
        ("水肿用茯苓。", "长度不合：译文是原文的0.2倍"),
        (" ", "译文为空"),
    ],
)
def test_the_fidelity_gate_names_what_is_lost(modern, fault):
    assert fidelity.find_fault(CLASSIC, modern) == fault


@pytest.mark.parametrize(
    ("text", "value"), [("二十四", 24), ("十", 10), ("一百零五", 105), ("半", 0.5), ("3.5", 3.5), ("两", 2)]
)
def test_chinese_numbers(text, value):
    assert fidelity.parse_number(text) == value


def test_translate_retries_once_then_drops(asked, served):
    def answer(body):
        if "水肿" not in said(body):
            return CLASSIC
        return MODERN if "漏译否定" in said(body) else MODERN.replace("不要吃", "多吃")

    served.answer = answer
    good = document(CLASSIC, language="lzh", source="zydcd")
    bad = document("黄芪四两，桂枝二两，久服不饥。" * 2, language="lzh", source="zydcd", url="http://a/2")
    table = rows(good, bad, document(TEXT))
    outcome = model_outcome(translate, table, asked)
    check_ledger("translate", table, outcome)
    (row,) = outcome.derived.to_dicts()
    assert (row["text"], row["language"], row["parent"]) == (MODERN, "zh", good["id"])
    assert row["prompt"].startswith("translate_again@")
    assert outcome.derived_dropped["reason"].to_list() == ["漏译药名或方名"]
    assert len(outcome.kept) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("问题：茯苓的功效是什么？答案：利水渗湿，健脾宁心。", None),
        ("问题：茯苓的功效是什么？\n答案：利水渗湿、健脾宁心", None),
        ("问题：茯苓的功效是什么？答案：清热解毒，凉血止痢。", "answer not in the document"),
        ("问题：利水渗湿，健脾宁心是谁的功效？答案：利水渗湿，健脾宁心", "question gives the answer away"),
        ("问题：使用使用使用使用的功效是什么？答案：利水渗湿，健脾宁心。", "question repeats itself"),
    ],
)
def test_the_grounding_gate(text, reason):
    result = generate_qa.ground(TEXT, generate_qa.parse_reply(text))
    assert result.reason == reason
    if reason is None:
        assert "".join(TEXT[a:b] for a, b in result.evidence).replace("，", "").startswith("利水渗湿健脾宁心")


def test_a_pair_keeps_its_evidence(asked, served):
    served.answer = lambda body: "问题：茯苓归哪些经？答案：归心、肺、脾、肾经。"
    row = document(TEXT)
    outcome = model_outcome(generate_qa, rows(row, document(TEXT, language="lzh", url="http://a/2")), asked)
    (pair,) = outcome.derived.to_dicts()
    (span,) = pair["evidence"]
    assert TEXT[span["start"] : span["end"]] == pair["answer"] == "归心、肺、脾、肾经。"
    assert pair["parent"] == row["id"]


def test_chunks_lose_nothing_and_stay_small():
    text = "\n".join("句子很长。" * 100 for _ in range(9))
    chunks = generate_qa_chunks.split(text)
    assert "".join(chunk for _, chunk in chunks) == text
    assert all(len(chunk) <= generate_qa_chunks.MAX_CHUNK and text.startswith(chunk, start) for start, chunk in chunks)


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("多喝水，注意休息。", "stop", None),
        ("多喝水多喝水多喝水多喝水。", "stop", "answer repeats itself"),
        ("好的。", "stop", "answer too short"),
        ("多喝水，注意休息。", "length", "answer over 100 characters"),
        ("详情可加微信：huang9472咨询。", "stop", "identifier in an answer"),
        ("建议找呼吸科的王建国主任医师。", "stop", "identifier in an answer"),
    ],
)
def test_answers_that_cannot_be_a_pair(text, finish, reason):
    good = Answer("请到医院就诊，听医生的。", "k", "m", True)
    found = find_fit_candidates(Contest({}, (good, Answer(text, "k", "m", finish == "stop"))))
    assert (found.reason or None) == reason


def test_a_preference_survives_the_swap_or_is_dropped(asked, served):
    def answer(body):
        if "回答A" not in said(body):
            return ("多喝水，注意休息。", "尽快到医院呼吸科就诊。")[body["seed"]]
        if "失眠" in said(body):
            return "A"  # in love with the first place
        return "A" if said(body).index("尽快") < said(body).index("多喝水") else "B"

    served.answer = answer
    asked = dataclasses.replace(asked, options=asked.options.model_copy(update={"preference_share": 1.0}))
    table = rows(qa("咳嗽一个月怎么办？", "查胸片。"), qa("失眠怎么办？", "少喝茶。"), qa("失眠怎么办？", "睡前泡脚。"))
    outcome = model_outcome(prefer, table, asked)
    check_ledger("prefer", table, outcome)
    (row,) = outcome.derived.to_dicts()
    assert (row["question"], row["answer"], row["rejected"]) == (
        "咳嗽一个月怎么办？",
        "尽快到医院呼吸科就诊。",
        "多喝水，注意休息。",
    )
    assert len(row["replies"]) == 4
    assert outcome.derived_dropped["reason"].to_list() == ["verdict did not survive the swap"]
    told = outcome.figures
    assert (told["consistency"], told["tie_share"], told["first_place_preferred"]) == (0.5, 0.5, 0.75)
    once = dataclasses.replace(asked, options=asked.options.model_copy(update={"judge_order": "once"}))
    assert len(model_outcome(prefer, table, once).derived) == 2  # the paper's way: the first place wins


def test_the_judge_must_not_be_the_generator(asked, served):
    served.roots["chimed-judge"] = served.roots["chimed-generator"]  # another name for the same checkpoint
    with pytest.raises(UserError, match=r"both are test/generator; set CHIMED_JUDGE_URL"):
        connecting.judge_server(asked)
    told = asked.options.model_copy(update={"judge_is_generator": True})
    assert connecting.judge_server(dataclasses.replace(asked, options=told)).identity == "test/generator"
