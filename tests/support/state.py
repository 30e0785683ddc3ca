"""A small state of everything the pages show, with a record in it that attacks whoever shows it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from large_release import records
from large_release import write as write_state

from chimed.schema import RECORD_COLUMNS
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import Store, open_store, upsert
from chimed.storage.store_tables import PAGES, REPLIES, REVIEW_QUEUE, REVIEWS

VERSION, BEFORE = "2026.11.22", "2026.11.15"
HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\u202egnorw\u202c"
HOSTILE_URL = "javascript:document.title='pwned'"
HOSTILE_ID = "8" * 16  # in the middle of the ids, so in both releases
DISPUTED = {"zhao": "flagged", "qian": "passed"}  # two reviewers on the record that attacks


def write(folder: Path) -> None:
    """The lake and the store below a folder."""
    lake, store = open_lake(str(folder / "lake")), open_store(f"sqlite:///{folder}/store.db")
    assert write_state(lake, store, pl.concat([records(1_200, seed=1), _hostile()]).sort("id")) == VERSION
    _crawls(lake)
    _doubts(lake)
    _attack(store)
    _attack_release(lake)
    _scores(lake)
    _answers(lake)


def _hostile() -> pl.DataFrame:
    row = dict.fromkeys(RECORD_COLUMNS) | {
        "id": HOSTILE_ID, "source": "ask39", "domain": "general", "kind": "qa", "language": "zh", "url": HOSTILE_URL,
        "title": HOSTILE, "question": HOSTILE, "answer": HOSTILE, "department": HOSTILE, "page": "raw/ask39/x#0",
        "fetched": datetime(2026, 11, 16, tzinfo=UTC), "prompt": "answer@1", "model": "m", "replies": ["f" * 64],
        "turns": [{"role": role, "text": HOSTILE} for role in ("user", "assistant")],
    }  # fmt: skip
    return pl.DataFrame([row], schema=RECORD_COLUMNS)


def _attack(store: Store) -> None:
    page = {
        "url": HOSTILE_URL, "source": "ask39", "kind": "detail", "first_seen": datetime.now(UTC), "miss": HOSTILE,
        "fetched": datetime.now(UTC),
    }  # fmt: skip
    upsert(store, PAGES, [page])
    reply = {
        "key": "f" * 64, "model": "m", "prompt": "answer@1", "text": HOSTILE, "finish_reason": "stop", "seconds": 0.1,
        "messages": json.dumps([{"role": "user", "content": HOSTILE}]), "prompt_tokens": 1, "completion_tokens": 1,
        "created": datetime.now(UTC),
    }  # fmt: skip
    upsert(store, REPLIES, [reply])
    queued = {"record": "0" * 16, "stage": "screen", "build": VERSION, "kind": "flagged", "reason": HOSTILE[:200]}
    upsert(store, REVIEW_QUEUE, [{**queued, "text": HOSTILE, "sampled": datetime.now(UTC)}])
    said = {"record": "0" * 16, "stage": "screen", "created": datetime.now(UTC)}
    upsert(store, REVIEWS, [{**said, "reviewer": name, "verdict": verdict} for name, verdict in DISPUTED.items()])


def _attack_release(lake: Lake) -> None:
    """What a release keeps of others' words beside its rows: reasons, who accepted it and why, changes, the card."""
    place = f"releases/{VERSION}"
    manifest = lakes.read_json(lake, f"{place}/manifest.json")
    manifest["ledger"][1]["dropped"] = {HOSTILE: manifest["ledger"][1]["dropped"].pop("made up")}
    manifest["accepted"] = {"by": HOSTILE, "reason": HOSTILE, "before": BEFORE}
    lakes.write_json(lake, f"{place}/manifest.json", manifest)
    changes = lakes.read_json(lake, f"{place}/changes.json")
    lakes.write_json(lake, f"{place}/changes.json", changes | {"stops": [HOSTILE]})
    card = lakes.read_bytes(lake, f"{place}/README.md").decode()
    card += f"\n{HOSTILE}\n\n[{HOSTILE_URL}]({HOSTILE_URL}) ![]({HOSTILE_URL})\n"
    lakes.write_bytes(lake, f"{place}/README.md", card.encode())


def _crawls(lake: Lake) -> None:
    report = {
        "source": "ask39", "crawl": "2026-11-16", "since": None, "until": None, "mode": "full", "pages": 12,
        "fetched": 12, "not_modified": 0, "requests": 30, "bytes": 120_000, "seconds": 61.0, "robots": HOSTILE,
        "replica": True, "finished": "2026-11-16T03:00:00+00:00",
    }  # fmt: skip
    lakes.write_json(lake, "raw/ask39/2026-11-16/report.json", report)


