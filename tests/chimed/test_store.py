"""The store on SQLite and on a real PostgreSQL: made by its migrations, upserts, mistakes named."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, inspect, select

from chimed.crawl import walks
from chimed.errors import UserError
from chimed.release.review import judge
from chimed.storage.audit_log import list_decisions
from chimed.storage.columns import fit_to_length
from chimed.storage.pruning import prune
from chimed.storage.store import Store, _revisions, find, open_store, queue_for_review, upgrade, upsert
from chimed.storage.store_tables import METADATA, PAGES, PERPLEXITIES, REPLIES, REVIEW_QUEUE, REVIEWS, TAKEDOWNS
from chimed.storage.takedowns import read_takedowns
from support import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.running() as server:
        yield server.get_uri()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store(request, tmp_path) -> Store:
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    upgrade(url)
    return open_store(url)


def score(key: str, nll: float) -> dict:
    return {"key": key, "nll": nll, "tokens": 3, "unknown": 0}


def test_migrations_make_the_codes_schema(store):
    have, want = _revisions(store.engine)
    assert have == want  # Alembic's head, and the last file's name
    made = inspect(store.engine)
    assert {*made.get_table_names()} - {"alembic_version"} == {*METADATA.tables}
    for name, table in METADATA.tables.items():
        assert {column["name"] for column in made.get_columns(name)} == {*table.columns.keys()}


def test_upserts_replace_and_find_skips_missing(store):
    upsert(store, PERPLEXITIES, [score("a", 1.0), score("b", 2.0)])
    upsert(store, PERPLEXITIES, [score("b", 3.0), score("c", 4.0)])
    found = find(store, PERPLEXITIES, ["a", "b", "c", "d", "a"])
    assert {key: row["nll"] for key, row in found.items()} == {"a": 1.0, "b": 3.0, "c": 4.0}
    upsert(store, PERPLEXITIES, [])
    many = [score(f"m{n % 5_000}", float(n)) for n in range(7_000)]
    upsert(store, PERPLEXITIES, many)  # more values than a statement takes, and some keys twice
    found = find(store, PERPLEXITIES, [f"m{n}" for n in range(5_000)])
    assert [found[f"m{n}"]["nll"] for n in (0, 1_999, 2_000, 4_999)] == [5_000.0, 6_999.0, 2_000.0, 4_999.0]


def test_the_review_sample_ignores_shard_order(store):
    def queued(kind: str, *records: str) -> list[dict]:
        same = {
            "stage": "screen",
            "kind": kind,
            "reason": "",
            "text": "文",
            "sampled": datetime(2026, 11, 22, tzinfo=UTC),
        }
        return [{"record": record, "build": build, **same} for record in records for build in ("1", "2")]

    queue_for_review(store, queued("passed", "05", "03", "09"), 3)
    queue_for_review(store, queued("passed", "04", "01", "08"), 3)
    queue_for_review(store, queued("flagged", "07"), 3)
    with store.engine.connect() as connection:
        found = connection.execute(select(REVIEW_QUEUE.c.record, REVIEW_QUEUE.c.build).order_by("build", "record"))
        assert [tuple(row) for row in found] == [(r, b) for b in ("1", "2") for r in ("01", "03", "04", "07")]


def test_several_writers_lose_nothing(store):
    def write(worker: int) -> None:
        for n in range(20):
            upsert(store, PERPLEXITIES, [score(f"{worker}-{n}", 1.0), score("shared", float(n))])

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(find(store, PERPLEXITIES, [f"{w}-{n}" for w in range(4) for n in range(20)])) == 80


def test_long_chinese_text_comes_back_whole(store):
    row = {
        "key": "k", "model": "m", "prompt": "p@1", "messages": "[]", "text": "茯苓𠮷" * 5000, "finish_reason": "stop",
        "prompt_tokens": 1, "completion_tokens": 2, "seconds": 0.1, "created": datetime(2026, 11, 22, tzinfo=UTC),
    }  # fmt: skip
    upsert(store, REPLIES, [row])
    assert find(store, REPLIES, ["k"])["k"]["text"] == row["text"]


def reply(key: str, prompt: str, created: datetime) -> dict:
    said = {"model": "m", "prompt": prompt, "messages": "[]", "text": "是", "finish_reason": "stop", "seconds": 0.5}
    return {"key": key, "prompt_tokens": 10, "completion_tokens": 2, "created": created, **said}


def test_pruning_tells_its_cost_first(store):
    with store.engine.begin() as connection:
        for table in (REPLIES, PERPLEXITIES):
            connection.execute(delete(table))
    old, new = datetime(2025, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)
    upsert(store, REPLIES, [reply(f"o{n}", "screen@1" if n % 2 else "screen@0", old) for n in range(50)])
    upsert(store, REPLIES, [reply(f"n{n}", "screen@1", new) for n in range(7)])
    upsert(store, PERPLEXITIES, [score("o", 1.0) | {"created": old}, score("n", 1.0) | {"created": new}])
    upsert(store, PERPLEXITIES, [score("undated", 1.0)])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    told = prune(store, day, {"screen@1"}, do=False)
    assert (told["replies"], told["perplexities"], told["tokens"], told["not_dated"]) == (50, 1, 3, 1)
    assert told["again"] == {"requests": 25, "prompt_tokens": 250, "completion_tokens": 50, "seconds": 12.5}
    assert [(one["prompt"], one["requests"], one["current"]) for one in told["by_prompt"]] == [
        ("screen@0", 25, False),
        ("screen@1", 25, True),
    ]
    assert len(find(store, REPLIES, [f"o{n}" for n in range(50)])) == 50
    assert prune(store, day, {"screen@1"}, do=True) == {**told, "done": True}
    left = find(store, REPLIES, [f"{a}{n}" for a in "on" for n in range(50)], ["text", "created"])
    assert {*left} == {f"n{n}" for n in range(7)}
    assert {*left["n1"]} == {"key", "text", "created"}
    assert {*find(store, PERPLEXITIES, ["o", "n", "undated"])} == {"n", "undated"}
    assert prune(store, day, {"screen@1"}, do=True)["replies"] == 0


def test_more_keys_than_a_statement_takes_are_found(store, monkeypatch):
    monkeypatch.setattr("chimed.storage.store.KEYS_AT_ONCE", 100)
    upsert(store, PERPLEXITIES, [score(f"many-{n}", float(n)) for n in range(450)])
    found = find(store, PERPLEXITIES, [f"many-{n}" for n in range(460)], ["nll"])
    assert found == {f"many-{n}": {"key": f"many-{n}", "nll": float(n)} for n in range(450)}


HAN = "http://www.zydcd.com/yian/" + "茯苓白术" * 505  # 2,046 characters, 6,086 bytes that do not compress alike
ODD = ("词\x00语", "半\ud83d个", "名" * 500, "\x00", "\x1b[2J清屏", "a" * 10_000)


def test_addresses_of_any_length_are_keys(store):
    row = {"source": "zydcd", "kind": "detail", "first_seen": datetime(2026, 11, 22, tzinfo=UTC)}
    urls = [f"{HAN}{end}" for end in "甲乙"] + [_unlike(900, seed) for seed in range(3)]
    for status in (None, 200):
        upsert(store, PAGES, [{"url": url, "status": status, **row} for url in urls])
    found = find(store, PAGES, urls)
    assert {url: one["status"] for url, one in found.items()} == dict.fromkeys(urls, 200)
    assert [one["url"] for one in found.values()] == list(found)
    gone = {"reason": "x", "created": datetime(2026, 11, 22, tzinfo=UTC)}
    for _ in range(2):
        upsert(store, TAKEDOWNS, [{"target": url, **gone} for url in urls])
    assert read_takedowns(store).urls == set(urls)
    assert walks.begin_walk(store, "zydcd", urls[0], "w", None, None) == urls[0]
    assert walks.begin_walk(store, "zydcd", urls[0], "w", None, None) in (urls[0], None)


def _unlike(length: int, seed: int) -> str:
    letters = random.Random(seed).choices([chr(code) for code in range(0x4E00, 0x9FA5)], k=length)
    return f"http://www.zydcd.com/{''.join(letters)}"


def test_the_store_refuses_no_text(store):
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    for number, odd in enumerate(ODD):
        page = dict.fromkeys(("etag", "last_modified", "miss", "page", "found_on", "start"), odd)
        page |= {"url": f"http://x/{number}", "source": "zydcd", "kind": "detail", "first_seen": moment}
        reply = {"key": f"k{number}", "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 2}
        reply |= {"seconds": 0.1, "created": moment}
        queued = {"record": f"{number:016x}", "stage": "screen", "build": "1", "kind": "flagged", "reason": odd}
        upsert(store, PAGES, [page])
        upsert(
            store, REPLIES, [reply | dict.fromkeys(("model", "prompt", "messages", "text", "reasoning", "fault"), odd)]
        )
        upsert(store, REVIEW_QUEUE, [queued | {"text": odd, "sampled": moment}])
        for verdict in ("passed", "flagged"):
            judge(store, "1", "screen", f"{number:016x}", odd, verdict)
    assert len(find(store, REPLIES, [f"k{number}" for number in range(len(ODD))])) == len(ODD)
    with store.engine.connect() as connection:
        said = connection.execute(select(REVIEWS.c.verdict).where(REVIEWS.c.record.like("000000000000000%"))).scalars()
        assert list(said) == ["flagged"] * len(ODD)  # a second verdict of a long name finds the first
    assert list_decisions(store, 1)[0]["what"] == "verdict"
    with pytest.raises(UserError, match="no record"):
        judge(store, "1", "screen", "\x00", "me", "passed")


def test_long_names_stay_distinct():
    first, second = fit_to_length("名" * 300, 200), fit_to_length("名" * 301, 200)
    assert len(first) == len(second) == 200
    assert first != second
    assert first.startswith("名" * 183)
    assert fit_to_length("短", 200) == "短"


def test_a_missing_store_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="CHIMED_STORE says where"):
        open_store("postgresql://127.0.0.1:9/none")
    with pytest.raises(UserError, match="may be sqlite"):
        open_store("mysql://127.0.0.1/none")


@pytest.mark.slow
def test_a_server_is_upgraded_by_hand_only(postgres_url):
    store = open_store(postgres_url) if _has_schema(postgres_url) else None
    if store:
        METADATA.drop_all(store.engine)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("drop table alembic_version")
    with pytest.raises(UserError, match="python -m chimed store upgrade"):
        open_store(postgres_url)
    upgrade(postgres_url)
    assert open_store(postgres_url)


def _has_schema(url: str) -> bool:
    try:
        return bool(open_store(url))
    except UserError:
        return False
