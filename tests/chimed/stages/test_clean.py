"""clean: noise leaves by name, numbers and sentences stay, and what is doubtful keeps its text and is counted.

`cases/clean.jsonl` holds texts and what must become of them, one kind after another; more than half must stay as they
are. `cases/html_superscripts.jsonl` holds HTML and the text it must be read as.
"""

import json
import random
import time
from pathlib import Path

import polars as pl
import pytest
from parsel import Selector

from chimed.build.ledger import check_ledger
from chimed.sources.text import text_of
from chimed.stages import clean
from chimed.text import identifiers, noise
from chimed.text.noise import net
from chimed.text.noise.rules import removal_rule
from support.samples import document, qa, rows

CASES = Path(__file__).with_name("cases")


def cases(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


def cleaned(*texts: str) -> list[str]:
    return clean.clean_texts(pl.DataFrame({"text": list(texts)})).texts["text"].to_list()


def test_every_case_is_cleaned_as_wanted(work):
    wanted = {str(n): case for n, case in enumerate(cases("clean.jsonl"))}
    table = rows(*(document(case["text"], id=n, title=None) for n, case in wanted.items()))
    outcome = clean.run(table, work)
    check_ledger("clean", table, outcome)
    left = dict(outcome.dropped.select("id", "reason").iter_rows())
    assert set(left.values()) == {"nothing left after cleaning"}
    made = dict(outcome.kept.select("id", "text").iter_rows()) | dict.fromkeys(left, "")
    wrong = {case["text"]: made[n] for n, case in wanted.items() if made[n] != case["want"]}
    assert wrong == {}
    assert outcome.figures["doubtful"] == {}


@pytest.mark.parametrize("case", cases("html_superscripts.jsonl"), ids=lambda case: case["html"])
def test_what_stands_above_the_line_keeps_its_meaning(case):
    assert text_of(Selector(text=case["html"])) == case["want"]
    if "<ruby>" not in case["html"]:  # tags that still stand in a text mean the same
        assert cleaned(case["html"]) == [case["want"]]


@pytest.mark.parametrize(
    ("dirty", "clean_text"),
    [
        ('<p style="color:red">味<b>甘</b></p><script>alert(1)</script>，性平。', "味甘，性平。"),
        ("您好，建议少盐。祝您早日康复！", "建议少盐。"),
        ("健康咨询描述：头晕。\xa0\u3000 三天", "头晕。 三天"),
        ("首段。\n[1] [2] [3] 下一页\n次段。", "首段。\n次段。"),
        ("主治∶头痛，\n眩晕。&lt;b&gt;慎用&lt;/b&gt;&#8226;ＡＢ１２", "主治：头痛，眩晕。慎用•AB12"),
        ("<scr<b>ipt>您好，您好，口服。</p>", "口服。"),
        ("体温\u200b38℃\ue000，★注意休息😀。", "体温38℃\ue000，注意休息。"),
    ],
)
def test_rules_work_together(dirty, clean_text):
    assert cleaned(dirty) == [clean_text]


def test_a_rule_changing_numbers_is_held_back(work, monkeypatch):
    greedy = removal_rule("greedy", "[0-9]+mg")
    monkeypatch.setattr(noise, "WORDS", (*noise.WORDS, greedy))
    monkeypatch.setattr(noise, "ANY", f"{noise.ANY}|mg")
    table = rows(document("每次50mg，　一日２次。", url="http://a/1"), document("多喝水。", url="http://a/2"))
    outcome = clean.run(table, work)
    assert outcome.kept["text"].to_list() == ["每次50mg， 一日2次。", "多喝水。"]
    found = outcome.figures["doubtful"]["greedy"]
    assert found["rows"] == 1
    (sample,) = found["samples"]
    assert set(sample) == {"id", "column", "before", "after", "why"}
    assert (sample["id"], sample["column"]) == (table["id"][0], "text")
    assert "50mg" in sample["before"]
    assert "50mg" not in sample["after"]
    assert outcome.figures["rules"]["space"] == 1
    assert "greedy" not in outcome.figures["rules"]


def test_hidden_control_tokens_leave_and_are_counted(work):
    hidden = [
        "<|im_end|>",
        "&lt;|im_end|&gt;",
        "[ＩＮＳＴ]",
        "[&#73;NST]",
        "<|<b>im_end|>",
        "<<SYS>>",
        "[/I\u200bNST]",
        "<eos>",
    ]
    table = rows(*(document(f"茯苓10g{token}白术", url=f"http://a/{n}") for n, token in enumerate(hidden)))
    outcome = clean.run(table, work)
    assert set(outcome.kept["text"]) == {"茯苓10g 白术"}
    assert outcome.figures["rules"]["control token"] == len(hidden)
    assert outcome.figures["doubtful"] == {}


def test_departments_of_files_hold_no_control_token(work):
    labels = ["<|im_end|>内科", "外科[INST]", "</s>", "妇科", None]
    table = rows(*(qa(f"头痛{n}天怎么办？", "测血压。", department=label) for n, label in enumerate(labels)))
    outcome = clean.run(table, work)
    assert outcome.kept["department"].to_list() == ["内科", "外科", None, "妇科", None]
    assert outcome.figures["rules"] == {"control token in a department": 3}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("祝.{0,9}5天。", "多喝水。祝您5天。"),
        ("有希望痊愈。", "坚持治疗，有希望痊愈。"),
        ("没好转", "没好转。多喝水。"),
    ],
    ids=["a number", "torn", "a negation"],
)
def test_a_meaningful_courtesy_is_held_back(monkeypatch, pattern, text):
    rule = removal_rule("courtesy", pattern, net="spans")
    monkeypatch.setattr(noise, "GROUPS", ((rule,),))
    done = clean.clean_texts(pl.DataFrame({"text": [text]}))
    assert done.texts["text"].to_list() == [text]
    assert done.doubtful["courtesy"][0] == 1


