"""Makes the sample: two small releases of the demo's own texts, with what left them. `make sample` runs it.

The replica's pages become WARC files of two weeks, and the project's own stages run on them. The models' part is taken
by a small server that answers from the demo's texts: the translation that stands beside a passage, a question that a
paragraph answers, answers of two generators that say more or less of what is known (`played_pairs.py`), thoughts that
go through the document (`played_thoughts.py`), and a judge who is not always of the same mind. So no model and no GPU
is needed, two runs give the same rows, and no sentence in the sample is nonsense; it is no medical advice either.
Perplexity is skipped.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread

import time_machine

from chimed.build import order
from chimed.build.builds import new_build
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.crawl.frontier import add_links
from chimed.crawl.plan import CrawlPlan
from chimed.llm import prompts
from chimed.pipeline.runner import run_stage
from chimed.settings import PROJECT, Settings
from chimed.sources import PAPER
from chimed.sources.page import Link
from chimed.stages.department import from_breadcrumb
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from chimed_demo import lesson_texts
from chimed_demo.pages import Page, all_pages, key_of, texts
from chimed_demo.played_pairs import known_of, play_answer, play_rating, play_verdict
from chimed_demo.played_questions import asked_of
from chimed_demo.played_thoughts import play_thought
from chimed_demo.replica import DETAIL

HERE = Path(__file__).parent
WEEKS = {"2026.11.16": "2026-11-09", "2026.11.23": "2026-11-16"}  # a release, and the week before it that was crawled
SECOND_WEEK = 6  # every sixth page is published in the second week
OPTIONS = {
    "skip": ["perplexity"],
    "preference_share": 0.5,
    "preference_candidates": 4,
    "preference_spoilt": 0.2,
    "preference_scores": True,
    "reason_share": 0.5,
    "hops": 2,
}
SECOND = "chimed-second-generator"  # the name of the generator that writes candidates in turn with the first
KEPT_OF_A_BUILD = ("build.json", "ledger.parquet")  # and of each stage its reports and the rows that left
EXAMS = PROJECT / "include" / "chimed_demo" / "exam"


# --- the models' part --------------------------------------------------------------------------------------------


def answer(body: dict) -> str:
    """Return the demo's reply to a request; the prompt is recognized by its wording."""
    said = body["messages"]
    system, user = (said[0]["content"] if len(said) > 1 else ""), said[-1]["content"]
    for name, write in _WRITERS.items():
        prompt = prompts.load(name)
        if system == (prompt.system or "") and user.startswith(prompt.user.split("<")[0]):
            write = _second_answer if name == "answer" and body["model"] == SECOND else write
            return write(user, body.get("seed") or 0)
    return "甲乙丙"  # to the question with which a server shows that it keeps to the answers allowed


def _translation(user: str, _sample: int) -> str:
    return "".join(one.modern for one in lesson_texts.passages() if one.text in user) or "没有译文。"


def _question(user: str, _sample: int) -> str:
    """Return a question with the words of the document that answer it."""
    if asked := asked_of(user):
        return f"问题：{asked.question}答案：{asked.answer}"
    return "问题：这篇文章讲了什么？答案：本文讲了养生的道理。"


def _two_steps(user: str, _sample: int) -> str:
    """Return the question and the answer as the request gives them."""
    question, answer = re.findall(r"<文本>\n(.*?)\n</文本>", user, re.DOTALL)[-2:]
    return f"问题：{question}答案：{answer}"


def _thought(user: str, sample: int) -> str:
    """Return a thought that ends in the answer which `_question` gave, and that answer."""
    document, _, asked = user.rpartition("</文本>")
    question = asked.partition("问题：")[2].strip()
    known = known_of(question)
    said = known.answer if known else _question(document, sample).partition("答案：")[2]
    return f"思考：{play_thought(document, question, said, sample)}\n答案：{said}"


def _department(user: str, _sample: int) -> str:
    one = next((one for one in lesson_texts.asked() if one.title in user), None)
    return (one and from_breadcrumb(one.breadcrumb)) or "内科"


def _answer(user: str, sample: int) -> str:
    return play_answer(user, second=False, sample=sample)


def _second_answer(user: str, sample: int) -> str:
    return play_answer(user, second=True, sample=sample)


def _verdict(user: str, _sample: int) -> str:
    asked, first, second = re.split("\n\n回答[AB]：", user.rpartition("\n\n请比较")[0])
    return play_verdict(asked.partition("问题：")[2], first, second)


def _screened(user: str, _sample: int) -> str:
    return "是" if any(line in user for line in texts("plants")["insult"]["paragraphs"]) else "否"


