"""The contract of stages: one definition, one type each, and a light definition."""

import subprocess
import sys

import pytest

from chimed.build import order
from chimed.build.contract import CorpusStage, ModelStage, PageStage, ShardStage, load_stage

TYPES = {"shard": (PageStage, ShardStage), "corpus": CorpusStage, "model": ModelStage}


@pytest.mark.parametrize("stage", order.STAGES, ids=order.NAMES)
def test_stages_have_the_type_they_name(stage):
    does = load_stage(stage)
    assert isinstance(does, TYPES[stage.kind])
    assert isinstance(does, PageStage) == (order.previous_stage(stage.name) is None)
    assert (stage.scope == "corpus") == (stage.kind == "corpus")
    assert (stage.needs == "llm") == (stage.kind == "model")
    assert [step.name for step in stage.steps] == list(getattr(does, "steps", {}))


def test_a_definition_tells_people_all_they_need():
    for stage in (order.CRAWL, *order.STAGES):
        assert stage.does == stage.does.rstrip(".")
        assert stage.does[0].islower()
        assert stage.title[0].isupper()
        assert all("\u4e00" <= letter <= "\u9fff" for letter in stage.title_zh)
        assert stage.paper == "ours" or stage.paper.startswith("§3.")


def test_the_definitions_import_nothing_heavy():
    heavy = {"polars", "numpy", "sqlalchemy", "scrapy"}
    script = f"import sys, chimed.build.order, chimed.build.options; print(*{heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
