"""Text decoded with a wrong charset is found however it happened, and what only looks strange is not taken for it.

`cases/sound.txt` holds sound lines: measurements, rare characters, names with accents, other scripts, private use.
"""

import re
import time
from pathlib import Path

import pytest
from parsel import Selector

from chimed.sources.ask39 import SITE
from chimed.sources.page import read_page
from chimed.text.encoding.mojibake import SUSPECT, is_garbled, repair

SOUND = (Path(__file__).with_name("cases") / "sound.txt").read_text(encoding="utf-8").splitlines()
SAID = [
    "感冒三天，头痛发热，该吃什么药？",
    "您的血压偏高，平时要少吃盐，每天按时服药，两周以后再来复查。",
    "高血压怎么办",
    "黄芪30g，当归10g，水煎服，每日一剂，早晚各服一次。",
    "夫医者，非仁爱不可托也；非聪明理达不可任也；非廉洁淳良不可信也。",
    "胃镜提示慢性浅表性胃炎，建议规律饮食。",
]
TRADITIONAL = [
    "感冒三天，頭痛發熱，該吃什麼藥？",
    "您的血壓偏高，平時要少吃鹽，每天按時服藥，兩週以後再來複查。",
    "黃耆三十克，當歸十克，水煎服，每日一劑，早晚各服一次。",
    "夫醫者，非仁愛不可託也；非聰明理達不可任也；非廉潔淳良不可信也。",
]


def read_as(was: str, charset: str, errors: str = "replace"):
    return lambda text: text.encode(was).decode(charset, errors=errors)


WAYS = {
    "UTF-8 as GBK": read_as("utf-8", "gbk"),
    "UTF-8 as GB18030": read_as("utf-8", "gb18030"),
    "UTF-8 as GBK, broken bytes left out": read_as("utf-8", "gbk", "ignore"),
    "UTF-8 as Latin-1": read_as("utf-8", "latin-1"),
    "UTF-8 as cp1252": read_as("utf-8", "cp1252"),
    "GBK as Latin-1": read_as("gb18030", "latin-1"),
    "GBK as cp1252": read_as("gb18030", "cp1252"),
    "GBK as UTF-8": read_as("gb18030", "utf-8"),
    "UTF-8 as GBK, twice": lambda text: WAYS["UTF-8 as GBK"](WAYS["UTF-8 as GBK"](text)),
    "UTF-8 as Latin-1, twice": lambda text: WAYS["UTF-8 as Latin-1"](WAYS["UTF-8 as Latin-1"](text)),
    "GBK as Latin-1, twice": lambda text: WAYS["GBK as Latin-1"](WAYS["GBK as Latin-1"](text)),
    "GBK as Latin-1, then UTF-8 as Latin-1": lambda text: WAYS["UTF-8 as Latin-1"](WAYS["GBK as Latin-1"](text)),
    "UTF-8 as Latin-1, then as GBK": lambda text: WAYS["UTF-8 as GBK"](WAYS["UTF-8 as Latin-1"](text)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", SAID)
def test_misread_text_is_found(way, said):
    damage = WAYS[way](said)
    assert is_garbled(damage)
    text = f"患者三十岁，反复咳嗽。\n{damage}\n舌淡苔白，脉细。"
    assert repair(text).text == "患者三十岁，反复咳嗽。\n舌淡苔白，脉细。"
    assert not is_garbled(text + "夜间加重，伴有气短乏力，大便溏薄，小便清长。" * 5)


@pytest.mark.parametrize("charset", ["gbk", "gb18030"])
@pytest.mark.parametrize("said", TRADITIONAL)
def test_big5_read_as_gb_is_found(charset, said):
    damage = said.encode("big5").decode(charset, errors="replace")
    assert is_garbled(damage)
    found = repair(f"患者三十岁，反复咳嗽。\n{damage}\n舌淡苔白，脉细。")
    first, *between, last = found.text.split("\n")
    assert (first, last) == ("患者三十岁，反复咳嗽。", "舌淡苔白，脉细。")
    assert sum(map(len, between)) < len(damage) / 2


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith("UTF-8") and "left out" not in way])
@pytest.mark.parametrize("before", ["两周以后复查。", "平时要少吃盐！", "腹胀、腹痛、嗳气；", "注意饮食。"])
def test_a_sound_sentence_keeps_its_end(way, before):
    found = repair(f"{before}{WAYS[way](SAID[1])}")
    assert found.text.removesuffix("□") == before
    assert found.damage


@pytest.mark.parametrize("line", SOUND)
def test_what_only_looks_strange_is_sound(line):
    found = repair(f"{line}\n{line}")
    assert (found.text, found.damage) == (f"{line}\n{line}", ())


def test_sound_lines_say_something_of_the_test():
    assert len(SOUND) > 60
    assert sum(bool(re.search(SUSPECT, line)) for line in SOUND) > 10  # the closer look was taken, and found them sound


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("党参\ufffd钱，水煎服。", "党参□钱，水煎服。"),
        ("每日一次\ufffd", "每日一次"),
        ("锟斤拷头痛三天，伴恶心呕吐。", "□头痛三天，伴恶心呕吐。"),
        ("头痛三天。锟斤拷锟斤拷锟斤拷。恶心呕吐。", "头痛三天。恶心呕吐。"),
        (
            "枸杞子15g，" + "水煎服".encode().decode("gbk", errors="replace") + "，每日一剂。",
            "枸杞子15g，□，每日一剂。",
        ),
    ],
)
def test_only_the_damaged_place_is_cut_or_marked(text, left):
    assert repair(text).text == left


def test_a_hostile_text_takes_no_long_time():
    took = []
    for length in (4_000, 16_000):
        began = time.process_time()
        for piece in ("鎰", "\ufffd", "Ã", "ÖÐ", "\ue4c6ぃ", "锟斤拷", "\x810\x8a0"):
            repair(piece * length)
        took.append(time.process_time() - began)
    assert took[1] < 10 * took[0], took  # linear: four times as long


def test_a_garbled_answer_is_named_by_the_ledger():
    garbled_answer = SAID[1].encode().decode("latin-1")
    answers = "".join(f'<div class="sele_all"><p class="sele_txt">{one}</p></div>' for one in (SAID[5], garbled_answer))
    page = f'<h1>血压</h1><p class="txt_ms">血压高。</p><div class="selected">{answers}</div>'
    read = read_page(SITE, "https://ask.39.net/question/1.html", Selector(text=page))
    assert [is_garbled(one.answer) for one in read] == [False, True]
