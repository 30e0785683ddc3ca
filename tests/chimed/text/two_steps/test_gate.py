"""The gate of two-step questions on wordings of every kind: no wrong one passes, and few good ones are lost."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from chimed.text.two_steps import wording
from chimed.text.two_steps.gate import check
from support.two_steps import all_points

WORDINGS = [
    json.loads(line) for line in (Path(__file__).parent / "wordings.jsonl").read_text(encoding="utf-8").splitlines()
]
LEAST_KEPT = 0.8  # of the good wordings: what is lost costs a request, what passes wrongly a wrong row


@pytest.fixture
def points(monkeypatch):
    return all_points(monkeypatch)


def test_no_wrong_wording_passes(points):
    wrong = [one for one in WORDINGS if one["want"] != "good"]
    got = [check(points[one["point"]][0], one["question"], one["answer"], points[one["point"]][1]) for one in wrong]
    assert len(wrong) >= 200
    assert [one for one, said in zip(wrong, got, strict=True) if said.reason != one["want"]] == []
    assert len({said.reason for said in got}) >= 10


def test_good_wordings_pass_with_evidence_in_both(points):
    good = [one for one in WORDINGS if one["want"] == "good"]
    fates: Counter[str] = Counter()
    for one in good:
        point, entries = points[one["point"]]
        said = check(point, one["question"], one["answer"], entries)
        fates[said.reason or "kept"] += 1
        if said.reason is None:
            shown = [entries.formula[start:end] for start, end in said.in_formula]
            assert [point.herb in words for words in shown] == [True]
            assert all(entries.herb[start:end] in entries.herb and end > start for start, end in said.in_herb)
            assert said.in_herb
    assert len(good) >= 100
    assert fates["kept"] >= LEAST_KEPT * len(good), fates


def test_every_wording_by_rule_passes(points):
    for point, entries in points.values():
        said, clause = entries.herb_words(point), entries.herb_clause(point)
        for question in wording.questions_of(point, said):
            for answer in wording.answers_of(point, said, clause):
                assert check(point, question, answer, entries).reason is None, (question, answer)


def test_a_reply_that_was_cut_off_is_rejected(points):
    point, entries = points["麻黄汤 which has_toxicity"]
    assert check(point, "麻黄汤中哪味药有小毒？", "杏仁，有小毒。", entries, whole=False).reason == "cut off"


def test_a_hostile_question_costs_no_time(points):
    begun = time.process_time()
    for name, (point, entries) in points.items():
        for piece in ("药", "的药物", "，", "应当", "的", f"{point.formula}的药中"):
            for length in (80, 400):
                question = f"{point.formula}中{(piece * length)[:length]}哪一味药{point.about or ''}？"
                assert check(point, question, f"{point.herb}。", entries).reason, name
    assert time.process_time() - begun < 1
