"""generate_qa with `hops: 2`: questions over two rows in different parts, what becomes of each, and of either row."""

import dataclasses
import json
import re

import polars as pl
import pytest

from chimed.build import order
from chimed.build.builds import read_dropped, read_stage
from chimed.build.ledger import LedgerError
from chimed.pipeline import steps
from chimed.pipeline.estimate import estimate_build
from chimed.pipeline.runner import run_stage
from chimed.pipeline.trace import trace_record
from chimed.release import folder_of, releases, write
from chimed.release.purge import purge
from chimed.release.rows import is_validation, tables_of
from chimed.release.sorting import of_tables
from chimed.release.tables import rows_in
from chimed.release.takedown import OF_FILES, take_down
from chimed.release.write import write_release
from chimed.schema import RECORD, derived
from chimed.settings import PROJECT
from chimed.stages import generate_qa_points, reason
from chimed.storage import lake as lakes
from chimed.storage.takedowns import parse_targets, readable
from support.samples import document, prepared, rows
from support.two_steps import FORMULAS, HERBS

MAHUANG_URL = "http://www.zhongyoo.com/name/mahuang_1.html"
HERB_URL, FORMULA_URL = "http://www.zhongyoo.com/name/fuzi_3.html", "http://www.zhongyoo.com/fangji/sini_5.html"

URLS = {"麻黄": MAHUANG_URL, "附子": HERB_URL, "四逆汤": FORMULA_URL}


@pytest.fixture
def asked(work, served):
    """A build that asks over two steps, without a second opinion."""
    served.answer = worded
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    return dataclasses.replace(work, settings=where, options=work.options.model_copy(update={"hops": 2}))


def worded(body: dict) -> str:
    """What a generator says: of two steps the question and answer as given, of one document its effects."""
    said = body["messages"][-1]["content"]
    if "要考的内容" not in said:
        match = re.search(r"【(?:中药|方剂)名】(.+?)\n.*【功效】(.+?)。", said, re.DOTALL)
        return f"问题：{match[1]}有什么功效？答案：{match[2]}。" if match else "否"
    question, answer = re.findall(r"<文本>\n(.*?)\n</文本>", said, re.DOTALL)[2:]
    return f"问题：{question}答案：{answer}"


def trained_on(name: str) -> str:
    """An address on the training side of a release's split."""
    return next(url for n in range(99) if not is_validation(url := f"http://a/{name}/{n}"))


def corpus() -> pl.DataFrame:
    """The herbs first and the formulas last, so that they lie in different parts."""
    herbs = [
        document(text, title=name, url=URLS.get(name) or trained_on(name), page=f"raw/a/c/{name}#0")
        for name, text in HERBS.items()
    ]
    fillers = [document(f"这一段讲的是养生的道理，共有{n}句。", title="养生", url=f"http://b/{n}") for n in range(4)]
    formulas = [
        document(
            text, title=name, url=FORMULA_URL if name == "四逆汤" else f"http://a/{name}", page=f"raw/a/f/{name}#0"
        )
        for name, text in FORMULAS.items()
    ]
    return rows(*herbs, *fillers, *formulas)


def two_step_rows(work) -> pl.DataFrame:
    return read_stage(work.lake, work.build, "generate_qa").filter(pl.col("also_from").is_not_null())


def test_rows_of_different_parts_make_questions(asked, served):
    table = corpus()
    prepared("generate_qa", table, asked, parts=3)
    reports = run_stage(asked, "generate_qa")
    told = [report["figures"]["two_steps"] for report in reports]
    assert [one["made"] for one in told] == [0, 0, 6]  # three of each formula, which all lie in the last part
    assert told[2] == {"allowed": 6, "asked": 6, "made": 6, "rejected": {}}
    made = two_step_rows(asked)
    texts = dict(table.select("id", "text").iter_rows())
    for row in made.to_dicts():
        (other,) = row["also_from"]
        herb = next(name for name, text in HERBS.items() if text == texts[other["id"]])
        assert herb in row["answer"]
        assert herb not in row["question"].replace(row["title"], "")
        assert [herb in texts[row["parent"]][span["start"] : span["end"]] for span in row["evidence"]] == [True]
        shown = [texts[other["id"]][span["start"] : span["end"]] for span in other["evidence"]]
        assert shown
        assert all(len(words) > 1 for words in shown)
        assert row["prompt"].startswith("two_steps@")
    assert not lakes.exists(asked.lake, f"steps/{asked.build}")  # the steps' files went when all parts were done


