"""The work of basic.py as datatrove does it: HTML → text and clean, URL, exact and near-duplicates, length.

Runs in an environment of its own (`basic.py --peer` makes it). The cleaning is `re` row by row, what its formatters do;
shingles are characters, since its words need a tokenizer; everything else is the library's own step, two tasks each.
"""

import html
import re
import sys
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
    minhash,
)
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import JsonlWriter

TASKS = 2
minhash.load_word_tokenizer = lambda language: None  # there are no words here, and no tokenizer to install
RULES = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"(?is)<(script|style)\b.*?</(script|style)\s*>|<!--.*?-->", ""),
        (r"(?i)</?(p|div|br|li|ul|ol|tr|table|h[1-6]|dd|dt|dl|section|blockquote)(\s[^<>]{0,500})?/?>", "\n"),
        (r"(?i)</?[a-z][a-z0-9]*(\s[^<>]{0,500})?/?>", ""),
        (r"(?i)\b(https?|ftp)://[^\s\u4e00-\u9fff，。；、）】》”]+|\bwww\.[a-z0-9-]+\.[a-z0-9./?=&_%-]+", ""),
        ("[\u200b-\u200f\u2028-\u202f\ufeff\ue000-\uf8ff\U0001f000-\U0001faff]", ""),
        (r"(?m)^\s*((患者|病友|朋友|网友|楼主)?[，,]?(你|您)(们)?好|医生(你|您)好|大家好)[，。！!,.：:~～\s]+", ""),
        (r"(祝|希望)(你|您)?的?(宝宝|孩子|家人)?能?(早日|身体|尽快)?(康复|健康|平安|痊愈)[！!。，,~～\s]*$", ""),
        (r"(谢谢|感谢|多谢)(医生|您|你|大夫|各位)?(的)?(咨询|提问|信任|解答|回答)?[！!。，,~～\s　]*$", ""),
        (r"以上是对[“\"「].{0,200}?[”\"」]这个问题的(建议|解答|回答)[^\n]*", ""),
        (r"(?m)^\s*(上一页|下一页|查看更多问题>*|我要咨询|找医生|举报|取消|提交|(\[\d+\]\s*)+(下一页)?)\s*$", ""),
        (r"[ \t\xa0\u3000]+", " "),
        (r" ?\n[ \n]*", "\n"),
    )
]  # fmt: skip


class Clean(BaseFormatter):
    """HTML → text, and cleaning."""

    name = "clean"

    def format(self, text: str) -> str:
        text = html.unescape(text)
        for pattern, instead in RULES:
            text = pattern.sub(instead, text)
        return text.strip()


class CharacterShingles(MinhashDedupSignature):
    """Shingles of five letters."""

    def get_shingles(self, text: str) -> np.ndarray:
        letters = re.sub(r"[\W_]", "", text)
        found = {letters[n : n + 5] for n in range(max(1, len(letters) - 4))}
        return np.fromiter(map(self._hash_func, found), np.uint64, len(found)).reshape((-1, 1))


def adapted(self, data: dict, path: str, id_in_file: int | str) -> dict:
    """A record's row as a document: its halves as paragraphs."""
    halves = [data[name] for name in ("text", "question", "answer") if data[name]]
    return {"text": "\n".join(halves), "id": data["id"], "metadata": {"url": data["url"]}}


def url_of(document: Document) -> str:
    """The URL that is compared by."""
    bare = re.sub(r"(?i)^https?://|#.*$|\?.*$", "", document.metadata["url"]).lower().removeprefix("www.")
    return re.sub(r"/{2,}", "/", bare)


def letters_of(document: Document) -> str:
    """The letters that are compared by."""
    return re.sub(r"[\W_]", "", document.text)


def steps(crawl: Path, folder: Path) -> dict[str, list]:
    """Each step's pipeline, in order."""
    by_url, by_text = ExactDedupConfig(url_of), ExactDedupConfig(letters_of)
    near = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)

    def place(name: str) -> str:
        return str(folder / name)

    def written(name: str) -> JsonlWriter:
        return JsonlWriter(place(name), compression=None)

    return {
        "clean-and-url": [
            ParquetReader(str(crawl), adapter=adapted, glob_pattern="records-*.parquet"),
            Clean(), written("clean"), ExactDedupSignature(place("url"), by_url, TASKS),
        ],
        "url-find": [ExactFindDedups(place("url"), place("url-found"), by_url)],
        "text": [
            JsonlReader(place("clean")), ExactDedupFilter(place("url-found"), by_url), written("unique-url"),
            ExactDedupSignature(place("text"), by_text, TASKS),
        ],
        "text-find": [ExactFindDedups(place("text"), place("text-found"), by_text)],
        "minhash": [
            JsonlReader(place("unique-url")), ExactDedupFilter(place("text-found"), by_text), written("unique-text"),
            CharacterShingles(place("signatures"), near),
        ],
        "buckets": [MinhashDedupBuckets(place("signatures"), place("buckets"), config=near)],
        "cluster": [MinhashDedupCluster(place("buckets"), place("clusters"), config=near)],
        "drop-and-length": [
            JsonlReader(place("unique-text")), MinhashDedupFilter(place("clusters")),
            LambdaFilter(lambda document: len(re.sub(r"\s", "", document.text)) >= 30), written("kept"),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    crawl, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for name, pipeline in steps(crawl, folder).items():
        tasks = {"buckets": 14, "cluster": 1}.get(name, TASKS)
        logs = str(folder / "logs" / name)
        # forked workers are waited for, so that their CPU time is counted
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=TASKS, logging_dir=logs, start_method="fork").run()
