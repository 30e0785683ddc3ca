"""Pages made to take for ever: read within a second of CPU, or named; and the next page is read as if nothing was."""

import contextlib
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from chimed.crawl import bounded
from chimed.crawl.bounded import ReaderDied, TooLong
from chimed.crawl.reading import read_detail, read_list, read_records
from chimed.sources.page import Miss
from chimed.sources.text import merged, tidy


def catastrophe(length: int) -> bool:
    return bool(re.match(r"(a|aa)+$", "a" * length + "b"))


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Odd(Exception):
    """An error that cannot be carried from one process to another."""

    def __init__(self, one, two):
        super().__init__(one)


def odd() -> None:
    raise Odd(1, 2)


def seconds(function, *arguments) -> float:
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def test_an_overlong_call_is_ended():
    with pytest.raises(TooLong):
        bounded.run_bounded(catastrophe, 60, seconds=0.3)
    assert bounded.run_bounded(catastrophe, 3) is False


def test_another_death_of_a_process_is_told():
    with pytest.raises(ReaderDied, match="-9"):
        bounded.run_bounded(killed)
    assert bounded.run_bounded(catastrophe, 3) is False


def test_errors_come_back_by_name():
    with pytest.raises(ZeroDivisionError):
        bounded.run_bounded(divmod, 1, 0)
    with pytest.raises(RuntimeError, match="Odd: 1"):
        bounded.run_bounded(odd)


def marked(folder: str, name: str) -> tuple[str, int]:
    Path(folder, name).touch()
    return name, os.getpid()


def there(path: Path) -> bool:
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.002)
    return path.exists()


def test_expected_pages_are_read_ahead(tmp_path):
    calls = [(marked, (str(tmp_path), name)) for name in "abc"]
    bounded.prefetch(calls)
    assert there(tmp_path / "a")  # before anybody asked for it
    a = bounded.run_bounded(marked, str(tmp_path), "a")
    assert there(tmp_path / "b")
    assert not (tmp_path / "c").exists()
    b, c = (bounded.run_bounded(function, *arguments) for function, arguments in calls[1:])
    assert [name for name, _ in (a, b, c)] == ["a", "b", "c"]
    assert len({process for _, process in (a, b, c)}) == 1


def test_reading_order_changes_no_answer():
    chance = random.Random(4)
    numbers = [(n, 7) for n in range(40)]
    for _ in range(20):
        bounded.prefetch((divmod, pair) for pair in chance.sample(numbers, chance.randint(0, 12)))
        for pair in chance.sample(numbers, chance.randint(0, 12)):
            assert bounded.run_bounded(divmod, *pair) == divmod(*pair)


def test_trouble_while_reading_ahead_is_told_in_turn():
    calls = [(divmod, (7, 2)), (catastrophe, (60,)), (divmod, (1, 0)), (killed, ()), (divmod, (9, 2))]
    bounded.prefetch(calls)
    assert bounded.run_bounded(divmod, 7, 2) == (3, 1)
    time.sleep(0.05)  # what it gave is written down
    with pytest.raises(TooLong):
        bounded.run_bounded(catastrophe, 60)
    with pytest.raises(ZeroDivisionError):
        bounded.run_bounded(divmod, 1, 0)
    with pytest.raises(ReaderDied):
        bounded.run_bounded(killed)
    assert bounded.run_bounded(divmod, 9, 2) == (4, 1)
    bounded.prefetch([(killed, ())])  # nobody asks for it
    assert bounded.run_bounded(divmod, 7, 2) == (3, 1)


