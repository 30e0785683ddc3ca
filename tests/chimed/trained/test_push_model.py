"""A trained model leaves the lake whole and with its card, to a folder, to S3's form, and to a hub on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chimed.errors import UserError, WorkStopped
from chimed.release.places import _copies
from chimed.settings import PROJECT
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import open_store
from chimed.trained.push import push_model
from support import hub, phases
from support.phases import VERSION

PLACE = f"models/{VERSION}/demo"
ROW = {
    "task": "cmmlu_genetics", "group": "paper", "model": "sft", "questions": 176, "before": 80, "after": 95,
    "gained": 20, "lost": 5, "interval": [0.47, 0.61], "difference": [0.03, 0.14], "p": 0.004, "holm": 0.012,
    "sentence": "20 of 176 questions changed in favour: evidence of a gain <img src=x>",
}  # fmt: skip
MANIFEST = {
    "checksum": "5ef072ac" * 8, "exams": {"physician": 245}, "models": {"generate_qa llm": ["Qwen/Qwen3-14B"]},
    "inputs": [
        {"crawl": "ask39/2026-11-16", "replica": True},
        {"crawl": "mine/0f", "form": "files", "rights": {"title": "[我的](x)", "license": "MIT", "homepage": None}},
    ],
}  # fmt: skip
SOURCES = {"sources": [{"source": name, "subset": "sft", "rows": 1, "characters": 9} for name in ("ask39", "mine")]}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Cpt and sft are trained, and compared with base."""
    made = phases.write(tmp_path, manifest=MANIFEST)
    lakes.write_json(made, f"releases/{VERSION}/statistics.json", SOURCES)
    protocol = {"shots": 0, "backend": "hf", "versions": {"torch": "2"}}
    lakes.write_json(made, f"scores/{VERSION}/demo/compare.json", {"rows": [ROW], "protocol": protocol})
    return made


