"""The guide `extend`, followed to the letter: what it writes down is done, and what it promises comes true."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.evaluate.tasks import local_exams
from chimed.llm import prompts
from chimed.settings import Settings
from chimed.stages import decontaminate
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from support.readme import EXTEND, PROJECT, section
from support.samples import document, rows
from support.websites import HTML, served

# --- a site ------------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path) -> str:
    """A folder with the guide's site, and with a module that is no site."""
    folder = tmp_path / "sites"
    folder.mkdir()
    (folder / "example.py").write_text(section("Add a site", EXTEND).code("python"), encoding="utf-8")
    (folder / "notes.py").write_text("WORDS = 'not a source'", encoding="utf-8")
    return str(folder)


@pytest.mark.slow
def test_a_site_is_crawled_extracted_and_built_from(tmp_path, sources) -> None:
    with served() as site:
        entries = '<li><a href="/1.html">一</a></li><li><a href="/2.html">二</a></li>'
        site.pages["/www.example-tcm.cn/list"] = (200, HTML, entries)
        site.pages["/www.example-tcm.cn/1.html"] = (200, HTML, '<h1>茯苓</h1><div class="text">味甘。</div>')
        site.pages["/www.example-tcm.cn/2.html"] = (200, HTML, "<h1>空</h1>")
        # by the command line as it is: a process that knew five sites when it began cannot learn of a sixth
        environment = os.environ | {
            "PYTHONPATH": "include",
            "CHIMED_SOURCES": sources,
            "CHIMED_REPLICA": site.url,
            "CHIMED_DATA": str(tmp_path / "lake"),
            "CHIMED_STORE": f"sqlite:///{tmp_path}/store.db",
        }

        def chimed(*words: str) -> dict:
            line = [sys.executable, "-m", "chimed", *words]
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, cwd=PROJECT)
            return json.loads(done.stdout)

        assert chimed("crawl", "example", "--crawl", "c1")["misses"] == {"no text": 1}
        assert chimed("extract", "example", "--crawl", "c1")["records"] == 1
        chimed("build")
        (report,) = chimed("run", "extract")
        assert report["sources"]["derived"] == {"example": 1}


@pytest.mark.slow  # Airflow reads the DAGs
def test_a_site_gets_a_dag_and_an_asset(sources) -> None:
    asks = (
        "import json, sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag(dag_folder='dags'); "
        "dag = bag.dags['crawl_example']; outlets = [o.name for t in dag.tasks for o in t.outlets]; "
        "enum = bag.dags['build_dataset'].params.get_param('sources').schema['items']['enum']; "
        "pools = sorted({t.pool for t in dag.tasks}); "
        "print(json.dumps([bag.import_errors, dag.timetable.expression, outlets, enum, pools]))"
    )
    environment = os.environ | {"PYTHONPATH": "include", "CHIMED_SOURCES": sources}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    errors, expression, outlets, enum, pools = json.loads(done.stdout.splitlines()[-1])
    assert (errors, expression, outlets) == ({}, "0 6 * * 1", ["records_example"])
    assert pools == ["default_pool"]
    assert enum[-1] == "example"


# --- a prompt ----------------------------------------------------------------------------------------------------


def test_a_prompt_says_what_the_guide_shows(tmp_path, monkeypatch) -> None:
    guide = section("Add a prompt", EXTEND)
    (tmp_path / "summarise.yaml").write_text(guide.code("yaml"), encoding="utf-8")
    monkeypatch.setattr(prompts, "__file__", str(tmp_path / "__init__.py"))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(guide.code("python"), {})
    assert said.getvalue() == guide.code("text")


# --- a stage -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stage_drops_rows_and_the_ledger_closes(tmp_path) -> None:
    guide = section("Add a stage", EXTEND)
    chimed = tmp_path / "include" / "chimed"
    shutil.copytree(PROJECT / "include" / "chimed", chimed, ignore=shutil.ignore_patterns("__pycache__"))
    (chimed / "stages" / "untitled.py").write_text(guide.code("python"), encoding="utf-8")
    order = (chimed / "build" / "order.py").read_text(encoding="utf-8")
    behind = '    Stage(\n        "dedup",'
    assert order.count(behind) == 1
    (chimed / "build" / "order.py").write_text(order.replace(behind, guide.code("text") + behind), encoding="utf-8")
    with (chimed / "reasons.yaml").open("a", encoding="utf-8") as reasons:
        reasons.write(guide.code("yaml"))
    for title in ("茯苓", "  "):
        row = {"title": title, "text": f"{title}味甘淡，性平，归心、肺、脾、肾经，能利水渗湿、健脾宁心。"}
        with (tmp_path / "herbs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def run(*words: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CHIMED_")}
        environment["PYTHONPATH"] = str(tmp_path / "include")
        line = [sys.executable, "-m", "chimed", *words]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("ingest", "herbs", "herbs.jsonl", "--license", "CC0-1.0")
    run("build", "--without-models")
    for stage in ("extract", "clean"):
        run("run", stage)
    (report,) = json.loads(run("run", "untitled"))
    assert (report["read"], report["kept"], report["dropped"]) == (2, 1, {"no title": 1})
    assert "untitled" in run("ledger")


# --- an exam -----------------------------------------------------------------------------------------------------


@pytest.fixture
def exams(tmp_path) -> Path:
    """A folder with the guide's exam."""
    (tmp_path / "exams" / "test").mkdir(parents=True)
    file = tmp_path / "exams" / "test" / "herbal_formulas.csv"
    file.write_text(section("Add an exam", EXTEND).code("csv"), encoding="utf-8")
    return tmp_path / "exams"


def test_an_exams_question_leaves_every_build(exams, tmp_path) -> None:
    question = exams.joinpath("test", "herbal_formulas.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[1]
    settings = Settings(data=str(tmp_path / "lake"), store=f"sqlite:///{tmp_path}/store.db", exams=str(exams))
    work = StageContext("1", Options(), open_lake(settings.data), open_store(settings.store), settings, print)
    before, behind = "青岚散益气固表，是临床常用的方子。\n" * 12, "服药期间饮食宜清淡。\n" * 12
    asked = document(f"{before}{question}？\nA. 白术\nB. 防风\nC. 黄芪\nD. 甘草\n答案：C\n{behind}")
    other = document(before + behind, url="http://a/other")
    outcome = decontaminate.run(rows(asked, other), work)
    texts = [row["text"] for row in [*outcome.kept.to_dicts(), *outcome.derived.to_dicts()]]
    assert len(texts) == 2
    assert not any(question in text for text in texts)
    assert all(behind.strip() in text for text in texts)


def test_an_exam_becomes_a_task_of_its_subject(exams, tmp_path) -> None:
    (tmp_path / "tasks").mkdir()
    assert local_exams(exams, tmp_path / "tasks").tasks == ("exam_herbal_formulas",)
