"""README: its Chinese twin says the same, its links lead somewhere, its commands do what they promise."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.readme import CHINESE, ENGLISH, PROJECT, section, sections

MODELS_PYTHON = PROJECT / ".venv-models" / "bin" / "python"
LINK = re.compile(r"(?:\]\(|srcset=\"|src=\")([^)\"#]+)(?:#([^)\"]+))?[)\"]")
GUIDES = sorted([ENGLISH, CHINESE, PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])
# Imports of what requirements-basic.txt lacks are refused, as if they were not installed.
ONLY_BASIC = """
import importlib.metadata, re, sys
same = lambda name: re.sub(r"[-_.]+", "-", name).lower()
listed = {same(line.split("==")[0]) for line in open(LISTED) if "==" in line}
owners = importlib.metadata.packages_distributions()

class Listed:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        of = {same(one) for one in owners.get(name.split(".")[0], [])}
        return None if of and not of & listed else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Listed(finder) for finder in sys.meta_path]
"""


def bare(code: str) -> str:
    """Code without its comments, which are in the reader's language."""
    return re.sub(r" *(?<!\S)#.*", "", code)


def test_the_chinese_readme_matches() -> None:
    english, chinese = sections(ENGLISH), sections(CHINESE)
    assert len(english) == len(chinese) > 8
    for one, other in zip(english, chinese, strict=True):
        assert [language for language, _ in one.blocks] == [language for language, _ in other.blocks], one.heading
        for (language, code), (_, twin) in zip(one.blocks, other.blocks, strict=True):
            if language:  # a block without one is a picture of folders, with words
                assert bare(code) == bare(twin), one.heading
    found = [sorted(LINK.findall(path.read_text(encoding="utf-8"))) for path in (ENGLISH, CHINESE)]
    assert [(to.replace(".en.", "."), at) for to, at in found[0]] == [
        (to.replace(".zh.", "."), at) for to, at in found[1]
    ]
    assert max(len(path.read_text(encoding="utf-8").splitlines()) for path in (ENGLISH, CHINESE)) <= 200


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_of_the_guides_lead_somewhere(guide: Path) -> None:
    if "releases" in guide.parts:
        pytest.skip("a release's card, written by the release")
    for to, at in LINK.findall(guide.read_text(encoding="utf-8")):
        if "://" in to:
            continue
        target = guide.parent / to
        assert target.exists(), to
        if at:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert at in [re.sub(r"[^\w-]", "", one.lower().replace(" ", "-")) for one in headings], (to, at)


@pytest.mark.slow
@pytest.mark.skipif(not MODELS_PYTHON.exists(), reason="needs `datasets`: make install")
def test_look_loads_the_sample_as_it_is_printed(tmp_path) -> None:
    look = section("Look")
    assert look.code("bash").split() == ["pip", "install", "datasets"]
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(MODELS_PYTHON), "-c", look.code("python")]
    run = subprocess.run(command, cwd=PROJECT, env=environment, text=True, capture_output=True, check=True)
    assert run.stdout == look.code("text")


def test_run_is_the_tested_command() -> None:
    assert section("Run").code("bash") == "make demo\n"
    recipe = re.search(r"^demo: install\n\t(.*)$", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe
    assert recipe[1] == "$(AIRFLOW_PYTHON) -m chimed_airflow.local demo"
    assert '"-m", "chimed_airflow.local", "demo"' in (PROJECT / "tests" / "test_demo.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_own_needs_the_basic_packages_only(tmp_path) -> None:
    lines = section("Own").code("bash").splitlines()
    assert lines[1].endswith("pip install --no-deps -r requirements-basic.txt .")
    (tmp_path / "refused").mkdir()
    listed = f"LISTED = {str(PROJECT / 'requirements-basic.txt')!r}\n"
    (tmp_path / "refused" / "sitecustomize.py").write_text(listed + ONLY_BASIC)
    (tmp_path / ".venv-basic" / "bin").mkdir(parents=True)
    command = tmp_path / ".venv-basic" / "bin" / "chimed"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chimed "$@"\n')
    command.chmod(0o755)
    shutil.copytree(PROJECT / "docs" / "examples", tmp_path / "docs" / "examples")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "CHIMED_"))}
    environment["PYTHONPATH"] = f"{PROJECT / 'include'}{os.pathsep}{tmp_path / 'refused'}"
    environment |= {"CHIMED_DATA": str(tmp_path / "lake"), "CHIMED_STORE": f"sqlite:///{tmp_path}/store.db"}
    script = "\n".join(["set -e", *lines[2:]])
    run = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "every row is accounted for" in run.stdout
    assert "files are unchanged" in run.stdout
    (release,) = (tmp_path / "lake" / "releases").iterdir()
    made = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    left = {reason: n for entry in made["ledger"] for reason, n in entry["dropped"].items()}
    found = {reason: n for reason, n in left.items() if not reason.startswith("identifier")}
    assert found == {"not JSON": 1, "same row twice in the corpus": 2, "same text": 1, "too short": 1}
    assert sum(n for reason, n in left.items() if reason.startswith("identifier")) == 4
    assert made["models"] == {}
    assert "Perplexity was not computed" in (release / "README.md").read_text(encoding="utf-8")
    assert not (release / "figures" / "perplexity.png").exists()


def test_basic_pins_are_airflows_pins() -> None:
    basic, whole = (
        set((PROJECT / name).read_text(encoding="utf-8").splitlines())
        for name in ("requirements-basic.txt", "requirements.txt")
    )
    assert {line for line in basic if "==" in line} <= whole
    assert not any(line.startswith(("apache-airflow", "torch", "scrapy")) for line in basic)