def test_a_merged_model_arrives_with_its_card(lake, tmp_path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    sent = push_model(lake, VERSION, "demo", "sft", "merged", str(tmp_path / "shelf"), store=store)
    folder = Path(sent["to"])
    assert folder == tmp_path / "shelf" / PLACE / "sft" / "merged"
    sums = json.loads((folder / "checksums.json").read_text())
    assert sorted(sums["files"]) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == b"weights after sft"
    card = (folder / "README.md").read_text()
    for said in (
        "base_model: \"Qwen/Qwen3-1.7B\"", "revision `c0ffee", f"checksum `{MANIFEST['checksum']}`", "cpt → sft",
        "3.0000 → 2.5000 (held out)", "95/176, 54.0 % (47.0 to 61.0)", "+8.5 (+3.0 to +14.0)",
        "nothing that it says is medical advice",
        "39 claims copyright", "its licence as stated when it was ingested: MIT", "Qwen/Qwen3-14B", "physician",
        "vllm serve path/to/this/folder", "Demonstration only", "| 38 |",
    ):  # fmt: skip
        assert said in card, said
    assert "<img" not in card
    assert "[我的](x)" not in card
    assert "/root" not in card
    (copy,) = _copies(store, {VERSION: 3}, {})
    assert str(folder) in copy["where"]
    assert "train again on the patch" in copy["do"]


def test_the_same_push_again_renews_the_card(lake, tmp_path) -> None:
    shelf = str(tmp_path / "shelf")
    first = push_model(lake, VERSION, "demo", "sft", "merged", shelf)
    lakes.remove(lake, f"scores/{VERSION}/demo/compare.json")
    assert push_model(lake, VERSION, "demo", "sft", "merged", shelf) == first
    assert "Not compared with its base model" in (Path(first["to"]) / "README.md").read_text()
    phases.finish(lake, "sft", "x", b"other weights")
    with pytest.raises(UserError, match="already holds other weights"):
        push_model(lake, VERSION, "demo", "sft", "merged", shelf)


def test_an_adapter_names_what_it_applies_to(lake, tmp_path) -> None:
    sent = push_model(lake, VERSION, "demo", "cpt", "adapter", str(tmp_path / "shelf"))
    config = json.loads((Path(sent["to"]) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "Qwen/Qwen3-1.7B"
    assert config["revision"].startswith("c0ffee")
    assert "training_args.bin" not in os.listdir(sent["to"])
    card = (Path(sent["to"]) / "README.md").read_text()
    assert "vllm serve Qwen/Qwen3-1.7B --enable-lora --max-lora-rank 64 --lora-modules chimed=path/to" in card
    with pytest.raises(UserError, match="push that model first"):
        push_model(lake, VERSION, "demo", "sft", "adapter", str(tmp_path / "shelf"))
    sent = push_model(lake, VERSION, "demo", "sft", "adapter", str(tmp_path / "shelf"), start="hf://me/cpt")
    config = json.loads((Path(sent["to"]) / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("me/cpt", None)


def test_what_is_not_the_reports_model_stays(lake, tmp_path) -> None:
    shelf = str(tmp_path / "shelf")
    lakes.write_bytes(lake, f"{PLACE}/sft/merged/model.safetensors", b"weights after sf?")
    with pytest.raises(WorkStopped, match="is not the model of its report"):
        push_model(lake, VERSION, "demo", "sft", "merged", shelf)
    lakes.remove_folder(lake, f"{PLACE}/cpt/merged")
    with pytest.raises(WorkStopped, match="the model was removed"):
        push_model(lake, VERSION, "demo", "cpt", "merged", shelf)
    for phase, kind, start, told in (
        ("dpo", "merged", None, "has not been trained"),
        ("base", "merged", None, "unknown phase 'base'"),
        ("sft", "both", None, "unknown kind of model 'both'"),
        ("sft", "merged", "me/cpt", "stands alone"),
    ):
        with pytest.raises(UserError, match=told):
            push_model(lake, VERSION, "demo", phase, kind, shelf, start)
    assert not (tmp_path / "shelf").exists()


def test_a_damaged_copy_is_told(lake, tmp_path, monkeypatch) -> None:
    write = lakes.write_file

    def damaging(target: Lake, path: str, file: Path) -> None:
        write(target, path, file)
        if path.endswith("model.safetensors"):
            lakes.write_bytes(target, path, b"half")

    monkeypatch.setattr(lakes, "write_file", damaging)
    with pytest.raises(WorkStopped, match=r"model\.safetensors did not arrive whole"):
        push_model(lake, VERSION, "demo", "sft", "merged", str(tmp_path / "shelf"))
    assert not lakes.exists(open_lake(str(tmp_path / "shelf")), f"{PLACE}/sft/merged/checksums.json")


@pytest.mark.slow
def test_a_hub_gets_one_private_commit(lake, tmp_path) -> None:
    pytest.importorskip("huggingface_hub")
    with hub.serving() as served:
        environment = os.environ | {
            "CHIMED_DATA": lake.root, "CHIMED_STORE": f"sqlite:///{tmp_path}/store.db", "HF_ENDPOINT": served.url,
            "HF_TOKEN": served.token, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",  # loading a model in this process may have set it
            "PYTHONPATH": str(PROJECT / "include"),
        }  # fmt: skip
        command = [sys.executable, "-m", "chimed", "push-model", "sft", "hf://me/chimed", "--recipe", "demo"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        held = served.repositories["me/chimed"]
        assert held["private"]
        assert held["files"]["model.safetensors"] == b"weights after sft"
        assert b'"me/chimed"' in held["files"]["README.md"]
        assert served.tags == {f"me/chimed@{VERSION}": hub.commit_of(held["files"])}
        assert sum("/commit/" in one for one in served.asked) == 1
        served.token = "another"
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "the Hugging Face Hub cannot be used" in done.stderr
