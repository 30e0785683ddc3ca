"""python -m chimed check: what a build needs, looked at before it begins, and the sentence that mends it."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chimed.__main__ import app
from chimed.errors import UserError, WorkStopped
from chimed.operations.check import Finding, run_checks
from chimed.settings import settings
from support.model_server import completion

EXAM = ",Question,A,B,C,D,Answer\n0,下列哪一项不是这道考题的答案,甲,乙,丙,丁,A\n"


@pytest.fixture
def ready(work, served, tmp_path, monkeypatch):
    """A build's surroundings in which nothing is wrong, and the settings that say so."""
    (tmp_path / "exams" / "test").mkdir(parents=True)
    (tmp_path / "exams" / "test" / "made.csv").write_text(EXAM, encoding="utf-8")
    (tmp_path / "python").touch()
    changes = {
        "llm_url": served.url, "judge_url": served.url, "exams": str(tmp_path / "exams"),
        "models_python": str(tmp_path / "python"), "scratch": str(tmp_path / "scratch"),
    }  # fmt: skip
    return dataclasses.replace(work, settings=work.settings.model_copy(update=changes))


def changed(work, **changes: object):
    """The surroundings with other settings."""
    return dataclasses.replace(work, settings=work.settings.model_copy(update=changes))


def wrong(work, only_servers: bool = False) -> dict[str, str]:
    """What is wrong, by what was looked at."""
    return {one.what: one.said for one in run_checks(work, only_servers) if not one.fine}


def test_nothing_is_wrong_where_all_is_there(ready, served):
    found = run_checks(ready)
    assert [one.what for one in found] == [
        "machine",
        "lake",
        "store",
        "disk",
        "exams",
        "GPU work",
        "generator",
        "judge",
    ]
    assert all(one.fine for one in found), found
    assert f"test/judge answers at {served.url}, limited to allowed answers by structured_outputs" in found[-1].said
    assert not list(Path(ready.settings.data).glob("check-*"))


def test_servers_that_are_not_there_strange_or_one(ready, served):
    gone = wrong(changed(ready, llm_url="http://127.0.0.1:9/v1"))
    assert "no model server answers at http://127.0.0.1:9/v1" in gone["generator"]
    assert "CHIMED_LLM_URL" in gone["generator"]
    assert "serves chimed-generator, chimed-judge, not qwen" in wrong(changed(ready, llm_model="qwen"))["generator"]
    served.roots["chimed-judge"] = "test/generator"
    assert "the judge is the generator: both are test/generator" in wrong(ready)["judge"]
    skipped = dataclasses.replace(ready, options=ready.options.model_copy(update={"skip": ("prefer", "rate")}))
    assert wrong(skipped) == {}
    served.roots["chimed-judge"] = "/models/judge"
    assert "CHIMED_JUDGE_IDENTITY" in wrong(ready)["judge"]
    assert wrong(changed(ready, judge_identity="Qwen3-32B of May")) == {}


def test_a_server_that_obeys_no_constraint(ready, served):
    served.probed = False
    served.answer = lambda body: (200, {}, completion("Certainly! I say OK."))
    found = wrong(ready, only_servers=True)
    assert set(found) == {"generator", "judge"}
    assert "CHIMED_LLM_UNCONSTRAINED" in found["judge"]
    assert wrong(changed(ready, llm_unconstrained=True), only_servers=True) == {}


def test_exams_disk_lake_and_store(ready, monkeypatch, tmp_path):
    assert "CHIMED_EXAMS" in wrong(changed(ready, exams=None))["exams"]
    skipped = dataclasses.replace(ready, options=ready.options.model_copy(update={"skip": ("decontaminate",)}))
    assert wrong(changed(skipped, exams=None)) == {}
    monkeypatch.setattr("chimed.operations.check.MIN_FREE_BYTES", 10**18)
    assert "free some space or name another folder" in wrong(ready)["disk"]
    (tmp_path / "lake").mkdir(exist_ok=True)
    monkeypatch.setattr(
        "chimed.storage.lake.write_bytes", lambda *_: (_ for _ in ()).throw(PermissionError("read-only"))
    )
    assert (
        "cannot be written (PermissionError: read-only); make it writable, or correct CHIMED_DATA"
        in wrong(ready)["lake"]
    )

    def behind():
        raise UserError("the store's schema is 0001, this code's is 0004; run: python -m chimed store upgrade")

    assert "store upgrade" in wrong(dataclasses.replace(ready, opened=behind))["store"]


def test_gpu_pods_reach_lake_and_store(ready):
    cluster = {"compute": "kubernetes", "perplexity_model": "/models/gpt2"}
    found = wrong(changed(ready, **cluster))["GPU work"]
    for setting in ("CHIMED_DATA", "CHIMED_STORE", "CHIMED_PERPLEXITY_MODEL", "CHIMED_EXAMS", "CHIMED_K8S_VOLUME"):
        assert setting in found
    whole = {"data": "s3://a/b", "store": "postgresql://a/b", "perplexity_model": "uer/gpt2", "k8s_volume": "claim"}
    there = changed(ready, **cluster | whole | {"exams": "/data/exams"})
    assert "GPU work" not in wrong(there)
    assert "no interpreter at /nowhere" in wrong(changed(ready, models_python="/nowhere"))["GPU work"]
    assert "no model in ./none" in wrong(changed(ready, perplexity_model="./none"))["GPU work"]


def test_servers_to_start_are_checked(ready):
    cluster = {"serve": "kubernetes", "llm_url": "http://one:8000/v1", "judge_url": "http://two:8000/v1"}
    there = changed(ready, **cluster, llm_checkpoint="Qwen/Qwen3-14B", judge_checkpoint="Qwen/Qwen3-32B")
    assert wrong(there) == {}
    same = wrong(changed(there, judge_checkpoint="Qwen/Qwen3-14B", judge_url=cluster["llm_url"]))["model servers"]
    assert "both load Qwen/Qwen3-14B; set CHIMED_JUDGE_CHECKPOINT" in same
    assert "name one host" in same
    local = wrong(changed(there, serve="local", llm_checkpoint="/nowhere/model"))["model servers"]
    assert "no model in /nowhere/model" in local


def test_check_exits_1_for_any_fault(ready, served, tmp_path, monkeypatch):
    for name in ("data", "store", "exams", "llm_url", "judge_url", "models_python", "scratch"):
        monkeypatch.setenv(f"CHIMED_{name.upper()}", str(getattr(ready.settings, name)))
    settings.cache_clear()
    try:
        done = CliRunner().invoke(app, ["check"])
        assert done.exit_code == 0, done.output
        assert done.output.count("ok  ") == 8
        served.roots.pop("chimed-judge")
        done = CliRunner().invoke(app, ["check", "--json", "--options", '{"preference_share": 0.5}'])
        assert isinstance(done.exception, WorkStopped)
        said = [Finding(**one) for one in json.loads(done.stdout.splitlines()[-1])]
        assert [one.what for one in said if not one.fine] == ["judge"]
        done = CliRunner().invoke(app, ["check", "--options", '{"skip": ["prefer", "rate"], "second_opinion": false}'])
        assert done.exit_code == 0, done.output
    finally:
        settings.cache_clear()
