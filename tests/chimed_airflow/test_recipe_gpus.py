"""How many GPUs a recipe takes, as the DAG file reads it: with `extends`, and recipes of CHIMED_RECIPES."""

import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train import recipe as recipes
from chimed_airflow.recipe_gpus import most_gpus


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of recipes of one's own, on a machine with 6 GPUs."""
    for recipe, text in {
        "mine": "extends: qwen3-14b-tuned",
        "small": "extends: qwen3-14b\ngpus: 2",
        "round": "extends: round",
        "odd": "gpus: [",
    }.items():
        (tmp_path / recipe).mkdir()
        (tmp_path / recipe / "sft.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("CHIMED_RECIPES", str(tmp_path))
    monkeypatch.setenv("CHIMED_GPUS", "6")
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_built_in_recipes_take_what_the_training_reads() -> None:
    for recipe in recipes.names():
        phases = recipes.phases_of(recipe)
        assert most_gpus(recipe) == max(recipes.load(recipe, phase)["gpus"] for phase in phases), recipe


def test_own_recipes_are_read_and_unreadable_ones_take_all(own) -> None:
    found = {name: most_gpus(name) for name in ("mine", "small", "round", "odd", "unknown")}
    assert found == {"mine": 8, "small": 2, "round": 6, "odd": 6, "unknown": 6}


def test_a_pod_with_more_gpus_than_there_are_is_refused(own) -> None:
    pytest.importorskip("airflow")
    from chimed_airflow.tasks import gpus

    with pytest.raises(UserError, match="trains on 8 GPUs, and CHIMED_GPUS is 6"):
        gpus("qwen3-14b", "sft")
    assert gpus("qwen3-14b,gpus=4", "sft") == 4