def test_with_one_hop_a_build_is_as_before(asked, served):
    table = corpus()
    one = dataclasses.replace(asked, options=asked.options.model_copy(update={"hops": 1}))
    prepared("generate_qa", table, one, parts=3)
    figures = [report["figures"] for report in run_stage(one, "generate_qa")]
    assert all("two_steps" not in each and "llm_two_steps" not in each for each in figures)
    assert two_step_rows(one).is_empty()
    assert not any("要考的内容" in body["messages"][-1]["content"] for body in served.bodies)
    step = order.stage("generate_qa").steps[0]
    from chimed.build.steps import corpus_of

    assert steps.run_step(one, corpus_of(one, "generate_qa"), step, 0)["figures"] == {}  # a scheduler may ask for it
    assert not lakes.exists(one.lake, f"steps/{one.build}")


def test_an_older_build_without_the_column_runs(asked):
    """A table that was written before there was `also_from`, of a build that was opened before there were steps."""
    table = corpus()
    prepared("generate_qa", table, asked, parts=1)
    path = f"builds/{asked.build}/translate/kept-00000.parquet"
    schema = RECORD.remove(RECORD.get_field_index("also_from"))
    told = lakes.write_table(asked.lake, path, table.drop("also_from"), schema)
    report = lakes.read_json(asked.lake, path.replace("kept", "report").replace("parquet", "json"))
    lakes.write_json(
        asked.lake, f"builds/{asked.build}/translate/report-00000.json",
        report | {"written": {"kept-00000.parquet": told}},
    )  # fmt: skip
    one = dataclasses.replace(asked, options=asked.options.model_copy(update={"hops": 1}))
    assert run_stage(one, "generate_qa")[0]["kept"] == len(table)
    assert read_stage(one.lake, one.build, "generate_qa")["also_from"].is_null().all()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda q, a: (q, a.replace("附子", "干姜")), "answer does not name the herb"),
        (lambda q, a: (q.replace("四逆汤", "此方"), a), "question does not name the formula"),
        (lambda q, a: (f"附子与{q}", a), "question gives the herb away"),
        (lambda q, a: (q, f"{a}也能补血安神。"), "answer not in both documents"),
        (lambda q, a: ("怎么办", ""), "not 问题：…答案：…"),  # no pair at all: a failure
    ],
)
def test_what_fails_the_gate_is_counted(asked, served, wrong, reason):
    def answer(body: dict) -> str:
        said = worded(body)
        match = re.fullmatch(r"问题：(.+?)答案：(.+)", said, re.DOTALL)
        if "要考的内容" not in body["messages"][-1]["content"] or "四逆汤" not in said or not match:
            return said
        question, given = wrong(match[1], match[2])
        return f"问题：{question}答案：{given}"

    served.answer = answer
    prepared("generate_qa", corpus(), asked, parts=2)
    told = run_stage(asked, "generate_qa")[1]["figures"]["two_steps"]
    assert told["made"] == 3
    assert told["rejected"] == {reason: 3}
    left = read_dropped(asked.lake, asked.build, "generate_qa").filter(pl.col("also_from").is_not_null())
    assert set(left["reason"]) == {reason}
    assert set(left["url"]) == {FORMULA_URL}


def test_the_judge_reads_both_rows(asked, served):
    refused: list[str] = []

    def answer(body: dict) -> str:
        system, said = body["messages"][0]["content"], body["messages"][-1]["content"]
        if "校对员" in system and "四逆汤" in said:
            refused.append(said)
            return "否"
        return "是" if "校对员" in system or "没有读过任何文本" in system else worded(body)

    served.answer = answer
    both = dataclasses.replace(asked, options=asked.options.model_copy(update={"second_opinion": True}))
    prepared("generate_qa", corpus(), both, parts=2)
    told = run_stage(both, "generate_qa")[1]["figures"]["two_steps"]
    assert told["rejected"] == {"the document does not support the answer": 3}
    assert told["made"] == 3
    assert all("【组成】附子15克" in said and "【中药名】附子" in said for said in refused)
    assert {len(keys) for keys in two_step_rows(both)["replies"]} == {3}


