"""The three phases for real on a tiny Qwen3: losses fall, phases chain, a killed run ends as an undisturbed one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chimed.settings import settings
from chimed.train import train_phase
from support import tiny
from support.runs import VERSION, environment, folder, furthest, kill_and_resume, tensors

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # two threads that spin against each other are five times slower than one
pytestmark = pytest.mark.slow

PHASES = ("cpt", "sft", "dpo")


@pytest.fixture(scope="module")
def base(base_model) -> Path:
    return base_model


@pytest.fixture(scope="module")
def trained(base, trained_lake) -> Path:
    """The lake with all three phases, and the settings that made it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(trained_lake, base).items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield trained_lake
    settings.cache_clear()


@pytest.mark.parametrize("phase", PHASES)
def test_held_out_loss_falls(trained, phase: str) -> None:
    report = train_phase(phase, "demo", "latest")  # finished: told again, not trained again
    assert report["eval_loss"]["after"] < report["eval_loss"]["before"]
    assert report["loss"]["last"] < report["loss"]["first"]
    assert report["rows"] == {"train": 40, "validation": 8}
    for name in ("metrics.jsonl", "loss.png", "adapter/adapter_config.json", "merged/config.json", "merged/README.md"):
        assert (folder(trained, phase) / name).stat().st_size > 0


def test_each_phase_starts_from_the_last(trained, base) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    starts = [base, *(folder(trained, phase) / "merged" for phase in PHASES)]
    for phase, start in zip(PHASES, starts, strict=False):
        model = AutoModelForCausalLM.from_pretrained(start)
        model = PeftModel.from_pretrained(model, folder(trained, phase) / "adapter").merge_and_unload()
        merged = tensors(folder(trained, phase) / "merged")
        for name, value in merged.items():
            assert torch.allclose(value, model.state_dict()[name], atol=1e-6), (phase, name)
    assert furthest(base, starts[1]) > 1e-4  # and it did move


def test_the_tokenizer_survives_the_phases(trained, base) -> None:
    from transformers import AutoConfig, AutoTokenizer

    end = folder(trained, "dpo") / "merged"
    assert AutoTokenizer.from_pretrained(end).eos_token == "<|im_end|>"
    assert AutoConfig.from_pretrained(end).eos_token_id == AutoConfig.from_pretrained(base).eos_token_id


def test_sft_counts_the_answer_only(trained, base, tmp_path, monkeypatch) -> None:
    from chimed.storage.lake import open_lake
    from chimed.train import sft
    from chimed.train.run import open_run

    seen = {}
    monkeypatch.setattr(sft, "finish", lambda run, trainer, rows: seen.update(trainer=trainer) or {})
    run = open_run(open_lake(), "sft", "demo", VERSION, str(base))
    rows = {split: [trained / "releases" / VERSION / "sft" / f"{split}.parquet"] for split in ("train", "validation")}
    sft.train(replace(run, rows=rows, folder=tmp_path))
    trainer = seen["trainer"]
    batch = next(iter(trainer.get_train_dataloader()))
    counted = trainer.processing_class.decode(batch["input_ids"][0][batch["labels"][0] != -100])
    assert counted.strip().startswith("功效为")
    assert counted.strip().endswith("<|im_end|>")


@pytest.mark.parametrize("phase", ["cpt", "dpo"])
def test_a_killed_run_ends_like_an_undisturbed(trained, base, phase: str, tmp_path) -> None:
    """For sft see test_beyond."""
    lake, log = tmp_path / "lake", tmp_path / "log"
    shutil.copytree(trained, lake)
    for later in PHASES[PHASES.index(phase) :]:
        shutil.rmtree(folder(lake, later))
    kill_and_resume(environment(lake, base), "demo", phase, log, folder(lake, phase), "demo")
    assert furthest(folder(lake, phase) / "adapter", folder(trained, phase) / "adapter") < 1e-3
    assert tiny.losses(folder(lake, phase)) == pytest.approx(tiny.losses(folder(trained, phase)), abs=1e-3)


