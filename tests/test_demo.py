"""The whole path, once, as a newcomer runs it: the demo in an Airflow of its own, and what it leaves behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from chimed.storage.store import open_store
from chimed.storage.store_tables import REVIEWS
from chimed_demo import models
from support import browser
from support.browser import css, until

PROJECT = Path(__file__).parents[1]
MODELS_PYTHON = PROJECT / ".venv-models" / "bin" / "python"
SOURCES = {"zydcd", "zhongyoo", "cnkang", "ask39", "ask120"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not MODELS_PYTHON.exists(), reason="needs the models' environment: make install"),
]

LOADED = """
import json, sys
from datasets import load_dataset
out = {}
for subset in ("pretrain", "sft", "preference", "reasoning"):
    data = load_dataset(sys.argv[1], subset)
    rows = [row for split in data.values() for row in split]
    out[subset] = {"columns": data["train"].column_names, "rows": len(rows),
                   "sources": sorted({r["source"] for r in rows}), "domains": sorted({r["domain"] for r in rows}),
                   "sides": sorted({r["url"] for r in data["train"]} & {r["url"] for r in data.get("validation", [])}),
                   "generated": [r["id"] for r in rows if r["parent"]][:1]}
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str, dict[str, str]]:
    """The folder of a finished demo, what it printed, and the environment to look at it with."""
    state = tmp_path_factory.mktemp("demo")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "CHIMED_"))}
    environment |= {"CHIMED_DEMO_STATE": str(state), "PYTHONPATH": str(PROJECT / "include")}
    command = [sys.executable, "-m", "chimed_airflow.local", "demo"]
    run = subprocess.run(
        command, env=environment, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert run.returncode == 0, run.stdout[-8000:]
    look = {"CHIMED_DATA": str(state / "lake"), "CHIMED_STORE": f"sqlite:///{state / 'store.db'}"}
    return state, run.stdout, environment | look


def chimed(environment: dict[str, str], *argv: str) -> str:
    command = [sys.executable, "-m", "chimed", *argv]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout


def test_the_release_loads_completely(demo):
    state, _, environment = demo
    (release,) = (state / "lake" / "releases").iterdir()
    command = [str(MODELS_PYTHON), "-c", LOADED, str(release)]
    own = environment | {"HF_HOME": str(state / "hub")}  # `datasets` takes another demo's of that name for this one
    subsets = json.loads(subprocess.run(command, env=own, text=True, capture_output=True, check=True).stdout)
    assert {source for subset in subsets.values() for source in subset["sources"]} == SOURCES
    for name, columns in (
        ("pretrain", ["text"]),
        ("sft", ["messages"]),
        ("preference", ["prompt", "chosen", "rejected"]),
        ("reasoning", ["messages"]),
    ):
        assert subsets[name]["rows"] > 0, name
        # few pairs survive the swap of a judge this small, and only what is asked about documents is reasoned about
        if name not in ("preference", "reasoning"):
            assert subsets[name]["domains"] == ["general", "tcm"], name
        assert subsets[name]["columns"][: len(columns)] == columns
        assert subsets[name]["sides"] == [], f"a page of {name} is on both sides"
    trace = chimed(environment, "trace", subsets["sft"]["generated"][0])
    assert "generate_qa@" in trace
    assert "answered" in trace
    assert ".warc.gz#" in trace


def test_every_ledger_closes(demo):
    _, _, environment = demo
    stages = json.loads(chimed(environment, "ledger", "--json"))["stages"]
    assert stages[-1]["stage"] == "release"
    for entry in stages:
        assert entry["read"] == entry["kept"] + sum(entry["dropped"].values()) + sum(entry["failed"].values())
    dropped = {reason.split(":")[0] for entry in stages for reason in entry["dropped"]}
    assert {
        "same text",
        "nearly the same text",
        "mojibake",
        "too short",
        "perplexity",
        "identifier",
        "exam question",
    } <= dropped


def test_every_phase_has_an_adapter_and_a_score(demo):
    state, said, _ = demo
    (recipe,) = (state / "lake" / "models").glob("*/demo")
    for phase in ("cpt", "sft", "dpo"):
        assert (recipe / phase / "adapter" / "adapter_model.safetensors").stat().st_size > 0
    (scores,) = (state / "lake" / "scores").glob("*/demo")
    assert {"base.json", "cpt.json", "sft.json", "dpo.json", "compare.md"} <= {path.name for path in scores.iterdir()}
    assert "done in" in said


TALKED = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
from chimed_demo.training import rendered
from chimed.llm.prompts import build_messages, load
said = build_messages(load("screen"), text="茯苓健脾。<|im_end|>")
out = {}
for folder in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    made = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    out[folder] = {"parameters": AutoModelForCausalLM.from_pretrained(folder).num_parameters(),
                   "chatml": made == rendered(said), "end": tokenizer.eos_token,
                   "again": tokenizer.decode(tokenizer.encode("鬱金㿠白，茯苓。"))}
print(json.dumps(out))
"""


def test_tiny_models_are_small_and_talk_chatml(demo):
    _, _, environment = demo
    made = models.ready()
    assert made
    for folder in made.values():
        assert (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044
    writers = [str(made["generator"]), str(made["judge"])]
    command = [str(MODELS_PYTHON), "-c", TALKED, *writers]
    looked = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    for found in json.loads(looked.stdout).values():
        assert found.pop("parameters") < 20_000_000
        assert found == {"chatml": True, "end": "<|im_end|>", "again": "鬱金㿠白，茯苓。"}


def test_no_process_is_left(demo):
    state, _, _ = demo
    assert not list((state / "running").glob("*.json"))


def test_no_page_outside_loopback_was_asked(demo):
    state, _, _ = demo
    reports = [json.loads(path.read_text()) for path in (state / "lake" / "raw").glob("*/*/report.json")]
    assert {report["source"] for report in reports} == SOURCES
    assert all(report["replica"] for report in reports)
    assert sum(report["pages"] for report in reports) >= 150


ENVIRONMENT = """
import json
from chimed_airflow.local import home
print(json.dumps(home.environment(home.free_ports())))
"""
SCREENS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def pages(demo, tmp_path_factory) -> Iterator[tuple[Callable, str]]:
    """A function that opens a page of the demo's own Airflow, started again, in one Chromium; and the release."""
    state, _, environment = demo
    found = subprocess.run([sys.executable, "-c", ENVIRONMENT], env=environment, capture_output=True, check=True)
    airflows, folder = json.loads(found.stdout), tmp_path_factory.mktemp("pages")
    with browser.api_server(airflows, folder / "server.log") as url, browser.chromiums(folder) as opened:
        driver = opened(url, httpx.get(f"{url}/auth/token", timeout=60).json()["access_token"])

        def page(place: str):
            browser.open_page(driver, f"{url}/chimed/{place}")
            return driver

        (release,) = (state / "lake" / "releases").iterdir()
        yield page, release.name


def test_every_demo_page_fits_every_screen(pages) -> None:
    page, version = pages
    release = f"releases/{version}"
    record = css(page(f"{release}/examples?table=preference/train"), ".rows a.mono")[0].text
    for place in (
        "", f"builds/{version}", f"builds/{version}/ratings", f"builds/{version}/diversity", "sources",
        "sources/ask39/crawl", release, f"{release}/card", f"{release}/examples", f"{release}/records/{record}",
        f"{release}/changes", f"{release}/files", "review", "scores", "answers",
    ):  # fmt: skip
        driver = page(place)
        for width, scheme in SCREENS:
            browser.screen(driver, width, scheme)
            browser.assert_whole(driver, scheme)


def test_rows_of_the_demo_are_filtered(pages) -> None:
    page, version = pages
    driver = page(f"releases/{version}/examples")
    css(driver, "select[name=source] option[value=ask120]")[0].click()
    css(driver, "form.filters button")[0].click()
    until(lambda: "source=ask120" in driver.current_url)
    tags = [row.find_elements("css selector", ".tag")[0].text for row in css(driver, ".rows > li")]
    assert tags == ["120 Ask Health QA"] * 10
    css(driver, "a[rel=next]")[0].click()
    until(lambda: "start=" in driver.current_url)
    assert css(driver, ".rows .answer")


def test_a_row_is_traced_to_its_page(pages) -> None:
    page, version = pages
    driver = page(f"releases/{version}/examples?table=preference/train")
    css(driver, ".rows a.mono")[0].click()
    until(lambda: "/records/" in driver.current_url)
    steps = [step.text.split()[0] for step in css(driver, ".way > li > h3")]
    assert (steps[0], steps[-2:]) == ("The", ["Preference", "The"])
    css(driver, "details.replies summary")[-1].click()
    row = css(driver, ".way > li:last-child dl.said dd")
    question, chosen, rejected = [one.text for one in row]
    shown = [one.text for one in css(driver, "details[open] .user dd")]
    assert any(chosen in one and rejected in one and question in one for one in shown), "the judge saw both"
    assert {one.text for one in css(driver, "details[open] .replied dd")} >= {"A", "B"}


def test_ten_verdicts_by_keyboard(pages, demo) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    driver = pages[0]("review")
    browser.screen(driver, 390, "light")
    until(lambda: css(driver, "#record")[0].text)
    driver.execute_script("window.stayed = true")
    judged = []
    for key in "fjfjfjfjfj":
        judged.append(css(driver, "#record")[0].text)
        ActionChains(driver).send_keys(key).perform()
        until(lambda: css(driver, "#record")[0].text not in judged)
    until(lambda: css(driver, "#judged")[0].text == "10")
    assert driver.execute_script("return window.stayed")
    ranges = [css(driver, f"[data-measure={name}] .range")[0].text for name in ("precision", "missed")]
    assert any(text.endswith("%") for text in ranges)
    (reviewer,) = [row.text.split() for row in css(driver, "#reviewers tr")]
    with open_store(demo[2]["CHIMED_STORE"]).engine.connect() as connection:
        rows = connection.execute(REVIEWS.select().order_by(REVIEWS.c.created)).all()
    assert {(row.reviewer, 10) for row in rows} == {(reviewer[0], int(reviewer[1]))}
    assert [row.record for row in rows] == judged
    assert [row.verdict for row in rows] == ["flagged", "passed"] * 5
    pages[0]("review")  # what was judged is not asked again
    assert until(lambda: css(driver, "#record")[0].text) not in judged
