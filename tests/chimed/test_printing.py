"""Nothing that a page, a person or a model said passes for a line of ours, or is obeyed by a terminal."""

import logging

import pytest

from chimed.characters import one_line
from chimed.pipeline import trace
from chimed.printing import LineFormatter, print_error, print_result

EVIL = (
    "好\n12:00:00 release 2026.11.22 is whole",
    "\x1b[2J\x1b[1;1Hchimed: all is well",
    "a\rchimed: overwritten",
    "\x9b31m",
    "\u202egnihton",
    "x\x00y\x7f",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    "half \ud83d of a pair",
)


@pytest.mark.parametrize("said", EVIL)
def test_log_lines_begin_with_their_time(said) -> None:
    record = logging.LogRecord("chimed", logging.INFO, "", 0, "server said: %s", (said,), None)
    first, *more = LineFormatter("%(asctime)s %(message)s", "%H:%M:%S").format(record).split("\n")
    assert first[2] == first[5] == ":"
    assert all(line.startswith("    ") for line in more)
    assert not [letter for letter in "".join([first, *more]) if letter in "\x1b\x9b\r\x00\x7f\u202e\u2028\x85"]


@pytest.mark.parametrize("said", EVIL)
def test_errors_and_results_are_one_line(said, capsys) -> None:
    print_error(ValueError(f"HTTP 401: {said}"))
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "\x1b" not in error
    if "\ud83d" not in said:
        print_result({"said": said})
        assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("said", EVIL)
def test_a_trace_shows_every_field_on_one_line(said, capsys) -> None:
    names = ("kind", "id", "source", "domain", "language", "fate", "title", "text", "question", "answer", "rejected")
    more = ("department", "published", "perplexity", "prompt", "model", "url", "fetched", "page")
    row = dict.fromkeys((*names, *more), said)
    reply = dict.fromkeys(("model", "prompt", "text", "reasoning", "fault"), said) | {"key": "ab" * 32}
    reply["messages"] = '[{"role": "user\\n12:00:00 false", "content": "\\u001b[2J"}]'
    row |= {"identifiers": [said], "evidence": [], "answers": [reply], "parent": None}
    trace._print_record(row)
    out = capsys.readouterr().out
    assert not [letter for letter in out if letter in "\x1b\x9b\r\x00\x7f\u202e\u2028\x85\ud83d"]
    assert all(line.startswith("  ") or not line for line in out.split("\n")[2:])
    assert len(one_line(said).splitlines()) == 1