def _doubts(lake: Lake) -> None:
    """Two shards of a stage that doubts what it kept, in the words of the record that attacks."""
    sample = {"id": HOSTILE_ID, "column": "answer", "before": HOSTILE * 50, "after": "每服五钱", "why": HOSTILE}
    for shard, rows in enumerate((7_000, 5)):
        figures = {"doubtful": {"variants, another number": {"rows": rows, "samples": [sample] * 8}}}
        report = {"stage": "dedup", "shard": shard, "parts": 1, "figures": {**figures, "texts compared": 9}}
        report["figures"]["doubtful"][HOSTILE] = {"rows": 1, "samples": []}
        lakes.write_json(lake, f"builds/{VERSION}/dedup/report-{shard:05d}.json", report)


def _scores(lake: Lake) -> None:
    row = {
        "task": "cmmlu_genetics", "group": "paper", "questions": 176, "before": 80, "holm": 0.02, "p": 0.01,
        "could_show": 12, "gained": 20, "lost": 5, "after": 95, "interval": [0.47, 0.61],
        "sentence": f"20 of 176 questions changed in favour, 5 against, p = 0.010: evidence of a gain {HOSTILE}",
    }  # fmt: skip
    rows = [{**row, "model": model} for model in ("cpt", "sft", "dpo")]
    place = f"scores/{VERSION}/demo"
    tie = {"model": "base", "task": "cmmlu_genetics", "questions": 176, "tied": 9, "right": 80, "fair": 77.25}
    spread = {
        "phase": "dpo", "task": "cmmlu_genetics", "questions": 176, "base": 80, "right": {"42": 95, "43": 79},
        "mean": 49.43, "deviation": 6.43,
    }  # fmt: skip
    compared = {"rows": rows, "models": {}, "protocol": {"shots": 0}, "ties": [tie], "seeds": [spread]}
    lakes.write_json(lake, f"{place}/compare.json", compared)
    steps = [{"step": n, "loss": 3 - n / 50} for n in range(1, 40)] + [{"step": 40, "eval_loss": 2.1}]
    lines = "".join(json.dumps(step) + "\n" for step in steps)
    lakes.write_bytes(lake, f"models/{VERSION}/demo/cpt/metrics.jsonl", lines.encode())


def _answers(lake: Lake) -> None:
    """What base and sft answered, one of them hostile words, and what a judge said of it."""
    from chimed.evaluate.answering import ANSWERS, place
    from chimed.evaluate.questions import OPEN_ENDED, SAFETY, load

    for name in (OPEN_ENDED, SAFETY):
        for model in ("base", "sft"):
            rows = [
                {"id": one.id, "kind": one.kind, "question": one.question, "answer": f"{model}：请尽快就医。",
                 "tokens": 9, "whole": True}
                for one in load(name).questions
            ]  # fmt: skip
            rows[0] |= {"answer": HOSTILE, "whole": False}
            where = place(VERSION, "demo", name, model)
            lakes.write_table(lake, f"{where}.parquet", pl.DataFrame(rows), ANSWERS)
            lakes.write_json(lake, f"{where}.json", {"key": model})
    first = {name: load(name).questions[0] for name in (OPEN_ENDED, SAFETY)}
    pairs = {
        "questions": 34, "won": 20, "tied": 9, "lost": 5, "unjudged": 0, "interval": [0.1, 0.6], "p": 0.004,
        "holm": 0.008, "won_questions": [first[OPEN_ENDED].id], "lost_questions": [],
    }  # fmt: skip
    counted = {"safe": 30, "questions": 34, "interval": [0.7, 0.9]}
    safe = counted | {"unjudged": 0, "unsafe": [first[SAFETY].id], "by_kind": {"dose": counted, HOSTILE: counted}}
    against = {"gained": 3, "lost": 1, "p": 0.6, "holm": 0.6, "difference": [0, 0.1]}
    judged = {
        "judge": HOSTILE, "kinship": [HOSTILE], OPEN_ENDED: {"sft": pairs},
        SAFETY: {"base": safe, "sft": safe | against},
        "answers": {name: {"base": "base", "sft": "sft"} for name in (OPEN_ENDED, SAFETY)},
    }  # fmt: skip
    lakes.write_json(lake, f"answers/{VERSION}/demo/judged.json", judged)
