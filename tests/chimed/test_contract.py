"""The contract of stages: one definition, one type each, and a light definition."""

import subprocess
import sys

import pytest

from chimed import stages
from chimed.contract import CorpusStage, ModelStage, PageStage, ShardStage, implementation

TYPES = {"shard": (PageStage, ShardStage), "corpus": CorpusStage, "model": ModelStage}


@pytest.mark.parametrize("stage", stages.STAGES, ids=stages.NAMES)
def test_a_stage_is_of_the_type_its_definition_names(stage):
    does = implementation(stage)
    assert isinstance(does, TYPES[stage.kind])
    assert isinstance(does, PageStage) == (stages.before(stage.name) is None)
    assert (stage.scope == "corpus") == (stage.kind == "corpus")
    assert (stage.needs == "llm") == (stage.kind == "model")


def test_a_definition_tells_people_all_they_need():
    for stage in (stages.CRAWL, *stages.STAGES):
        assert stage.does == stage.does.rstrip(".")
        assert stage.does[0].islower()
        assert stage.title[0].isupper()
        assert all("\u4e00" <= letter <= "\u9fff" for letter in stage.title_zh)
        assert stage.paper == "ours" or stage.paper.startswith("§3.")


def test_the_definitions_import_nothing_heavy():
    heavy = {"polars", "numpy", "sqlalchemy", "scrapy"}
    script = f"import sys, chimed.stages, chimed.options; print(*{heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
