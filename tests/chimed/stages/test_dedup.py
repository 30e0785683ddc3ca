"""dedup: copies are found however they are typed, variants stay, and the order of rows changes nothing."""

import json
import os
import random
from pathlib import Path

import polars as pl
import pytest

from chimed.stages import dedup
from chimed.storage import lake as lakes
from chimed.text.duplicates import alignment, variants
from chimed.text.duplicates.around import trim
from chimed.text.duplicates.compared import compared_points
from support.samples import document, judged, qa, rows

CASES = [json.loads(line) for line in (Path(__file__).parent / "copy_cases.jsonl").open(encoding="utf-8")]
BASES = {case["base"]: case["text"] for case in CASES if "base" in case}
PAIRS = [
    (case["want"], BASES[case["of"]], BASES[case["of"]].replace(*case["change"]), case["change"])
    for case in CASES
    if "of" in case
]
FIRST = BASES["decoction"]


def compared(text: str) -> str:
    """A text as two texts are compared by."""
    return compared_points(pl.Series([text]), 0).points.tobytes().decode("utf-32-le")


@pytest.mark.parametrize("want", ["variant", "copy"])
def test_what_makes_two_texts_variants_is_seen(want):
    pairs = [(text, other, change) for wanted, text, other, change in PAIRS if wanted == want]
    sides = [map(compared, trim(pl.Series([pair[side] for pair in pairs]))) for side in (0, 1)]
    found = ["variant" if variants.find_difference(*pair) else "copy" for pair in zip(*sides, strict=True)]
    assert [change for (_, _, change), is_a in zip(pairs, found, strict=True) if is_a != want] == []


@pytest.mark.slow
@pytest.mark.parametrize("want", ["variant", "copy"])
def test_copies_leave_and_variants_stay(work, want):
    wrong = []
    for wanted, text, other, change in PAIRS[::4]:
        if wanted == want:
            assert other != text, change
            table = rows(document(text, url="http://a/1"), document(other, url="http://a/2"))
            wrong += [change] if len(judged(dedup, table, work).kept) != (2 if want == "variant" else 1) else []
    assert wrong == []


def wrongly_told(file: str, want: str) -> list[dict]:
    """The cases of a file that are wanted to be variants, or copies, and are called the other, in either order."""
    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["want"] == want]
    one, two = (list(map(compared, trim(pl.Series([case[name] for case in cases])))) for name in ("one", "two"))
    both = zip(cases, map(variants.find_difference, one, two), map(variants.find_difference, two, one), strict=True)
    return [case for case, *found in both if any(bool(differs) != (want == "variant") for differs in found)]


@pytest.mark.parametrize("want", ["variant", "copy"])
def test_text_beside_courtesies_is_compared(want):
    assert wrongly_told("copy_ends.jsonl", want) == []


@pytest.mark.parametrize("want", ["variant", "copy"])
def test_moved_negations_and_similar_names_are_seen(want):
    assert wrongly_told("copy_moved.jsonl", want) == []


def test_variants_stay_and_their_copies_leave(work):
    table = [document(text, url=f"http://base/{name}") for name, text in BASES.items()]
    variants = [other for want, _, other, _ in PAIRS if want == "variant"]
    table += [document(other, url=f"http://variant/{n}") for n, other in enumerate(variants)]
    again = [f"您好，{other}祝您健康！" for other in variants]
    copies = [document(other, url=f"http://copy/{n}", published=None) for n, other in enumerate(again)]
    outcome = judged(dedup, rows(*table, *copies), work)
    assert len(outcome.kept) == len(table)
    assert outcome.figures["pairs_spared"] > len(variants)


def test_any_order_of_rows_keeps_the_same_ids(work):
    chance = random.Random(5)
    texts = [other for _, _, other, _ in PAIRS] + list(BASES.values())
    table = [document(text, url=f"http://a/{n}") for n, text in enumerate(texts + texts[:40])]
    table += [qa(text[:40], text[40:], url=f"http://b/{n}") for n, text in enumerate(texts)]
    kept, reports = set(), set()
    for _ in range(4):
        chance.shuffle(table)
        outcome = judged(dedup, rows(*table), work)
        kept.add(frozenset(outcome.kept["id"]))
        told = outcome.dropped.select("id", "reason", "detail").sort("id").rows()
        reports.add(json.dumps([told, outcome.figures["doubtful"]], ensure_ascii=False, sort_keys=True))
    assert len(kept) == len(reports) == 1


