"""Builds and their ledger: every row accounted for, a finished stage a no-op, mistakes named."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from chimed.build import builds, ledger, order, reports
from chimed.build.builds import new_build
from chimed.build.contract import ShardStage
from chimed.build.corpus import left, split
from chimed.build.ledger import (
    LedgerError,
    NothingLeft,
    Outcome,
    TooManyFailed,
    check_failures,
    check_ledger,
    count_outcome,
)
from chimed.build.options import Options
from chimed.errors import UserError
from chimed.pipeline.commands import build_options
from chimed.pipeline.runner import run_stage
from chimed.schema import RECORD, derived, dropped_table, left_rows, table
from chimed.settings import settings
from chimed.stages import clean
from chimed.storage import lake as lakes
from support.samples import document, rows

TEXTS = rows(document("甲" * 40), document("乙" * 40), document("丙" * 40))


def test_lost_doubled_or_strange_rows_fail_the_stage():
    check_ledger("clean", TEXTS, Outcome(TEXTS))
    with pytest.raises(LedgerError, match="read 3 rows, kept 2"):
        check_ledger("clean", TEXTS, Outcome(TEXTS.head(2)))
    with pytest.raises(LedgerError, match="were not read"):
        check_ledger("clean", TEXTS, Outcome(pl.concat([TEXTS.head(2), TEXTS.head(1)])))
    with pytest.raises(LedgerError, match="were not read"):
        check_ledger("clean", TEXTS, Outcome(pl.concat([TEXTS.head(2), rows(document("丁" * 40))])))


def test_a_derived_row_needs_a_kept_parent():
    child = derived(TEXTS.row(0, named=True), kind="qa", text=None, question="问", answer="答")
    check_ledger("generate_qa", TEXTS, Outcome(TEXTS, derived=table([child])))
    dropped = left_rows(TEXTS, {child["parent"]: ("perplexity", "")})
    with pytest.raises(LedgerError, match="no parent"):
        check_ledger("generate_qa", TEXTS, Outcome(TEXTS.tail(2), dropped, table([child])))


def test_too_many_failures_stop_the_stage():
    many = pl.concat([TEXTS.with_columns(id=pl.col("id") + str(n)) for n in range(3)])
    failed = left_rows(many, dict.fromkeys(many["id"], ("unparsed reply", "")), "failed")
    check_failures("screen", count_outcome(many, Outcome(many.tail(4), failed.head(5))))
    with pytest.raises(TooManyFailed, match="9 of 9 rows failed"):
        check_failures("screen", count_outcome(many, Outcome(many.clear(), failed)))
    flagged = left_rows(many, dict.fromkeys(many["id"], ("toxic", "")))
    with pytest.raises(NothingLeft, match="all 9 rows were dropped, 9 of them: toxic"):
        check_failures("screen", count_outcome(many, Outcome(many.clear(), flagged)))


def test_versions_are_calendar_days_and_inputs_are_fixed(work):
    with pytest.raises(UserError, match="nothing in the lake yet"):
        new_build(work.lake)
    lakes.write_json(work.lake, "raw/ask39/2026-11-16/report.json", {"pages": 3})
    lakes.write_json(work.lake, "raw/ask39/2026-11-23/report.part", {})  # not finished: no report
    first, second = new_build(work.lake), new_build(work.lake)
    assert second == f"{first}.1"
    assert builds.read_build(work.lake, "latest")["version"] == second
    assert builds.read_build(work.lake, first)["shards"] == [["ask39/2026-11-16"]]
    with pytest.raises(UserError, match="exists"):
        new_build(work.lake, version=first)


def test_each_run_gets_its_own_build(work):
    lakes.write_json(work.lake, "raw/ask39/2026-11-16/report.json", {"pages": 3})
    asked = [f"manual__{n % 8}" for n in range(16)]
    with ThreadPoolExecutor(8) as several:
        first = dict(zip(asked[:8], several.map(lambda run: new_build(work.lake, run=run), asked[:8]), strict=True))
    assert len(set(first.values())) == 8
    assert [new_build(work.lake, run=run) for run in asked[8:]] == list(first.values())
    assert lakes.files(work.lake, "builds") == sorted(f"{version}/build.json" for version in first.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"perplexity_cutt": 1}, "perplexity_cutt.*perplexity_cut"),
        ({"perplexity_cut": 2}, "less than 1"),
        ({"sources": ["baidu"]}, "unknown source 'baidu'; choose from: zydcd"),
        ({"skip": ["dedup"]}, "unknown stage to skip 'dedup'; choose from: perplexity, department"),
    ],
)
def test_a_bad_option_names_the_good_ones(options, said):
    with pytest.raises(UserError, match=said):
        builds.parse_options(options)


def _open(work, **told: object) -> None:
    """A build of one shard."""
    made = {
        "version": work.build,
        "shards": [["zhongyoo/1"]],
        "stages": order.stages_for_build_json(),
        "options": {},
    } | told
    lakes.write_json(work.lake, f"builds/{work.build}/build.json", made)


def _finished(work, stage: str, frame: pl.DataFrame, told: bool = True) -> None:
    """As if `stage` had run: its one part and its report."""
    if told:
        _open(work)
    folder = f"builds/{work.build}/{stage}"
    lakes.write_table(work.lake, f"{folder}/kept-00000.parquet", frame, RECORD)
    made = len(frame) if stage == "extract" else 0
    report = {"stage": stage, "parts": 1, "read": len(frame), "kept": len(frame), "derived": made, "seconds": 0.1,
              "dropped": {}, "failed": {}, "derived_dropped": {}, "figures": {}, "sources": {"read": {}},
              "shard": 0, "counts": []}  # fmt: skip
    lakes.write_json(work.lake, f"{folder}/report-00000.json", report)


def _contents(work, stage: str) -> dict[str, bytes]:
    """Every file of a stage."""
    folder = f"builds/{work.build}/{stage}"
    return {name: lakes.read_bytes(work.lake, f"{folder}/{name}") for name in lakes.names(work.lake, folder)}


def test_a_stage_runs_once_in_order(work):
    _open(work)
    with pytest.raises(UserError, match="dedup is not done"):
        run_stage(work, "perplexity")
    _finished(work, "extract", TEXTS)
    (report,) = run_stage(work, "clean")
    assert (report["read"], report["kept"]) == (3, 3)
    lakes.write_json(work.lake, f"builds/{work.build}/clean/report-00000.json", report | {"kept": "untouched"})
    assert run_stage(work, "clean")[0]["kept"] == "untouched"
    with pytest.raises(UserError, match="shards 0 to 0, not 7"):
        run_stage(work, "clean", 7)


def test_a_stage_that_loses_rows_stops_the_build(work, monkeypatch):
    _finished(work, "extract", TEXTS)
    monkeypatch.setattr(clean, "STAGE", ShardStage(lambda records, work: Outcome(records.head(2))))
    with pytest.raises(LedgerError, match="clean: read 3 rows, kept 2"):
        run_stage(work, "clean")
    with pytest.raises(UserError, match="clean is not done"):
        run_stage(work, "dedup")


@pytest.mark.parametrize(
    ("rows", "said"), [([0, 0], "some of them twice"), ([3], "none of the 3 rows"), ([1, 2, 2**31], "none of the 3")]
)
def test_misplaced_verdicts_stop_the_build(rows, said):
    with pytest.raises(LedgerError, match=said):
        split(TEXTS, left(pl.Series(rows), "same text"), {})


def test_what_was_written_is_counted_anew(work, monkeypatch):
    _finished(work, "extract", TEXTS)
    write = lakes.write_table
    monkeypatch.setattr(
        lakes, "write_table", lambda lake, path, frame, schema: write(lake, path, frame.head(2), schema)
    )
    with pytest.raises(LedgerError, match="clean: 3 rows are kept and 0 dropped, but 2 and 0 were written"):
        run_stage(work, "clean")


def test_the_ledger_is_a_table_too(work):
    _finished(work, "extract", TEXTS)
    run_stage(work, "clean")
    told = ledger.ledger_table(work.lake, work.build)
    assert told.filter(stage="clean").select("source", "fate", "reason", "rows").rows() == [
        ("zhongyoo", "kept", None, 3),
        ("zhongyoo", "read", None, 3),
    ]


@pytest.mark.parametrize("stage", ["dedup", "filter"])
def test_a_stage_with_steps_takes_an_empty_table(work, stage):
    for before in order.NAMES[: order.NAMES.index(stage)]:
        _finished(work, before, TEXTS.clear())
    (report,) = run_stage(work, stage)
    assert (report["read"], report["kept"], report["parts"]) == (0, 0, 1)
    assert builds.read_stage(work.lake, work.build, stage).is_empty()


def test_a_killed_write_leaves_nothing_behind(work):
    def killed() -> None:
        with lakes._atomic_file(work.lake, "builds/x/half.json") as file:
            file.write(b"{")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert lakes.names(work.lake, "builds/x") == []


def test_dropped_rows_keep_their_words():
    row = {**TEXTS.row(0, named=True), "fate": "dropped", "reason": "perplexity", "detail": None}
    assert dropped_table([row])["text"].to_list() == ["甲" * 40]


def test_an_older_build_keeps_its_order(work):
    _open(work)
    made = lakes.read_json(work.lake, f"builds/{work.build}/build.json")
    made.pop("stages")  # as builds were opened when copies left before texts were cleaned
    lakes.write_json(work.lake, f"builds/{work.build}/build.json", made)
    _finished(work, "extract", TEXTS, told=False)
    with pytest.raises(UserError, match="open a new build \\(stored model replies cost nothing again\\)"):
        run_stage(work, "dedup")
    _finished(work, "dedup", TEXTS, told=False)
    with pytest.raises(UserError, match="the build has an earlier version's order of stages; python -m chimed run all"):
        run_stage(work, "clean", 3)
    run_stage(work, "clean")
    assert builds.count_shards(work.lake, work.build, "perplexity") == 1
    assert [entry["stage"] for entry in ledger.read_ledger(work.lake, work.build)] == ["extract", "dedup", "clean"]
    assert ledger.ledger_table(work.lake, work.build)["stage"].unique().to_list() == ["clean"]
    assert [stage.name for stage in builds.stages_of(work.lake, work.build)][:3] == ["extract", "dedup", "clean"]
    assert order.stage("decontaminate", builds.stages_of(work.lake, work.build)).scope == "corpus"


def test_older_reports_have_todays_figure_names(work):
    older = {"rules and judge": {"both pass": 3}, "llm again": {"replies with control tokens": 1}, "texts compared": 9,
             "doubtful": {"both pass": {"rows": 1}}}  # fmt: skip
    path = f"builds/{work.build}/translate/report-00000.json"
    lakes.write_json(work.lake, path, {"shard": 0, "figures": older})
    assert reports.read(work.lake, work.build, "translate", 0)["figures"] == {
        "rules_and_judge": {"both_pass": 3},
        "llm_again": {"replies_with_control_tokens": 1},
        "texts_compared": 9,
        "doubtful": {"both pass": {"rows": 1}},
    }


def test_a_new_build_keeps_its_stages(work):
    _open(work)
    told = lakes.read_json(work.lake, f"builds/{work.build}/build.json")
    assert order.stages_of_build(told) == order.STAGES


def test_an_options_old_name_is_still_understood(work, monkeypatch, caplog):
    monkeypatch.setenv("CHIMED_BUILD_OPTIONS", '{"prefer_share": 0.3}')
    settings.cache_clear()
    assert build_options('{"perplexity_cut": 0.02}') == {"preference_share": 0.3, "perplexity_cut": 0.02}
    assert build_options('{"prefer_share": 0.4}') == {"preference_share": 0.4}
    assert "prefer_share is now called preference_share" in caplog.text
    with pytest.raises(UserError, match="prefer_share"):
        builds.parse_options({"prefer_share": 0.4, "preference_share": 0.5})


def test_a_build_of_the_version_before_goes_on(work):
    lakes.write_json(work.lake, "raw/ask39/2026-11-16/report.json", {"pages": 3})
    version = new_build(work.lake)
    path = f"builds/{version}/build.json"
    made = lakes.read_json(work.lake, path)
    old = [[name, "corpus" if name in ("dedup", "filter") else scope] for name, scope in made["stages"]]
    lakes.write_json(work.lake, path, made | {"stages": old})
    lakes.write_json(work.lake, f"builds/{version}/dedup/report-00000.json", {"parts": 2})  # done by the version before
    builds.adopt_scopes(work.lake, version)
    scopes = {stage.name: stage.scope for stage in builds.stages_of(work.lake, version)}
    assert (scopes["dedup"], scopes["filter"], scopes["release"]) == ("corpus", "shard", "corpus")
    assert builds.count_parts(work.lake, version, "dedup") == 2
    builds.adopt_scopes(work.lake, version)
    assert scopes == {stage.name: stage.scope for stage in builds.stages_of(work.lake, version)}


def test_a_build_made_with_an_options_old_name_opens(work):
    lakes.write_json(work.lake, "raw/ask39/2026-11-16/report.json", {"pages": 3})
    version = new_build(work.lake)
    path = f"builds/{version}/build.json"
    made = lakes.read_json(work.lake, path)
    old = {"prefer_share" if name == "preference_share" else name: value for name, value in made["options"].items()}
    lakes.write_json(work.lake, path, made | {"options": old | {"prefer_share": 0.25}})
    read = builds.read_build(work.lake, version)
    assert read["options"]["preference_share"] == Options(**old | {"prefer_share": 0.25}).preference_share == 0.25
    assert sorted(read["options"]) == sorted(made["options"])
