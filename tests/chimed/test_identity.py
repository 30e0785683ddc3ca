"""Who answers: replies of one model are never another's, whatever both are served as."""

import dataclasses
import json
import struct
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.llm import client, connecting, identity, sending
from chimed.stages import screen
from chimed.storage import store as stores
from chimed.storage.store_tables import REPLIES
from support.model_server import Served
from support.samples import document, model_outcome, rows

TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。"


@pytest.fixture
def asked(work, served):
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    return dataclasses.replace(work, settings=where)


def checkpoint(folder: Path, weights: bytes, config: dict | None = None) -> Path:
    """A folder as transformers writes one: a header that is the same for all weights of one shape."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "qwen3"}))
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    return folder


def screened(work, served: Served) -> tuple[int, set[str]]:
    """How many requests a screening of three texts takes, and whose replies decided."""
    before = len(served.bodies)
    outcome = model_outcome(screen, rows(*(document(f"{TEXT}{n}", url=f"http://a/{n}") for n in range(3))), work)
    assert len(outcome.kept) == 3
    return len(served.bodies) - before, {outcome.figures[name]["model"] for name in ("screen", "sensitive")}


def test_a_changed_model_is_asked_anew(asked, served):
    assert screened(asked, served) == (6, {"test/generator"})
    served.roots["chimed-generator"] = "test/another"
    assert screened(asked, served) == (6, {"test/another"})
    served.roots["chimed-generator"] = "test/generator"
    assert screened(asked, served) == (0, {"test/generator"})
    served.roots = {"renamed": "test/generator"}
    where = asked.settings.model_copy(update={"llm_model": "renamed"})
    assert screened(dataclasses.replace(asked, settings=where), served) == (0, {"test/generator"})


def test_a_folders_content_is_its_identity(asked, served, tmp_path):
    folder = checkpoint(tmp_path / "merged", b"\x01" * 500)
    served.roots["chimed-generator"] = str(folder)
    first = connecting.generator_server(asked).identity
    assert screened(asked, served) == (6, {first})
    checkpoint(folder, b"\x02" * 500)  # trained on: the same file names, sizes and headers
    assert connecting.generator_server(asked).identity != first
    assert screened(asked, served)[0] == 6
    checkpoint(folder, b"\x01" * 500)
    assert screened(asked, served) == (0, {first})
    elsewhere = checkpoint(tmp_path / "other" / "merged", b"\x01" * 500)
    served.roots["chimed-generator"] = str(elsewhere)
    assert screened(asked, served) == (0, {first})


def test_a_large_checkpoint_is_hashed_by_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "FULL_HASH_BYTES", 1000)
    weights = bytearray(3_000_000)
    one = identity.hash_checkpoint(checkpoint(tmp_path / "a", bytes(weights)))
    weights[::500] = b"\x01" * len(weights[::500])
    assert identity.hash_checkpoint(checkpoint(tmp_path / "b", bytes(weights))) != one
    assert identity.hash_checkpoint(checkpoint(tmp_path / "c", bytes(3_000_000))) == one
    assert identity.hash_checkpoint(checkpoint(tmp_path / "c", bytes(3_000_000), {"model_type": "qwen2"})) != one
    assert identity.hash_checkpoint(tmp_path) is None


MINE = "chimed-generator"


@pytest.mark.parametrize(
    ("models", "named", "who"),
    [
        ([{"id": MINE, "root": "Qwen/Qwen3-14B"}], None, "Qwen/Qwen3-14B"),
        ([{"id": MINE, "root": "Qwen/Qwen3-14B", "revision": "8268fe3"}], None, "Qwen/Qwen3-14B@8268fe3"),
        ([{"id": MINE, "root": "Qwen/Qwen3-14B"}], "fp8", "Qwen/Qwen3-14B@fp8"),
        ([{"id": MINE, "root": "/models/qwen"}], "Qwen3-14B of May", "/models/qwen@Qwen3-14B of May"),
        ([{"id": MINE, "root": "/models/qwen"}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE, "root": "./qwen"}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE, "root": None}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE, "root": ["x"]}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE, "root": MINE}], None, "CHIMED_LLM_IDENTITY"),
        ([{"id": MINE, "root": MINE}], "4o of 2024-08-06", f"{MINE}@4o of 2024-08-06"),
        ([], None, "CHIMED_LLM_IDENTITY"),
        ([], "4o of 2024-08-06", f"{MINE}@4o of 2024-08-06"),
        ([{"id": "another", "root": "a/b"}], "x", "serves another, not chimed-generator"),
        (
            [{"id": "base", "root": "Qwen/Qwen3-14B"}, {"id": MINE, "root": "me/adapter", "parent": "base"}],
            None,
            "me/adapter+Qwen/Qwen3-14B",
        ),
    ],
)
def test_identity_comes_from_server_or_setting(models, named, who):
    if who.startswith(("CHIMED", "serves")):
        with pytest.raises(UserError, match=who):
            identity.identify_model(MINE, models, named, "CHIMED_LLM_IDENTITY", "http://a/v1")
    else:
        assert identity.identify_model(MINE, models, named, "CHIMED_LLM_IDENTITY", "http://a/v1") == who


def test_an_identity_is_short_and_harmless():
    said = identity.identify_model(MINE, [{"id": MINE, "root": "\x1b[2J\x00\ud835/" + "x" * 9_999}], None, "S", "u")
    assert len(said) <= 180
    assert not set(said) & {"\x1b", "\x00", "\ud835"}


def test_older_replies_stay_readable(asked, served):
    request = screen.ask_yes_no("screen", f"{TEXT}0").request
    old = {
        "key": client.request_key(request, "chimed-generator"), "model": "chimed-generator", "prompt": request.prompt,
        "messages": "[]", "text": "是", "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1,
        "seconds": 1.0, "created": document("")["fetched"],
    }  # fmt: skip
    stores.upsert(asked.store, REPLIES, [old])
    assert screened(asked, served)[0] == 6
    assert stores.find(asked.store, REPLIES, [old["key"]])[old["key"]]["text"] == "是"


def test_a_server_with_another_model_ends_work(asked, served, monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sending, "IDENTITY_EVERY", 0.0)

    def answer(body):
        if len(served.bodies) == 2:
            served.roots["chimed-generator"] = "test/another"
            return (503, {}, b"restarting")
        return "否"

    served.answer = answer
    with pytest.raises(sending.AnotherModel, match="was test/generator and is test/another"):
        screened(asked, served)
