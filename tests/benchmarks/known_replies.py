"""translate and generate_qa over documents whose replies are all in the store: seconds, and whether they grow in step.

    PYTHONPATH=include python tests/benchmarks/known_replies.py            # 5,000 and 20,000 documents

No model is asked: the store is filled with a good reply to each request first. What is measured is all that a stage
does besides: cutting, keys, looking up, reading, the gates, tables.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from chimed.build.context import StageContext
from chimed.build.contract import ModelStage, Question
from chimed.build.options import Options
from chimed.llm import client, connecting
from chimed.llm.asking import ask_models
from chimed.settings import Settings
from chimed.stages import generate_qa, translate
from chimed.storage import store as stores
from chimed.storage.lake import open_lake
from chimed.storage.store_tables import REPLIES
from support.model_server import serving
from support.samples import document, rows

# No negation, dose or herb: the gate's alignment of those costs far more than all that is measured here.
CLASSIC = "凡第{n}证，其病在表者，可以汗解；其病在里者，当以下解。医者审之。昼夜循环，周而复始，此之谓常道也。"
MODERN = (
    "凡是第{n}种病证，病位在体表的，可以用发汗的方法治疗；病位在体内的，应当用攻下的方法治疗。医生应当仔细辨别。"
    "白天和黑夜循环往复，一遍又一遍，这就是通常的规律。"
)
HERB = "第{n}种药味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。"
PAIR = "问题：第{n}种药归哪些经？答案：归心、肺、脾、肾经。"


def surroundings(folder: str, url: str) -> StageContext:
    """A lake and a store of their own."""
    settings = Settings(data=f"{folder}/lake", store=f"sqlite:///{folder}/store.db", llm_url=url, judge_url=url)
    lake, store = open_lake(settings.data), stores.open_store(settings.store)
    return StageContext("benchmark", Options(), lake, store, settings, lambda _: None)


def classics(many: int) -> tuple[pl.DataFrame, Iterable[tuple[Question, str]]]:
    """Classical documents of a passage each, and each passage's question with its reply."""
    texts = [CLASSIC.format(n=n) for n in range(many)]
    table = rows(*(document(text, language="lzh", url=f"http://a/{n}") for n, text in enumerate(texts)))
    replies = (
        (translate.ask_for_translation(translate.Passage(n, *place)), MODERN.format(n=n))
        for n, text in enumerate(texts)
        for place in translate.split(text)
    )
    return table, replies


def herbs(many: int) -> tuple[pl.DataFrame, Iterable[tuple[Question, str]]]:
    """Modern documents, and each one's question with its reply."""
    texts = [HERB.format(n=n) * 4 for n in range(many)]
    table = rows(*(document(text, url=f"http://a/{n}") for n, text in enumerate(texts)))
    return table, ((generate_qa.ask_for_pair(text, "free"), PAIR.format(n=n)) for n, text in enumerate(texts))


STAGES: dict[str, tuple[ModelStage, Callable]] = {
    "translate": (translate.STAGE, classics),
    "generate_qa": (generate_qa.STAGE, herbs),
}


def fill(work: StageContext, replies: Iterable[tuple[Question, str]]) -> None:
    """Puts the replies into the store."""
    who = connecting.generator_server(work).who
    known = [
        {
            "key": client.request_key(question.request, who), "model": who, "prompt": question.request.prompt,
            "messages": "[]", "text": text, "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1,
            "seconds": 0.1, "created": datetime.now(UTC),
        }
        for question, text in replies
    ]  # fmt: skip
    stores.upsert(work.store, REPLIES, known)


def main(sizes: list[int]) -> None:
    """Prints seconds a stage and size, and how the seconds of a document grew from the first size to the last."""
    with serving() as served:
        served.answer = lambda body: (400, {}, b"all of it is known")
        for stage, (asking, made) in STAGES.items():
            each = []
            for many in sizes:
                with tempfile.TemporaryDirectory() as folder:
                    work = surroundings(folder, served.url)
                    table, replies = made(many)
                    fill(work, replies)
                    began = time.process_time()
                    outcome = ask_models(stage, asking, table, work)
                    spent = time.process_time() - began
                    work.store.engine.dispose()
                each.append(spent / many)
                requests = outcome.figures["llm"]["requests"]
                print(f"{stage:12} {many:6} documents, {requests:6} replies known: {spent:6.2f} s of one core, "
                      f"{len(outcome.derived)} derived, {len(served.bodies)} asked", flush=True)  # fmt: skip
            print(
                f"{stage:12} seconds of a document: {each[-1] / each[0]:.2f} times those at {sizes[0]} (linear: 1.00)"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[5_000, 20_000])
    main(parser.parse_args().documents)
