"""Another site is one file: put into a folder of its own, it is crawled, extracted, built from and given a DAG."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from websites import HTML, served

PROJECT = Path(__file__).resolve().parents[3]
FILE = '''
"""www.example-tcm.cn: made up for this test."""

from chimed.sources.page import Link, Miss, Site, on_page, one_form
from chimed.sources.parsed import Document
from chimed.sources.text import first_text, text_of

HOST = "www.example-tcm.cn"


def canonical(url):
    return one_form(url, "https", HOST)


def links(url, page):
    return [Link(canonical(target), "detail") for target in on_page(url, page.css("li a::attr(href)").getall())]


def read(url, page):
    title, text = first_text(page, "h1"), text_of(page.css("div.text"))
    return [Document(title, text, "tcm")] if title and text else Miss("no text")


SITE = Site("exampletcm", "tcm", (HOST,), {"all": (f"https://{HOST}/list",)}, canonical, links, read)
'''

pytestmark = pytest.mark.slow  # a server, and Airflow reads the DAGs


@pytest.fixture
def sources(tmp_path) -> str:
    folder = tmp_path / "sites"
    folder.mkdir()
    (folder / "exampletcm.py").write_text(FILE)
    (folder / "notes.py").write_text("WORDS = 'not a source'")
    return str(folder)


def test_it_is_crawled_extracted_and_built_from(tmp_path, sources):
    with served() as site:
        site.pages["/www.example-tcm.cn/list"] = (
            200,
            HTML,
            '<li><a href="/1.html">一</a></li><li><a href="/2.html">二</a></li>',
        )
        site.pages["/www.example-tcm.cn/1.html"] = (200, HTML, '<h1>茯苓</h1><div class="text">味甘。</div>')
        site.pages["/www.example-tcm.cn/2.html"] = (200, HTML, "<h1>空</h1>")
        # by the command line as it is: a process that knew five sites when it began cannot learn of a sixth
        environment = {
            **os.environ,
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

        assert chimed("crawl", "exampletcm", "--crawl", "c1")["misses"] == {"no text": 1}
        assert chimed("extract", "exampletcm", "--crawl", "c1")["records"] == 1
        chimed("build")
        (report,) = chimed("run", "extract")
        assert report["sources"]["derived"] == {"exampletcm": 1}


def test_it_gets_a_dag_an_asset_and_a_place_in_the_build_form(sources):
    asks = (
        "import json, sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag(dag_folder='dags'); "
        "dag = bag.dags['crawl_exampletcm']; outlets = [o.name for t in dag.tasks for o in t.outlets]; "
        "enum = bag.dags['build_dataset'].params.get_param('sources').schema['items']['enum']; "
        "pools = sorted({t.pool for t in dag.tasks}); "
        "print(json.dumps([bag.import_errors, dag.timetable.expression, outlets, enum, pools]))"
    )
    environment = {**os.environ, "PYTHONPATH": "include", "CHIMED_SOURCES": sources}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    errors, expression, outlets, enum, pools = json.loads(done.stdout.splitlines()[-1])
    assert (errors, expression, outlets) == ({}, "0 6 * * 1", ["records_exampletcm"])
    assert pools == ["default_pool"]
    assert enum[-1] == "exampletcm"
