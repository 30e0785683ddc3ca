"""Takedowns and purges, piece by piece: stand-ins in archives, emptied rows, words known again, closed reviews."""

import io
import json
import zlib
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from chimed.build.context import StageContext
from chimed.errors import UserError
from chimed.extraction.corpus_files import Choices, corpus_address, read_file, survey_file
from chimed.extraction.corpus_files.blanked import CannotBlank, blank_rows
from chimed.extraction.same_words import find_taken_down, remember_words
from chimed.release import review
from chimed.release.codes import code_of, words_of
from chimed.release.purge.raw import stand_in
from chimed.release.purge.words import holding, stretches
from chimed.schema import RECORD_COLUMNS, keyed_hash
from chimed.sources.page import Miss
from chimed.sources.parsed import CorpusQA
from chimed.storage.store import secret, upsert
from chimed.storage.store_tables import REVIEW_QUEUE, REVIEWS, TAKEDOWNS
from chimed.storage.takedowns import parse_targets

ASKED = [(f"头晕{name}怎么办，已经三天了没有好转？", f"先量血压{name}，注意休息，多喝水。") for name in "甲乙丙丁戊"]


def test_a_records_stand_in_is_readable():
    for length in (*range(22, 900), *range(65_500, 65_700), 131_098, 200_001):
        made = stand_in(length)
        assert len(made) == length
        plain = zlib.decompress(made, 31)
        read = (
            [(one.rec_type, one.content_stream().read()) for one in ArchiveIterator(io.BytesIO(made))] if plain else []
        )
        assert not plain or (read[0][0] == "metadata" and read[0][1].startswith(b"What stood here"))
        assert plain or length < 300


# --- files of corpora --------------------------------------------------------------------------------------------


def forms() -> dict[str, bytes]:
    """The same five rows in every form of a table."""
    rows = [{"question": q, "answer": a} for q, a in ASKED]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    table = "question,answer\r\n" + "".join(f'"{q}\n第二行","{a}"\r\n\r\n' for q, a in ASKED)

    def as_json(value: object) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode()

    columns = {"question": [q for q, _ in ASKED], "answer": [a for _, a in ASKED]}
    numbered = {name: {str(n): cell for n, cell in enumerate(column)} for name, column in columns.items()}
    talks = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in ASKED]
    return {
        "lines.jsonl": lines.encode(), "gb.jsonl": lines.encode("gb18030"), "wide.jsonl": lines.encode("utf-16"),
        "marked.jsonl": b"\xef\xbb\xbf" + lines.replace("\n", "\r\n\r\n").encode(), "lines.ndjson": lines.encode(),
        "open.jsonl": lines.encode().rstrip(), "table.csv": table.encode(), "gb.csv": table.encode("gb18030"),
        "wide.csv": table.encode("utf-16"), "other.csv": table.replace('","', '";"').replace("n,a", "n;a").encode(),
        "excel.csv": b"sep=,\r\n" + table.encode(),
        "table.tsv": ("question\tanswer\n" + "".join(f"{q}\t{a}\n" for q, a in ASKED)).encode(),
        "array.json": as_json(rows), "wrapped.json": as_json({"version": 1, "data": rows}),
        "columns.json": as_json(columns), "pandas.json": as_json(numbered),
        "keyed.json": as_json({str(n): row for n, row in enumerate(rows)}),
        "rows.parquet": parquet(columns), "lists.parquet": parquet({**columns, "answer": [[a] for _, a in ASKED]}),
        "talks.parquet": parquet({"messages": talks}), "rows.arrow": arrow(columns),
    }  # fmt: skip


def parquet(columns: dict) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def arrow(columns: dict) -> bytes:
    sink, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("name", forms())
def test_a_files_row_is_emptied_in_place(name):
    body = forms()[name]
    known = survey_file(name, io.BytesIO(body), Choices())
    before = list(read_file(name, io.BytesIO(body), Choices(), known))
    for gone in ({1}, {2}, {5}, {2, 4}):
        new = blank_rows(name, body, known, gone)
        after = list(read_file(name, io.BytesIO(new), Choices(), known))
        assert [number for number, _ in after] == [number for number, _ in before] == [1, 2, 3, 4, 5]
        for (number, was), (_, now) in zip(before, after, strict=True):
            assert isinstance(now, Miss) if number in gone else now == was
        text = new.decode(known.encoding.name if known.encoding else "utf-8", errors="ignore")
        assert not any("甲乙丙丁戊"[number - 1] in text for number in gone)
    assert blank_rows(name, body, known, {9}) == body or name.endswith((".parquet", ".arrow"))


def test_other_rows_broken_bytes_stay():
    first, *rest = [json.dumps({"question": q, "answer": a}, ensure_ascii=False).encode() for q, a in ASKED]
    body = b"\n".join([first.replace("血压".encode(), b"\xe8\xa1"), *rest])
    known = survey_file("a.jsonl", io.BytesIO(body), Choices())
    assert blank_rows("a.jsonl", body, known, {3}).split(b"\n")[0] == body.split(b"\n")[0]
    book = "".join(f"第{n}章 {q}\n{a * 20}\n" for n, (q, a) in zip("一二三四五", ASKED, strict=True)).encode()
    with pytest.raises(CannotBlank, match="is a book"):
        blank_rows("a.txt", book, survey_file("a.txt", io.BytesIO(book), Choices()), {1})


