"""One step beyond the paper, for real on the tiny model: general data mixed in, every answer of several turns, all
weights, early stopping, kto, orpo, grpo; each killed and resumed, and told in report and card."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chimed.settings import settings
from chimed.train import train_phase
from chimed.train.checkpoint import fingerprint
from support import tiny
from support.runs import VERSION, environment, folder, furthest, kill_and_resume

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytestmark = pytest.mark.slow

# The recipes of this test extend the demo's, in a folder of one's own. Which phase each is about:
PHASE = {"mixed": "sft", "whole": "sft", "kto": "kto", "orpo": "orpo", "grpo": "grpo"}
RECIPES = {
    "mixed": {"sft": "mix: {folder}/general\nmix_share: 0.25\nassistant_only_loss: true"},
    "whole": {
        "sft": "use_peft: false\nlearning_rate: 0.1\nlr_scheduler_type: constant\nmax_steps: 40\n"
        "eval_strategy: steps\neval_steps: 5\nsave_total_limit: 3\nload_best_model_at_end: true\n"
        "early_stopping_patience: 2\nearly_stopping_threshold: 0.3"
    },
    "kto": {},
    "orpo": {},
    "grpo": {
        "sft": "max_steps: 30\nsave_steps: 30\nuse_peft: false\nlearning_rate: 5.0e-3\nmax_length: 256",
        "grpo": "items: {folder}/items\nitems_held_out: 0.2\nuse_peft: false\nlearning_rate: 2.0e-3\nmax_steps: 12\n"
        "max_completion_length: 3\nsave_steps: 6",
    },
}
LETTERS = ("甲", "乙", "丙", "丁")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A folder with recipes, general conversations, exam items of a training split, and the exams measured."""
    made = tmp_path_factory.mktemp("given")
    for name, own in RECIPES.items():
        (made / "recipes" / name).mkdir(parents=True)
        for phase in ("cpt", "sft", "dpo", "kto", "orpo", "grpo"):
            text = f"extends: demo\n{own.get(phase, '').format(folder=made)}\n"
            (made / "recipes" / name / f"{phase}.yaml").write_text(text)
    (made / "general").mkdir()
    general = [{"instruction": f"{n}加{n}等于几？", "input": "", "output": f"等于{2 * n}。"} for n in range(60)]
    general[7] |= {"instruction": "细胞核内染色体的数目是多少？A. 一 B. 二 C. 三 D. 四"}  # an exam's question
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in general)
    (made / "general" / "talk.jsonl").write_text(lines, encoding="utf-8")
    measured = ["细胞核内染色体的数目是多少？,一,二,三,四,A"]
    # The right letter is always B: that much a model of 0.3 M parameters learns in seconds.
    learnt = [f"{tiny.HERBS[n % 8]}，第{n}题？,甲,乙,丙,丁,B" for n in range(64)]
    for name, rows in (("exams/test", measured), ("items/train", learnt + measured), ("items/test", learnt)):
        (made / name).mkdir(parents=True)
        text = "\n".join([",Question,A,B,C,D,Answer", *(f"{n},{row}" for n, row in enumerate(rows))])
        (made / name / "herbs.csv").write_text(text + "\n", encoding="utf-8")
    return made


def begun(recipe: str, trained: Path, lake: Path) -> Path:
    """A copy of the trained lake in which the phases before the recipe's are done, by the demo's recipe."""
    shutil.copytree(trained / "releases", lake / "releases")
    for phase in ("cpt", "sft"):
        if phase != PHASE[recipe] and not (recipe == "grpo" and phase == "sft"):
            shutil.copytree(folder(trained, phase), folder(lake, phase, recipe))
    if recipe == "mixed":  # several turns, and the template of Qwen3, in which TRL knows the answers
        rows = pq.read_table(lake / "releases" / VERSION / "sft" / "train.parquet").to_pydict()
        rows["messages"] = [a + b for a, b in zip(rows["messages"], reversed(rows["messages"]), strict=True)]
        pq.write_table(pa.table(rows), lake / "releases" / VERSION / "sft" / "train.parquet")
        from trl import chat_template_utils

        template = Path(chat_template_utils.__file__).parent / "chat_templates" / "qwen3.jinja"
        before = folder(lake, "cpt", recipe)
        shutil.copy(template, before / "merged" / "chat_template.jinja")
        report = json.loads((before / "report.json").read_text())
        told = report | {"fingerprint": fingerprint(str(before / "merged"))}  # it is another model by that
        (before / "report.json").write_text(json.dumps(told))
    if recipe == "grpo":  # a start that answers items, with any letter
        write_items(lake / "releases" / VERSION / "sft")
    return lake


def write_items(subset: Path) -> None:
    from chimed.train.exam_items import Item

    draw = random.Random(0)
    asked = [Item(f"{tiny.HERBS[n % 8]}，第{n + 100}题？", LETTERS, "A").prompt for n in range(72)]
    rows = [[{"role": "user", "content": one}, {"role": "assistant", "content": draw.choice("ABCD")}] for one in asked]
    for split, some in (("train", rows[:64]), ("validation", rows[64:])):
        pq.write_table(pa.table({"messages": some}), subset / f"{split}.parquet")