def test_a_killed_step_is_taken_again_with_the_same_bytes(asked, monkeypatch):
    def tables() -> dict[str, bytes]:
        return {
            name: lakes.read_bytes(asked.lake, f"builds/{asked.build}/generate_qa/{name}")
            for name in lakes.names(asked.lake, f"builds/{asked.build}/generate_qa") if name.endswith(".parquet")
        }  # fmt: skip

    prepared("generate_qa", corpus(), asked, parts=3)
    run_stage(asked, "generate_qa")
    whole = tables()
    for killed in ("read_told", "write_groups"):  # while it reads, and when all is found
        prepared("generate_qa", corpus(), asked, parts=3)
        with monkeypatch.context() as patch:
            patch.setattr(generate_qa_points, killed, dies)
            with pytest.raises(KeyboardInterrupt):
                run_stage(asked, "generate_qa")
        assert not read_reports(asked)
        run_stage(asked, "generate_qa")
        assert tables() == whole


def dies(*_: object) -> None:
    raise KeyboardInterrupt


def read_reports(work) -> list[str]:
    folder = f"builds/{work.build}/generate_qa"
    return [name for name in lakes.names(work.lake, folder) if name.startswith("report-")]


def test_a_takedown_of_either_row_takes_the_question(asked):
    prepared("generate_qa", corpus(), asked, parts=3)
    run_stage(asked, "generate_qa")
    every = read_stage(asked.lake, asked.build, "generate_qa")
    named = pl.col("also_from").list.eval(pl.element().struct.field("url") == HERB_URL).list.any().fill_null(False)
    of_herb = every.filter(named)
    assert len(of_herb) == 3
    for target in (HERB_URL, FORMULA_URL):
        gone = every.filter(parse_targets([target]).rows())
        assert set(of_herb["id"]) <= set(gone["id"])
        rest = gone.filter(~pl.col("id").is_in(of_herb["id"].implode()))
        assert set(rest["url"]) == {target}  # the page's own rows, and no other question
    by_place = every.filter(parse_targets(["raw/a/c/附子#0"]).rows())
    assert set(of_herb["id"]) <= set(by_place["id"])
    assert len(every.filter(parse_targets(["zhongyoo"]).rows())) == len(every)
    older = every.drop("also_from")
    assert len(readable(older).filter(parse_targets([HERB_URL]).rows())) == 2


def released(work) -> pl.DataFrame:
    """The two-step rows of a build's newest release."""
    version = releases(work.lake)[-1]
    found = [rows.select("id", "also_from") for _, rows in rows_in(work.lake, folder_of(version))]
    return pl.concat(found).filter(pl.col("also_from").is_not_null())


def test_releases_and_purges_know_the_other_row(asked, monkeypatch):
    """A herb's page is taken down, then another one is purged: their questions leave release and build."""
    prepared("generate_qa", corpus(), asked, parts=1)
    run_stage(asked, "generate_qa")
    made = read_stage(asked.lake, asked.build, "generate_qa")
    monkeypatch.setattr(write, "figures", lambda *_: {})  # drawing them takes longest, and tells nothing here
    sample = PROJECT / "docs/sample/releases/2026.11.16/manifest.json"
    told = {
        name: value for name, value in json.loads(sample.read_text(encoding="utf-8")).items() if name not in OF_FILES
    }
    write_release(asked.lake, asked.build, of_tables(tables_of(made)), told, before=None)
    assert len(released(asked)) == 6
    done = take_down(asked.lake, asked.store, HERB_URL, "asked", rewrite=True)
    assert done["releases"] == {asked.build: f"{asked.build}.p1"}
    assert [place["rows"] for place in done["places"] if place["what"] == "build"]
    assert len(released(asked)) == 3
    purge(asked.lake, asked.store, MAHUANG_URL, "asked")
    assert len(released(asked)) == 2
    blanked = read_stage(asked.lake, asked.build, "generate_qa").filter(question="")
    assert MAHUANG_URL in {other["url"] for row in blanked["also_from"].drop_nulls() for other in row}


