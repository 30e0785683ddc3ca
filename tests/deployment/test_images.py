"""The images and what is in them: named, pinned, hashed, licensed; pools and actions beside them."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from chimed.settings import PROJECT
from support.deployment import COMPOSE_FILES, DEPLOY, pins

TWO_STACKS = {"vllm", "vllm-cpu"}


def test_images_are_named_by_tag_or_digest() -> None:
    import chimed

    texts = {path.name: path.read_text(encoding="utf-8") for path in [*DEPLOY.glob("*.yaml"), PROJECT / "Dockerfile"]}
    texts |= {name: (PROJECT / name).read_text(encoding="utf-8") for name in (*COMPOSE_FILES, ".env.example")}
    for name, text in texts.items():
        assert ":latest" not in text, name
        assert not re.search(r"Tag: *latest", text), name
        for version in re.findall(r"chimed-(?:airflow|gpu|models):([\w.]+)", text):
            assert version == chimed.__version__, name


def test_pools_that_are_there_keep_an_operators_slots(monkeypatch) -> None:
    pytest.importorskip("airflow")
    from airflow.models.pool import Pool

    from chimed_airflow import pools

    there = {"llm": SimpleNamespace(slots=99), "gpus": SimpleNamespace(slots=2)}
    made: dict[str, int] = {}
    monkeypatch.setattr(Pool, "get_pool", there.get)
    monkeypatch.setattr(Pool, "create_or_update_pool", lambda name, slots, **_: made.update({name: slots}))
    assert set(pools.create_missing()) == set(made) == set(pools.wanted()) - set(there)
    there |= {name: SimpleNamespace(slots=slots) for name, slots in made.items()}
    assert pools.create_missing() == []


def test_images_do_not_run_as_root() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    airflow, models, gpu = re.split(r"^FROM .* AS (?:models|gpu)$", text, flags=re.MULTILINE)
    assert "FROM apache/airflow:" in airflow
    assert "USER" not in airflow
    for stage, user in ((models, "airflow"), (gpu, "chimed")):
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] == user


@pytest.mark.parametrize("name", ["requirements-production.txt", "requirements-gpu.txt"])
def test_production_has_the_versions_the_laptop_has(name: str) -> None:
    base = "requirements.txt" if "production" in name else "requirements-models.txt"
    laptop, production = pins(PROJECT / base), pins(PROJECT / name)
    tests_only = {"pytest", "pytest-timeout", "iniconfig", "pluggy", "intel-openmp", "intel-cmplr-lib-ur"}
    tests_only |= {"patsy", "statsmodels"}
    assert set(laptop) - set(production) - TWO_STACKS <= tests_only
    differing = {
        key: (laptop[key], production[key]) for key in laptop.keys() & production if laptop[key] != production[key]
    }
    assert set(differing) <= {"apache-tvm-ffi", "setuptools"}, differing


LOCKS = ("requirements-production.txt", "requirements-gpu.txt")


@pytest.mark.parametrize("name", LOCKS)
def test_images_take_only_files_whose_hash_is_known(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())[1:]  # the first line says what wrote it
    assert len(blocks) == len(pins(PROJECT / name)) > 200
    assert [block.split(" ")[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)] == []
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert image.count("pip install") == image.count("pip install --no-cache-dir --no-deps --require-hashes -r") == 3


def test_the_bill_of_materials_names_every_licence(tmp_path) -> None:
    argv = [sys.executable, str(PROJECT / ".ci" / "bill_of_materials.py"), "--name", "here", "--to", str(tmp_path)]
    done = subprocess.run([*argv, "--lock", str(PROJECT / LOCKS[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "here.cdx.json").read_text(encoding="utf-8"))
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {one["name"]: one for one in made["components"]}
    assert len(by_name) == len(made["components"]) > 100
    polars = by_name["polars"]
    assert polars["purl"] == f"pkg:pypi/polars@{pins(PROJECT / LOCKS[0])['polars']}"
    assert "MIT" in polars["licenses"][0]["license"]["name"]
    assert len(polars["properties"][0]["value"]) >= 64
    licences = (tmp_path / "here.licences.md").read_text(encoding="utf-8")
    assert licences.count("\n") == len(by_name) + 2
    unknown = [one["name"] for one in made["components"] if one["licenses"][0]["license"]["name"] == "not stated"]
    assert len(unknown) < 0.05 * len(by_name), unknown


def test_actions_are_pinned_and_updates_come_weekly() -> None:
    for file in (PROJECT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)", text)
        assert used
        assert [one for one in used if not re.search(r"@[0-9a-f]{40}$", one)] == []
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    renovate = json.loads((PROJECT / "renovate.json").read_text(encoding="utf-8"))
    assert "monday" in renovate["schedule"][0]
    assert {"pip_requirements", "dockerfile", "docker-compose", "github-actions"} <= set(renovate["enabledManagers"])
