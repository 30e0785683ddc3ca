"""No regular expression over foreign text takes more than linear time: each is attacked by its own form.

Of every pattern that Python's `re` runs in `chimed` (constants of modules, and literals of calls) the repeated parts
are taken, each with what leads to it, and strings are made that repeat them and then fail. Where four times the length
takes nine times the steps or more, a page of 100 KB would take minutes.
"""

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from re import _constants as kinds
from re import _parser as parser

import pytest

import chimed

N = 4_000  # characters of a first attack
NOTICED = 0.004  # seconds of CPU; a linear pattern takes a tenth
LIMIT = 1.5  # seconds after which an attack has succeeded
MOST_ATTACKS = 60
REPEATS = (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT)
COMMON = " \n\u3000中1a，。（<x"
CATEGORIES = {kinds.CATEGORY_DIGIT: "1", kinds.CATEGORY_SPACE: " ", kinds.CATEGORY_WORD: "a"}


@pytest.mark.slow
def test_attacks_find_known_slow_patterns() -> None:
    for slow in (r"书名[：:]\s*(.+?)\s*$", r"<[^>]*>", r"(a+)+b", r"\d+[余多]?\s*克", r"\s*(?:甲|乙)", r"(?:\w+ )*："):
        assert _superlinear(re.compile(slow)), slow
    for linear in (r"<[^<>]{0,200}>", r"[一二三]{1,12}日", r"\A\s*答案[：:]", r"茯苓|甘草", r"\s{1,9}$"):
        assert not _superlinear(re.compile(linear)), linear


@pytest.mark.slow
def test_every_pattern_over_foreign_text_is_linear() -> None:
    found = {where: attack for where, pattern in _patterns() if (attack := _superlinear(pattern))}
    assert found == {}


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    seen: dict[tuple[str, int], str] = {}
    for info in pkgutil.walk_packages(chimed.__path__, "chimed."):
        if info.name.startswith(("chimed_demo", "chimed.storage.migrations")):
            continue  # over texts of our own
        try:
            module = importlib.import_module(info.name)
        except ModuleNotFoundError:  # it belongs to the models' environment
            module = None
        for name, value in vars(module).items() if module else ():
            for pattern in _within(value):
                seen.setdefault((pattern.pattern, pattern.flags), f"{info.name}.{name}")
    for file in sorted(Path(chimed.__file__).parent.rglob("*.py")):
        if "demo" not in file.parts:
            for pattern in _literals(file):
                seen.setdefault((pattern.pattern, pattern.flags), str(file.relative_to(Path(chimed.__file__).parent)))
    assert len(seen) > 200
    for (pattern, flags), where in seen.items():
        yield f"{where}: {pattern[:60]}", re.compile(pattern, flags)


def _within(value: object, depth: int = 0) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif depth < 3:
        parts: Iterable[object] = ()
        if isinstance(value, dict):
            parts = value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            parts = value
        elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
            parts = [getattr(value, name, None) for name in value.__dataclass_fields__]
        for part in parts:
            yield from _within(part, depth + 1)


