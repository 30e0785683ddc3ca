"""Recipes say what the paper says, and a global batch is what it claims to be on any number of GPUs."""

import pytest

from chimed.errors import UserError
from chimed.train import recipe as recipes
from chimed.train.run import PHASES

# paper, Table 5
TABLE_5 = {"cpt": (2, 64, 1e-5), "sft": (2, 32, 5e-5), "dpo": (1, 16, 1e-5)}


@pytest.mark.parametrize("recipe", ["qwen3-1.7b", "qwen3-14b"])
@pytest.mark.parametrize("phase", PHASES)
def test_the_papers_numbers(recipe: str, phase: str) -> None:
    fields = recipes.load(recipe, phase)
    assert (fields["num_train_epochs"], fields["global_batch_size"], fields["learning_rate"]) == TABLE_5[phase]
    assert fields["warmup_steps"] == 0.1
    assert fields["use_peft"]
    assert fields["gpus"] == 8  # §4.1: eight A40s
    recipes.batches(fields["global_batch_size"], fields["per_device_train_batch_size"], 8)


def test_every_recipe_has_every_phase() -> None:
    assert recipes.names() == ["demo", "qwen3-1.7b", "qwen3-1.7b-tuned", "qwen3-14b", "qwen3-14b-tuned"]
    for recipe in recipes.names():
        assert recipes.phases_of(recipe) == recipes.EVERY_PHASE
        for phase in recipes.EVERY_PHASE:
            assert recipes.load(recipe, phase)["use_peft"]


@pytest.mark.parametrize("batch", [64, 32, 16])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("world", [1, 2, 4, 8, 16])
def test_batches_multiply_to_the_global_one(batch: int, most: int, world: int) -> None:
    per_device, accumulated = recipes.batches(batch, most, world)
    assert per_device * accumulated * world == batch
    assert 1 <= per_device <= most


@pytest.mark.parametrize(("batch", "world"), [(64, 3), (16, 7), (16, 32)])
def test_a_batch_that_cannot_be_shared_is_refused(batch: int, world: int) -> None:
    with pytest.raises(UserError, match=f"{batch} cannot be divided among {world} GPUs; use 1, 2, 4, 8, 16"):
        recipes.batches(batch, 4, world)


def test_a_textual_learning_rate_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cpt.yaml").write_text(
        "gpus: 1\nlearning_rate: 1e-5\nglobal_batch_size: 8\nper_device_train_batch_size: 1\ndtype: float32\n"
    )
    monkeypatch.setattr(recipes.recipe_files, "FOLDER", tmp_path)
    assert recipes.names() == ["mine"]
    with pytest.raises(UserError, match=r"write it as 1\.0e-5"):
        recipes.load("mine", "cpt")
