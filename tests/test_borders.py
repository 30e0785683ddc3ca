"""Who may import whom: `chimed` knows nothing of Airflow, and DAG files hold no logic."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
CHIMED = sorted((PROJECT / "include" / "chimed").rglob("*.py"))
DAGS = sorted((PROJECT / "dags").glob("*.py"))


def imported(path: Path) -> set[str]:
    """The top packages a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", CHIMED, ids=lambda path: str(path.relative_to(PROJECT / "include")))
def test_chimed_never_imports_airflow(path: Path) -> None:
    assert not imported(path) & {"airflow", "chimed_airflow"}


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.name)
def test_dags_import_only_what_parses_fast(path: Path) -> None:
    allowed = {"airflow", "chimed", "chimed_airflow", "contextlib", "datetime", "functools", "operator"}
    assert imported(path) <= allowed


def test_running_a_stage_loads_what_it_needs_only() -> None:
    """Every shard is a process: what all of them import, every one waits for."""
    code = "import sys, chimed.build.builds; print({'sqlalchemy', 'parsel', 'scrapy', 'torch'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT / "include", capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