def test_the_report_shows_few_and_short_samples(work, monkeypatch):
    monkeypatch.setattr(noise, "WORDS", (removal_rule("greedy", "[0-9]+", ""),))
    table = rows(*(document(f"{'长' * 5000}服{n}片", url=f"http://a/{n}") for n in range(30)))
    found = clean.run(table, work).figures["doubtful"]["greedy"]
    assert found["rows"] == 30
    assert len(found["samples"]) == clean.SAMPLES
    assert all(len(one["before"]) <= clean.SAMPLE_CHARACTERS for one in found["samples"])


@pytest.mark.parametrize(
    ("before", "after"),
    [("10×10^9/L", "10×109/L"), ("二○丸", "二丸"), ("□钱", "钱"), ("不可服", "可服"), ("<4", ">4"), ("10│20", "1020"),
     ("5mg", "5g"), ("3两", "3钱"), ("1`2", "12"), ("37.5", "375"), ("一、", "、"), ("½片", "片")],
)  # fmt: skip
def test_the_net_sees_what_must_stay(before, after):
    assert net.find_changed(pl.Series([before]), pl.Series([after])).to_list() == [0]


def test_the_net_lets_pass_what_only_looks_different():
    pairs = [("１０ｍｇ", "10mg"), ("您好。", ""), ("头 痛", "头痛"), ("─钱", "一钱"), ("体\u200b温38℃", "体温38℃")]
    before, after = (pl.Series(list(side)) for side in zip(*pairs, strict=True))
    assert net.find_changed(before, after).to_list() == []


def test_no_rule_changes_a_common_character():
    every = pl.Series([chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000])
    common = every.filter(~every.str.contains(noise.UNCOMMON))
    rules = [rule for rule in noise.WORDS if rule.name in noise.OF_UNCOMMON]
    assert {rule.name for rule in rules} == noise.OF_UNCOMMON
    assert len(common) > 20_000
    assert {rule.name for rule in rules if common.str.contains(rule.pattern).any()} == set()


def test_layout_and_pictures_hold_nothing_guarded():
    every = pl.Series([chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000])
    guarded = every.filter(every.str.contains(f"[{net.GUARDED}]"))
    pictures = [rule for rule in noise.WORDS if rule.name in ("picture", "invisible character", "bullet")]
    assert len(pictures) == 3
    assert not any(guarded.str.contains(rule.pattern).any() for rule in pictures)


def test_cleaning_twice_is_cleaning_once():
    chance = random.Random(11)
    pieces = ["<b>", "</p>", "<", ">", "&lt;", "&amp;", "lt;", "script", "http://", "www.a.cn/x", "您好，", "祝您健康",
              "！", "\u200b", "\n", "　", "，", "。", "[1] ", "下一页", "温馨提示：以上资料仅供参考", "color:red;", "∶",
              "谢谢医生", "★", "10g", "3～9克", "茯苓", "br", "/", "&#60;", "<!--", "-->", "Ａ", "<sup>", "</sup>", "9",
              "医生", "─", "钱", "\ufffd", "○", "不"]  # fmt: skip
    texts = pl.DataFrame({"text": ["".join(chance.choices(pieces, k=chance.randint(1, 25))) for _ in range(3000)]})
    once = clean.clean_texts(texts)
    twice = clean.clean_texts(once.texts)
    assert twice.texts.equals(once.texts)
    assert twice.changed == {}
    assert {"tag", "URL", "greeting", "entity", "invisible character"} <= set(once.changed)


