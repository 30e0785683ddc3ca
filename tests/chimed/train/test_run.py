"""Where a run starts, what it refuses, which checkpoint it goes on from. No torch needed."""

from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.release import find_release
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.train import _gpus, checkpoint, launch_command, train_phase
from chimed.train import recipe as recipes
from chimed.train.run import keep_rows_at_once, open_run, place_of
from support import tiny


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
    with pytest.raises(UserError, match=r"demo, qwen3-1\.7b, qwen3-1\.7b-tuned, qwen3-14b"):
        train_phase("cpt", "qwen2", "latest")


def test_each_phase_starts_from_the_last(lake) -> None:
    base = str(lake.at("model"))
    assert open_run(lake, "cpt", "demo", "2026.11.22", base).start == base
    with pytest.raises(UserError, match="run: python -m chimed train cpt --recipe demo"):
        open_run(lake, "sft", "demo", "2026.11.22", base)
    done = place_of("2026.11.22", "demo", "cpt")
    copies.put_folder(lake, Path(base), f"{done}/merged")
    known = checkpoint.fingerprint(base)
    lakes.write_json(lake, f"{done}/report.json", {"fingerprint": known, "start_model": "what base is"})
    run = open_run(lake, "sft", "demo", "2026.11.22", base)
    assert run.start == lake.at(f"{done}/merged")
    assert (run.start_model, run.base_model) == (known, "what base is")


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


def test_harmless_arguments_may_change_on_resume(lake, monkeypatch) -> None:
    """After an out-of-memory error: fewer rows at once, the same global batch."""
    base, fields = lake.at("model"), recipes.load("demo", "cpt")
    open_run(lake, "cpt", "demo", "2026.11.22", base)
    less = fields | {"per_device_train_batch_size": 2, "gradient_checkpointing": True, "gpus": 4, "save_steps": 1}
    monkeypatch.setattr(recipes, "load", lambda *_: less)
    assert open_run(lake, "cpt", "demo", "2026.11.22", base).fields == less
    for other in ({"global_batch_size": 4}, {"learning_rate": 0.1}, {"max_length": 64}, {"seed": 1}):
        monkeypatch.setattr(recipes, "load", lambda *_, other=other: fields | other)
        with pytest.raises(UserError, match=f"was trained with a different {next(iter(other))}"):
            open_run(lake, "cpt", "demo", "2026.11.22", base)


def test_a_hub_base_keeps_its_commit(lake, monkeypatch) -> None:
    commits = iter(["aaa", "bbb", "ccc"])
    monkeypatch.setattr(checkpoint, "_commit", lambda name, revision: f"{revision}-{next(commits)}")
    for _ in range(2):
        run = open_run(lake, "cpt", "demo", "2026.11.22", "org/model")
        assert (run.start, run.revision) == ("org/model", "main-aaa")
        assert run.start_model == run.base_model == "org/model@main-aaa"
    fields = recipes.load("demo", "cpt") | {"model_revision": "v2"}
    monkeypatch.setattr(recipes, "load", lambda *_: fields)
    assert open_run(lake, "cpt", "demo", "2026.11.9", "org/model").revision == "v2-bbb"


def test_an_older_run_without_commit_goes_on(lake) -> None:
    place = place_of("2026.11.22", "demo", "cpt")
    fields = recipes.load("demo", "cpt")
    old = {"phase": "cpt", "recipe": "demo", "release": "2026.11.22", "start": "o/m", "start_model": "o/m"}
    lakes.write_json(lake, f"{place}/run.json", old | {"fields": fields})
    assert open_run(lake, "cpt", "demo", "2026.11.22", "o/m").revision is None


def test_a_checkpoint_cut_short_does_not_count(lake, tmp_path) -> None:
    place = tmp_path / "checkpoints"
    for step in (4, 8, 12, 16):
        folder = place / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        for name in ("trainer_state.json", "optimizer.pt"):
            (folder / name).write_text(name)
        checkpoint.keep(lakes.open_lake(str(tmp_path)), folder, "checkpoints", 2)
    (place / "checkpoint-16" / checkpoint.MARK).unlink()
    (place / "checkpoint-12" / "optimizer.pt").unlink()
    found = checkpoint.last_checkpoint(place)
    assert found is not None
    assert found.name == "checkpoint-8"
    (place / "checkpoint-8" / "optimizer.pt").write_text("optimized.pt"[:12])
    assert checkpoint.last_checkpoint(place) == place / "checkpoint-4"
    (place / "checkpoint-4" / checkpoint.MARK).write_text("{")
    assert checkpoint.last_checkpoint(place) is None
    assert checkpoint.last_checkpoint(tmp_path / "none") is None