_WRITERS = {
    "translate": _translation,
    "translate_again": _translation,
    "generate_qa": _question,
    "two_steps": _two_steps,
    "department": _department,
    "answer": _answer,
    "judge": _verdict,
    "screen": _screened,
    "sensitive": lambda user, sample: "否",
    "reason": _thought,
    "supports": lambda user, sample: "是",
    "stands_alone": lambda user, sample: "否" if "这篇文章" in user else "是",
    "faithful": lambda user, sample: "是",
    "rate": lambda user, sample: play_rating(user.partition("<文本>\n")[2].rpartition("\n</文本>")[0]),
}


class _Server(BaseHTTPRequestHandler):
    """The two routes of an OpenAI-compatible server that chimed asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        names = [(f"chimed-{name}", f"demo-texts/{name}") for name in ("generator", "second-generator", "judge")]
        self._say({"data": [{"id": name, "object": "model", "root": root} for name, root in names]})

    def do_POST(self) -> None:
        text = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._say({"choices": [choice], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})

    def _say(self, value: dict) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: the stages count the requests."""


class _Waiting(ThreadingHTTPServer):
    request_queue_size = 256  # a stage asks 64 things at once


@contextmanager
def serving() -> Iterator[str]:
    """Start the server on a free port of this machine and yield its URL."""
    server = _Waiting(("127.0.0.1", 0), _Server)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


# --- the weeks ---------------------------------------------------------------------------------------------------


def crawl(work: StageContext, week: str, pages: list[Page]) -> None:
    """Write a finished crawl of every site: its detail pages among these, in the frontier and in WARC files."""
    for source in PAPER:
        site = import_module(f"chimed.sources.{source}").SITE
        archive = warc.open_archive(work.lake, f"raw/{source}/{week}")
        links = []
        for page in pages:
            host, path = key_of(page.url)
            if host in site.hosts and DETAIL.fullmatch(path) and page.status == 200:
                head = [("Content-Type", page.content_type)]
                request = f"GET {path} HTTP/1.1"
                warc.write_exchange(archive, warc.Exchange(page.url, request, [], 200, "OK", head, page.body), "detail")
                links.append(Link(site.canonical(page.url), "detail"))
        warc.close_archive(archive)
        add_links(work.store, CrawlPlan(site, week), links, None)
        count = warc.write_index(work.lake, f"raw/{source}/{week}")
        lakes.write_json(work.lake, f"raw/{source}/{week}/report.json", {"pages": count, "replica": True})


def build(work: StageContext, version: str) -> None:
    """Run every stage of a build over the weeks crawled so far."""
    made = new_build(work.lake, OPTIONS, version)
    this = StageContext(made, Options(**OPTIONS), work.lake, work.store, work.settings, lambda line: print(line))
    for name in order.NAMES:
        run_stage(this, name)


def main(target: Path, versions: tuple[str, ...] = tuple(WEEKS)) -> None:
    """Make the releases and copy them to `target`, with the builds' reports and the dropped rows."""
    pages = list(all_pages().values())
    second = pages[::SECOND_WEEK]
    shown = {"2026.11.16": [page for page in pages if page not in second], "2026.11.23": second}
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        settings = Settings(
            data=f"{folder}/lake",
            store=f"sqlite:///{folder}/store.db",
            exams=str(EXAMS),
            llm_url=url,
            judge_url=url,
            more_generators=f"{url} {SECOND}",
        )
        work = StageContext("", Options(), open_lake(settings.data), open_store(settings.store), settings)
        for version in versions:
            with time_machine.travel(f"{version.replace('.', '-')}T06:00:00+00:00", tick=False):
                crawl(work, WEEKS[version], shown[version])
                build(work, version)
        for place in ("releases", "builds"):
            shutil.rmtree(target / place, ignore_errors=True)
        for version in versions:
            _keep_of_release(Path(folder, "lake", "releases", version), target / "releases" / version)
            _keep_of_build(Path(folder, "lake", "builds", version), target / "builds" / version)


def _keep_of_release(release: Path, target: Path) -> None:
    """Copy the tables and their descriptions. JSON Lines and figures would be four fifths of the bytes."""
    shutil.copytree(release, target, ignore=shutil.ignore_patterns("jsonl", "figures", "dataset_info.json"))


def _keep_of_build(build: Path, target: Path) -> None:
    for file in sorted(build.rglob("*")):
        if file.name in KEPT_OF_A_BUILD or file.name.startswith(("report-", "dropped-")):
            kept = target / file.relative_to(build)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
