"""A small real release: the demo's pages as WARC files, every stage run on them, the models' answers made up."""

import importlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from chimed.build import order
from chimed.build.builds import new_build, read_stage
from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.crawl.frontier import add_links
from chimed.crawl.plan import CrawlPlan
from chimed.pipeline.runner import run_stage
from chimed.release import TABLES, folder_of
from chimed.release.rows import COLUMNS
from chimed.release.tables import rows_in
from chimed.schema import words
from chimed.settings import Settings
from chimed.sources import PAPER
from chimed.sources.page import Link
from chimed.storage import lake as lakes
from chimed.storage import store as stores
from chimed.storage import warc
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store_tables import PERPLEXITIES
from chimed.text.perplexity_model import score_key
from chimed_demo.pages import all_pages, key_of
from chimed_demo.rating_lessons import rated_by_looks
from chimed_demo.replica import DETAIL
from support.model_server import Served

CRAWL = "2026-11-16"
SHARES = {"preference_share": 1.0, "reason_share": 1.0}  # every question gets all there is
FIRST, SECOND = "2026.11.22", "2026.11.22.1"


@dataclass(frozen=True)
class Made:
    """A folder with lake and store in which two builds of the same inputs were released, and their models' server."""

    folder: Path
    served: Served

    def work(self, folder: Path | None = None) -> StageContext:
        folder = folder or self.folder
        server = self.served.url
        settings = Settings(
            data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db", exams=str(self.folder / "exams"),
            llm_url=server, judge_url=server,
        )  # fmt: skip
        lake, store = open_lake(settings.data), stores.open_store(settings.store)
        return StageContext(FIRST, Options(), lake, store, settings, lambda _: None)


def crawl(work: StageContext, most: int) -> None:
    """A finished crawl of every site: `most` of the replica's detail pages each, in the frontier and in WARC files."""
    pages = all_pages().values()
    for source in PAPER:
        site = importlib.import_module(f"chimed.sources.{source}").SITE
        archive = warc.open_archive(work.lake, f"raw/{source}/{CRAWL}")
        links = []
        for page in pages:
            host, path = key_of(page.url)
            if len(links) < most and host in site.hosts and DETAIL.fullmatch(path) and page.status == 200:
                head = [("Content-Type", page.content_type)]
                exchange = warc.Exchange(page.url, f"GET {path} HTTP/1.1", [], 200, "OK", head, page.body)
                warc.write_exchange(archive, exchange, "detail")
                links.append(Link(site.canonical(page.url), "detail"))
        warc.close_archive(archive)
        add_links(work.store, CrawlPlan(site, CRAWL), links, None)
        count = warc.write_index(work.lake, f"raw/{source}/{CRAWL}")
        lakes.write_json(work.lake, f"raw/{source}/{CRAWL}/report.json", {"pages": count, "replica": True})


def answer(body: dict) -> str:
    """What a model would say: yes as second opinion only, a department, an answer out of the text, the longer one."""
    said = body["messages"][-1]["content"]
    choices = body.get("structured_outputs", {}).get("choice", [])
    if "json" in body.get("structured_outputs", {}):
        return rated_by_looks(said.partition("<文本>\n")[2].rpartition("\n</文本>")[0])
    if "回答A：" in said:
        first, second = re.split("回答[AB]：", said)[1:]
        return "A" if "请到医院" in first else "B" if "请到医院" in second else "A"
    if "校对员" in body["messages"][0]["content"]:  # the second opinion: it agrees with the rules
        return "是"
    if "要考的内容" in said:  # a question over two steps: worded as it is given
        return "问题：{}答案：{}".format(*re.findall(r"<文本>\n(.*?)\n</文本>", said, re.DOTALL)[-2:])
    if choices:
        return "否" if "否" in choices else choices[0]
    thinks = "思路清晰" in body["messages"][0]["content"]
    if "<文本>" in said and (sentence := re.search(r"[\u4e00-\u9fff，、]{12,60}。", said)):
        subject = re.search(r"[\u4e00-\u9fff]{2,8}", sentence[0])
        if thinks:
            return f"思考：药性有寒热，病证有虚实，二者相合才有它的特点，由此得出：{sentence[0]}\n答案：{sentence[0]}"
        return f"问题：{subject[0] if subject else sentence[0]}有什么特点？答案：{sentence[0]}"
    return "请到医院就诊，听医生的。" if body["seed"] == 0 else "多喝水，注意休息。"


def build(work: StageContext, version: str, **options: object) -> StageContext:
    """Runs every stage of a new build; perplexities are in the store already, as if a model had scored them."""
    made = new_build(work.lake, {**SHARES, **options}, version)
    work = replace(work, build=made, options=Options(**{**SHARES, **options}))
    for name in order.NAMES:
        if name == "perplexity":
            _score(work)
        run_stage(work, name)
    return work


def _score(work: StageContext) -> None:
    texts = read_stage(work.lake, work.build, "clean").select(words()).to_series().to_list()
    rows = [
        {
            "key": score_key(work.settings.perplexity_model, text),
            "nll": len(text) * (2 + len(set(text)) / len(text)),
            "tokens": len(text),
            "unknown": 0,
        }
        for text in texts
    ]
    stores.upsert(work.store, PERPLEXITIES, rows)


def shown(lake: Lake, needle: str) -> list[str]:
    """The files of all releases that hold a string, in whatever form."""
    found = []
    for name in lakes.files(lake, "releases"):
        data = lakes.read_bytes(lake, f"releases/{name}")
        text = str(lakes.read_table(lake, f"releases/{name}").to_dicts()) if name.endswith(".parquet") else ""
        if needle.encode() in data or needle in text:
            found.append(name)
    return found


def read_tables(lake: Lake, version: str) -> dict[str, pl.DataFrame]:
    """The tables of a release, whole."""
    empty = {name: pl.DataFrame(COLUMNS[name.split("/")[0]].empty_table()) for name in TABLES}
    found = {name: [table] for name, table in empty.items()}
    for name, batch in rows_in(lake, folder_of(version)):
        found[name].append(batch)
    return {name: pl.concat(several) for name, several in found.items()}


def pylist(lake: Lake, version: str, subset: str) -> list[dict]:
    """A subset's rows, read without our code."""
    files = sorted(Path(lake.at("releases", version, subset)).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]
