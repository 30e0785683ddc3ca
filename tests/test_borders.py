"""Who may import whom: `chimed` knows nothing of Airflow, a room nothing of those above it, DAG files hold no logic."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
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
    code = "import sys, chimed.pipeline.runner; print({'sqlalchemy', 'parsel', 'scrapy', 'torch'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT / "include", capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"


# The rooms of `chimed`, from the ground up: a room imports from itself and from those before it. What lies in no room
# (settings, errors, the schema) is below all of them; `commands` of any room and `__main__` are above all of them.
ROOMS = (
    "storage", "text", "sources", "crawl", "extraction", "build", "llm", "rating", "diversity", "release", "stages",
    "pipeline", "train", "evaluate", "trained", "operations",
)  # fmt: skip


def modules() -> dict[str, Path]:
    include = PROJECT / "include"
    names = {path: ".".join(path.relative_to(include).with_suffix("").parts) for path in CHIMED}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The project's modules that a file imports; those for type checking only do not run and do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    # `from chimed.crawl import robots` names the package and the module; only the module is meant
    return {name for name in found & set(known) if not any(one.startswith(f"{name}.") for one in found & set(known))}


def floor(name: str) -> int:
    room, last = (*name.split("."), "")[1], name.rpartition(".")[2]
    if last in ("commands", "__main__"):
        return len(ROOMS) + 1
    return ROOMS.index(room) + 1 if room in ROOMS else 0


def test_no_room_imports_from_a_room_above_it() -> None:
    known = modules()
    upward = [
        f"{name} imports {other}"
        for name, path in known.items()
        for other in imports_of(path, known)
        if floor(other) > floor(name)
    ]
    assert not upward


def test_no_module_imports_itself_in_a_circle() -> None:
    known = modules()
    list(TopologicalSorter({name: imports_of(path, known) for name, path in known.items()}).static_order())