def test_children_and_releases_keep_the_other_row(asked):
    prepared("generate_qa", corpus(), asked, parts=2)
    run_stage(asked, "generate_qa")
    made = two_step_rows(asked).to_dicts()
    child = derived(made[0], kind="preference", rejected="没有。")
    assert [one["url"] for one in child["also_from"]] == [one["url"] for one in made[0]["also_from"]]
    assert child["also_from"][0]["evidence"] is None
    tables = tables_of(rows(*made, child))
    for name, count in (("sft", len(made)), ("preference", 1)):
        both = pl.concat([tables[f"{name}/train"], tables[f"{name}/validation"]])
        assert both["also_from"].is_not_null().sum() == count


def test_a_trace_shows_both_pages(asked):
    table = corpus()
    prepared("generate_qa", table, asked, parts=3)
    run_stage(asked, "generate_qa")
    (row, *_) = two_step_rows(asked).filter(url=FORMULA_URL).to_dicts()
    way = trace_record(asked.lake, asked.store, asked.build, row["id"])
    assert [one["url"] for one in way] == [FORMULA_URL, FORMULA_URL, HERB_URL]
    assert [one["title"] for one in way[1:]] == ["四逆汤", "附子"]
    assert way[0]["answers"][0]["text"].startswith("问题：")


def test_an_estimate_counts_them_and_asks_nothing(asked, served):
    prepared("generate_qa", corpus(), asked, parts=3)
    for stage in ("extract", "clean", "dedup", "perplexity", "filter", "screen", "department", "translate"):
        for n in range(3):
            path = f"builds/{asked.build}/{stage}"
            lakes.write_json(asked.lake, f"{path}/report-{n:05d}.json", {"parts": 1, "figures": {}})
            if not lakes.exists(asked.lake, f"{path}/kept-{n:05d}.parquet"):
                lakes.write_table(asked.lake, f"{path}/kept-{n:05d}.parquet", corpus().clear(), RECORD)
    both = dataclasses.replace(asked, options=asked.options.model_copy(update={"second_opinion": True}))
    told = estimate_build(both, rate=1000)
    planned = {
        one["prompt"].split("@")[0]: one["remain"] for one in told["stages"] if one["stage"] == "generate_qa"
    }  # fmt: skip
    assert planned["two_steps"] == 6
    assert planned["supports"] == planned["two_steps"] + planned["generate_qa"]
    assert served.bodies == []
    assert not lakes.exists(both.lake, f"steps/{both.build}")


def test_two_step_questions_get_no_reasoning(asked):
    prepared("generate_qa", corpus(), asked, parts=1)
    run_stage(asked, "generate_qa")
    every = read_stage(asked.lake, asked.build, "generate_qa")
    made = two_step_rows(asked)
    reasoned = {one.question for one in reason.grounded_questions(every, share=1.0)}
    assert len(made) == 6
    assert len(reasoned) == 7
    assert not reasoned & set(made["question"])


def test_spoilt_steps_are_an_error(asked):
    """A part whose points are of another table's rows is no silent loss."""
    prepared("generate_qa", corpus(), asked, parts=2)
    from chimed.build.steps import corpus_of

    found = corpus_of(asked, "generate_qa")
    for step in order.stage("generate_qa").steps:
        for number in range(found.tasks(step)):
            steps.run_step(asked, found, step, number)
    path = found.path("points", generate_qa_points.FILE)
    points = pl.DataFrame(lakes.read_table(asked.lake, path)).with_columns(formula_row=pl.lit("0" * 16))
    generate_qa_points.write_groups(asked.lake, path, [points, points], generate_qa_points.POINTS)
    with pytest.raises(LedgerError, match="steps/"):
        run_stage(asked, "generate_qa")


def test_no_page_is_on_both_sides_of_the_split(asked):
    held = next(url for n in range(999) if is_validation(url := f"http://a/{n}"))
    herb = pl.col("url") == HERB_URL
    table = corpus().with_columns(url=pl.when(herb).then(pl.lit(held)).otherwise("url"))
    prepared("generate_qa", table, asked, parts=2)
    run_stage(asked, "generate_qa")
    made = two_step_rows(asked)
    assert len(made) == 3  # 附子 is the answer to the other three of six
    assert held not in {other["url"] for row in made["also_from"] for other in row}
    assert not any(map(is_validation, made["url"]))
