"""How many GPUs a recipe takes, as the DAG file reads it: with `extends`, and recipes of CHIMED_RECIPES."""

import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train import recipe as recipes
from chimed_airflow.recipe_gpus import most_gpus, slots


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


def broken(own, *recipes: str) -> None:
    """Removes the recipes that cannot be read."""
    for recipe in recipes:
        (own / recipe / "sft.yaml").unlink()


def chosen(monkeypatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"CHIMED_{name.upper()}", value)
    settings.cache_clear()


@pytest.mark.parametrize(("recipe", "gpus", "taken"), [("small", 16, 8), ("mine", 4, 4), ("demo", 0, 1)])
def test_slots_are_enough_for_every_recipe(own, monkeypatch, recipe: str, gpus: int, taken: int) -> None:
    broken(own, "odd", "round")
    chosen(monkeypatch, recipe=recipe, gpus=str(gpus))
    assert slots() == taken


def test_a_larger_recipe_of_ones_own_takes_more(own, monkeypatch) -> None:
    chosen(monkeypatch, gpus="16", recipe="demo")
    assert slots() == 16  # two of the recipes cannot be read
    broken(own, "odd", "round")
    assert slots() == 8
    (own / "large").mkdir()
    (own / "large" / "sft.yaml").write_text("extends: qwen3-14b\ngpus: 12", encoding="utf-8")
    assert slots() == 12


def test_a_pod_with_more_gpus_than_there_are_is_refused(own, monkeypatch) -> None:
    pytest.importorskip("airflow")
    from chimed_airflow.tasks import gpus

    chosen(monkeypatch, compute="kubernetes")
    with pytest.raises(UserError, match=r"trains on 8 GPUs, and CHIMED_GPUS is 6; set gpus=6"):
        gpus("qwen3-14b", "sft", 6)
    assert gpus("qwen3-14b,gpus=4", "sft", 6) == 4
    chosen(monkeypatch, gpus="16")
    with pytest.raises(UserError, match=r"trains on 16 GPUs, and its task takes 8 slots of the pool gpus"):
        gpus("qwen3-14b,gpus=16", "sft", 8)
    chosen(monkeypatch, gpus="0")
    with pytest.raises(UserError, match=r"trains on 8 GPUs, and CHIMED_GPUS is 0; raise CHIMED_GPUS"):
        gpus("qwen3-14b", "sft", 1)


def test_a_recipe_is_told_what_it_lacks(own, monkeypatch) -> None:
    from chimed.train import needs

    chosen(monkeypatch, gpus="0")
    assert needs.check("demo", settings()) == "recipe demo has cpt, sft, dpo, kto, orpo, grpo, for 1 GPU"
    with pytest.raises(UserError, match=r"cpt of qwen3-1.7b needs a GPU, and CHIMED_GPUS is 0; choose .* \(demo\)"):
        needs.check("qwen3-1.7b", settings())
    chosen(monkeypatch, gpus="2")
    assert "for 8 GPUs" in needs.check("qwen3-14b", settings())  # on one machine fewer take longer
    for recipe, said in {"nowhere": "unknown recipe", "small": "it has no cpt.yaml", "demo,gpus=0": "from 1"}.items():
        with pytest.raises(UserError, match=said):
            needs.check(recipe, settings())