@dataclass(frozen=True)
class Done:
    """A phase that was trained undisturbed. before: the lake without it; lake: with it; told: the settings."""

    before: Path
    lake: Path
    told: dict[str, str]
    report: dict
    card: str


@pytest.fixture(scope="module")
def undisturbed(trained_lake, base_model, given, tmp_path_factory):
    """Trains the phase that a recipe is about, once."""
    done: dict[str, Done] = {}

    def of(recipe: str) -> Done:
        if recipe not in done:
            place, phase = tmp_path_factory.mktemp(recipe), PHASE[recipe]
            lake = begun(recipe, trained_lake, place / "lake")
            told = environment(lake, base_model, given / "recipes") | {"CHIMED_EXAMS": str(given / "exams")}
            with pytest.MonkeyPatch.context() as patch:
                for name, value in told.items():
                    patch.setenv(name, value)
                settings.cache_clear()
                if recipe == "grpo":
                    train_phase("sft", recipe, "latest")
                before = shutil.copytree(lake, place / "before")
                report = train_phase(phase, recipe, "latest")
            settings.cache_clear()
            card = (folder(lake, phase, recipe) / "merged" / "README.md").read_text()
            done[recipe] = Done(before, lake, told, report, card)
        return done[recipe]

    return of


def ends_alike(recipe: str, one: Path, other: Path) -> None:
    a, b = (folder(lake, PHASE[recipe], recipe) for lake in (one, other))
    assert tiny.losses(a) == pytest.approx(tiny.losses(b), abs=2e-3)
    assert furthest(a / "merged", b / "merged") < 2e-3


@pytest.mark.parametrize("recipe", PHASE)
def test_it_learns_and_says_so(recipe: str, undisturbed) -> None:
    CHECKS[recipe](undisturbed(recipe).report, undisturbed(recipe).card)


@pytest.mark.parametrize("recipe", [name for name in PHASE if name != "orpo"])  # which goes on as dpo and kto do
def test_a_killed_run_ends_like_an_undisturbed(recipe: str, undisturbed, tmp_path) -> None:
    phase, done = PHASE[recipe], undisturbed(recipe)
    lake = shutil.copytree(done.before, tmp_path / "lake")
    # after a GPU's memory ran out: fewer rows at once, where that changes nothing
    again = f"{recipe},{phase}.per_device_train_batch_size=4" if recipe == "mixed" else recipe
    told = done.told | {"CHIMED_DATA": str(lake)}
    kill_and_resume(told, recipe, phase, tmp_path / "log", folder(lake, phase, recipe), again)
    ends_alike(recipe, lake, done.lake)


def test_two_processes_see_the_rows_that_one_does(undisturbed, tmp_path) -> None:
    """General rows among them; by the command that a pod runs."""
    done = undisturbed("mixed")
    lake = shutil.copytree(done.before, tmp_path / "lake")
    command = [sys.executable, "-m", "chimed", "train", "sft", "--recipe", "mixed", "--processes", "2"]
    told = os.environ | done.told | {"CHIMED_DATA": str(lake)}
    run = subprocess.run(command, env=told, capture_output=True, text=True, check=True)
    assert "accelerate.commands.launch --multi_gpu" in run.stderr
    report = json.loads(run.stdout)
    assert report["batch"]["processes"] == 2
    assert report["mix"] == done.report["mix"]
    ends_alike("mixed", lake, done.lake)


def mixed(report: dict, card: str) -> None:
    mix = report["mix"]
    assert mix["share"] == pytest.approx(0.25, abs=0.03)
    assert mix["held_exams"] <= 1
    assert report["rows"] == {"train": 40, "validation": 8}
    assert report["eval_loss"]["after"] < report["eval_loss"]["before"]
    assert f"{mix['share']:.1%} of all tokens are general: {mix['rows']} rows" in card


def whole(report: dict, card: str) -> None:
    assert report["trainable_parameters"] > 100_000
    assert report["stopped_early"]
    assert report["best"]["step"] < report["steps"] < 40
    assert report["best"]["loss"] == pytest.approx(report["eval_loss"]["after"], abs=1e-4)
    assert "all weights of it trained" in card
    assert f"the checkpoint of step {report['best']['step']} was the best" in card


def preferring(report: dict, card: str) -> None:
    assert report["eval_loss"]["after"] < report["eval_loss"]["before"]
    assert report["counts"]["train"]["kept"] >= 40
    rows = report["batch"]["per_device"]
    assert f"{rows} rows at once, {rows} on each of 1 GPUs or processes" in card
    assert "LoRA" in card


def rewarded(report: dict, card: str) -> None:
    reward = report["reward"]
    assert reward["all"]["after"] > reward["all"]["before"] + 0.2
    assert reward["right_letter"]["after"] > reward["right_letter"]["before"]
    items = report["items"]
    assert (items["read"], items["measured"]) == (65, 1)  # nothing of test/, and not the exam's own question
    assert items["trained"] + items["held_out"] == 64
    assert "reward on held-out prompts, right letter" in card
    assert "64" not in items["source"]


CHECKS = {"mixed": mixed, "whole": whole, "kto": preferring, "orpo": preferring, "grpo": rewarded}
