"""General data from every source, in every usual form; what cannot be mixed is said. No torch needed."""

import json
from pathlib import Path

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.train.general_data import check, on_hub, read_source, what_it_is
from support import tiny

TURNS = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]


@pytest.fixture
def lake(tmp_path):
    tiny.release(tmp_path / "lake")
    return lakes.open_lake(str(tmp_path / "lake"))


def write(folder: Path, *rows: dict, ending: str = "jsonl") -> str:
    folder.mkdir(exist_ok=True)
    if ending == "parquet":
        pl.DataFrame(list(rows)).write_parquet(folder / "rows.parquet")
    else:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"rows.{ending}").write_text(lines, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS, "id": "1"},
        {"messages": [{"content": one["content"], "role": one["role"], "more": 1} for one in TURNS]},
        {"instruction": "问", "output": "答"},
        {"instruction": "问", "input": "", "output": "答"},
        {"question": "问", "answer": "答"},
        {"prompt": "问", "completion": "答", "source": "x"},
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_conversations_of_every_usual_form(lake, tmp_path, row: dict, ending: str) -> None:
    source = write(tmp_path / "general", row, row, ending=ending)
    assert read_source(lake, source, "", "sft").collect().to_dicts() == [{"messages": TURNS}] * 2


def test_an_input_stands_behind_its_instruction(lake, tmp_path) -> None:
    source = write(tmp_path / "general", {"instruction": "译", "input": "茯苓", "output": "poria"})
    assert read_source(lake, source, "", "sft").collect().item(0, 0)[0]["content"] == "译\n茯苓"


def test_texts_of_folder_s3_and_release(lake, tmp_path) -> None:
    source = write(tmp_path / "general", {"text": "一"}, {"text": "二"})
    assert read_source(lake, source, "", "cpt").collect()["text"].to_list() == ["一", "二"]
    far = lakes.open_lake("memory://general-data")
    lakes.write_bytes(far, "wiki.jsonl", '{"text": "远"}\n'.encode())
    assert read_source(lake, "memory://general-data", "", "cpt").collect()["text"].to_list() == ["远"]
    assert len(read_source(lake, "release:2026.11.22/pretrain", "", "cpt").collect()) == 40


def test_a_source_is_known_by_its_content(lake, tmp_path) -> None:
    fields = {"mix": write(tmp_path / "general", {"text": "一"})}
    first = what_it_is(lake, fields, "")
    assert first == what_it_is(lake, fields, first)
    write(tmp_path / "general", {"text": "二"})
    assert what_it_is(lake, fields, first) != first
    assert what_it_is(lake, {"mix": "org/set"}, "org/set@abc") == "org/set@abc"  # what the run began with
    assert on_hub("org/set")
    assert not any(map(on_hub, ("./set", "/set", "~/set", "s3://bucket/set", "release:1/sft", None)))


@pytest.mark.parametrize(
    ("source", "phase", "says"),
    [
        ("./nowhere/at/all", "cpt", "there is no folder"),
        ("release:2020.1.1/pretrain", "cpt", "no releases/2020.1.1/pretrain/train.parquet"),
        ("release:2026.11.22/sft", "cpt", "has no column text; it has id, messages"),
        ("release:2026.11.22/pretrain", "sft", "has no column messages"),
    ],
)
def test_what_cannot_be_read_is_said(lake, source: str, phase: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_source(lake, source, "", phase)


@pytest.mark.parametrize(
    ("phase", "fields", "says"),
    [
        ("dpo", {"mix": "./x", "mix_share": 0.1}, "mix is for cpt and sft; take it out of dpo"),
        ("cpt", {"mix": "./x"}, "only one of both"),
        ("cpt", {"mix_share": 0.1}, "only one of both"),
        ("cpt", {"mix": "./x", "mix_share": 0}, "between 0 and 1"),
        ("cpt", {"mix": "./x", "mix_share": 1}, "between 0 and 1"),
        ("cpt", {"mix": "./x", "mix_share": 20}, "between 0 and 1"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(phase: str, fields: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check(phase, fields, "recipe")
