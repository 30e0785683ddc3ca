"""The files of a deployment as its tests read them: compose, and what a cluster is given."""

import re
import sys
from pathlib import Path

import yaml

from chimed.settings import PROJECT, Settings

sys.path.insert(0, str(PROJECT / ".ci"))
import check_manifests as check_manifests

DEPLOY = PROJECT / "include" / "chimed_airflow" / "deploy"
COMPOSE_FILES = ("docker-compose.yaml", "docker-compose.gpu.yaml")
COMPOSE = yaml.safe_load((PROJECT / COMPOSE_FILES[0]).read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
AIRFLOWS = {name for name in SERVICES if name.startswith("airflow-")}
EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")
FIELDS = {f"CHIMED_{name.upper()}" for name in Settings.model_fields}


def filled_example() -> str:
    """`.env.example` with a word for all that must be filled in."""
    return re.sub(r"^(\w*(?:PASSWORD|KEY|SECRET|CONTACT))=$", r"\1=word", EXAMPLE, flags=re.MULTILINE)


def objects(file: str) -> list[dict]:
    """The Kubernetes objects of a file in `deploy`."""
    return list(yaml.safe_load_all((DEPLOY / file).read_text(encoding="utf-8")))


def chart_values() -> dict:
    """The values for Airflow's chart."""
    return yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))


def pins(path: Path) -> dict[str, str]:
    """The versions that a lock file pins."""
    return dict(re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[a-z0-9,]+\])?==(\S+)", path.read_text(), flags=re.MULTILINE))