def test_a_run_resumes_from_a_remote_checkpoint(trained, tmp_path, monkeypatch, caplog) -> None:
    """Another machine, whose disk knows nothing; the newest upload was cut short, the one before is whole."""
    from chimed.storage import copies
    from chimed.storage import lake as lakes

    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("CHIMED_DATA", "memory://remote-training")
    settings.cache_clear()
    lake = lakes.open_lake()
    for name in ("releases", f"models/{VERSION}/demo/cpt"):
        copies.put_folder(lake, trained / name, name)
    place = f"models/{VERSION}/demo/cpt"
    for name in ("report.json", "run.json"):
        lakes.remove(lake, f"{place}/{name}")
    lakes.remove(lake, f"{place}/checkpoints/checkpoint-10/optimizer.pt")
    caplog.set_level("INFO", "chimed")
    report = train_phase("cpt", "demo", "latest")
    assert "cpt continues from checkpoint-5" in caplog.messages
    assert report["steps"] == 10
    assert report["start_model"] == report["base_model"]
    kept = copies.local_path(lake, f"{place}/adapter")
    assert furthest(kept, folder(trained, "cpt") / "adapter") < 1e-3
    assert lakes.read_json(lake, f"{place}/checkpoints/checkpoint-10/trainer_state.json")["global_step"] == 10
    settings.cache_clear()


def test_the_last_batch_of_an_epoch_is_whole() -> None:
    from datasets import Dataset

    from chimed.train.loop import whole_batches

    for rows, batch, length in ((40, 16, 48), (32, 16, 32), (3, 8, 8), (20, 8, 24)):
        filled = whole_batches(Dataset.from_dict({"n": list(range(rows))}), batch)
        assert filled["n"][:] == [number % rows for number in range(length)]


def test_two_processes_learn_what_one_does(trained, base, tmp_path) -> None:
    """By the command a pod runs; accelerate starts gloo here and NCCL there. For sft see test_beyond."""
    lake, phase = tmp_path / "lake", "dpo"
    shutil.copytree(trained, lake)
    for later in PHASES[PHASES.index(phase) :]:
        shutil.rmtree(folder(lake, later))
    command = [sys.executable, "-m", "chimed", "train", phase, "--recipe", "demo", "--processes", "2"]
    done = subprocess.run(command, env=os.environ | environment(lake, base), capture_output=True, text=True, check=True)
    assert "accelerate.commands.launch --multi_gpu" in done.stderr
    assert json.loads(done.stdout)["batch"]["processes"] == 2
    assert tiny.losses(folder(lake, phase)) == pytest.approx(tiny.losses(folder(trained, phase)), abs=1e-3)
    assert furthest(folder(lake, phase) / "adapter", folder(trained, phase) / "adapter") < 1e-3


@pytest.mark.parametrize("phase", [*PHASES, "kto", "orpo", "grpo"])
@pytest.mark.parametrize("recipe", ["qwen3-1.7b", "qwen3-14b", "qwen3-1.7b-tuned", "qwen3-14b-tuned"])
def test_the_recipes_are_what_trl_understands(base, tmp_path, recipe: str, phase: str) -> None:
    from chimed.storage.lake import open_lake
    from chimed.train.arguments import arguments
    from chimed.train.recipe import load
    from chimed.train.run import Run

    lake, fields = open_lake(str(tmp_path)), load(recipe, phase) | ({"items": "./items"} if phase == "grpo" else {})
    rows = {"validation": tmp_path}
    run = Run(lake, phase, recipe, VERSION, str(base), "", fields, rows, tmp_path, "", None)
    (tmp_path / "run.json").write_text("{}")  # written before anything else of a run
    args, lora = arguments(run)
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == run.fields["global_batch_size"]
    assert args.get_warmup_steps(1000) == 100
    assert lora.target_modules == "all-linear"
