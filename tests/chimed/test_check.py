"""python -m chimed check: what a build needs, looked at before it begins, and the sentence that mends it."""

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from chimed.__main__ import app
from chimed.errors import UserError, WorkStopped
from chimed.operations import channels, machine
from chimed.operations.check import check_training, print_findings, run_checks
from chimed.operations.findings import Finding
from chimed.settings import settings
from chimed.storage.lake import lake_at
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
        "models_python": str(tmp_path / "python"), "scratch": str(tmp_path / "scratch"), "contact": "me@example.org",
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
        "contact",
        "notices",
        "exams",
        "GPU work",
        "GPUs",
        "recipe",
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
    for name in ("data", "store", "exams", "llm_url", "judge_url", "models_python", "scratch", "contact"):
        monkeypatch.setenv(f"CHIMED_{name.upper()}", str(getattr(ready.settings, name)))
    settings.cache_clear()
    try:
        done = CliRunner().invoke(app, ["check"])
        assert done.exit_code == 0, done.output
        assert done.output.count("ok  ") == 12
        served.roots.pop("chimed-judge")
        done = CliRunner().invoke(app, ["check", "--json", "--options", '{"preference_share": 0.5}'])
        assert isinstance(done.exception, WorkStopped)
        said = [Finding(**one) for one in json.loads(done.stdout.splitlines()[-1])]
        assert [one.what for one in said if not one.fine] == ["judge"]
        done = CliRunner().invoke(app, ["check", "--options", '{"skip": ["prefer", "rate"], "second_opinion": false}'])
        assert done.exit_code == 0, done.output
    finally:
        settings.cache_clear()


# --- settings that no stage would notice for days -------------------------------------------------------------------


@pytest.fixture
def gpus(monkeypatch):
    """Sets how many GPUs this machine has."""

    def are(many: int) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(many))))
        monkeypatch.setattr(machine, "gpus", lambda: [("NVIDIA A40", 45)] * many)

    return are


def local(ready, **changes: object):
    """Surroundings in which this machine starts the servers."""
    urls = {"serve": "local", "llm_url": "http://127.0.0.1:8000/v1", "judge_url": "http://127.0.0.1:8001/v1"}
    models = {"llm_checkpoint": "Qwen/Qwen3-14B", "judge_checkpoint": "Qwen/Qwen3-32B"}
    return changed(ready, **urls | models | changes)


DEVICES = {
    ("0,0", ""): "name 1, 2, 4 or 8 different GPUs",
    ("0,1,2", ""): "name 1, 2, 4 or 8 different GPUs",
    ("", "4"): "CHIMED_JUDGE_DEVICES names GPU 4, and this machine has 0, 1, 2, 3",
    ("2,9", "0"): "CHIMED_LLM_DEVICES names GPU 9",
    ("-1", ""): "CHIMED_LLM_DEVICES names GPU -1",
    ("gpu0", ""): "CHIMED_LLM_DEVICES names GPU gpu0",
    ("0", "1"): None,
    ("0,1", "2,3"): None,
    ("", ""): None,
    ("GPU-5f1a", "GPU-77aa"): None,
}


@pytest.mark.parametrize("given", DEVICES)
def test_devices_of_servers_must_be_there(ready, gpus, given):
    gpus(4)
    found = wrong(local(ready, llm_devices=given[0], judge_devices=given[1]))["model servers"]  # there is no vLLM here
    assert (DEVICES[given] in found) if DEVICES[given] else ("DEVICES" not in found)


def test_devices_of_trainings_must_be_there(ready, gpus):
    gpus(4)
    assert "CHIMED_TRAIN_DEVICES names GPU 8, x" in wrong(local(ready, train_devices="3,8,x"))["model servers"]


def test_local_servers_want_a_gpu_or_small_models(ready, gpus):
    gpus(0)
    bare = ready.settings.model_copy(update={"serve": "local"})
    found = wrong(dataclasses.replace(ready, settings=bare))["model servers"]
    assert "this machine has no GPU for CHIMED_SERVE=local; set CHIMED_SERVE=external" in found
    assert "no GPU" not in wrong(local(ready))["model servers"]  # somebody chose what a processor can run


