"""Tables of every form and column name, and hostile ones: what is broken is a named miss, the rest is read."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chimed.errors import UserError
from chimed.extraction.corpus_files import lines, tables
from chimed.extraction.corpus_files.columns import parse_columns
from chimed.extraction.corpus_files.lines import MAX_CELL_LENGTH, TOO_LONG
from chimed.roles import ASKER, DOCTOR
from chimed.sources.follow_ups import MAX_TURNS
from chimed.sources.page import Miss
from chimed.sources.parsed import Turn
from support.reading_of import look, read

QUESTION, ANSWER = "咳嗽三天怎么办？", "多喝水，注意休息。"
ORDERS = [
    json.loads(line) for line in (Path(__file__).parent / "orders.jsonl").read_text(encoding="utf-8").splitlines()
]
TEXT = "高血压是常见的慢性病，患者需要长期服药，并且定期检查。"


def dumped(*rows: object) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def words(found: list) -> list:
    """A record as (question, answer) or text, a miss as its reason."""
    return [
        one.reason if isinstance(one, Miss) else one.text if hasattr(one, "text") else (one.question, one.answer)
        for one in found
    ]


# --- forms and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"question": QUESTION, "answer": ANSWER},
        {"Question": QUESTION, "ANSWER": ANSWER},
        {"问题": QUESTION, "回答": ANSWER},
        {"提问": QUESTION, "答案": ANSWER},
        {"instruction": QUESTION, "input": "", "output": ANSWER},
        {"prompt": QUESTION, "response": ANSWER},
        {"query": QUESTION, "completion": ANSWER},
        {"title": QUESTION, "answer": ANSWER},
        {"科室": "内科", "标题": QUESTION, "内容": QUESTION, "答": ANSWER},
        {"department": "内科", "title": "", "ask": QUESTION, "answer": ANSWER},
        {"questions": [[QUESTION]], "answers": [ANSWER]},
        {"prompt": [{"role": "user", "content": QUESTION}], "completion": [{"role": "assistant", "content": ANSWER}]},
        {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]},
        {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]},
    ],
    ids=lambda row: "+".join(row),
)
def test_a_question_with_its_answer_by_any_name(row):
    assert words(read("a.jsonl", dumped(row))) == [(QUESTION, ANSWER)]
    assert words(read("a.json", json.dumps([row, row]))) == [(QUESTION, ANSWER)] * 2


@pytest.mark.parametrize(
    "row", [{"text": TEXT}, {"title": "高血压", "text": TEXT}, {"标题": "高血压", "正文": TEXT}, {"CONTENT": TEXT}]
)
def test_a_document_by_any_name(row):
    (one,) = read("a.jsonl", dumped(row))
    assert (one.text, one.title) == (TEXT, "高血压" if len(row) == 2 else "")


def test_instruction_and_input_make_one_question():
    row = {"instruction": "请回答。", "input": QUESTION, "output": ANSWER}
    assert words(read("a.jsonl", dumped(row))) == [(f"请回答。\n{QUESTION}", ANSWER)]
    assert words(read("a.jsonl", dumped({"question": QUESTION, "answers": [ANSWER, "去医院。", ANSWER]}))) == [
        (QUESTION, ANSWER), (QUESTION, "去医院。"),
    ]  # fmt: skip


def test_a_thought_before_an_answer_is_left_out():
    thought = f"<think>\n先想一想，{QUESTION}\n</think>\n\n{ANSWER}"
    said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": thought}]
    for row in ({"question": QUESTION, "answer": thought}, {"messages": said}):
        assert words(read("a.jsonl", dumped(row))) == [(QUESTION, ANSWER)]


def test_unknown_columns_can_be_named():
    rows = dumped(*[{"甲": QUESTION, "乙": ANSWER}] * 3)
    with pytest.raises(
        UserError, match=r"has the columns 甲, 乙, from which no record.*--columns question=问.*question: "
    ):
        read("a.jsonl", rows)
    asked = parse_columns("question=甲, answer=乙")
    assert words(read("a.jsonl", rows, columns=asked)) == [(QUESTION, ANSWER)] * 3
    assert words(read("a.csv", f"甲,乙,answer\n{QUESTION},{ANSWER},x\n", columns=asked)) == [(QUESTION, ANSWER)]
    for wrong in ("question", "frage=甲", "question="):
        with pytest.raises(UserError, match="is not role=column"):
            parse_columns(wrong)


def test_a_question_without_answer_is_not_guessed():
    with pytest.raises(UserError, match="--columns"):
        read("a.jsonl", dumped({"问题": QUESTION, "内容": TEXT}))


def test_columns_that_are_not_used_are_told():
    said = look("a.jsonl", dumped({"question": QUESTION, "answer": ANSWER, "score": 0.5, "url": "x"}))
    assert (said.columns, said.unused) == ({"question": ["question"], "answer": ["answer"]}, ("score", "url"))


# --- several turns -----------------------------------------------------------------------------------------------


def talk(*turns: str, **more: object) -> str:
    said = [{"role": "user" if n % 2 == 0 else "assistant", "content": turn} for n, turn in enumerate(turns)]
    return dumped({"messages": said, **more})


def test_a_conversation_is_one_record_with_turns():
    (one,) = read("a.jsonl", talk("咳嗽怎么办？", "多喝水。", "要吃药吗？", "先不用。", "那饮食呢？", "清淡些。"))
    assert (one.question, one.answer) == ("咳嗽怎么办？", "多喝水。")
    assert one.turns == (
        Turn(ASKER, "要吃药吗？"), Turn(DOCTOR, "先不用。"), Turn(ASKER, "那饮食呢？"), Turn(DOCTOR, "清淡些。"),
    )  # fmt: skip
    (single,) = read("a.jsonl", talk("咳嗽怎么办？", "多喝水。"))
    assert single.turns == ()


def test_a_long_conversation_is_cut_and_counted():
    turns = [f"第{n}句话，说得很长很长。" for n in range(200)]
    (one,) = read("a.jsonl", talk(*turns))
    assert (len(one.turns), one.turns[-1].role) == (MAX_TURNS, DOCTOR)
    notes = look("a.jsonl", talk(*turns)).notes
    assert notes == {f"turns after the first {MAX_TURNS} that follow an answer, left out": 98}
    assert read("a.jsonl", talk(*["长" * (MAX_CELL_LENGTH // 4)] * 6)) == [Miss(TOO_LONG)]


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case["name"])
def test_messages_out_of_order_have_a_rule(case):
    text = dumped({"messages": case["messages"]})
    (found,) = read("a.jsonl", text)
    said = found if isinstance(found, Miss) else [found.question, found.answer, *(turn.text for turn in found.turns)]
    assert said == (Miss(case["miss"]) if "miss" in case else case["want"])
    assert look("a.jsonl", text).notes == case.get("notes", {})
    if isinstance(said, list):
        assert [turn.role for turn in found.turns] == [ASKER, DOCTOR] * (len(found.turns) // 2)


def test_unpaired_messages_are_counted():
    rows = [
        {"role": "system", "content": "你是医生。"},
        {"role": "assistant", "content": "您好。"},
        {"role": "user", "content": "咳嗽。"},
        {"role": "user", "content": [{"type": "text", "text": "三天了。"}, {"type": "image_url", "image_url": "x"}]},
        {"role": "assistant", "content": "多喝水。"},
        {"role": "user", "content": "谢谢。"},
    ]
    said = look("a.jsonl", dumped({"messages": rows}))
    assert said.notes == {
        "messages of a system or a tool, left out": 1,
        "answers before any question, left out": 1,
        "parts of messages that are no text, left out": 1,
        "last questions without an answer, left out": 1,
        "messages of one side on end, joined": 1,
    }
    assert words(read("a.jsonl", dumped({"messages": rows}))) == [("咳嗽。\n三天了。", "多喝水。")]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages"),
        ("咳嗽", "no messages"),
        ([{"role": "user", "content": "咳嗽"}], "no answer"),
        ([{"role": "assistant", "content": "多喝水"}], "no question"),
        (
            [{"role": "邻居", "content": "咳嗽"}, {"role": "assistant", "content": "多喝水"}],
            "messages of an unknown role",
        ),
        (["咳嗽", 5], "messages that are no messages"),
        ([{"role": "user", "content": {"a": 1}}, {"role": "assistant", "content": None}], "no question"),
    ],
)
def test_a_conversation_without_exchange_is_a_miss(messages, reason):
    assert words(read("a.jsonl", dumped({"messages": messages}))) == [reason]


def test_a_history_stands_before_its_instruction():
    row = {"instruction": "要吃药吗？", "input": "", "output": "先不用。", "history": [["咳嗽怎么办？", "多喝水。"]]}
    (one,) = read("a.jsonl", dumped(row))
    assert (one.question, one.answer) == ("咳嗽怎么办？", "多喝水。")
    assert one.turns == (Turn(ASKER, "要吃药吗？"), Turn(DOCTOR, "先不用。"))


# --- hostile text ------------------------------------------------------------------------------------------------

GOOD = {"question": QUESTION, "answer": ANSWER}


def test_a_broken_json_line_costs_only_itself():
    body = f'{dumped(GOOD)}\n{{"question": "咳\n[1, 2]\n{"[" * 100_000}\n{{"question": {"1" * 5_000}}}\n{dumped(GOOD)}'
    assert words(read("a.jsonl", body)) == [
        (QUESTION, ANSWER), "not JSON", "no JSON object", "not JSON", "not JSON", (QUESTION, ANSWER),
    ]  # fmt: skip
    with pytest.raises(UserError, match="is not JSONL"):
        read("a.jsonl", "咳嗽\n发热\n")


@pytest.mark.parametrize(
    "broken", ['{"question": "咳"', '{"question": "咳}', '{"question": 咳}', '{"question": {"a": [}}', '"咳"', "{]}"]
)
def test_a_broken_array_member_costs_only_itself(broken):
    row = dumped(GOOD)
    found = words(read("a.json", f"[{row},\n{broken},\n{row},\n{row}]"))
    assert found.count((QUESTION, ANSWER)) == 3
    assert len(found) >= 4


@pytest.mark.parametrize(
    "body",
    [
        "[{0}, {0}]", "{0}\n{0}\n", "[\n  {0},\n  {0}\n]\n", '{{"version": "1", "data": [{0}, {0}]}}',
        '{{"train": [{0}, {0}]}}', "[[{0}], [{0}]]",
    ],
)  # fmt: skip
def test_json_whole_in_lines_and_wrapped(body):
    assert words(read("a.json", body.format(dumped(GOOD)))) == [(QUESTION, ANSWER)] * 2


def test_an_array_is_streamed_and_not_held(monkeypatch):
    asked = []

    class Counting(io.StringIO):
        def read(self, size: int = -1) -> str:
            asked.append(size)
            return super().read(size)

    row = dumped(GOOD)
    first = next(tables.read_text_rows(".json", Counting(f"[{','.join([row] * 100_000)}]")))
    assert (first, sum(asked) < 200_000, min(asked) > 0) == (GOOD, True, True)


def test_an_oversized_cell_or_row_is_a_miss(monkeypatch):
    for module in (lines, tables):
        monkeypatch.setattr(module, "MAX_CELL_LENGTH", 10_000)
    monkeypatch.setattr("chimed.extraction.corpus_files.rows.MAX_CELL_LENGTH", 10_000)
    long = {"question": QUESTION, "answer": "长" * 20_000}
    good = dumped(GOOD)
    assert words(read("a.jsonl", f"{good}\n{dumped(long)}\n{good}")) == [
        (QUESTION, ANSWER), lines.TOO_LONG, (QUESTION, ANSWER),
    ]  # fmt: skip
    found = words(read("a.json", f"[{good}, {dumped(long)}, {good}]"))
    assert (found[0], found[-1]) == ((QUESTION, ANSWER), (QUESTION, ANSWER))
    assert set(found[1:-1]) <= {lines.TOO_LONG, "not JSON"}
    assert len(found) >= 3
    csv = f"question,answer\n{QUESTION},{ANSWER}\n{QUESTION},{'长' * 20_000}\n{QUESTION},{ANSWER}\n"
    assert words(read("a.csv", csv)) == [(QUESTION, ANSWER), lines.TOO_LONG, (QUESTION, ANSWER)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([GOOD, long]), sink)
    assert words(read("a.parquet", sink.getvalue())) == [(QUESTION, ANSWER), lines.TOO_LONG]


def test_surrogates_and_nuls_are_removed_and_counted():
    body = '{"question": "咳嗽\\ud800三天？", "answer": "多喝\\u0000水。\\ud83d\\ude00", "\\udc00": 1}'
    assert words(read("a.jsonl", body)) == [("咳嗽三天？", "多喝水。😀")]
    said = look("a.jsonl", body)
    assert said.notes == {"halves of characters (lone surrogates), taken out": 1, "NUL characters, taken out": 1}
    json.dumps(said.as_json(), ensure_ascii=False).encode()
    assert words(read("a.csv", "question,answer\n咳\0嗽？,多喝水。\n")) == [("咳嗽？", "多喝水。")]


def test_a_stray_quote_costs_one_row():
    stray = f'question,answer\n"咳嗽，{QUESTION},{ANSWER}\n' + f"{QUESTION},{ANSWER}\n" * 5
    assert words(read("a.csv", stray)).count((QUESTION, ANSWER)) == 5
    whole = f'question,answer\n他说"{QUESTION}",{ANSWER}\n"一行\n两行？","{ANSWER}"\n'
    assert words(read("a.csv", whole)) == [(f'他说"{QUESTION}"', ANSWER), ("一行\n两行？", ANSWER)]
    tabs = f'question\tanswer\n"{QUESTION}\t{ANSWER}\n{QUESTION}\t{ANSWER}\n'
    assert words(read("a.tsv", tabs)) == [(f'"{QUESTION}', ANSWER), (QUESTION, ANSWER)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_and_mixed(end):
    assert (
        words(read("a.csv", f"question,answer{end}{QUESTION},{ANSWER}\r\n{QUESTION},{ANSWER}\n"))
        == [(QUESTION, ANSWER)] * 2
    )
    assert words(read("a.jsonl", f"{dumped(GOOD)}{end}{end}{dumped(GOOD)}\r\n")) == [(QUESTION, ANSWER)] * 2


def test_surplus_cells_are_a_miss():
    assert words(read("a.csv", f"question,answer\n{QUESTION},{ANSWER},多的\n{QUESTION}\n{QUESTION},{ANSWER},,\n")) == [
        tables.TOO_MANY_CELLS, "no answer", (QUESTION, ANSWER),
    ]  # fmt: skip


def test_semicolons_and_tabs_part_a_csv_too():
    for sign in ";\t|":
        assert words(read("a.csv", f"question{sign}answer\n{QUESTION}{sign}{ANSWER}\n")) == [(QUESTION, ANSWER)]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.md"])
@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_one_sentence(name, body):
    with pytest.raises(UserError, match="is empty: it has no row and no text"):
        read(name, body)


# --- parquet and Arrow -------------------------------------------------------------------------------------------


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrow(table: pa.Table, make: object = pa.ipc.new_stream) -> bytes:
    sink = io.BytesIO()
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_parquet_and_arrow_with_nested_columns():
    said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    nested = pa.Table.from_pylist([{"messages": said, "meta": {"a": [1]}, "picture": b"\xff"}])
    for body, name in (
        (parquet(nested), "a.parquet"),
        (arrow(nested), "a.arrow"),
        (arrow(nested, pa.ipc.new_file), "a.arrow"),
    ):
        assert words(read(name, body)) == [(QUESTION, ANSWER)]
    flat = parquet(
        pa.Table.from_pylist(
            [GOOD, {"question": QUESTION, "answer": None}, {"question": {"a": 1}["a"] and "x", "answer": ANSWER}]
        )
    )
    assert words(read("a.parquet", flat))[:2] == [(QUESTION, ANSWER), "no answer"]


def test_a_nested_value_is_counted():
    table = pa.Table.from_pylist([{"question": {"zh": QUESTION}, "answer": ANSWER}])
    assert words(read("a.parquet", parquet(table))) == ["no question"]
    assert look("a.parquet", parquet(table)).notes == {"nested values of question, left out": 1}


def test_a_non_utf8_string_costs_one_row():
    strings = pa.array([b"\xff\xfe", QUESTION.encode()], pa.binary()).view(pa.string())
    table = pa.table({"question": strings, "answer": pa.array([ANSWER, ANSWER])})
    assert words(read("a.parquet", parquet(table))) == ["not UTF-8", (QUESTION, ANSWER)]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("body", [b"", b"PAR1", b"ARROW1", b"\0" * 100, b"question,answer\n"])
def test_what_is_no_parquet_is_one_sentence(name, body):
    with pytest.raises(UserError, match=r"damaged|has no row"):
        read(name, body)


# --- what people's own files look like ---------------------------------------------------------------------------

PAIR = [(QUESTION, ANSWER)]


@pytest.mark.parametrize("sep", [";", ",", "\t", "|"])
@pytest.mark.parametrize("first", ["sep={}\r\n", "\ufeffSEP={}\n", '"sep={}"\n'])
def test_the_line_in_which_excel_says_its_delimiter(first, sep):
    body = first.format(sep) + f"question{sep}answer\n{QUESTION}{sep}{ANSWER}\n"
    assert words(read("a.csv", body)) == PAIR
    assert words(read("a.csv", body.encode("utf-16"))) == PAIR


def test_columns_of_one_name_are_all_kept():
    body = f"question,answer,answer,title,title\n{QUESTION},{ANSWER},多休息。,,咳嗽\n{QUESTION},,{ANSWER},,\n"
    assert words(read("a.csv", body)) == [(QUESTION, ANSWER), (QUESTION, "多休息。"), (QUESTION, ANSWER)]


@pytest.mark.parametrize(
    "value",
    [
        {"question": [QUESTION, "头痛呢？"], "answer": [ANSWER, "多休息。"]},
        {"question": {"0": QUESTION, "1": "头痛呢？"}, "answer": {"0": ANSWER, "1": "多休息。"}},
        {"0": {"question": QUESTION, "answer": ANSWER}, "1": {"question": "头痛呢？", "answer": "多休息。"}},
        {"甲": {"问题": QUESTION, "回答": ANSWER, "科室": "内科"}, "乙": {"问题": "头痛呢？", "回答": "多休息。"}},
        {"id": [1, 2], "question": [QUESTION, "头痛呢？"], "answer": [ANSWER, "多休息。"]},
    ],
    ids=["a list a column", "a dict a column", "a dict a row", "rows of several forms", "with numbers"],
)
def test_a_one_object_table_is_turned(value):
    body = json.dumps(value, ensure_ascii=False, indent=1)
    assert words(read("a.json", body)) == [(QUESTION, ANSWER), ("头痛呢？", "多休息。")]


def test_one_object_that_is_a_row_is_one():
    assert words(read("a.json", dumped({"question": [QUESTION, "咳嗽呢？"], "answer": [ANSWER]}))) == PAIR
    assert words(read("a.json", talk(QUESTION, ANSWER))) == PAIR
    two = {"question": [QUESTION, "咳嗽呢？"], "answer": [ANSWER, "多休息。"]}
    assert len(read("a.json", dumped(two, two))) == 4  # wordings and answers, as a row of JSON lines has them


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"id": 1, "qa": {"question": QUESTION, "answer": ANSWER}}, "qa.question"),
        ({"data": {"qa": {"question": QUESTION, "answer": ANSWER}}, "meta": {"from": "甲"}}, "data.qa.question"),
        ({"asked": {"by": "甲", "question": QUESTION}, "reply": {"answer": ANSWER}}, "asked.question"),
    ],
)
def test_nested_columns_are_opened(row, names):
    assert words(read("a.jsonl", dumped(row))) == PAIR
    assert look("a.jsonl", dumped(row)).columns["question"] == [names]
    assert words(read("a.parquet", parquet(pa.Table.from_pylist([row])))) == PAIR


def test_a_nested_column_can_be_named():
    row = {"user": {"said": QUESTION}, "doctor": {"said": ANSWER}, "title": "咳嗽"}
    asked = {"question": "user.said", "answer": "doctor.said"}
    assert words(read("a.jsonl", dumped(row), columns=asked))[0][1] == ANSWER
    plain = {"question": QUESTION, "answer": ANSWER, "source.text": "别处的话。"}
    assert words(read("a.jsonl", dumped(plain))) == PAIR  # another's last part adds nothing to what is understood


@pytest.mark.parametrize(
    "said",
    [
        [QUESTION, ANSWER],
        [f"问：{QUESTION}", f"答：{ANSWER}"],
        [f"患者: {QUESTION}", f"医生: {ANSWER}"],
        [f"Human：{QUESTION}", f"Assistant：{ANSWER}"],
    ],
)
def test_what_is_said_in_turn_as_a_list(said):
    assert words(read("a.jsonl", dumped({"data": said}))) == PAIR
    assert words(read("a.jsonl", dumped({"conversations": said, "id": 5}))) == PAIR
    assert read("a.jsonl", dumped({"data": [*said, *said]}))[0].turns[1] == Turn(DOCTOR, ANSWER)
    assert words(read("a.jsonl", dumped({"data": "别的", "question": QUESTION, "answer": ANSWER}))) == PAIR


def test_pairs_in_a_list_are_exchanges():
    assert words(read("a.jsonl", dumped({"conversation": [[QUESTION, ANSWER]]}))) == PAIR


def test_text_is_told_from_pictures():
    table = pa.table({
        "question": pa.array([QUESTION.encode()]), "answer": pa.array([ANSWER.encode()], pa.large_binary()),
        "scan": pa.array([b"\x89PNG\xff"]),
    })  # fmt: skip
    assert words(read("a.parquet", parquet(table))) == PAIR
    assert look("a.parquet", parquet(table)).unused == ("scan",)
    with pytest.raises(UserError, match="has the columns scan"):
        read("a.parquet", parquet(table.select(["scan"])))


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="It has no column 問, which --columns names"):
        read("a.csv", f"foo,bar\n{QUESTION},{ANSWER}\n", columns={"question": "問", "answer": "bar"})
