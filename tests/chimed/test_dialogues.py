"""Conversations of the consultation sites from the page to the release, and out of it again."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from chimed import schema, turns
from chimed.build import order
from chimed.build.builds import new_build, read_dropped, read_stage
from chimed.build.context import StageContext
from chimed.build.ledger import read_ledger
from chimed.build.options import Options, without_models
from chimed.operations.audit import run_audit
from chimed.pipeline.dropped import Search, find_dropped
from chimed.pipeline.runner import run_stage
from chimed.pipeline.trace import print_trace
from chimed.release import browse
from chimed.release.purge import purge
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.roles import ASKER as U
from chimed.roles import DOCTOR as A
from chimed.settings import Settings
from chimed.sources.follow_ups import WORDS_LOST
from chimed.stages import decontaminate, dedup, screen
from chimed.stages.clean import run as clean
from chimed.stages.extract import choose_turns
from chimed.storage import lake as lakes
from chimed.storage import store as stores
from chimed.storage import warc
from support.samples import judged, qa, rows

EXAMS = str(Path(__file__).parent / "stages" / "exams")
LONG = "先测三天早晚血压并记下来，每次坐着休息五分钟再量，少吃盐，按时吃药，头晕加重就去医院。"


def said(*parts: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "text": text} for role, text in parts]


GOES_ON = [(U, "降压药早上吃还是晚上吃？"), (U, "漏了一次要补吗？"), (A, "早上空腹吃。"), (A, "漏了不要加倍补。")]
THANKS = [(U, "谢谢医生"), (A, "不客气。")]
CONVERSATIONS = {  # by page: question, answer, turns
    "10": ("血压150怎么办，四十岁男性，最近总是头晕。", LONG, [*GOES_ON, *THANKS, (U, "能喝茶吗？")]),
    "11": ("孩子咳嗽五天有痰怎么办，夜里咳得厉害。", "可能是支气管炎，多喝温水，三天不好要听诊拍片。", THANKS),
    "12": ("膝盖下楼疼痛三个月，能爬山吗？", "多为髌骨软化，暂时不要爬山，每天直腿抬高三组每组二十次。", []),
    "13": ("胃胀反酸两周，空腹时明显，怎么调理？", "先规律三餐，睡前三小时不吃东西，必要时做胃镜检查。",
           [(U, "我叫欧阳建国，手机13912345678，能加您吗？"), (A, "请到门诊找我，带上以前的检查单。")]),
    "14": ("体检说贫血，平时容易疲劳和心慌怎么办？", "查血常规和铁蛋白，多吃红肉和动物肝脏，按医嘱补铁。",
           [(U, "缺铁性贫血患者服用铁剂后最早出现的变化是？"
                "A.网织红细胞升高 B.血红蛋白升高 C.血清铁升高 D.红细胞体积增大"),
            (A, "网织红细胞最早升高，大约一周。")]),
}  # fmt: skip


def page(question: str, answer: str, parts) -> str:
    label = {U: '<div class="b_ansaddti">追问</div>', A: '<div class="b_docaddti">柯思齐回复</div>'}
    box = "".join(f'<div class="b_ansaddli">{label[role]}<p>{text}</p></div>' for role, text in parts)
    return (
        f'<h1 id="d_askH1">{question}</h1><div id="d_msCon"><p class="crazy_new">{question}</p></div>'
        '<div class="b_answerli"><div class="b_acceptcont clears"><div class="b_anscontc"><div class="b_anscont_cont">'
        f'<div class="crazy_new"><p>{answer}</p></div></div></div>'
        f'<div class="b_ansaddbox">{box}</div></div></div>'
    )


def url(number: str) -> str:
    return f"https://www.120ask.com/question/{number}.htm"


@pytest.fixture
def work(tmp_path) -> StageContext:
    """A finished crawl of the conversations."""
    settings = Settings(data=str(tmp_path / "lake"), store=f"sqlite:///{tmp_path}/store.db", exams=EXAMS)
    lake = lakes.open_lake(settings.data)
    archive = warc.open_archive(lake, "raw/ask120/c1")
    for number, one in CONVERSATIONS.items():
        head = [("Content-Type", "text/html; charset=utf-8")]
        asked = f"GET /question/{number}.htm HTTP/1.1"
        warc.write_exchange(
            archive, warc.Exchange(url(number), asked, [], 200, "OK", head, page(*one).encode()), "detail"
        )
    warc.close_archive(archive)
    lakes.write_json(lake, "raw/ask120/c1/report.json", {"pages": warc.write_index(lake, "raw/ask120/c1")})
    return StageContext("", Options(), lake, stores.open_store(settings.store), settings, lambda _: None)


def built(work: StageContext, last: str = "release", **options: object) -> StageContext:
    chosen = without_models(options, EXAMS)
    work = replace(work, build=new_build(work.lake, chosen), options=Options(**chosen))
    for name in order.NAMES[: order.NAMES.index(last) + 1]:
        run_stage(work, name)
    return work


def by_page(records: pl.DataFrame) -> dict[str, dict]:
    return {row["url"].rpartition("/")[2].removesuffix(".htm"): row for row in records.to_dicts()}


@pytest.mark.slow
def test_conversations_from_page_to_release(work, capsys):
    made = built(work, last="decontaminate")
    first = by_page(read_stage(made.lake, made.build, "extract"))
    assert first["10"]["turns"] == said(*GOES_ON, *THANKS)  # nobody answered the last question
    figures = {one["stage"]: one["figures"][0] for one in read_ledger(made.lake, made.build)}
    assert figures["extract"] == {"conversations": 4, "turns": 12, "unanswered": 1, "cut": 0}
    assert figures["clean"]["turns_emptied"] == 4
    cleaned = by_page(read_stage(made.lake, made.build, "clean"))
    assert cleaned["10"]["turns"] == said(*GOES_ON)
    assert cleaned["11"]["turns"] is None
    assert cleaned["13"]["identifiers"][0].startswith("person's name turns.0[")
    left = by_page(read_dropped(made.lake, made.build, "screen"))
    assert left["13"]["reason"].startswith(("identifier: ", "name: "))
    assert "turns.0[" in left["13"]["detail"]
    assert by_page(read_dropped(made.lake, made.build, "decontaminate"))["14"]["reason"] == "exam question"
    found = find_dropped(made.lake, Search(build=made.build, words="欧阳建国")).rows
    assert [name for name, _ in found[0]["said"]][-2:] == ["follow-up question", "follow-up answer"]
    print_trace(made.lake, made.store, made.build, cleaned["10"]["id"])
    assert "follow-up answer: 漏了不要加倍补。" in capsys.readouterr().out


@pytest.mark.slow
def test_a_released_conversation_and_its_takedown(work):
    made = built(work)
    version = made.build
    kept = by_page(read_stage(made.lake, version, "decontaminate"))
    row = browse.row(made.lake, version, kept["10"]["id"])
    assert [(one["role"], one["content"]) for one in row["messages"]] == [
        (U, kept["10"]["question"]),
        (A, LONG),
        (U, "降压药早上吃还是晚上吃？\n漏了一次要补吗？"),
        (A, "早上空腹吃。\n漏了不要加倍补。"),
    ]
    assert [what for what, _ in row["said"]] == ["question", "answer", "follow-up question", "follow-up answer"]
    numbers = lakes.read_json(made.lake, f"releases/{version}/statistics.json")
    assert numbers["conversations"] == [{"source": "ask120", "rows": 3, "longer": 1, "answers": 2, "most": 2}]
    assert "## Conversations" in lakes.read_bytes(made.lake, f"releases/{version}/README.md").decode()
    assert not verify(made.lake, version)

    held = take_down(made.lake, made.store, url("10"), "asked for", rewrite=True)
    patch = held["releases"][version]
    assert browse.row(made.lake, patch, kept["10"]["id"]) is None
    purge(made.lake, made.store, url("10"), "asked for")
    for path in Path(made.lake.root).rglob("*.parquet"):
        assert "漏了不要加倍补" not in str(pl.read_parquet(path).to_dicts()), path
    assert not run_audit(made.lake, version).faults


def test_conversations_that_end_early_are_counted(work):
    lost = [
        (U, "几点吃？"),
        (A, "8:00"),
        (U, "孕期能吃吗？"),
        (A, '<audio src="1.mp3"></audio>'),
        (U, "哺乳呢？"),
        (A, "可以。"),
    ]
    pages = {"1": lost, "2": [(U, '<img src="1.jpg">'), (A, "这是湿疹。")], "3": [(U, "几次？"), (A, "两次。")]}
    lake = work.lake
    archive = warc.open_archive(lake, "raw/ask120/c2")
    for number, parts in pages.items():
        head = [("Content-Type", "text/html; charset=utf-8")]
        body = page(f"第{number}种药怎么吃？", "看说明书。", parts).encode()
        exchange = warc.Exchange(url(number), f"GET /question/{number}.htm HTTP/1.1", [], 200, "OK", head, body)
        warc.write_exchange(archive, exchange, "detail")
    warc.close_archive(archive)
    lakes.write_json(lake, "raw/ask120/c2/report.json", {"pages": warc.write_index(lake, "raw/ask120/c2")})
    made = built(work, "extract")
    (figures,) = (one["figures"][0] for one in read_ledger(lake, made.build) if one["stage"] == "extract")
    assert figures["ended"] == {WORDS_LOST: 2}
    records = by_page(read_stage(lake, made.build, "extract"))
    assert records["1"]["turns"] == said((U, "几点吃？"), (A, "8:00"))
    assert records["2"]["turns"] is None


def test_first_turns_only_as_before(work):
    made = built(work, "extract", turns="first")
    records = read_stage(made.lake, made.build, "extract")
    assert records["turns"].null_count() == len(records) == len(CONVERSATIONS)
    before = [schema.record_id({**row, "turns": None}) for row in records.to_dicts()]
    assert records["id"].to_list() == before
    whole = by_page(read_stage(work.lake, built(work, "extract").build, "extract"))
    now = by_page(records)
    assert whole["12"]["id"] == now["12"]["id"]
    assert whole["10"]["id"] != now["10"]["id"]
    assert all(whole[n][name] == now[n][name] for n in now for name in ("question", "answer", "title"))


def test_a_table_without_turns_is_read(work, tmp_path):
    made = built(work, "clean")
    path = f"builds/{made.build}/clean/kept-00000.parquet"
    lakes.read_table(made.lake, path).drop("turns").write_parquet(made.lake.at("old.parquet"))
    (whole,) = lakes.read_batches(made.lake, "old.parquet", ["id", *schema.WORD_COLUMNS], schema.RECORD)
    assert whole.select(schema.words()).to_series().str.contains("坐着休息").sum() == 1


def test_redacted_turns_stay_in_place(work):
    row = qa(
        "胃胀两周怎么办？",
        "少量多餐。",
        turns=said((U, "我的手机13912345678"), (A, "请到门诊。"), (U, "好"), (A, "嗯")),
    )
    found = clean(rows(row), replace(work, options=Options(redact=True)))
    assert [turn["text"] for turn in found.kept["turns"][0]] == ["我的手机【已隐去】", "请到门诊。", "好", "嗯"]
    assert screen.rule_flags(found.kept) == {}


def test_the_safety_net_holds_in_turns(work):
    kept = "每次半片，一天2次，饭后吃；不要与西柚同吃。"
    row = qa("怎么吃？", "看说明书。", turns=said((U, "<b>详细</b>点"), (A, f"{kept}希望能帮到您，祝您早日康复！")))
    found = clean(rows(row), work)
    assert [turn["text"] for turn in found.kept["turns"][0]] == ["详细点", kept]
    assert {1} == set(found.figures["rules"].values())
    assert len(found.figures["rules"]) == 2


LEAVES = "祝您早日康复！"  # nothing is left of it
SHORTENED = {  # turns, and what is left of them
    "thanks and its answer": ([(U, "谢谢医生"), (A, "不客气。"), (U, "能喝茶吗？"), (A, "能。")], "能喝茶吗？|能。"),
    "thanks between two answers": (
        [(U, "几天？"), (A, "三天。"), (U, "谢谢医生"), (A, "要复查。")], "几天？|三天。|要复查。"),
    "an empty answer between two questions": ([(U, "几天？"), (A, LEAVES), (U, "能喝茶吗？"), (A, "能。")], ""),
    "an empty answer after a round": (
        [(U, "几天？"), (A, "三天。"), (U, "茶呢？"), (A, LEAVES), (U, "喝酒呢？"), (A, "不能。")], "几天？|三天。"),
    "two empty answers": ([(U, "几天？"), (A, LEAVES), (A, LEAVES), (U, "能喝茶吗？"), (A, "能。")], ""),
    "an empty answer and another": (
        [(U, "几天？"), (A, LEAVES), (A, "三天。"), (U, "茶呢？"), (A, "能。")], "几天？|三天。|茶呢？|能。"),
    "an empty addition": ([(A, LEAVES), (U, "几天？"), (A, "三天。")], "几天？|三天。"),
    "two questions, one of them thanks": (
        [(U, "谢谢医生"), (U, "几天？"), (A, LEAVES), (U, "茶呢？"), (A, "能。")], ""),
    "a link to a picture": (
        [(U, "几天？"), (A, "三天。"), (U, "http://img.example.com/a/1.jpg"), (A, "这是荨麻疹。")], "几天？|三天。"),
    "a tag of a picture": ([(U, '<img src="1.jpg">'), (A, "这是荨麻疹。")], ""),
    "a link of the doctor's": ([(U, "几天？"), (A, "http://www.example.com/a.html"), (U, "茶呢？"), (A, "能。")], ""),
}  # fmt: skip


def test_no_answer_serves_two_questions(work):
    table = rows(*(qa(f"{name}怎么吃？", "看说明书。", turns=said(*parts)) for name, (parts, _) in SHORTENED.items()))
    found = clean(table, work)
    left = ["|".join(turn["text"] for turn in turns or ()) for turns in found.kept["turns"].to_list()]
    assert dict(zip(SHORTENED, left, strict=True)) == {name: want for name, (_, want) in SHORTENED.items()}
    assert found.figures["conversations_ended"] == 7
    again = clean(found.kept, work)
    assert again.kept.equals(found.kept)
    assert again.figures["conversations_ended"] == 0


def test_gathered_turns_never_answer_another_question():
    kinds = [(role, text) for role in (U, A) for text in ("有", " ")]
    every = [[]]
    for _ in range(4):
        every += [[*one, kind] for one in every for kind in kinds if len(one) == len(every[-1])]
    numbered = [[(role, f"{n}" if text == "有" else "") for n, (role, text) in enumerate(one)] for one in every]
    table = rows(*(qa(f"第{n}问", "答", turns=said(*parts) or None) for n, parts in enumerate(numbered)))
    found = turns.gathered(table, turns.spread(table))
    for before, after in zip(numbered, found["turns"].to_list(), strict=True):
        kept = [int(turn["text"]) for turn in after or ()]
        for one, two in pairwise(kept):
            glued = before[one][0] == before[two][0] == U and any(role == A for role, _ in before[one:two])
            assert not glued, (before, kept)


def test_a_mostly_damaged_turn_drops_its_record(work):
    bad = "血压高要少吃盐，按时吃药，定期复查肾功能和血钾。".encode().decode("gb18030", errors="replace")
    row = qa("怎么吃？", "看说明书。", turns=said((U, "再说一遍"), (A, bad)))
    assert clean(rows(row), work).dropped["reason"].to_list() == ["mojibake"]


def test_dedup_compares_all_words(work):
    here = replace(work, build="2026.11.22")
    first = {"question": "血压150怎么办，四十岁男性，最近总是头晕。", "answer": LONG}

    def one(number: str, *parts: tuple[str, str]) -> dict:
        return qa(**first, url=url(number), page=f"raw/ask120/c1/a.warc.gz#{number}", turns=said(*parts) or None)

    copies = [one(n, (U, "能喝茶吗？"), (A, f"可以喝淡茶{end}")) for n, end in (("1", "。"), ("2", "！"))]
    assert len(judged(dedup, rows(*copies), here).kept) == 1
    doses = [one(n, (U, "吃几片？"), (A, f"每天{dose}片。")) for n, dose in (("3", 1), ("4", 3))]
    assert len(judged(dedup, rows(*doses), here).kept) == 2
    longer = [one("5"), one("6", (U, "能喝茶吗？"), (A, "可以喝淡茶，不要喝浓茶。"))]
    assert len(judged(dedup, rows(*longer), here).kept) == 2  # one says more: variants


def test_exam_questions_in_any_turn(work):
    exam = dict(zip(("q", "a", "turns"), CONVERSATIONS["14"], strict=True))
    row = qa(exam["q"], exam["a"], turns=said((U, "还有呢？"), (A, "多休息。"), *exam["turns"]))
    found = decontaminate.run(rows(row, qa("膝盖痛？", "热敷。")), work)
    assert found.dropped["reason"].to_list() == [decontaminate.REASON]
    assert len(found.kept) == 1


def test_messages_alternate_whatever_the_turns():
    kinds = [(U, "问"), (A, "答")]
    every = [[]]
    for _ in range(6):
        every += [[*one, kind] for one in every for kind in kinds if len(one) == len(every[-1])]
    table = rows(*(qa(f"第{n}问", "答", turns=said(*parts) or None) for n, parts in enumerate(every)))
    made = table.with_columns(turns.messages(table))
    assert made.select(turns.alternates().all()).item()
    spoken = made.select(pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("")).to_series()
    ends = table.select(turns.end_with_answer(pl.col("turns")).list.len()).to_series().fill_null(0)
    assert (spoken.str.replace_all("\n", "").str.count_matches("[问答]") == ends + 2).all()
    assert turns.count_unanswered(table) == sum(len(parts) for parts in every) - int(ends.sum())


def test_the_first_turns_of_a_corpus_keep_a_keyed_id():
    spoken = [{"role": "user", "text": "要吃药吗？"}, {"role": "assistant", "text": "先不用。"}]
    table = rows(
        qa("咳嗽怎么办？", "多喝水。", url="corpus:mine/1", turns=spoken),
        qa("发烧怎么办？", "多喝水。", url="https://ask.39.net/question/1.html", turns=spoken),
    )
    found, figures = choose_turns(table, "first", b"key")
    plain = [schema.record_id(row) for row in found.to_dicts()]
    assert found["turns"].null_count() == 2
    assert found["id"].to_list() == [schema.keyed_hash(b"key", plain[0]), plain[1]]
    assert figures["turns"] == 0
    assert choose_turns(table, "all", b"key")[0].equals(table)