FLAGS = {
    "--max-model-len 'long": "cannot be split as a shell would (No closing quotation)",
    "--quantization fp8 \\": "cannot be split",
    "--api-key topsecret": "has --api-key, and everybody can read a command line",
    "--api-key=topsecret": "has --api-key",
    "--port 9000": "has --port, which chimed sets itself",
    "--model=other --quantization fp8": "has --model",
    "--quantization fp8 --max-model-len 8192": None,
    "": None,
}


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_of_servers_are_read_beforehand(ready, gpus, flags):
    gpus(4)
    found = wrong(local(ready, vllm_flags=flags))["model servers"]
    assert (FLAGS[flags] in found) if FLAGS[flags] else ("CHIMED_VLLM_FLAGS" not in found)
    assert "topsecret" not in found


@pytest.fixture
def base(tmp_path) -> str:
    """A folder that passes for a checkpoint's."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").touch()
    return str(tmp_path / "base")


RECIPES = {
    ("no-such", "local", 8): "unknown recipe",
    ("qwen3-14b", "local", 0): "needs a GPU, and CHIMED_GPUS is 0",
    ("qwen3-14b", "kubernetes", 4): "trains on 8 GPUs, and CHIMED_GPUS is 4; set gpus=4",
    ("qwen3-14b", "local", 4): None,
    ("demo", "local", 0): None,
}


@pytest.mark.parametrize("given", RECIPES)
def test_the_recipe_must_fit_the_gpus(ready, gpus, base, given):
    gpus(8)
    recipe, compute, number = given
    there = changed(ready, recipe=recipe, compute=compute, gpus=number, k8s_volume="claim")
    if recipe == "demo":
        there = changed(there, base_checkpoint=base)
    found = [one for one in run_checks(there) if one.what == "recipe"]
    assert found[0].fine == (RECIPES[given] is None), found
    assert (RECIPES[given] or "recipe") in found[0].said
    assert not [one for one in run_checks(there, training=False) if one.what == "recipe"]
    alone = check_training(there, recipe)
    assert [one.fine for one in alone] == [RECIPES[given] is None]


BASES = {
    (None, "local", None): "recipe demo names no model; set CHIMED_BASE_CHECKPOINT",
    ("/nowhere/base", "local", None): "no checkpoint in /nowhere/base (CHIMED_BASE_CHECKPOINT or model_name_or_path)",
    ("./none", "local", None): "no config.json",
    ("~/none", "local", None): "no config.json",
    ("/nowhere/base", "local", "models"): "the worker of the queue models must have it",
    ("/nowhere/base", "kubernetes", None): "pods cannot see /nowhere/base",
    ("/data/base", "kubernetes", None): None,
    ("Qwen/Qwen3-1.7B", "local", None): None,
    ("Qwen/Qwen3-1.7B", "kubernetes", None): None,
}


@pytest.mark.parametrize("given", BASES)
def test_the_model_to_train_must_be_there(ready, given):
    start, compute, queue = given
    more = {"recipe": "demo", "gpus": 8, "k8s_volume": "claim"}
    there = changed(ready, base_checkpoint=start, compute=compute, models_queue=queue, **more)
    (found,) = [one for one in run_checks(there) if one.what == "recipe"]
    assert (found.fine, found.stops or queue is not None) == (BASES[given] is None, True)
    assert (BASES[given] or "recipe demo has") in found.said
    assert check_training(there, "demo")[0].fine == found.fine


def test_a_recipe_of_a_missing_folder_is_told(ready, tmp_path, monkeypatch):
    (tmp_path / "recipes" / "mine").mkdir(parents=True)
    for phase in ("cpt", "sft", "dpo"):
        (tmp_path / "recipes" / "mine" / f"{phase}.yaml").write_text(
            "extends: demo\nmodel_name_or_path: /nowhere/model\n"
        )
    monkeypatch.setenv("CHIMED_RECIPES", str(tmp_path / "recipes"))
    settings.cache_clear()
    assert "no checkpoint in /nowhere/model" in check_training(ready, "mine")[0].said
    settings.cache_clear()


def test_a_check_makes_no_lake(ready, tmp_path):
    there = dataclasses.replace(changed(ready, data=str(tmp_path / "laek")), lake=lake_at(str(tmp_path / "laek")))
    (found,) = [one for one in run_checks(there) if one.what == "lake"]
    assert (found.fine, found.stops) == (False, False)
    assert not (tmp_path / "laek").exists()


def test_gpus_that_are_not_here_are_told(ready, gpus):
    gpus(2)
    assert "CHIMED_GPUS is 4, and this machine has 2" in wrong(changed(ready, gpus=4))["GPUs"]
    assert "GPUs" not in wrong(changed(ready, gpus=2))
    gpus(0)
    (found,) = [one for one in run_checks(changed(ready, gpus=2)) if one.what == "GPUs"]
    assert (found.fine, found.stops) == (False, False)  # another container may have them
    assert "no GPU is seen here" in found.said
    assert "GPUs" not in wrong(changed(ready, gpus=1))  # as compose sets it where there is none
    (found,) = [one for one in run_checks(changed(ready, gpus=1, recipe="qwen3-14b")) if one.what == "recipe"]
    assert (found.fine, found.stops) == (False, False)
    assert "train demo (CHIMED_RECIPE=demo)" in found.said


BAD_EXAMS = {
    "no letter": ("0,下列哪一项不是这道考题的答案,甲,乙,丙,丁,X\n", "the answer is 'X'"),
    "a column less": ("0,下列哪一项不是这道考题的答案,甲,乙,丙,A\n", "6 values for 7 columns"),
    "no question": ("", "has no questions"),
}


@pytest.mark.parametrize("kind", BAD_EXAMS)
def test_exams_are_read_whole(ready, tmp_path, kind):
    row, said = BAD_EXAMS[kind]
    (tmp_path / "exams" / "test" / "torn.csv").write_text(EXAM.splitlines()[0] + "\n" + row, encoding="utf-8")
    found = wrong(ready)["exams"]
    assert said in found
    assert "python -m chimed exams" in found


def test_exams_of_no_text_and_missing_examples(ready, tmp_path):
    assert "made.csv is not there, and CHIMED_EVALUATE_SHOTS asks" in wrong(changed(ready, evaluate_shots=5))["exams"]
    (tmp_path / "exams" / "test" / "odd.csv").write_bytes(b",Question,A,B,C,D,Answer\n0,\xff\xfe,a,b,c,d,A\n")
    assert "odd.csv" in wrong(ready)["exams"]


CONTACTS = {
    "me@example.org": True,
    "mailto:me@example.org": True,
    "https://example.org/crawler": True,
    "call me": False,
    "https://": False,
    "a@b c": False,
    "me@example.org\r\nX-Evil: 1": False,
}


@pytest.mark.parametrize("said", CONTACTS)
def test_a_contact_is_an_address(ready, said):
    assert ("contact" not in wrong(changed(ready, contact=said))) == CONTACTS[said]


def test_what_stops_no_build_is_told(ready, capsys):
    bare = ready.settings.model_copy(update={"statsd": "no-such-host.invalid:1"})
    bare.model_fields_set.discard("contact")
    found = {one.what: one for one in run_checks(dataclasses.replace(ready, settings=bare)) if not one.fine}
    assert set(found) == {"contact", "metrics"}
    assert not any(one.stops for one in found.values())
    print_findings(list(found.values()))
    assert capsys.readouterr().out.count("LOOK ") == 2


def test_addresses_of_notices_are_checked(ready):
    assert "no mail address" in wrong(changed(ready, notify="me@example.org, nobody"))["notices"]
    assert "no mail address" in wrong(changed(ready, notify="me@example.org you@example.org"))["notices"]
    assert "names nobody" in wrong(changed(ready, notify="， ；"))["notices"]
    assert "notices" not in wrong(changed(ready, notify="me@example.org；you@example.org、"))
    found = wrong(changed(ready, notify_webhook=SecretStr("hooks.example/secret")))["notices"]
    assert "CHIMED_NOTIFY_WEBHOOK is no address" in found
    assert "secret" not in found
    there = changed(ready, notify="me@example.org", notify_webhook=SecretStr("https://hooks.example/x"))
    channels.record(there.lake, "webhook", "the webhook answered 500")
    (one,) = [one for one in run_checks(there) if one.what == "notices"]
    assert (one.fine, one.stops) == (False, False)
    assert "notices do not arrive by webhook since" in one.said
    channels.record(there.lake, "webhook", None)
    assert "notices" not in wrong(there)
