"""Recipes of one's own, what they extend, and settings in a recipe's name. No torch needed."""

from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train import recipe as recipes
from chimed.train.overrides import parted, read
from chimed.train.run import place_of


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder of `CHIMED_RECIPES`, with one recipe in it."""
    monkeypatch.setenv("CHIMED_RECIPES", str(tmp_path))
    settings.cache_clear()
    write(tmp_path, "mine", cpt="extends: qwen3-14b\nlearning_rate: 3.0e-4\nmodel_revision: v1\n")
    yield tmp_path
    settings.cache_clear()


def write(folder: Path, recipe: str, **phases: str) -> None:
    (folder / recipe).mkdir(exist_ok=True)
    for phase, text in phases.items():
        (folder / recipe / f"{phase}.yaml").write_text(text, encoding="utf-8")


def test_a_recipe_of_ones_own_extends_another(own) -> None:
    assert "mine" in recipes.names()
    fields, base = recipes.load("mine", "cpt"), recipes.load("qwen3-14b", "cpt")
    assert fields == base | {"learning_rate": 3e-4, "model_revision": "v1"}
    assert recipes.shape("mine") == recipes.shape("qwen3-14b")
    assert recipes.phases_of("mine") == ("cpt",)
    write(own, "mine", dpo="extends: mine/sft\nseed: null\n", sft="extends: demo\nmax_steps: 3\n")
    assert recipes.load("mine", "dpo")["max_steps"] == 3
    assert "seed" not in recipes.load("mine", "dpo")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: mine\n", "extends 'mine'"),  # itself
        ("extends: ../../etc\n", "extends '../../etc'"),
        ("extends: nowhere\n", "no recipe nowhere"),
        ("learning_rate: [\n", "is not YAML"),
        ("- a\n- b\n", "no list of fields"),
        ("extends: demo\nlearning_rate: 1e-4\n", "write it as 1.0e-5"),
        ("extends: demo\nlearning_rate: true\n", "write it as 1.0e-5"),
        ("learning_rate: 0.1\n", "does not set dtype, global_batch_size, gpus, per_device_train_batch_size"),
        ("extends: demo/orpo\nlearning_rate: null\n", "does not set learning_rate"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(own, text: str, says: str) -> None:
    write(own, "mine", cpt=text)
    with pytest.raises(UserError, match=says):
        recipes.load("mine", "cpt")


# what is wrong with a recipe's folder or files, and the sentence about it
FAULTY = [
    ("demo", {"cpt.yaml": "extends: qwen3-14b\n"}, "has a recipe of this name, and so has chimed; rename yours"),
    ("two words", {"cpt.yaml": "extends: demo\n"}, "letters, digits and . _ - only"),
    ("a,b", {"cpt.yaml": "extends: demo\n"}, "letters, digits and . _ - only"),
    ("late", {"sft.yaml": "extends: demo\n"}, "has no cpt.yaml"),
    ("short", {"cpt.yml": "extends: demo\n"}, "cpt.yml does not count"),
    ("torn", {"cpt.yaml": "extends: demo\nlearning_rate: [\n"}, "is not YAML: line"),
    ("tabs", {"cpt.yaml": "\textends: demo\n"}, "is not YAML: line 1"),
    ("tagged", {"cpt.yaml": "!!python/object:os.system x\n"}, "is not YAML: line 1"),
    ("dated", {"cpt.yaml": "run_name: 2026-99-99\n"}, "is not YAML"),
    ("deep", {"cpt.yaml": "[" * 5000}, "is not YAML"),
    ("bell", {"cpt.yaml": "run_name: \x07\n"}, "is not YAML"),
    ("empty", {"cpt.yaml": ""}, "no list of fields"),
    ("listed", {"cpt.yaml": "- extends: demo\n"}, "no list of fields"),
    ("numbered", {"cpt.yaml": "1: 2\n"}, "no list of fields"),
    ("lost", {"cpt.yaml": "extends: nonsuch\n"}, "extends nonsuch, and there is no recipe nonsuch; there are demo, "),
    ("phaseless", {"cpt.yaml": "extends: demo/ppo\n"}, "extends demo/ppo, and recipe demo has no ppo.yaml"),
    ("round", {"cpt.yaml": "extends: round/sft\n", "sft.yaml": "extends: round/cpt\n"}, "in a circle"),
    ("many", {"cpt.yaml": "extends: [demo]\n"}, "write the name of a recipe"),
    ("zero", {"cpt.yaml": "extends: demo\ngpus: 0\n"}, "gpus is 0"),
    ("later", {"cpt.yaml": "extends: demo\n", "dpo.yaml": "beta: 0.1\n"}, "does not set dtype"),
    ("shapeless", {"cpt.yaml": "extends: demo\n", "model.yaml": "- 1\n"}, "model.yaml is no list of fields"),
]


@pytest.mark.parametrize(("name", "files", "says"), FAULTY, ids=[case[0] for case in FAULTY])
def test_one_faulty_recipe_stops_no_other(own, name: str, files: dict[str, str], says: str) -> None:
    (own / name).mkdir()
    for file, text in files.items():
        (own / name / file).write_text(text, encoding="utf-8")
    assert recipes.known("mine,seed=3") == "mine,seed=3"
    assert recipes.load("mine", "cpt")["learning_rate"] == 3e-4
    assert recipes.load("demo", "cpt")["gpus"] == 1
    found = recipes.faults()
    assert says in (found.pop(name) or "")
    assert set(found.values()) == {None}
    assert {"mine", "qwen3-14b"} <= set(found)
    with pytest.raises(UserError) as error:
        used(name)
    assert says in str(error.value) or name == "a,b"  # which is read as a recipe with a setting


def used(recipe: str) -> None:
    """Read a recipe as the commands do that use all of it."""
    plain = recipes.known(recipe)
    for phase in recipes.phases_of(plain):
        recipes.load(plain, phase)
    recipes.shape(plain)


def test_what_is_no_recipe_is_not_listed(own, monkeypatch) -> None:
    (own / "notes").mkdir()
    (own / "notes" / "todo.yaml").write_text("[")
    (own / ".git").mkdir()
    (own / ".git" / "cpt.yaml").write_text("[")
    (own / "README.md").write_text("[")
    (own / "loop").symlink_to(own / "loop")
    (own / "bytes").mkdir()
    (own / "bytes" / "cpt.yaml").write_bytes(b"\xff\xfe\x00")
    (own / "large").mkdir()
    (own / "large" / "cpt.yaml").write_text("# " + "x" * (1 << 20))
    found = recipes.faults()
    assert set(found) == {"bytes", "large", "mine", *recipes.names()} - {"notes", ".git", "loop"}
    assert "is not UTF-8 text" in (found["bytes"] or "")
    assert "larger than 1 MB" in (found["large"] or "")
    monkeypatch.setenv("CHIMED_RECIPES", str(own / "nowhere"))
    settings.cache_clear()
    with pytest.raises(UserError, match="there is no such folder"):
        recipes.names()


def test_recipes_may_lie_where_every_pod_sees_them(monkeypatch) -> None:
    from chimed.storage import lake as lakes

    monkeypatch.setenv("CHIMED_RECIPES", "memory://recipes-of-pods")
    settings.cache_clear()
    lakes.write_bytes(lakes.open_lake("memory://recipes-of-pods"), "far/cpt.yaml", b"extends: demo\nmax_steps: 7\n")
    assert recipes.load(recipes.known("far"), "cpt")["max_steps"] == 7
    settings.cache_clear()


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("1e-4", 1e-4), ("1E-4", 1e-4), ("0.0001", 1e-4), (".5", 0.5), ("3", 3), ("-1", -1), ("+2", 2), ("true", True),
        ("False", False), ("null", None), ("cosine", "cosine"), ("1e3", 1000.0), ("v1.2", "v1.2"), ("on", True),
        ("all-linear", "all-linear"), ("2026.11.22", "2026.11.22"), ("1_000", "1_000"), ("nan", "nan"),
    ],
)  # fmt: skip
def test_values_are_typed(typed: str, value: object) -> None:
    assert read(f"field={typed}") == ("field", value)
    assert type(read(f"field={typed}")[1]) is type(value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("learning_rate", "is no setting of a recipe"),
        ("=1", "is no setting of a recipe"),
        ("a b=1", "is no setting of a recipe"),
        ("../x=1", "is no setting of a recipe"),
        ("Learning_Rate=1", "is no setting of a recipe"),
        ("mix=/data/wiki", "a recipe of your own"),
        ("model_name_or_path=Qwen/Qwen3-4B", "a recipe of your own"),
        ("loss_type=[sigmoid]", "a recipe of your own"),
        ("run_name=", "a recipe of your own"),
        ("run_name=好", None),
        ("seed=1e400", "larger than any number"),
        ("ppo.seed=1", "unknown phase 'ppo'"),
    ],
)
def test_an_override_that_cannot_be_is_refused(override: str, says: str | None) -> None:
    if says is None:
        assert recipes.named_with("demo", [override]) == f"demo,{override}"
        return
    with pytest.raises(UserError, match=says):
        recipes.named_with("demo", [override])


def test_a_name_says_settings_in_one_way() -> None:
    name = recipes.named_with("demo", ["seed=7 sft.learning_rate=1e-4", "seed=8,max_steps=20"])
    assert name == "demo,max_steps=20,seed=8,sft.learning_rate=0.0001"
    assert recipes.known(name) == name == recipes.named_with(name, [])
    assert recipes.known("demo,seed=8,max_steps=2e1") == "demo,max_steps=20.0,seed=8"
    assert recipes.named_with("demo", ["learning_rate=1e-4"], "sft") == "demo,sft.learning_rate=0.0001"
    assert recipes.load(name, "sft")["learning_rate"] == 1e-4
    assert recipes.load(name, "cpt")["learning_rate"] == recipes.load("demo", "cpt")["learning_rate"]
    assert recipes.load(name, "cpt")["seed"] == 8
    assert parted(name)[0] == "demo"
    with pytest.raises(UserError, match="unknown recipe 'dema'"):
        recipes.known("dema,seed=1")


def test_a_phase_lies_under_what_it_depends_on() -> None:
    """A setting of sft leaves cpt the plain recipe's; what is free to change is in no place."""
    name = recipes.named_with("demo", ["sft.learning_rate=1e-4", "sft.per_device_train_batch_size=2"])
    assert place_of("r", name, "cpt") == "models/r/demo/cpt"
    assert place_of("r", name, "sft") == "models/r/demo,sft.learning_rate=0.0001/sft"
    assert place_of("r", name, "dpo") == "models/r/demo,sft.learning_rate=0.0001/dpo"
    assert recipes.told_apart(name) == "demo,sft.learning_rate=0.0001"
    assert place_of("r", "demo,dpo.beta=0.2", "kto") == "models/r/demo/kto"  # kto starts from sft
    assert place_of("r", "demo,save_steps=7", "cpt") == "models/r/demo/cpt"
    best = recipes.named_with("demo", ["cpt.load_best_model_at_end=true", "cpt.save_steps=7"])
    assert place_of("r", best, "cpt").count("save_steps") == 1  # there it says which is the best
    tied = recipes.named_with("demo", ["kto.per_device_train_batch_size=4"])
    assert "per_device" in place_of("r", tied, "kto")


