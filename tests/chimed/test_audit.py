"""`chimed audit`: whatever happens to a file of a crawl or a build is found, named, and said what to do about."""

import dataclasses
import itertools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chimed.build.builds import new_build, read_stage
from chimed.errors import UserError
from chimed.extraction.crawl_records import extract_crawl
from chimed.operations.audit import run_audit
from chimed.pipeline.runner import run_stage
from chimed.pipeline.trace import print_ledger
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.contents import SpoiltFile, describe_rewrite, sealed
from support.small_build import CRAWL, HERB, crawled

SPOILT = 100


# --- what can happen to a file -------------------------------------------------------------------------------------


def gone(file: Path, other: Path) -> None:
    file.unlink()


def cut(file: Path, other: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path, other: Path) -> None:
    os.truncate(file, 0)


def zeroed(file: Path, other: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def flipped(file: Path, other: Path) -> None:
    data = bytearray(file.read_bytes())
    place = random.Random(file.name).randrange(len(data))
    data[place] ^= 1 << random.Random(len(data)).randrange(8)
    file.write_bytes(data)


def longer(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def swapped(file: Path, other: Path) -> None:
    shutil.copy(other, file)


def garbage(file: Path, other: Path) -> None:
    file.write_bytes(random.Random(5).randbytes(4_000))


def pipe(file: Path, other: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def endless(file: Path, other: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def folder(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()


def too_large(file: Path, other: Path) -> None:
    file.write_bytes(b"{")
    os.truncate(file, lakes.MAX_JSON_BYTES + 10)


def nested(file: Path, other: Path) -> None:
    file.write_bytes(b'{"a":' * 50_000)


def half_a_character(file: Path, other: Path) -> None:
    file.write_bytes(b'{"a": "\\ud800"}')


WAYS = (
    gone, cut, emptied, zeroed, flipped, longer, swapped, garbage, pipe, endless, folder, too_large, nested,
    half_a_character,
)  # fmt: skip


def test_all_of_a_hundred_spoilt_files_are_named(built, tmp_path):
    root, whole = Path(built.lake.root), tmp_path / "whole"
    assert run_audit(built.lake, built.build).faults == []
    shutil.copytree(root, whole)
    files = [name for name in lakes.files(built.lake, "") if not name.startswith("signatures/")]
    chance, found, ways = random.Random(19), 0, set[Callable]()
    for n in range(SPOILT):
        name, way = files[n % len(files)], WAYS[(n + n // len(files)) % len(WAYS)]
        alike = [one for one in files if Path(one).suffix == Path(name).suffix and one != name]
        other = chance.choice(
            [one for one in alike if (whole / one).read_bytes() != (whole / name).read_bytes()] or files
        )
        way(root / name, whole / other)
        ways.add(way)
        faults = run_audit(built.lake, built.build).faults
        assert any(name == one.path and one.mend for one in faults), (name, way.__name__, faults)
        found += 1
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink(missing_ok=True)
        shutil.copy(whole / name, root / name)
    assert (found, len(ways)) == (SPOILT, len(WAYS))
    assert run_audit(built.lake, built.build).faults == []


def test_a_file_that_nobody_wrote_is_named(built):
    for name in (f"{CRAWL}/00099.warc.gz", f"builds/{built.build}/clean/dropped-00007.parquet"):
        lakes.write_bytes(built.lake, name, b"x")
        assert [one.path for one in run_audit(built.lake, built.build).faults] == [name]
        lakes.remove(built.lake, name)


def test_another_builds_sealed_report_is_refused(built):
    other = new_build(built.lake, {"second_opinion": False})
    run_stage(dataclasses.replace(built, build=other), "extract")
    one, two = (f"builds/{version}/extract/report-00000.json" for version in (built.build, other))
    lakes.write_bytes(built.lake, one, lakes.read_bytes(built.lake, two))
    assert one in [fault.path for fault in run_audit(built.lake, built.build).faults]


def test_an_extracts_report_is_no_crawls(built):
    """Both have a right seal, and the same source and crawl."""
    lakes.write_bytes(built.lake, f"{CRAWL}/report.json", lakes.read_bytes(built.lake, "extracts/zydcd/c1/report.json"))
    assert f"{CRAWL}/report.json" in [fault.path for fault in run_audit(built.lake, built.build).faults]


def test_swapped_rows_break_the_chain(built):
    """Who rewrites a part and its report is found by what the next stage says that it read."""
    folder = f"builds/{built.build}/clean"
    table = read_stage(built.lake, built.build, "clean")
    report = lakes.read_json(built.lake, f"{folder}/report-00000.json")
    report["written"]["kept-00000.parquet"] = lakes.write_table(
        built.lake, f"{folder}/kept-00000.parquet", table.reverse(), RECORD
    )
    lakes.write_json(built.lake, f"{folder}/report-00000.json", sealed(report))
    (fault,) = run_audit(built.lake, built.build).faults
    assert (fault.path, "says that it read another" in fault.what) == (
        f"builds/{built.build}/dedup/report-00000.json",
        True,
    )


def test_a_reduced_part_keeps_its_chain(built):
    folder, name = f"builds/{built.build}/clean", "kept-00000.parquet"
    table = read_stage(built.lake, built.build, "clean")
    report = lakes.read_json(built.lake, f"{folder}/report-00000.json")
    now = lakes.write_table(built.lake, f"{folder}/{name}", table.head(-2), RECORD)
    report["written"][name] = describe_rewrite(report["written"][name], now)
    lakes.write_json(built.lake, f"{folder}/report-00000.json", sealed(report))
    assert report["written"][name]["removed"] == 2
    assert run_audit(built.lake, built.build).faults == []


def test_unrecorded_facts_of_older_versions_are_said(built):
    for name in [name for name in lakes.files(built.lake, "") if name.endswith(".json")]:
        made = lakes.read_json(built.lake, name)
        lakes.write_json(
            built.lake, name, {key: made[key] for key in made if key not in ("seal", "written", "inputs", "number")}
        )
    found = run_audit(built.lake, built.build)
    assert (found.faults, found.not_recorded > 10) == ([], True)
    assert len(read_stage(built.lake, built.build, "clean")) > 10
    os.truncate(Path(built.lake.at(CRAWL, "00001.warc.gz")), 1_000)  # its index tells what there was
    assert [one.path for one in run_audit(built.lake, built.build).faults] == [f"{CRAWL}/00001.warc.gz"]


@pytest.mark.parametrize("way", [gone, cut, pipe, longer])
@pytest.mark.parametrize("file", ["kept", "dropped"])
def test_the_ledger_counts_only_existing_rows(built, capsys, way, file):
    print_ledger(built.lake, built.build)
    assert "every row is accounted for" in capsys.readouterr().out
    path = f"builds/{built.build}/clean/{file}-00000.parquet"
    way(Path(built.lake.at(path)), Path())
    for as_json in (False, True):
        with pytest.raises(SystemExit):
            print_ledger(built.lake, built.build, as_json)
        said = capsys.readouterr()
        assert path in said.err
        assert "every row is accounted for" not in said.out


def test_an_unsealed_report_is_no_older_one(built):
    for name in [name for name in lakes.files(built.lake, "") if name.endswith(".json")]:
        as_it_was = lakes.read_bytes(built.lake, name)
        made = lakes.read_json(built.lake, name)
        for spoilt in ({key: made[key] for key in made if key != "seal"}, {}, {"splits": {"train": 5}}):
            lakes.write_json(built.lake, name, spoilt)
            assert name in [one.path for one in run_audit(built.lake, built.build).faults], (name, list(spoilt))
        lakes.write_bytes(built.lake, name, as_it_was)
    assert run_audit(built.lake, built.build).faults == []


def test_missing_things_are_named_with_choices(built):
    with pytest.raises(UserError, match=rf"no build or release '1999.1.1'; choose from: {built.build}"):
        run_audit(built.lake, "1999.1.1")
    with pytest.raises(UserError, match="no crawl 'zydcd/c9'"):
        run_audit(built.lake, "zydcd/c9")
    with pytest.raises(UserError, match="not a path in the lake"):
        run_audit(built.lake, "builds/../../x")
    assert run_audit(built.lake, "zydcd/c1").faults == run_audit(built.lake, "latest").faults == []


# --- readers look, too ---------------------------------------------------------------------------------------------


def edited(path: Path) -> None:
    """The same page, another word, a right digest: who edits a WARC file can do that."""
    archive = warc.Archive(lakes.open_lake(str(path.parents[3])), CRAWL, path.parent)
    path.unlink()
    archive.name, archive.file = path.name, open(f"{path}.open", "wb", buffering=0)  # noqa: SIM115
    page, body = "/zhongyi/zy00000aa/", HERB.format("药0", "毒").encode()
    head = [("Content-Type", "text/html; charset=utf-8")]
    one = warc.Exchange(f"http://www.zydcd.com{page}", f"GET {page} HTTP/1.1", [], 200, "OK", head, body)
    warc.write_exchange(archive, one, "detail")
    warc.close_archive(archive)


@pytest.mark.parametrize(
    ("way", "recorded"),
    [*itertools.product([gone, cut, zeroed, garbage, pipe, endless, "edited"], [True, False]), (flipped, True)],
)
def test_extract_reads_or_says_why_not(work, way, recorded):
    crawled(work)
    if not recorded:  # as an older version left it
        lakes.write_json(work.lake, f"{CRAWL}/report.json", {"pages": 14})
    file = Path(work.lake.at(CRAWL, "00001.warc.gz"))
    edited(file) if way == "edited" else way(file, file)
    with pytest.raises(UserError, match=rf"{CRAWL}.*(crawl|remove it)"):
        extract_crawl(work.lake, "zydcd", "c1")


@pytest.mark.parametrize("way", [gone, cut, zeroed, flipped, swapped, garbage, pipe, endless])
@pytest.mark.parametrize("stage", ["clean", "dedup"])
def test_a_stage_reads_only_what_was_written(built, way, stage):
    before = {"clean": "extract", "dedup": "clean"}[stage]
    file = Path(built.lake.at(f"builds/{built.build}/{before}/kept-00000.parquet"))
    Path(built.lake.at(f"builds/{built.build}/{stage}/report-00000.json")).unlink()
    way(file, file.with_name("dropped-00000.parquet"))
    with pytest.raises(SpoiltFile, match=rf"{before}/kept-00000.parquet .*python -m chimed run {before}"):
        run_stage(built, stage)
