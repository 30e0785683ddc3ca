"""Where a run starts, what it refuses, which checkpoint it goes on from. No torch needed."""

import json

import pytest
import tiny

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.release import find_release
from chimed.train import checkpoint, launch_command, train_phase
from chimed.train.run import open_run, place_of


@pytest.fixture
def lake(tmp_path):
    tiny.release(tmp_path, "2026.11.9")
    tiny.release(tmp_path, "2026.11.22")
    (tmp_path / "releases" / "2026.12.1").mkdir()  # not complete: no manifest yet
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return lakes.open_lake(str(tmp_path))


def test_the_latest_release_is_the_newest_complete_one(lake) -> None:
    assert find_release(lake, "latest") == "2026.11.22"
    assert find_release(lake, "2026.11.9") == "2026.11.9"
    with pytest.raises(UserError, match=r"unknown release '2025.1.1'; choose from: 2026.11.9, 2026.11.22"):
        find_release(lake, "2025.1.1")


def test_unknown_names_are_answered_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match="cpt, sft, dpo"):
        train_phase("ppo", "demo", "latest")
    with pytest.raises(UserError, match=r"demo, qwen3-1\.7b, qwen3-14b"):
        train_phase("cpt", "qwen2", "latest")


def test_each_phase_starts_from_the_last(lake) -> None:
    base = str(lake.at("model"))
    assert open_run(lake, "cpt", "demo", "2026.11.22", base).start == base
    with pytest.raises(UserError, match="run: python -m chimed train cpt --recipe demo"):
        open_run(lake, "sft", "demo", "2026.11.22", base)
    done = place_of("2026.11.22", "demo", "cpt")
    lakes.write_json(lake, f"{done}/report.json", {"fingerprint": "f"})
    run = open_run(lake, "sft", "demo", "2026.11.22", base)
    assert run.start == lake.at(f"{done}/merged")
    assert run.start_model == "f"


def test_a_folder_is_not_continued_with_another_model(lake) -> None:
    base = lake.at("model")
    open_run(lake, "cpt", "demo", "2026.11.22", base)
    open_run(lake, "cpt", "demo", "2026.11.22", base)
    with open(f"{base}/config.json", "w") as file:
        file.write('{"changed": 1}')
    with pytest.raises(UserError, match="was trained with a different start_model"):
        open_run(lake, "cpt", "demo", "2026.11.22", base)


def test_what_a_pod_runs_on_eight_gpus(lake) -> None:
    run = open_run(lake, "cpt", "qwen3-14b", "2026.11.22", lake.at("model"))
    command = launch_command(run, 8, gpus=8, port=29500)
    assert command[1:4] == ["-m", "accelerate.commands.launch", "--multi_gpu"]
    assert command[command.index("--num_processes") + 1] == "8"
    assert command[command.index("--mixed_precision") + 1] == "bf16"
    own = "chimed train cpt --recipe qwen3-14b --release 2026.11.22 --processes 8"
    assert command[command.index("chimed") :] == own.split()
    alone = launch_command(run, 2, gpus=0, port=29500)
    assert alone[1:4] == command[1:4]  # the same path on a CPU
    assert alone[alone.index("--mixed_precision") + 1] == "no"


def test_a_missing_base_is_said(lake) -> None:
    with pytest.raises(UserError, match="CHIMED_BASE_CHECKPOINT"):
        open_run(lake, "cpt", "demo", "2026.11.22", None)
    with pytest.raises(UserError, match=r"no config\.json"):
        open_run(lake, "cpt", "demo", "2026.11.22", lake.at("nowhere"))


def test_a_checkpoint_cut_short_does_not_count(tmp_path) -> None:
    for step, state in ((4, "{}"), (8, json.dumps({"global_step": 8})), (12, '{"global_st'), (16, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    found = checkpoint.last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-8"
    assert checkpoint.last_checkpoint(tmp_path / "none") is None


def test_a_remote_folder_is_fetched_whole_and_once(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lake = lakes.open_lake("memory://fetched-once")
    for name, text in (("config.json", "{}"), ("deep/weights", "one")):
        lakes.write_bytes(lake, f"models/merged/{name}", text.encode())
    copy = lakes.local_path(lake, "models/merged")
    assert (copy / "deep" / "weights").read_text() == "one"
    first = (copy / "config.json").stat().st_mtime_ns
    assert lakes.local_path(lake, "models/merged") == copy
    assert (copy / "config.json").stat().st_mtime_ns == first
    lakes.write_bytes(lake, "models/merged/deep/weights", b"other")
    assert (lakes.local_path(lake, "models/merged") / "deep" / "weights").read_text() == "other"
    assert sorted(path.name for path in copy.parent.iterdir()) == ["merged"]
    file = lakes.local_path(lake, "models/merged/config.json")
    assert file.read_text() == "{}"