def _literals(file: Path) -> Iterator[re.Pattern[str]]:
    """Patterns that stand as literals in calls: `re.sub(r"…", …)`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
            and node.func.attr not in ("escape", "match", "fullmatch")
        ):
            yield re.compile(node.args[0].value)


def _superlinear(pattern: re.Pattern[str]) -> str | None:
    """An attack that takes more than linear time, or None."""
    attacks = list(dict.fromkeys(_attacks(pattern)))[:MOST_ATTACKS]
    for prefix, pump, end in attacks:
        once = _seconds(pattern, _text(prefix, pump, end, N))
        if once < NOTICED:
            continue
        if once >= LIMIT:
            return f"{(prefix + pump)[:20]!r}: {LIMIT} s and more"
        short = min(_seconds(pattern, _text(prefix, pump, end, N)) for _ in range(2))
        long = min(_seconds(pattern, _text(prefix, pump, end, 4 * N)) for _ in range(2))
        if long >= LIMIT or (short >= NOTICED / 3 and long > 9 * short):
            return f"{(prefix + pump)[:20]!r}: {long / max(short, 1e-6):.0f} times the time for 4 times the text"
    return None


def _text(prefix: str, pump: str, end: str, length: int) -> str:
    return prefix + pump * max(1, length // len(pump)) + end


class _TooLong(Exception):
    pass


def _interrupt(*_) -> None:
    raise _TooLong


def _seconds(pattern: re.Pattern[str], text: str) -> float:
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    start = time.thread_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        for _ in pattern.finditer(text):
            pass
        signal.signal(signal.SIGVTALRM, signal.SIG_IGN)  # an alarm from here on is none
        return time.thread_time() - start
    except _TooLong:
        return LIMIT
    finally:
        signal.signal(signal.SIGVTALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# --- attacks: prefix, what is repeated, end -------------------------------------------------------------------------


def _attacks(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    tree = list(parser.parse(pattern.pattern, pattern.flags))
    for prefix, pump in _repeats(tree, ""):
        yield prefix, pump, "\x00"
        yield "", prefix + pump, "\x00"
        yield "", pump, "\x00"
        if prefix:
            yield "", prefix, "\x00"
    for most in (False, True):
        if whole := _sample(tree, most):
            yield "", whole, ""
            if len(whole) > 1:
                yield "", whole[:-1], "\x00"
    for letter in COMMON:
        yield "", letter, "\x00"


def _repeats(parts: Iterable, prefix: str) -> Iterator[tuple[str, str]]:
    """What leads to each repeated part of a pattern, and strings that the part repeats."""
    parts = list(parts)
    for number, (kind, what) in enumerate(parts):
        before = prefix + _sample(parts[:number], False)
        if kind in REPEATS:
            _, most, body = what
            if most is kinds.MAXREPEAT or most >= 20:
                for pump in dict.fromkeys((_sample(body, False), _sample(body, True), *_letters(list(body)))):
                    if pump:
                        yield before, pump
            yield from _repeats(body, before)
        elif kind is kinds.SUBPATTERN:
            yield from _repeats(what[3], before)
        elif kind is kinds.BRANCH:
            for branch in what[1]:
                yield from _repeats(branch, before)
        elif kind is kinds.ATOMIC_GROUP:
            yield from _repeats(what, before)
        elif kind in (kinds.ASSERT, kinds.ASSERT_NOT):
            yield from _repeats(what[1], before)


def _letters(body: list) -> list[str]:
    """Of a repeated set of characters, the usual ones it holds."""
    if len(body) != 1 or body[0][0] is not kinds.IN:
        return []
    return [letter for letter in COMMON if _holds(body[0][1], letter)]


def _holds(items: list, letter: str) -> bool:
    turned = items[0][0] is kinds.NEGATE
    found = False
    for kind, what in items:
        if kind is kinds.LITERAL:
            found |= what == ord(letter)
        elif kind is kinds.RANGE:
            found |= what[0] <= ord(letter) <= what[1]
        elif kind is kinds.CATEGORY:
            tests = {
                kinds.CATEGORY_DIGIT: letter.isdigit(),
                kinds.CATEGORY_NOT_DIGIT: not letter.isdigit(),
                kinds.CATEGORY_SPACE: letter.isspace(),
                kinds.CATEGORY_NOT_SPACE: not letter.isspace(),
                kinds.CATEGORY_WORD: letter.isalnum(),
                kinds.CATEGORY_NOT_WORD: not letter.isalnum(),
            }
            found |= tests[what]
    return found != turned


def _sample(parts: Iterable, most: bool) -> str:
    """A string that the parts match; most: what may be left out is there, once."""
    said = ""
    for kind, what in parts:
        if kind is kinds.LITERAL:
            said += chr(what)
        elif kind is kinds.NOT_LITERAL or kind is kinds.ANY:
            said += "x"
        elif kind is kinds.IN:
            said += _one_of(what)
        elif kind in REPEATS:
            said += _sample(what[2], most) * max(what[0], int(most))
        elif kind is kinds.SUBPATTERN:
            said += _sample(what[3], most)
        elif kind is kinds.BRANCH:
            said += _sample(what[1][-1 if most else 0], most)
        elif kind is kinds.ATOMIC_GROUP:
            said += _sample(what, most)
    return said


def _one_of(items: list) -> str:
    if items[0][0] is kinds.NEGATE:
        return next((letter for letter in f"x{COMMON}" if _holds(items, letter)), "x")
    kind, what = items[0]
    if kind is kinds.LITERAL:
        return chr(what)
    return chr(what[0]) if kind is kinds.RANGE else CATEGORIES.get(what, "!")