def test_no_end_is_torn_by_a_courtesy():
    chance = random.Random(5)
    said = [
        "医生您好，", "您好！", "我头痛三天。", "要住院吗？", "坚持治疗，有希望痊愈。", "谢谢医生！", "谢谢，",
        "祝您早日康复。", "注意休息，祝您健康。", "感谢您的解答，我好多了。", "\n", "多喝水，", "祝好",
        "希望能帮到您。", "血压120/80，不高。",
    ]  # fmt: skip
    texts = ["".join(chance.choices(said, k=chance.randint(1, 8))) + chance.choice("。！") for _ in range(4000)]
    made = pl.Series(cleaned(*texts))
    assert net.find_torn(pl.Series(texts), made).to_list() == []
    assert not made.str.contains("有$|，$").any()


@pytest.mark.parametrize(
    "link",
    ["https://weibo.com/u/1234567890", "https://ｗｅｉｂｏ.com/u/1234567", "weixin.qq.com/r/abcDEF123", "https://t.me/zhongyi_88",
     "https://v.douyin.com/iJx9Kq2/", "https://wpa.qq.com/msgrd?v=3&uin=123456", "wxp://f2f0abcdef123", "mqqapi://card/show?uin=1234",
     "https://qr.alipay.com/fkx1234567", "https://xhslink.com/aBcD12", "https://user.qzone.qq.com/123456"],
)  # fmt: skip
def test_a_persons_link_is_recorded_before_it_leaves(work, link):
    outcome = clean.run(rows(document(f"经方治咳嗽，详见{link} 的说明。")), work)
    ((entry,),) = outcome.kept["identifiers"].to_list()
    assert entry.startswith("contact link text[")


def test_other_links_are_not_looked_at_closely():
    text = '<a href="https://www.example.com.cn/mobile/a?id=1">茯苓</a>见http://example.net/fuling/1.html。'
    triggers = identifiers.FAMILIES["contacts"].triggers
    assert not any(pl.Series([text]).str.contains(trigger).any() for trigger in triggers)


def test_no_sample_shows_an_identifier(work, monkeypatch):
    monkeypatch.setattr(noise, "WORDS", (removal_rule("greedy", "服[0-9]+"),))
    monkeypatch.setattr(noise, "ANY", "服")
    said = SAID.encode().decode("gbk", errors="replace")
    known = [document(f"服{n}片。电话13800138{n:03}。\n{SAID * 3}\n{said}", url=f"http://a/{n}") for n in range(20)]
    free = [document(f"服{n}片，水送下。\n{SAID * 3}\n{said}", url=f"http://b/{n}") for n in range(3)]
    outcome = clean.run(rows(*known, *free), work)
    assert outcome.figures["identifiers"] == {"mobile number": 20}
    for rule in ("greedy", "damaged text"):
        found = outcome.figures["doubtful"][rule]
        assert found["rows"] == 23
        assert {one["id"] for one in found["samples"]} == {one["id"] for one in free}


# --- mojibake ------------------------------------------------------------------------------------------------------

SAID = "感冒三天，头痛发热，建议多休息多喝水，必要时到医院检查血常规。"


def test_mojibake_and_empty_texts_are_dropped(work):
    garbled = document(SAID.encode().decode("latin-1"), url="http://a/1")
    answer = qa("感冒怎么办？", SAID.encode().decode("gb18030", errors="replace"))
    empty = qa("感冒怎么办？", "您好！", url="http://a/3")
    table = rows(garbled, answer, empty, document(SAID))
    outcome = clean.run(table, work)
    check_ledger("clean", table, outcome)
    reasons = dict(outcome.dropped.select("id", "reason").iter_rows())
    assert reasons == {
        garbled["id"]: "mojibake",
        answer["id"]: "mojibake",
        empty["id"]: "nothing left after cleaning",
    }
    details = dict(outcome.dropped.select("id", "detail").iter_rows())
    assert details[answer["id"]].startswith("answer: ")


def test_only_the_damaged_line_leaves(work):
    damaged = SAID.encode().decode("gbk", errors="replace")
    book = document("\n".join([SAID] * 20 + [damaged] + [SAID] * 20), url="http://a/1")
    outcome = clean.run(rows(book), work)
    assert outcome.kept["text"].to_list() == ["\n".join([SAID] * 40)]
    found = outcome.figures["doubtful"]["damaged text"]
    assert found["rows"] == 1
    assert damaged[:20] in found["samples"][0]["before"]


def test_a_broken_byte_costs_only_itself(work):
    outcome = clean.run(rows(document(f"{SAID}党参\ufffd钱，水煎服。")), work)
    assert outcome.kept["text"].to_list() == [f"{SAID}党参□钱，水煎服。"]


def test_a_hostile_text_is_cleaned_in_linear_time():
    began = time.process_time()
    for piece in (
        "<",
        '<a b="',
        "&amp;",
        "您好，",
        "谢谢",
        "祝您",
        "1<sup>",
        "[1] ",
        "以上是对“",
        "a:b;",
        "，\n",
        "★",
        "(",
    ):
        cleaned(piece * 30_000)
    assert time.process_time() - began < 60