URLS = {
    "zydcd": "http://www.zydcd.com/zhongyi/zy12345ab/",
    "zhongyoo": "http://www.zhongyoo.com/name/fuling_1.html",
    "cnkang": "https://www.cnkang.com/dise/1/1.html",
    "ask39": "https://ask.39.net/question/1.html",
    "ask120": "https://www.120ask.com/question/1.htm",
}
HEAD = "<h1>问题</h1>"
GROUPS = f'{HEAD}<div class="cont_l">'
GROUP = '<div class="selected"><div class="sele_all"><p class="sele_txt">答。</p>'
ANSWER = '<div class="b_answerli"><div class="b_anscontc"><div class="b_anscont_cont">'
MADE = {
    "line feeds before a stray break": ("ask39", f'{HEAD}<p class="txt_ms">BR>{chr(10) * 100_000}x</p>'),
    "line feeds after a stray break": (
        "ask120",
        f'{HEAD}<div id="d_msCon"><p class="crazy_new">{"<" * 9}BR {chr(9) * 99_999}',
    ),
    "groups never closed": (
        "ask39",
        GROUPS + GROUP * 100,
    ),
    "thousands of groups never closed": (
        "ask39",
        GROUPS + GROUP * 3_000,
    ),
    "answers never closed": (
        "ask120",
        HEAD + f'{ANSWER}<div class="crazy_new"><p>答' * 2_000,
    ),
    "a question of ten thousand lines": (
        "ask120",
        HEAD + '<div id="d_msCon">' + "".join(f'<p class="crazy_new">第{n}行</p>' for n in range(10_000)),
    ),
    "the end of an answer again and again": (
        "ask120",
        f"{HEAD}{ANSWER}<p>" + "以上是对“" * 50_000,
    ),
    "fields in fields": ("zhongyoo", "<h1>药</h1>" + "<div class=gaishu><div class=text><p>" * 5_000),
    "texts in texts": ("zydcd", "<h1>药</h1>" + '<div class="info_txt">方' * 5_000),
    "parts in parts": ("cnkang", "<h1>病</h1><div id=endText>" + "".join(f"<div id=jbk{n}>文" for n in range(3_000))),
    "a tag of many attributes": ("cnkang", f"<h1>病</h1><p {' '.join(f'a{n}=1' for n in range(10**5))}>"),
    "a million tags": ("cnkang", '<h1>病</h1><div class="detailc">' + "<b>" * 10**6),
    "a page of brackets": ("cnkang", f'<h1>病</h1><div class="detailc">{"[" * 200_000}</div>'),
    "reminders": ("cnkang", f'<h1>病</h1><div class="detailc">{"温馨提示：" * 50_000}</div>'),
    "buttons": ("ask39", f'{HEAD}<div class="selected"><div class="sele_all"><p class="sele_txt">。{"举报" * 50_000}x'),
    "labels": ("zhongyoo", f'<h1>药</h1><div class="gaishu"><div class="text"><p>{"【功效" * 50_000}</p></div></div>'),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_hanging_page_is_named_within_a_second(name):
    source, html = MADE[name]
    for function in (read_detail, read_list):
        began = time.monotonic()
        with contextlib.suppress(TooLong, RecursionError):
            bounded.run_bounded(function, source, URLS[source], html)
        assert time.monotonic() - began < 60  # on a machine that others use too; its second is of CPU
    good = '<h1>茯苓</h1><div class="info_txt">味甘、淡，性平。</div>'
    assert not isinstance(bounded.run_bounded(read_records, "zydcd", URLS["zydcd"], good), Miss)


def test_three_known_slow_texts_are_fast():
    assert seconds(tidy, "BR>" + "\n" * 100_000 + "x") < 0.3
    assert seconds(tidy, "\n" * 100_000 + "<" + "\n" * 100_000 + "BR" + "\n" * 100_000) < 0.3
    assert seconds(merged, *(f"第{n}句话，各不相同" for n in range(20_000))) < 1
    assert seconds(read_records, "ask39", URLS["ask39"], MADE["groups never closed"][1]) < 1
    read = read_records("ask39", URLS["ask39"], MADE["groups never closed"][1])
    assert [one.answer for one in read] == ["答。"]


def test_a_stray_break_is_taken_off_as_before():
    for text in ("BR>问", "<br/>问", " < / BR >问", "BR> BR>\n<BR>问", "br />BR>问"):
        assert tidy(text) == "问"
    for text in ("BR问", "ABR>问", "<<BR>问", "B R>问"):
        assert tidy(text) == text
