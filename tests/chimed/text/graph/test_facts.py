"""Facts of entries: what fields state in many forms, and nothing where a rule cannot be certain."""

import json
import time
import unicodedata
from pathlib import Path

import pytest

from chimed.text.graph.facts import MOST_FACTS, read_entry

CASES = [json.loads(line) for line in (Path(__file__).parent / "entries.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["title"]))
def test_an_entry_states_these_facts(case) -> None:
    entry = read_entry(case["title"], case["text"])
    facts = entry.facts if entry else ()
    said = [" ".join(filter(None, (fact.relation, fact.object, fact.value, fact.condition))) for fact in facts]
    assert said == case["facts"]
    for fact in facts:
        words = unicodedata.normalize("NFKC", case["text"][fact.start : fact.end]).replace("~", "～")
        assert (
            unicodedata.normalize("NFKC", fact.object or fact.value).replace("~", "～") in words
            or fact.relation == "has_flavour"
        ), fact


def test_a_hostile_entry_is_read_in_time() -> None:
    start = time.thread_time()
    for field in ("组成", "性味归经", "使用禁忌", "用法用量", "功效"):
        for piece in ("人参9克、", "（", "味辛、", "不宜与甘草、", "3～", "归肝、", "一" * 50, "【组成】\n"):
            entry = read_entry("某汤", f"【组成】{'人参9克'}\n【{field}】" + piece * (200_000 // len(piece)))
            assert entry is None or len(entry.facts) <= MOST_FACTS
    assert time.thread_time() - start < 60  # a pattern that is not linear takes hours
