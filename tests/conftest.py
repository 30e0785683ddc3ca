"""Airflow reads its settings when it is first imported: they point to a folder of this run before any test is read."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
HOME = Path(tempfile.mkdtemp(prefix="chimed-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "CHIMED_"))]:
    if name not in ("CHIMED_MODELS_PYTHON", "CHIMED_KILLS", "CHIMED_MUTATED_PAGES"):
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME / "airflow"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db?timeout=60",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "CHIMED_DATA": str(HOME / "lake"),
    "CHIMED_STORE": f"sqlite:///{HOME}/store.db",
    "CHIMED_SCRATCH": str(HOME / "scratch"),
}


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """A test that changes the environment leaves no settings behind for the next one, whichever that is."""
    yield
    if loaded := sys.modules.get("chimed.settings"):
        loaded.settings.cache_clear()
