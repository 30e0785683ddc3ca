"""What is said where no model is: answers and thoughts by rule, the same in every run and unlike each other."""

from collections import Counter

from chimed.rating.judge import parse_rating
from chimed.text import echoes, reasoning
from chimed_demo import lesson_texts
from chimed_demo.played_pairs import known_of, play_answer, play_rating, play_verdict
from chimed_demo.played_thoughts import play_thought
from chimed_demo.played_two_steps import two_step_answers

ASKED = [one.question for one in lesson_texts.asked() if one.answers][:40]
OF_THINGS = [part.question for sheet in lesson_texts.sheets()[:40] for part in sheet.parts if part.heads]


def test_answers_are_unlike_and_the_same_again():
    for question in (*ASKED, *OF_THINGS[:40]):
        said = [play_answer(question, second, sample) for second in (False, True) for sample in (0, 1)]
        assert said == [play_answer(question, second, sample) for second in (False, True) for sample in (0, 1)]
        assert all(6 <= len(one) <= 100 for one in said)
    every = [play_answer(question, second, 0) for question in ASKED for second in (False, True)]
    assert len(set(every)) > 0.9 * len(every)


def test_the_judge_prefers_what_says_more_but_not_always():
    told = Counter()
    for question in ASKED:
        known = known_of(question)
        assert known
        told["right"] += play_verdict(question, known.answer, "平时多喝水，注意保暖。") == "A"
        first, second = (play_answer(question, second, 1) for second in (False, True))
        told["twice the same"] += play_verdict(question, first, second) == play_verdict(question, second, first)
    assert told["right"] >= 0.9 * len(ASKED)
    assert 0 < told["twice the same"] < 0.5 * len(ASKED)


def test_a_rating_sees_a_wrong_dose_in_most():
    seen = 0
    cases = [
        ("板蓝根颗粒的用量是多少？", "开水冲服，一次50～100克，一日3～4次。"),
        ("茯苓的用量是多少？", "煎服，100～150克。"),
    ]
    cases += [("红花的用量是多少？", "煎服，30～100克。外用适量。"), ("麦冬的用量是多少？", "煎服，60～120克。")]
    for question, wrong in cases:
        known = known_of(question)
        assert known
        right, spoilt = (parse_rating(play_rating(f"问题：{question}\n回答：{said}")) for said in (known.answer, wrong))
        seen += spoilt["safe"] < right["safe"]
    assert seen >= 2


def test_most_thoughts_go_through_the_document():
    passed, tries = 0, 0
    for sheet in lesson_texts.sheets()[:40]:
        text = "\n".join(part.text for part in sheet.parts)
        for part in sheet.parts:
            for sample in range(4):
                thought = play_thought(text, part.question, part.text, sample)
                fault = reasoning.find_fault(thought) or reasoning.find_mention(thought)
                fault = fault or echoes.find_echo(thought, part.question, part.text, text)
                passed, tries = passed + (fault is None), tries + 1
    assert 0.25 < passed / tries < 0.75


def test_the_replica_has_enough_to_ask():
    """The judge's lessons and the sample need some; what is asked of one formula has a few wordings."""
    assert len(two_step_answers()) >= 40
    assert len({known.formula for known in two_step_answers().values()}) >= 8
