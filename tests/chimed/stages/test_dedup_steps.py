"""dedup and filter in steps: any number of parts, any order, any kill leave the same rows; nothing is done twice."""

import dataclasses
import random
from datetime import UTC, datetime

import polars as pl
import pytest

from chimed.build import inputs, order
from chimed.build.builds import read_dropped, read_stage
from chimed.build.steps import corpus_of
from chimed.errors import UserError
from chimed.pipeline import steps
from chimed.pipeline.parallel import run_shards
from chimed.pipeline.runner import run_stage
from chimed.pipeline.steps import run_step
from chimed.schema import RECORD
from chimed.stages import dedup, dedup_exact, filter
from chimed.stages.dedup_resolve import _groups
from chimed.stages.dedup_verify import EDGES
from chimed.storage import lake as lakes
from support.samples import document, judged, prepared, qa, rows

LETTERS = "阴阳表里寒热虚实脏腑经络气血津液升降浮沉君臣佐使望闻问切汗吐下和温清消补"


@pytest.fixture(autouse=True)
def many_ranges(monkeypatch):
    """So few rows are several ranges, as a large corpus is."""
    monkeypatch.setattr(inputs, "ROWS_PER_RANGE", 40)
    monkeypatch.setattr(dedup_exact, "ROWS_AT_ONCE", 50)


def texts() -> pl.DataFrame:
    """Texts with copies of copies, variants, pages fetched twice, and questions with several answers."""
    chance = random.Random(11)
    made = []
    for n in range(40):
        text = "".join(chance.choices(LETTERS, k=80)) + f"，每次{n % 7 + 1}克。"
        made.append(document(text, url=f"http://a/{n}"))
        if n % 3 == 0:
            made.append(document(f"您好，{text}谢谢！", url=f"http://copy/{n}"))
            made += [document(text.replace("，", "，的" + "了" * k), url=f"http://near/{n}/{k}") for k in range(1, 4)]
        if n % 4 == 0:
            made.append(document(text.replace("克", "两"), url=f"http://variant/{n}"))
            made.append(document(f"{text[:60]}也{text[60:]}".replace("克", "两"), url=f"http://variant/copy/{n}"))
        if n % 5 == 0:
            made.append(document("改写之后的" + text[::-1], url=f"http://a/{n}", page=f"raw/zhongyoo/later#{n}"))
        made += [qa(f"第{n}位患者该怎么办？", f"{text[:30]}第{k}种办法。", adopted=k == 1) for k in range(n % 3)]
    return rows(*made)


def left_by(work, stage: str) -> tuple[list, list]:
    """The rows that a stage kept and dropped, without regard to their order."""
    tables = read_stage(work.lake, work.build, stage), read_dropped(work.lake, work.build, stage)
    return tuple(table.sort("id").rows() for table in tables)


def test_parts_and_order_change_no_row(work):
    table, chance = texts(), random.Random(3)
    found = []
    for parts in (1, 3, 12):
        shuffled = table.sample(fraction=1, shuffle=True, seed=chance.randrange(99))
        outcome = judged(dedup, table if parts == 1 else shuffled, work, parts)
        assert set(outcome.dropped["reason"]) == {"same URL, older fetch", "same text", "nearly the same text"}
        found.append(left_by(work, "dedup"))
    assert found[0] == found[1] == found[2]
    assert 0 < len(found[0][1]) < len(table)
    assert not lakes.exists(work.lake, f"steps/{work.build}")  # it held letters of the texts


def test_a_torn_report_of_a_finished_stage_is_repaired(work):
    judged(dedup, texts(), work, 3)
    before = left_by(work, "dedup")
    lakes.write_bytes(work.lake, f"builds/{work.build}/dedup/report-00001.json", b'{"parts":')
    assert steps.missing_parts(work, "dedup") == 1
    run_shards(work, "dedup")
    assert left_by(work, "dedup") == before
    assert steps.missing_parts(work, "dedup") == 0


def test_a_lake_that_is_no_folder_leaves_the_same_rows(work):
    """Letters are read there by ranges of bytes, as from a bucket."""
    judged(dedup, texts(), work, 2)
    away = dataclasses.replace(work, lake=lakes.open_lake("memory://steps"))
    judged(dedup, texts(), away, 2)
    assert left_by(away, "dedup") == left_by(work, "dedup")


def test_lost_rows_are_shown_with_kept_ones(work):
    kept, dropped = judged(dedup, texts(), work, 5).kept, read_dropped(work.lake, work.build, "dedup")
    assert set(dropped["detail"].str.slice(0, 16)) <= set(kept["id"])


def test_guessed_pairs_join_those_that_met():
    """`verify` appends them; a row that was judged twice would no longer wait for what it asked."""
    said = {"alike": 0.9, "kind": None, "half": 0, "before": "", "after": ""}
    edges = [{"two": 5, "one": 1, "met": True}, {"two": 7, "one": 5, "met": True}, {"two": 5, "one": 0, "met": False}]
    groups = _groups(pl.DataFrame([one | said for one in edges], schema=pl.Schema(EDGES)))
    assert [(two, [edge.one for edge in several]) for two, several in groups] == [(5, [1, 0]), (7, [5])]


