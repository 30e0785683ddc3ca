"""What a recipe asks for is honoured or refused, and rows that a length cuts are counted. Needs torch."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.train.run import Run, open_run
from support import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("honoured")
    tiny.model(folder / "model")
    tiny.release(folder / "lake")
    lake = lakes.open_lake(str(folder / "lake"))
    cpt = open_run(lake, "cpt", "demo", "2026.11.22", str(folder / "model"))
    rows = folder / "lake" / "releases" / "2026.11.22"

    def of(phase: str, subset: str) -> Run:
        from chimed.train.recipe import load

        files = {split: [rows / subset / f"{split}.parquet"] for split in ("train", "validation")}
        return replace(cpt, phase=phase, rows=files, fields=load("demo", phase), folder=folder / phase)

    return {"cpt": cpt, "sft": of("sft", "sft"), "dpo": of("dpo", "preference")}


def asked(run: Run, **fields: object) -> Run:
    return replace(run, fields=run.fields | fields)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("load_in_4bit", True, "load_in_4bit needs a CUDA GPU"),
        ("load_in_8bit", True, "load_in_8bit needs a CUDA GPU"),
        ("report_to", "nowhere", "report_to 'nowhere' is not supported"),
        ("report_to", ["wandb"], "report_to names wandb, which is not installed"),
        ("report_to", "all", "report_to 'all' is not supported"),
        ("trust_remote_code", True, "would run a stranger's code"),
        ("use_dora", True, "use_dora is not supported"),
        ("output_dir", "/elsewhere", "output_dir is not a recipe's to say"),
        ("gradient_accumulation_steps", 4, "is not a recipe's to say"),
        ("use_peft", None, "use_peft is None, and that is not true or false"),
        ("load_in_4bit", "yes", "load_in_4bit is 'yes', and that is not true or false"),
        ("no_such_field", 1, "no_such_field"),
        ("lerning_rate", 1e-4, "there is no field lerning_rate; did you mean learning_rate"),
        ("learning_rate", "fast", "learning_rate is 'fast', and that is not a number"),
        ("num_train_epochs", True, "num_train_epochs is True, and that is not a number"),
        ("seed", 1.5, "seed is 1.5, and that is not a whole number"),
        ("lora_target_modules", 7, "lora_target_modules is 7, and that is not a list or null"),
        ("early_stopping_patience", 2, "needs load_best_model_at_end: true"),
        ("mix", "./general", "it has only one of both"),
        ("mix_share", 0.1, "it has only one of both"),
    ],
)
def test_what_cannot_be_honoured_is_refused(runs, field: str, value: object, says: str) -> None:
    from chimed.train.arguments import arguments

    if says.endswith("CUDA GPU") and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(UserError, match=says):
        arguments(asked(runs["sft"], **{field: value}))


def test_what_is_asked_for_is_honoured(runs, monkeypatch) -> None:
    from chimed.train import arguments as module
    from chimed.train import tracking

    args, _ = module.arguments(replace(asked(runs["sft"], report_to="none"), revision="abc"))
    assert args.report_to == []
    assert args.model_init_kwargs["revision"] == "abc"
    for used in (module, tracking):
        monkeypatch.setattr(used, "find_spec", lambda name: True)
    assert tracking.trackers({"report_to": "trackio"}, runs["sft"].folder, "") == ["trackio"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # what a GPU's machine would load with
    model = module.ModelConfig(load_in_4bit=True, dtype="bfloat16")
    loading = module._loading(runs["sft"], model, "")
    assert loading["quantization_config"].load_in_4bit
    assert loading["device_map"] == {"": 0}


def test_too_many_lost_rows_stop(runs) -> None:
    from chimed.train.loop import tokenizer
    from chimed.train.tokens import prepare_rows

    tokens = tokenizer(runs["sft"])
    with pytest.raises(UserError, match=r"no row of sft/train .* has a token that counts"):
        prepare_rows(asked(runs["sft"], max_length=8), tokens)
    lengths = sorted(counted(runs["sft"], tokens))
    asks = sorted(counted(runs["sft"], tokens, asked=True))
    with pytest.raises(UserError, match=r"of 40 rows of sft/train have no token left that counts .* allows 1%"):
        prepare_rows(asked(runs["sft"], max_length=asks[20], most_lost=0.01, most_cut=1), tokens)
    allowed = asked(runs["sft"], max_length=lengths[20], most_lost=1, most_cut=1)
    count = told(prepare_rows(allowed, tokens))
    assert count["read"] == 40 == count["kept"] + count["lost"]
    assert count["lost"] + count["cut"] == sum(length > lengths[20] for length in lengths) > 0
    assert len(kept_rows(prepare_rows(allowed, tokens))) == count["kept"]
    with pytest.raises(UserError, match="are cut at max_length"):
        prepare_rows(asked(allowed, most_cut=0.0), tokens)
    packed = asked(runs["cpt"], max_length=16)  # packing splits what is long
    assert told(prepare_rows(packed, tokens)) == {"read": 40, "kept": 40, "lost": 0, "cut": 0, "defused": 0}


def test_lost_pairs_stop_dpo_too(runs) -> None:
    from chimed.train import dpo

    with pytest.raises(UserError, match=r"no row of preference/train .* within max_length 14"):
        dpo.train(asked(runs["dpo"], max_length=14, most_lost=0.01))


def test_tokens_are_trls_and_made_once(runs, monkeypatch) -> None:
    """The trainer's own preparation of the same rows, beside ours."""
    import datasets
    from trl import SFTTrainer

    from chimed.train import tokens as made_by
    from chimed.train.arguments import arguments
    from chimed.train.loop import tokenizer

    for phase in ("cpt", "sft"):
        run = asked(runs[phase], packing=False)
        args, lora = arguments(run)
        tokens = tokenizer(run)
        ours = kept_rows(made_by.prepare_rows(run, tokens))
        rows = datasets.Dataset.from_parquet([str(path) for path in run.rows["train"]]).remove_columns("id")
        if phase == "sft":
            rows = rows.map(
                lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]},
                remove_columns=["messages"],
            )
        theirs = SFTTrainer(run.start, args, train_dataset=rows, processing_class=tokens, peft_config=lora)
        for name in ("input_ids", "labels"):
            assert ours[name][:] == theirs.train_dataset[name][:], (phase, name)
    monkeypatch.setattr(made_by, "read_split", None)  # nothing is read again
    assert made_by.prepare_rows(asked(runs["sft"], packing=False), tokens).exists()


def counted(run: Run, tokens, asked: bool = False) -> list[int]:
    """Tokens of each row, or of its question alone."""
    import datasets

    rows = datasets.Dataset.from_parquet([str(path) for path in run.rows["train"]])
    parts = [messages[:-1] if asked else messages for messages in rows["messages"]]
    return [
        len(tokens.apply_chat_template(part, return_dict=True, add_generation_prompt=asked)["input_ids"])
        for part in parts
    ]


def told(folder: Path) -> dict[str, int]:
    return json.loads((folder / "counts.json").read_text())["train"]


def kept_rows(folder: Path):
    import datasets

    return datasets.load_from_disk(folder / "train")
