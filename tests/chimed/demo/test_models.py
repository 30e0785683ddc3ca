"""What the tiny models are taught, and that they are kept by what they are taught."""

import itertools
import random
import re

import pytest

from chimed.llm.prompts import build_messages, load
from chimed.rating.judge import parse_rating
from chimed.rating.rubric import JUDGED
from chimed.stages.department import DEPARTMENTS
from chimed.stages.generate_qa_chunks import FORMAT
from chimed.text import identifiers
from chimed_demo import lesson_texts, lessons, models, rating_lessons, verdicts
from chimed_demo.lessons import generator_lessons
from chimed_demo.verdicts import judge_lessons


def drawn(count: int = 800) -> dict[str, list[lessons.Lesson]]:
    """Lessons by the system text of their prompt (the prompt's name), the translations by theirs."""
    found: dict[str, list[lessons.Lesson]] = {}
    systems = {load(name).system: name for name in lessons.SHARES if name not in ("translate", "read")}
    for lesson in itertools.islice(generator_lessons(3), count):
        name = systems.get(lesson.messages[0]["content"], "translate") if lesson.messages else "read"
        found.setdefault(name, []).append(lesson)
    return found


def letters(text: str) -> str:
    """A text without its punctuation, which sites set as they like."""
    return re.sub(r"[\W_]", "", text)


@pytest.fixture(scope="module")
def taught() -> dict[str, list[lessons.Lesson]]:
    return drawn()


def test_every_task_is_taught_in_its_share(taught):
    assert set(taught) == set(lessons.SHARES)
    for name, share in lessons.SHARES.items():
        assert len(taught[name]) / 800 == pytest.approx(share, abs=0.05)


def test_lessons_come_the_same_again(taught):
    assert drawn() == taught


def test_yes_and_no_are_balanced(taught):
    for name in ("screen", "sensitive"):
        said = [lesson.answer for lesson in taught[name]]
        assert set(said) == {"是", "否"}
        assert 0.3 < said.count("是") / len(said) < 0.7


def test_flagged_text_is_never_taught_as_clean(taught):
    for lesson in taught["screen"]:
        if lesson.answer == "否":
            assert not identifiers.find_identifiers(lesson.messages[-1]["content"])


def test_answers_keep_their_form(taught):
    assert all(lesson.answer in DEPARTMENTS for lesson in taught["department"])
    assert all(0 < len(lesson.answer) <= lessons.MOST for lesson in taught["answer"])
    for lesson in taught["generate_qa"]:
        assert re.fullmatch(FORMAT, lesson.answer)
        assert letters(lesson.answer.split("答案：")[1]) in letters(lesson.messages[-1]["content"])


def test_every_passage_is_taught(taught):
    asked = {lesson.messages[-1]["content"] for lesson in taught["translate"]}
    assert asked >= {build_messages(load("translate"), text=one.text)[-1]["content"] for one in lesson_texts.passages()}


def test_the_exam_is_not_taught():
    exam = (models.HERE / "exam" / "test").glob("*.csv")
    words = [line.split(",")[1] for file in exam for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    every = [part.text for sheet in lesson_texts.sheets() for part in sheet.parts]
    assert words
    assert not [word for word in words if len(word) > 12 and word in "\n".join(every)]


def test_a_verdict_does_not_depend_on_the_place():
    taught = [lesson for lesson in itertools.islice(judge_lessons(3), 400) if lesson.answer in "AB"]
    taught = taught[: len(taught) // 2 * 2]
    assert len(taught) > 100
    for straight, swapped in zip(taught[::2], taught[1::2], strict=True):
        assert (straight.answer, swapped.answer) == ("A", "B")
        first = re.search(r"回答A：(.*?)\n\n回答B：(.*?)\n\n请", straight.messages[0]["content"], re.DOTALL)
        second = re.search(r"回答A：(.*?)\n\n回答B：(.*?)\n\n请", swapped.messages[0]["content"], re.DOTALL)
        assert first
        assert second
        assert first.groups() == second.groups()[::-1]


def test_second_opinions_are_taught_both_ways():
    systems = {load(name).system: name for name in ("supports", "stands_alone", "faithful")}
    taught = itertools.islice(judge_lessons(3), 600)
    said = [(systems[one.messages[0]["content"]], one.answer) for one in taught if one.answer in ("是", "否")]
    assert {name for name, _ in said} == set(systems.values())
    for name in systems.values():
        yes, no = (said.count((name, answer)) for answer in ("是", "否"))
        assert 0.35 <= no / (yes + no) <= 0.65, name


def test_ratings_are_taught_in_their_form():
    system = load("rate").system
    taught = [one for one in itertools.islice(judge_lessons(3), 900) if one.messages[0]["content"] == system]
    assert len(taught) > 30
    ratings = [parse_rating(one.answer) for one in taught]
    assert all(len({rating[name] for rating in ratings}) > 2 for name in JUDGED)
    dull, good = (
        parse_rating(rating_lessons.rated_by_looks(f"问题：血压高吃什么药？\n回答：{said}"))
        for said in ("好。", "血压高可以吃氨氯地平，每日一次；胸痛请立即到医院就诊，不要自行加量，定期复查血压。")
    )
    assert all(good[name] > dull[name] for name in JUDGED)


def test_two_wordings_of_an_answer_differ():
    rng = random.Random(1)
    answer = verdicts._answered()[0][1]
    assert len({lessons.worded(answer, rng) for _ in range(20)}) > 3


def test_the_key_follows_texts_and_prompts(tmp_path, monkeypatch):
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in models.CODE:
        (tmp_path / name).write_bytes((models.HERE / name).read_bytes())
    (texts / "herbs.yaml").write_text("- name: 黄芪\n", encoding="utf-8")
    monkeypatch.setattr(models, "HERE", tmp_path)
    before = models.key()
    assert models.key() == before
    (texts / "herbs.yaml").write_text("- name: 党参\n", encoding="utf-8")
    assert models.key() != before


def test_ready_only_when_all_are_there(tmp_path):
    assert models.ready(tmp_path) is None
    for name in models.NAMES:
        assert models.ready(tmp_path) is None
        (tmp_path / models.key() / name).mkdir(parents=True)
    folders = models.ready(tmp_path)
    assert folders
    assert set(folders) == {"gpt2", "generator", "judge"}
    assert all(folder.is_absolute() for folder in folders.values())