def test_what_is_before_which_phase() -> None:
    assert recipes.chain("demo", "dpo") == ("cpt", "sft", "dpo")
    assert recipes.chain("demo", "grpo") == ("cpt", "sft", "grpo")  # `after` of the demo's recipe
    assert recipes.chain("qwen3-14b", "grpo") == ("cpt", "sft", "dpo", "grpo")
    assert recipes.chain("qwen3-14b,grpo.after=kto", "grpo") == ("cpt", "sft", "kto", "grpo")
    with pytest.raises(UserError, match="kto comes after itself"):
        recipes.chain("demo,grpo.after=kto,kto.after=grpo", "kto")


@pytest.mark.parametrize("recipe", ["qwen3-1.7b-tuned", "qwen3-14b-tuned"])
def test_tuned_presets_tell_their_differences(recipe: str) -> None:
    for phase in recipes.EVERY_PHASE:
        tuned, paper = recipes.load(recipe, phase), recipes.load(recipe.removesuffix("-tuned"), phase)
        differ = {name for name in tuned.keys() | paper.keys() if tuned.get(name) != paper.get(name)}
        assert differ <= {"learning_rate", "save_steps", "load_best_model_at_end", "early_stopping_patience"}
    assert recipes.load(recipe, "cpt")["learning_rate"] >= 10 * recipes.load("qwen3-14b", "cpt")["learning_rate"]