def test_a_remote_folder_is_fetched_whole_and_once(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lake = lakes.open_lake("memory://fetched-once")
    for name, text in (("config.json", "{}"), ("deep/weights", "one")):
        lakes.write_bytes(lake, f"models/merged/{name}", text.encode())
    copy = copies.local_path(lake, "models/merged")
    assert (copy / "deep" / "weights").read_text() == "one"
    first = (copy / "config.json").stat().st_mtime_ns
    assert copies.local_path(lake, "models/merged") == copy
    assert (copy / "config.json").stat().st_mtime_ns == first
    lakes.write_bytes(lake, "models/merged/deep/weights", b"other")
    assert (copies.local_path(lake, "models/merged") / "deep" / "weights").read_text() == "other"
    assert sorted(path.name for path in copy.parent.iterdir()) == ["merged", "merged.versions"]
    file = copies.local_path(lake, "models/merged/config.json")
    assert file.read_text() == "{}"


def test_gpus_that_torch_cannot_see_are_said(tmp_path, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr("chimed.train.DRIVER", tmp_path)
    assert _gpus({"bf16": True}) == 0
    (tmp_path / "0000:01:00.0").mkdir()
    assert _gpus({"bf16": False}) == 0  # the demo runs everywhere
    with pytest.raises(UserError, match=r"torch here is the build for processors; .* requirements-gpu\.txt"):
        _gpus({"bf16": True})


def test_a_model_is_its_chat_template_too(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    plain = checkpoint.fingerprint(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"name_or_path": "anywhere"}')
    assert checkpoint.fingerprint(str(tmp_path)) == plain  # as earlier versions had it
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    old_form = checkpoint.fingerprint(str(tmp_path))
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert checkpoint.fingerprint(str(tmp_path)) == old_form != plain  # the same template, kept in another file
    (tmp_path / "chat_template.jinja").write_text("{{ messages | reverse }}")
    changed = checkpoint.fingerprint(str(tmp_path))
    assert changed not in (plain, old_form)
    assert checkpoint.same_model(changed, str(tmp_path))
    assert checkpoint.same_model(plain, str(tmp_path))  # a report of an earlier version
    assert not checkpoint.same_model(old_form, str(tmp_path))


def test_a_run_of_an_earlier_version_goes_on(lake) -> None:
    """Its run.json and its report say what a model was without the chat template."""
    base = Path(lake.at("model"))
    before = checkpoint.fingerprint(str(base))
    (base / "chat_template.jinja").write_text("{{ messages }}")
    place = place_of("2026.11.22", "demo", "cpt")
    run = open_run(lake, "cpt", "demo", "2026.11.22", str(base))
    assert run.start_model != before
    known = lakes.read_json(lake, f"{place}/run.json")
    lakes.write_json(lake, f"{place}/run.json", known | {"start_model": before, "base_model": before})
    assert open_run(lake, "cpt", "demo", "2026.11.22", str(base)).start_model == before
    copies.put_folder(lake, base, f"{place}/merged")
    lakes.write_json(lake, f"{place}/report.json", {"fingerprint": before, "start_model": before})
    assert open_run(lake, "sft", "demo", "2026.11.22", str(base)).start_model == before
    (base / "config.json").write_text('{"changed": 1}')
    with pytest.raises(UserError, match="was trained with a different start_model"):
        open_run(lake, "cpt", "demo", "2026.11.22", str(base))


def test_rows_at_once_are_kept_and_not_changed(lake) -> None:
    place = place_of("2026.11.22", "demo", "sft")
    copies.put_folder(lake, Path(lake.at("model")), f"{place}/merged")
    known = checkpoint.fingerprint(lake.at("model"))
    lakes.write_json(lake, f"{place}/report.json", {"fingerprint": known, "start_model": "what base is"})
    run = open_run(lake, "kto", "demo", "2026.11.22", None)
    keep_rows_at_once(run, 8, 4, resumed=False)
    path = f"{run.place}/run.json"
    assert lakes.read_json(lake, path)["at_once"] == {"processes": 8, "per_device": 4}
    run = open_run(lake, "kto", "demo", "2026.11.22", None)
    keep_rows_at_once(run, 8, 4, resumed=True)
    with pytest.raises(UserError, match="was begun in 8 processes of 4 rows at once, and now they are 4 of 8"):
        keep_rows_at_once(run, 4, 8, resumed=True)
    keep_rows_at_once(run, 4, 8, resumed=False)  # before there is a checkpoint nothing is lost
    assert lakes.read_json(lake, path)["at_once"] == {"processes": 4, "per_device": 8}


def test_reasoning_is_read_where_asked(lake) -> None:
    base, release = str(lake.at("model")), "2026.11.22"
    done = place_of(release, "demo", "cpt")
    copies.put_folder(lake, Path(base), f"{done}/merged")
    lakes.write_json(lake, f"{done}/report.json", {"fingerprint": checkpoint.fingerprint(base), "start_model": "base"})
    run = open_run(lake, "sft", "demo,sft.reasoning=true", release, base)
    assert [path.parent.name for path in run.rows["train"]] == ["sft", "reasoning"]
    lakes.remove(lake, f"releases/{release}/reasoning/train.parquet")
    with pytest.raises(UserError, match=r"no rows in reasoning/train"):
        open_run(lake, "sft", "demo,sft.reasoning=true", release, base)
    assert [path.parent.name for path in open_run(lake, "sft", "demo", release, base).rows["train"]] == ["sft"]
