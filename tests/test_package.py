"""The package: `pip install .` brings the command and every data file, and the lock files follow pyproject.toml."""

import ast
import os
import re
import runpy
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
INCLUDE = PROJECT / "include"
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHECKOUT_ONLY = ("chimed_demo/", "chimed_airflow/local/")
LOCKS = runpy.run_path(str(PROJECT / ".ci" / "lock.py"))["LOCKS"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A new environment into which the package was installed, without network; it sees the packages of this one."""
    folder = tmp_path_factory.mktemp("package") / "environment"
    venv.create(folder)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    argv = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", *options, str(PROJECT)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(argv, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_an_installed_chimed_works_in_any_folder(installed, tmp_path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CHIMED_", "PYTHONPATH"))}

    def chimed(*words: str) -> str:
        argv = [str(installed / "bin" / "chimed"), *words]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Train and evaluate" in chimed("--help")
    chimed("ingest", "mine", str(PROJECT / "docs" / "examples" / "my-files"), "--license", "Apache-2.0")
    assert (tmp_path / ".chimed" / "lake").is_dir()
    assert (tmp_path / ".chimed" / "store.db").is_file()
    assert "mine" in chimed("status")


@pytest.mark.slow
def test_the_wheel_has_every_file(installed) -> None:
    site = next(installed.glob("lib/*/site-packages"))

    def files(folder: Path) -> set[str]:
        found = {path.relative_to(folder).as_posix() for path in folder.glob("chimed*/**/*") if path.is_file()}
        return {name for name in found if "__pycache__" not in name and "dist-info" not in name}

    assert files(site) == {name for name in files(INCLUDE) if not name.startswith(CHECKOUT_ONLY)}
    assert (site / "chimed" / "py.typed").is_file()


def pinned(file: str) -> dict[str, str]:
    """The packages of a lock file, by normalized name."""
    text = (PROJECT / file).read_text(encoding="utf-8")
    return {normalized(name): of for name, of in re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.MULTILINE)}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(extras: tuple[str, ...]) -> list[str]:
    """The direct dependencies of some extras."""
    several = [DECLARED["dependencies"], *(DECLARED["optional-dependencies"][extra] for extra in extras)]
    return [one for some in several for one in some if not one.startswith("chimed[")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.file)
def test_a_lock_pins_every_direct_dependency(lock) -> None:
    pins = pinned(lock.file) | (pinned(lock.base) if lock.rest else {})
    for one in map(Requirement, wanted(lock.extras)):
        assert one.specifier.contains(pins[normalized(one.name)]), f"{one}: run make lock"


def test_every_dependency_has_a_lower_bound() -> None:
    extras = tuple(DECLARED["optional-dependencies"])
    assert [one for one in wanted(extras) if ">=" not in one] == []


def imported(path: Path) -> set[str]:
    """The top packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_every_import_is_a_declared_dependency() -> None:
    """What is imported somewhere must not come along by luck, as a dependency of a dependency."""
    owners = packages_distributions()
    declared = {normalized(re.split(r"[\[<>=; ]", one)[0]) for one in wanted(tuple(DECLARED["optional-dependencies"]))}
    declared.add("pydantic-core")  # pydantic pins it to the letter
    files = [*INCLUDE.rglob("*.py"), *PROJECT.glob("dags/*.py"), *PROJECT.glob("plugins/*.py")]
    of = {top: {normalized(one) for one in owners.get(top, [])} for path in files for top in imported(path)}
    assert [top for top, several in of.items() if several and not several & declared] == []
