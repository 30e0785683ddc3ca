"""A release as a researcher meets it: one line of `datasets`, and TRL's trainers on the subsets as they are."""

import json
import os
import subprocess

import pytest

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.release import read_manifest
from chimed.release.file_names import table_files
from chimed.release.sorting import of_tables
from chimed.release.write import write_release
from chimed.settings import PROJECT, Settings
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from support import making_one
from support.model_server import serving

MODELS_PYTHON = PROJECT / ".venv-models" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODELS_PYTHON.exists(), reason="needs the models' environment: make install"),
]

SMALL = "2026.11.29"
EMPTY = [f"{subset}/{split}" for subset in ("preference", "reasoning") for split in ("train", "validation")]
FILE = 2_500  # bytes: the questions lie in twelve files
FOUND = """
import json, os, sys
from datasets import get_dataset_config_names, load_dataset
small, release, model, tests = sys.argv[1:]
print(json.dumps({name: sorted(load_dataset(small, name)) for name in get_dataset_config_names(small)}))

# as LLaMA-Factory's loader takes an entry: a file, or every file of a folder, by `datasets`
found = {}
for name, entry in json.load(open(os.path.join(release, "dataset_info.json"))).items():
    place = os.path.join(release, entry["file_name"])
    files = [os.path.join(place, name) for name in os.listdir(place)] if os.path.isdir(place) else [place]
    rows = load_dataset("json", data_files=files, split="train")
    assert set(entry["columns"].values()) <= set(rows.column_names), (entry, rows.column_names)
    found[name] = {"rows": len(rows), "files": len(files), "ids": len(set(rows["id"]))}
print(json.dumps(found))

found = {}
for name in get_dataset_config_names(release):
    data = load_dataset(release, name)
    types = {column: str(feature) for column, feature in data["train"].features.items()}
    found[name] = {"splits": {split: len(rows) for split, rows in data.items()}, "types": types}
print(json.dumps(found), flush=True)

import pathlib, torch
from huggingface_hub import DatasetCard
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
sys.path.insert(0, tests)
from support import tiny
torch.set_num_threads(1)
tiny.model(pathlib.Path(model))
assert DatasetCard.load(release + "/README.md").data.language == ["zh"]  # nothing in it is classical
steps = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "bf16": False,
         "save_strategy": "no", "disable_tqdm": True, "max_length": 128, "output_dir": model + "/out"}
for name, trainer, config in (("pretrain", SFTTrainer, SFTConfig), ("sft", SFTTrainer, SFTConfig),
                              ("preference", DPOTrainer, DPOConfig), ("reasoning", SFTTrainer, SFTConfig)):
    data = load_dataset(release, name)
    made = trainer(model=model, args=config(**steps), processing_class=AutoTokenizer.from_pretrained(model),
                   train_dataset=data["train"], eval_dataset=data["validation"])
    print(json.dumps({name: made.train().training_loss}), flush=True)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> list[dict]:
    """What the models' environment says of a release: its configurations, then a loss for each subset."""
    folder = tmp_path_factory.mktemp("loaded")
    with serving() as served:
        served.answer = making_one.answer
        settings = Settings(
            data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db", llm_url=served.url, judge_url=served.url
        )
        lake, store = open_lake(settings.data), open_store(settings.store)
        work = StageContext("", Options(), lake, store, settings, lambda _: None)
        making_one.crawl(work, most=24)
        made = making_one.build(work, "2026.11.22", skip=["decontaminate"], file_bytes=FILE)
    environment = {**os.environ, "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    tables = making_one.read_tables(lake, made.build)
    small = tables | {name: tables[name].clear() for name in ("sft/validation", *EMPTY)}
    write_release(lake, SMALL, of_tables(small), read_manifest(lake, made.build), before=None)
    places = (
        lake.at("releases", SMALL),
        lake.at("releases", made.build),
        str(folder / "model"),
        str(PROJECT / "tests"),
    )
    command = [str(MODELS_PYTHON), "-c", FOUND, *places]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    said.append(read_manifest(lake, made.build)["files"])
    return said


def test_empty_subsets_are_left_out(loaded):
    graph = {"graph_entities": ["train"], "graph_relations": ["train"]}
    assert loaded[0] == {"pretrain": ["train", "validation"], "sft": ["train"], **graph}


def test_configurations_have_splits_and_typed_columns(loaded):
    found = dict(loaded[2])
    for table in ("entities", "relations"):
        assert found.pop(f"graph_{table}")["splits"]["train"] > 0
    assert set(found) == {"pretrain", "sft", "preference", "reasoning"}
    for one in found.values():
        assert set(one["splits"]) == {"train", "validation"}
        assert all(one["splits"].values())
        assert one["types"]["published"] == "Value('date32')"
        assert one["types"]["fetched"] == "Value('timestamp[ms, tz=UTC]')"
        assert one["types"]["perplexity"] == "Value('float64')"
    assert found["pretrain"]["types"]["text"] == "Value('string')"
    talk = "List({'role': Value('string'), 'content': Value('string')})"
    assert found["sft"]["types"]["messages"] == found["reasoning"]["types"]["messages"] == talk
    assert {found["preference"]["types"][name] for name in ("prompt", "chosen", "rejected")} == {talk}


def test_several_files_are_read_as_one_table(loaded):
    files = loaded[-1]
    tables = table_files(files)
    assert len(tables["sft/train"]) == 13
    for table, several in tables.items():
        subset, split = table.split("/")
        rows = sum(files[name]["rows"] for name in several)
        assert loaded[2][subset]["splits"][split] == rows
        name = f"chimed_{subset}{'' if split == 'train' else '_validation'}"
        assert loaded[1][name] == {"rows": rows, "files": len(several), "ids": rows}


def test_trl_takes_the_subsets_unchanged(loaded):
    losses = {name: loss for one in loaded[3:-1] for name, loss in one.items()}
    assert set(losses) == {"pretrain", "sft", "preference", "reasoning"}
    assert all(0 < loss < 20 for loss in losses.values())