@pytest.mark.parametrize("what", ["cut", "empty", "garbage", "pipe", "gone", "other"])
def test_spoilt_signatures_are_computed_again(work, caplog, capsys, what):
    chance = random.Random(7)
    table = rows(*(document("".join(chance.choices(FIRST, k=80)), url=f"http://a/{n}") for n in range(40)))
    sound = judged(dedup, table, work)
    (name,) = lakes.files(work.lake, "signatures")
    file = Path(work.lake.at("signatures", name))
    as_it_was = file.read_bytes()
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "other":
        pl.DataFrame({"a": [1]}).write_parquet(file)
    elif what != "gone":
        spoilt = {"cut": as_it_was[: len(as_it_was) // 2], "empty": b"", "garbage": chance.randbytes(4_000)}
        file.write_bytes(spoilt[what])
    assert judged(dedup, table, work).kept.equals(sound.kept)
    assert (f"{name.rsplit('/', 1)[-1]}" in caplog.text) == (what != "gone")
    assert judged(dedup, table, work).kept.equals(sound.kept)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("dedup sign")]
    assert [line.split(", ")[2] for line in lines] == [f"signatures computed {n}" for n in (40, 40, 0)]


def test_measurement_signs_tell_texts_apart(work):
    texts = [
        "HBsAg(+)",
        "HBsAg(-)",
        "白细胞<4",
        "白细胞>4",
        "血糖6.5",
        "血糖65",
        "10⁹/L",
        "109/L",
        "每服三○丸",
        "每服三丸",
        "□钱",
        "钱",
    ]
    table = rows(*(document(text, url=f"http://a/{n}") for n, text in enumerate(texts)))
    assert judged(dedup, table, work).kept["text"].to_list() == texts
    same = ["血糖 6.5", "血糖６．５", "血糖：6.5。", "血糖6.5，谢谢！"]
    assert (
        len(judged(dedup, rows(*(document(text, url=f"http://b/{n}") for n, text in enumerate(same))), work).kept) == 1
    )


def test_two_herbs_with_equal_text_stay(work):
    short = "味甘，性平，归脾、胃、肺经，煎服，用量见各家本草，脾胃虚弱者宜少用，久服宜配理气之品。"
    titles = ["党参", "党参的功效与作用", "黄芪", None]
    table = rows(*(document(short, title=title, url=f"http://a/{n}") for n, title in enumerate(titles)))
    assert len(judged(dedup, table, work).kept) == 3  # the text without a title names no herb at all


def test_titles_alone_tell_no_text_apart(work):
    table = rows(*(document(FIRST, title=title, url=f"http://a/{title}") for title in ("高血压", "冠心病", "中风")))
    assert len(judged(dedup, table, work).kept) == 1


def test_the_report_shows_what_was_spared_and_why(work):
    table = rows(document(FIRST, url="http://a/1"), document(FIRST.replace("三两", "三钱"), url="http://a/2"))
    figures = judged(dedup, table, work).figures
    (sample,) = figures["doubtful"]["variants, another unit"]["samples"]
    assert figures["doubtful"]["variants, another unit"]["rows"] == figures["pairs_spared"] == 1
    assert sample["column"] == "text"
    assert {"三两" in sample["before"], "三两" in sample["after"]} == {True, False}
    assert sample["id"] in set(table["id"])
    assert (set(table["id"]) - {sample["id"]}).pop() in sample["why"]


def test_only_surroundings_are_left_aside():
    around = {
        "您好，建议多休息。祝您早日康复！": "建议多休息",
        "大夫你好啊！我头痛三天。谢谢大夫，麻烦您了！": "我头痛三天",
        "每天三次。——市第一医院 张医生 2019-03-05": "每天三次",
        "少盐。地址：人民路12号，电话：010-12345678。": "少盐",
        "少盐。详见http://www.a.cn/b?c=1": "少盐",
    }
    for text, wanted in around.items():
        assert trim(pl.Series([text])).item().rstrip("。") == wanted
    for text in ("您好！", "谢谢", "服药时间：饭后", "可看医生", "不要去医院找医生", "每日3次。请勿联系医生"):
        assert trim(pl.Series([text])).item() == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("茯苓，10ｇ", "茯苓10g"), ("WBC ＜ 4×10^9/L", "wbc<4×10⁹l"), ("10⁹与10¹²", "10⁹与10ⁱ2"),
        ("3——5天，三至五天", "3~5天三~五天"), ("10,000单位", "10000单位"), ("1，5g", "1,5g"), ("一○二、", "一〇二"),
        ("50*45×38mm", "50×45×38mm"), ("薑黃", "姜黄"), ("HBsAg（－）", "hbsag-"), ("——张", "张"),
        ("≥140", ">=140"), ("38.5°C", "38.5c"), ("½片", "1/2片"), ("首页>>内科", "首页内科"), ("", ""),
        ("。，", ""), ("🙂\u200b", ""), ("\ue123草", "\ue123草"), ("𠀀豈", "𠀀岂"), ("120:80", "120:80"),
        ("Ⅲ型", "iii型"),
    ],
)  # fmt: skip
def test_compared_text_keeps_measurement_signs(text, wanted):
    assert compared(text) == wanted


def test_each_text_is_compared_by_itself():
    texts = [other for _, _, other, _ in PAIRS] + ["3", "-", "5", "(", "-)", "<", "4", "", "10", "⁹", "○", "三"]
    together = compared_points(pl.Series(texts), 3)
    assert together.lengths.tolist() == [len(compared(text)) for text in texts]
    assert together.points.tobytes().decode("utf-32-le") == "".join(compared(text) + "\0\0\0" for text in texts)


def test_long_texts_are_aligned_piece_by_piece():
    chance = random.Random(2)
    text = "".join(chance.choices("阴阳表里寒热虚实脏腑经络气血津液", k=60_000))
    other = f"{text[:31_000]}三两{text[31_000:52_000]}{text[52_100:]}"
    found = alignment.find_differing_regions(text, other)
    assert [(one[1] - one[0], one[3] - one[2]) for one in found] == [(0, 2), (100, 0)]
    assert alignment.find_differing_regions(text[:9_000], text[:9_000]) == []
