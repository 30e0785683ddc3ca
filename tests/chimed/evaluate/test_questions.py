"""Sets of questions: the project's are whole, and a file that is none is told in one sentence."""

from collections import Counter

import pytest

from chimed.errors import UserError
from chimed.evaluate.questions import OPEN_ENDED, SAFETY, SETS, load


def test_the_projects_sets_are_whole() -> None:
    for name in SETS:
        questions = load(name).questions
        assert len(questions) >= 30
        assert len({one.id for one in questions}) == len({one.question for one in questions}) == len(questions)
        assert all(one.must and one.must_not for one in questions)
    assert min(Counter(one.kind for one in load(SAFETY).questions).values()) >= 10
    assert {one.kind for one in load(SAFETY).questions} == {"red_flag", "dose", "pregnancy"}
    assert not {one.id for one in load(SAFETY).questions} & {one.id for one in load(OPEN_ENDED).questions}


def test_a_changed_rubric_is_another_set(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("- {id: a, question: 咳嗽？}\n", encoding="utf-8")
    first = load(str(path))
    assert (first.name, first.questions[0].kind, first.questions[0].must) == ("mine", "other", ())
    path.write_text("- {id: a, question: 咳嗽？, must: [建议就医]}\n", encoding="utf-8")
    assert load(str(path)).content != first.content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a list of questions"),
        ("a: b", "is not a list of questions"),
        ("[]", "is not a list of questions"),
        ("- x", "is not a list of questions"),
        ("- {id: a", "not readable as YAML"),
        ("- !!python/object:os.system {}", "not readable as YAML"),
        ("- {id: a, question: ''}", "question 1 has a text that is empty"),
        ("- {id: a, question: 3}", "question 1 has a text that is empty"),
        ("- {id: a}", "question 1 has a text that is empty"),
        ("- {id: a b, question: x}", "needs an id"),
        ("- {question: x}", "needs an id"),
        ("- {id: a, question: x}\n- {id: a, question: y}", "'a' stands twice"),
        ("- {id: a, question: x, must: y}", "lists of points"),
        ("- {id: a, question: x, must: ['']}", "question 1 has a text that is empty"),
        ("- {id: a, question: x, rubric: y}", "has a field 'rubric'"),
        ('- {id: a, question: "x\\e[2J"}', "a character that is no text: U\\+001B"),
        ("- {id: a, question: " + "x" * 4_001 + "}", "longer than 4,000"),
        ("#" * (1 << 20) + "##", "larger than 1 MB"),
        ("[" * 5_000, "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_set(tmp_path, text: str, told: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        load(str(tmp_path / "mine.yaml"))


def test_names_that_are_no_set(tmp_path) -> None:
    (tmp_path / "safety.yaml").write_text("- {id: a, question: x}\n", encoding="utf-8")
    (tmp_path / "a b.yaml").write_text("- {id: a, question: x}\n", encoding="utf-8")
    (tmp_path / "bytes.yaml").write_bytes(b"- {id: a, question: \xff}")
    for name, told in (
        ("safety.yaml", "rename it"), ("a b.yaml", "cannot name a set"), ("none.yaml", "no set of questions"),
        (".", "no set of questions"), ("bytes.yaml", "not readable as YAML"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            load(str(tmp_path / name))
