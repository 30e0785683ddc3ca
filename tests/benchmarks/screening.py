"""Precision and recall of rules, names, the model and all together on the labelled texts of `screen`'s tests.

    CHIMED_LLM_URL=http://127.0.0.1:8000/v1 PYTHONPATH=include python tests/benchmarks/screening.py

The model is whatever server the settings name, asked by the stage itself with its two prompts, the rules left out: say
which it was when you quote the figures. A reply that is neither 是 nor 否 counts as nothing found, and is counted.
"""

import json
import tempfile
from itertools import compress
from pathlib import Path

import polars as pl

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.llm.asking import ask_models
from chimed.schema import RECORD, record_id, table
from chimed.settings import settings
from chimed.stages import screen
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from chimed.text import identifiers

RULES = ("numbers", "contacts", "addresses")
TEXTS = Path(__file__).parents[1] / "chimed/stages/identifier_texts.jsonl"


def main() -> None:
    """Prints a line for each way of looking, apart for each set of texts."""
    said = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    records = table([_row(one["text"], number) for number, one in enumerate(said)])
    private = [bool(one["identifier"] or one["name"]) for one in said]
    rules = [bool(identifiers.find_identifiers(one["text"], RULES)) for one in said]
    names = [bool(identifiers.find_identifiers(one["text"], ("names",))) for one in said]
    model, failed = _asked(records)
    print(f"{len(said)} texts, {sum(private)} private; the model at {settings().llm_url} failed on {failed}")
    for title in dict.fromkeys(one.get("set", "hidden on purpose") for one in said):
        here = [one.get("set", "hidden on purpose") == title for one in said]
        print(f"{title}: {sum(here)} texts")
        _lines(*(list(compress(column, here)) for column in (said, rules, names, model)))


def _lines(said: list[dict], rules: list[bool], names: list[bool], model: list[bool]) -> None:
    private = [bool(one["identifier"] or one["name"]) for one in said]
    _line("rules", rules, [bool(one["identifier"]) for one in said])
    _line("names", names, [bool(one["name"]) for one in said])
    _line("rules and names", [any(pair) for pair in zip(rules, names, strict=True)], private)
    _line("model", model, private)
    _line("all", [any(three) for three in zip(rules, names, model, strict=True)], private)


def _row(text: str, number: int) -> dict:
    row = dict.fromkeys(RECORD.names) | {
        "source": "ask39", "domain": "general", "kind": "document", "language": "zh", "url": f"http://a/{number}",
        "page": f"{number}", "text": text, "fetched": 0,
    }  # fmt: skip
    return row | {"id": record_id(row)}


def _asked(records: pl.DataFrame) -> tuple[list[bool], int]:
    """What the stage's two prompts flag where no rule looks, and how many could not be judged."""
    screen.rule_flags = lambda records: {}
    with tempfile.TemporaryDirectory() as folder:
        here = settings().model_copy(update={"data": f"{folder}/lake", "store": f"sqlite:///{folder}/store.db"})
        work = StageContext("measured", Options(), open_lake(here.data), open_store(here.store), here)
        outcome = ask_models("screen", screen.STAGE, records, work)
    flagged = set(outcome.dropped.filter(pl.col("fate") == "dropped")["id"])
    return [id in flagged for id in records["id"]], outcome.dropped.filter(pl.col("fate") == "failed").height


def _line(name: str, found: list[bool], wanted: list[bool]) -> None:
    right = sum(a and b for a, b in zip(found, wanted, strict=True))
    print(
        f"{name:16} precision {right / max(sum(found), 1):.3f} ({right} of {sum(found)})"
        f"  recall {right / sum(wanted):.3f} ({right} of {sum(wanted)})"
    )


if __name__ == "__main__":
    main()