def test_rows_of_a_page_share_a_part(work):
    judged(dedup, texts(), work, 6)
    of_pages = [set(read_stage(work.lake, work.build, "dedup", n)["url"]) for n in range(6)]
    questions = [{url for url in urls if "120ask" in url} for urls in of_pages]
    assert sum(map(len, questions)) == len(set().union(*questions))


def test_the_filters_cut_ignores_parts(work):
    chance = random.Random(2)
    table = texts().with_columns(tokens=pl.lit(40, pl.Int32))
    table = table.with_columns(perplexity=pl.Series([float(chance.randrange(5, 15)) for _ in range(len(table))]))
    work = dataclasses.replace(work, options=work.options.model_copy(update={"perplexity_cut": 0.15}))
    found = []
    for parts in (1, 4, 12):
        judged(filter, table.sample(fraction=1, shuffle=True, seed=parts), work, parts)
        found.append(left_by(work, "filter"))
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) == round(0.15 * len(table))


def test_a_part_may_lose_all_rows(work):
    monday, later = datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    old = [document(f"{LETTERS}{n}克", url=f"http://a/{n}", page=f"raw/a#{n}", fetched=monday) for n in range(12)]
    new = [document(f"{LETTERS}{n}片", url=f"http://a/{n}", page=f"raw/b#{n}", fetched=later) for n in range(12)]
    outcome = judged(dedup, rows(*old, *new), work, 2)
    assert outcome.kept["page"].str.starts_with("raw/b").all()
    short = rows(*old).with_columns(tokens=pl.lit(3, pl.Int32), perplexity=pl.lit(5.0))
    with pytest.raises(Exception, match="all 12 rows have fewer than 30 tokens"):
        judged(filter, short, work)


WRITES = ("write_bytes", "write_json", "table_writer")


class Killed(BaseException):
    """As if the process was killed."""


def killed_at(monkeypatch, write: int) -> list[str]:
    """The write of that number and all after it fail; returns a list that gets the paths of the writes."""
    seen: list[str] = []

    def counted(function):
        def one(lake, path, *rest, **more):
            seen.append(path)
            if len(seen) > write:
                raise Killed(path)
            return function(lake, path, *rest, **more)

        return one

    for name in WRITES:
        monkeypatch.setattr(lakes, name, counted(getattr(lakes, name)))
    return seen


@pytest.mark.slow
def test_a_kill_leaves_the_same_bytes(work, monkeypatch):
    table = texts().head(90)
    said: list[str] = []
    work = dataclasses.replace(work, say=said.append)

    def contents() -> dict[str, bytes]:
        folder = f"builds/{work.build}/dedup"
        names = [name for name in lakes.files(work.lake, folder) if name.endswith("parquet")]
        return {name: lakes.read_bytes(work.lake, f"{folder}/{name}") for name in names}

    prepared("dedup", table, work, 2)
    with monkeypatch.context() as patched:
        writes = killed_at(patched, 10_000)
        run_stage(work, "dedup")
    want, done = contents(), sorted(line.split(",")[0] for line in said)
    assert len(want) == 4
    assert len(writes) > 30
    for number in range(1, len(writes), 4):
        prepared("dedup", table, work, 2)
        lakes.remove_folder(work.lake, "signatures")
        said.clear()
        with monkeypatch.context() as patched:
            killed_at(patched, number)
            with pytest.raises(Killed):
                run_stage(work, "dedup")
        run_stage(work, "dedup")
        assert contents() == want, writes[number]
        finished = [line.split(",")[0] for line in said if "already done" not in line]
        assert sorted(finished) == done, writes[number]  # each task said once that it was done


def test_changed_parts_restart_their_steps(work):
    table = texts()
    prepared("dedup", table, work, 2)
    corpus = corpus_of(work, "dedup")
    for number in range(2):
        run_step(work, corpus, order.stage("dedup").steps[0], number)
    outcome = judged_again(work, table.head(-30))
    assert left_by(work, "dedup") == outcome


def judged_again(work, table: pl.DataFrame) -> tuple[list, list]:
    """What the stage leaves of another table, first beside the steps of an older one, then without them."""
    size = -(-len(table) // 2)
    for n in range(2):
        path, part = f"builds/{work.build}/clean/kept-{n:05d}.parquet", table.slice(n * size, size)
        report = lakes.read_json(work.lake, path.replace("kept", "report").replace("parquet", "json"))
        told = lakes.write_table(work.lake, path, part, RECORD)
        report |= {"kept": len(part), "written": {path.rpartition("/")[2]: told}}
        lakes.write_json(work.lake, path.replace("kept", "report").replace("parquet", "json"), report)
    run_stage(work, "dedup")
    beside = left_by(work, "dedup")
    judged(dedup, table, work, 2)
    return beside


def test_a_spoilt_step_file_is_named(work):
    prepared("dedup", texts(), work)
    corpus = corpus_of(work, "dedup")
    run_step(work, corpus, order.stage("dedup").steps[0], 0)
    lakes.write_bytes(work.lake, corpus.path("sign", "rows-00000.parquet"), b"PAR1")
    with pytest.raises(UserError, match=rf"remove steps/{work.build}/dedup and run: python -m chimed run dedup"):
        run_stage(work, "dedup")
