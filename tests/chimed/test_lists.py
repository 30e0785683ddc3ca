"""Settings and options that list things, as they are typed on a Chinese keyboard."""

import pytest
from pydantic import ValidationError

from chimed.errors import UserError
from chimed.extraction.corpus_files.columns import parse_columns
from chimed.lists import entries, words
from chimed.llm.servers import flags_of, listed
from chimed.settings import Settings
from chimed.train.overrides import parts


@pytest.mark.parametrize("mark", [",", ", ", "，", ";", "；", "、", " 、\u3000", "\n", "\r\n", ",，", "，\n"])
def test_any_comma_parts_a_list(mark: str) -> None:
    assert entries(f"一 号{mark}乙{mark}") == ["一 号", "乙"]
    assert words(f"0{mark}1{mark}") == listed(f"{mark}0{mark}1") == ["0", "1"]
    assert parts([f"sft.lr=1e-4{mark}cpt.epochs=3"]) == ["sft.lr=1e-4", "cpt.epochs=3"]


@pytest.mark.parametrize("blank", [" ", "\u3000", "\t", "\xa0", " \u3000 "])
def test_blanks_part_words_and_no_entries(blank: str) -> None:
    assert words(f"0{blank}1") == ["0", "1"]
    assert entries(f"{blank}李{blank}明{blank}") == [f"李{blank}明"]


@pytest.mark.parametrize("said", ["", " ", "，", "；、,\u3000\n"])
def test_marks_alone_list_nothing(said: str) -> None:
    assert entries(said) == words(said) == []


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("question=问，answer=答", {"question": "问", "answer": "答"}),
        ("question=问； answer = 答、title=题", {"question": "问", "answer": "答", "title": "题"}),
        ("question=症状、病史,answer=答；注", {"question": "症状、病史", "answer": "答；注"}),
    ],
)
def test_columns_go_on_at_the_next_role(said: str, read: dict[str, str]) -> None:
    assert parse_columns(said) == read


def test_flags_are_split_at_full_width_spaces() -> None:
    assert flags_of("--quantization\u3000fp8 --x '{\"a\": \"乙\u3000丙\"}'") == [
        "--quantization", "fp8", "--x", '{"a": "乙\u3000丙"}',
    ]  # fmt: skip
    with pytest.raises(UserError, match="correct its quotes"):
        flags_of("--x 'a")


@pytest.mark.parametrize("said", ["models,gpu", "models，gpu", "models gpu", "models；gpu"])
def test_one_queue_is_one_name(said: str) -> None:
    assert Settings(models_queue="models").models_queue == "models"
    with pytest.raises(ValidationError, match="more than one queue"):
        Settings(models_queue=said)
