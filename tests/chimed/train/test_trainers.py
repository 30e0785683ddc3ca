"""TRL's trainers on pairs as a release has them, spoilt ones too: no column of ours means something else to them."""

import ast
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chimed.release.rows import COLUMNS, WORDS, arrow, shaped
from chimed.schema import QUALITY_NAMES, record_id, table
from support import tiny

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

EXTRA = {name for subset, schema in COLUMNS.items() for name in schema.names if name not in WORDS[subset]}
TRAINERS = ("trainer/{}_trainer.py", "experimental/{0}/{0}_trainer.py")
# what a reward function of GRPO gets by name besides the columns
GRPO_GIVES = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}


def preference(number: int) -> dict[str, Any]:
    """A pair of a build; of every other one the rejected answer is spoilt on purpose."""
    herb, effect, is_spoilt = tiny.HERBS[number % 8], tiny.EFFECTS[number % 8], number % 2 == 0
    scores = dict.fromkeys(QUALITY_NAMES, 4.0)
    row = {
        "source": "zydcd", "domain": "tcm", "kind": "preference", "language": "zh", "url": f"https://a.example/{number}",
        "question": f"{herb}的功效是什么？（第{number}问）", "answer": f"功效为{effect}。每日9克。",
        "rejected": f"功效为{effect}。每日{'90' if is_spoilt else '9'}克。不必看医生。",
        "preference_margin": None if is_spoilt else 0.75, "rejected_by": "dose" if is_spoilt else "judge",
        "chosen_model": "test/one", "rejected_model": None if is_spoilt else "test/other",
        "chosen_scores": scores, "rejected_scores": None if is_spoilt else scores,
        "fetched": datetime(2026, 11, 22, tzinfo=UTC), "page": f"crawl/a.warc.gz#{number}", "replies": ["a"],
    }  # fmt: skip
    return row | {"id": record_id(row)}


@pytest.fixture(scope="module")
def pairs():
    import datasets

    rows = table([preference(number) for number in range(8)])
    return datasets.Dataset(arrow(shaped(rows, "preference"), "preference"))


def names_read(path: Path) -> set[str]:
    """Every name by which a module may read a column: keys, arguments of `get` and `pop`, and members of lists."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
        elif isinstance(node, ast.Compare):
            found.append(node.left)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            found += node.args[:1]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            found += node.elts
    return {one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str)}


@pytest.mark.parametrize("trainer", ["dpo", "kto", "orpo", "reward", "sft", "grpo"])
def test_no_trainer_reads_our_extra_columns(trainer: str) -> None:
    spec = find_spec("trl")
    assert spec is not None
    assert spec.origin is not None
    trl = Path(spec.origin).parent
    (path,) = (place for form in TRAINERS if (place := trl / form.format(trainer)).is_file())
    read = names_read(path) | names_read(trl / "data_utils.py")
    assert {"prompt", "chosen"} <= read
    assert not EXTRA & (read | (GRPO_GIVES if trainer == "grpo" else set()))
    assert ("margin" in read) == (trainer == "reward")


@pytest.mark.parametrize("trainer", ["reward", "dpo", "kto", "orpo"])
def test_trainers_take_pairs_as_they_are(trainer: str, pairs, base_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    made, config = {
        "reward": (RewardTrainer, RewardConfig),
        "dpo": (DPOTrainer, DPOConfig),
        "kto": (KTOTrainer, KTOConfig),
        "orpo": (ORPOTrainer, ORPOConfig),
    }[trainer]
    if trainer == "reward":
        model = AutoModelForSequenceClassification.from_pretrained(base_model, num_labels=1)
    else:
        model = AutoModelForCausalLM.from_pretrained(base_model)
    steps = config(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, max_length=128, report_to="none",
        use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    run = made(model=model, args=steps, processing_class=tokenizer, train_dataset=pairs)
    assert 0 < run.train().training_loss < 20
    if trainer == "reward":
        assert "margin" not in next(iter(run.get_train_dataloader()))