# --- words -------------------------------------------------------------------------------------------------------


def table(*rows: dict) -> pl.DataFrame:
    empty = dict.fromkeys(RECORD_COLUMNS) | {"source": "ask39", "kind": "qa", "page": "raw/x#0"}
    return pl.DataFrame([empty | row for row in rows], schema=RECORD_COLUMNS)


def test_known_words_are_recognised_elsewhere(work: StageContext):
    long = "我父亲今年七十三岁，上个月在县里的医院做了支架，现在晚上睡觉总说胸口发闷，是怎么回事？"
    taken = table({"question": long, "answer": "先去做心电图，把药带上。"}, {"question": "头晕？", "answer": "多喝水"})
    assert not find_taken_down(work.store, taken).any()
    remembered = remember_words(work.store, taken)
    again = table(
        {"question": long.replace("，", " , "), "answer": "先去做心电图 把药带上"},  # other signs
        {"question": long.replace("七十三", "七十四"), "answer": "先去做心电图，把药带上。"},  # another person
        {"question": long, "answer": "另一位医生的回答。"},  # a long question with another answer
        {"question": "头晕？", "answer": "多休息"},  # a short question is everybody's
        {"question": "头晕?", "answer": "多喝水。"},
        {"text": long, "kind": "document"},
        {"text": None, "question": None, "answer": None},
    )
    assert find_taken_down(work.store, again).to_list() == [True, False, True, False, True, True, False]
    of_another = remember_words(work.store, table({"question": "咳嗽？", "answer": "多休息。"}))
    assert not find_taken_down(work.store, again, of_another).any()
    assert find_taken_down(work.store, again, remembered).sum() == 4


def test_a_rows_key_cannot_be_guessed(work: StageContext):
    said = [CorpusQA("t", "我的电话是13912345678", "好的", "general", ())]
    key = secret(work.store)
    assert (len(key), secret(work.store)) == (32, key)
    mine = corpus_address("mine", said, key)
    assert mine == corpus_address("mine", said, key) != corpus_address("mine", said, b"0" * 32)
    assert keyed_hash(key, "a") != keyed_hash(b"0" * 32, "a")


def test_only_distinctive_words_are_found(work: StageContext):
    said = "街坊都叫我织田阿福老爹，这病有十年了，电话13912345678。建议您到正规医院就诊，不要自行用药。"
    wanted = stretches(work.lake, {said}, parse_targets(["https://ask.39.net/question/1.html"]))
    texts = [
        f'[{{"role": "user", "content": "问：\\n{said}"}}]',
        "<p>街坊都叫我<b>织田阿福</b>老爹，这病有&nbsp;十年了，电话139-1234-5678。</p>",
        "打１３９１２３４５６７８就行",
        "街坊都说这病有十年了，电话没有。",
    ]
    assert holding(pl.Series(texts), wanted).to_list() == [True, True, True, False]
    assert holding(pl.Series(texts), []).to_list() == [False] * 4


# --- reviews and codes -------------------------------------------------------------------------------------------


def test_reviewers_get_no_taken_down_text(work: StageContext):
    row = {"stage": "screen", "build": "1", "kind": "flagged", "reason": "", "text": "文", "sampled": datetime.now(UTC)}
    urls = {"a" * 16: "http://a/1", "b" * 16: "http://a/2", "c" * 16: None, "d" * 16: None}
    upsert(work.store, REVIEW_QUEUE, [{**row, "record": id, "url": url} for id, url in urls.items()])
    for reviewer, verdict in (("li", "flagged"), ("wang", "passed")):
        review.judge(work.store, "1", "screen", "a" * 16, reviewer, verdict)
    assert len(review.standing(work.store, "1", "screen")["disputed"]) == 1
    gone = {"target": "http://a/1", "reason": "private", "created": datetime.now(UTC)}
    upsert(work.store, TAKEDOWNS, [gone])  # a build put its record up at that very moment
    assert [one["record"][0] for one in review.waiting(work.store, "1", "screen", "zhao", 9)] == ["b", "c", "d"]
    assert review.standing(work.store, "1", "screen")["disputed"] == []
    with pytest.raises(UserError, match="no record"):
        review.judge(work.store, "1", "screen", "a" * 16, "zhao", "passed")
    assert review.close(work.store, ["c" * 16], ["http://a/1"]) == 2
    with work.store.engine.connect() as connection:
        assert {one.record[0] for one in connection.execute(REVIEW_QUEUE.select())} == {"b", "d"}
        assert len(connection.execute(REVIEWS.select()).all()) == 2  # verdicts hold no word


def test_codes_are_told_and_older_reasons_read():
    assert words_of("privacy") == "privacy request / 隐私请求"
    assert (code_of("Li Ming, 13912345678"), code_of(None)) == ("unspecified", "unspecified")
    assert "Li" not in words_of("Li Ming")
