"""Files that say anything at all: a sentence or success, never a traceback. Bounded, and the same on every machine."""

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chimed.build import ledger
from chimed.build.builds import count_parts, read_build, read_dropped, read_stage
from chimed.errors import UserError, WorkStopped
from chimed.extraction import corpus_files
from chimed.extraction.crawl_records import check_misses, extract_crawl
from chimed.operations.audit import run_audit
from chimed.pipeline.doubtful import list_doubtful
from chimed.release.verify import verify
from chimed.storage import lake as lakes
from chimed.storage.contents import as_json, sealed
from support.small_build import CRAWL

pytestmark = pytest.mark.slow  # some hundred files

FEW = settings(
    max_examples=25, phases=(Phase.generate,), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**63, -1, 10**30]))
WORDS = st.one_of(st.text(max_size=12), st.sampled_from(["../../../store.db", "", "a" * 64, "/dev/zero", "kept", "1"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)


@contextlib.contextmanager
def a_sentence_or_success():
    """What people are told is fine; anything else fails the test."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.suppress(UserError, WorkStopped):
            yield
    finally:
        logging.disable(logging.NOTSET)


def mangled(value: dict, changes: list[tuple[int, object]], seal: bool) -> dict:
    """A report in which some values, however deep, are others."""
    value = json.loads(as_json(value))
    for at, new in changes:
        places = list(_places(value))
        holder, key = places[at % len(places)]
        holder[key] = new
    return sealed(value) if seal else value


def _places(value: object):
    for key in range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ():
        yield value, key
        yield from _places(value[key])


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), VALUES), min_size=1, max_size=4)
BYTES = st.one_of(st.binary(max_size=60), VALUES.map(lambda value: json.dumps(value).encode()))


@FEW
@given(
    stage=st.sampled_from(["extract", "clean", "dedup"]),
    changes=CHANGES,
    data=BYTES,
    seal=st.booleans(),
    raw=st.booleans(),
)
def test_reports_of_stages(once, stage, changes, data, seal, raw):
    path, dedup = f"builds/{once.build}/{stage}/report-00000.json", f"builds/{once.build}/dedup/report-00000.json"
    kept = {name: lakes.read_bytes(once.lake, name) for name in (path, dedup)}
    try:
        lakes.write_bytes(once.lake, path, data if raw else as_json(mangled(json.loads(kept[path]), changes, seal)))
        with a_sentence_or_success():
            count_parts(once.lake, once.build, stage)
        with a_sentence_or_success():
            ledger.read_ledger(once.lake, once.build)
        with a_sentence_or_success():
            ledger.ledger_table(once.lake, once.build)
        with a_sentence_or_success():
            list_doubtful(once.lake, once.build)
        with a_sentence_or_success():
            read_stage(once.lake, once.build, stage)
        with a_sentence_or_success():
            read_dropped(once.lake, once.build, stage)
        with a_sentence_or_success():
            found = run_audit(once.lake, once.build).faults
            assert found or lakes.read_bytes(once.lake, path) == kept[path] or (seal and not raw)  # a right seal
    finally:
        for name, before in kept.items():
            lakes.write_bytes(once.lake, name, before)


@FEW
@given(changes=CHANGES, data=BYTES, raw=st.booleans())
def test_build_json(once, changes, data, raw):
    path = f"builds/{once.build}/build.json"
    before = lakes.read_bytes(once.lake, path)
    try:
        lakes.write_bytes(once.lake, path, data if raw else as_json(mangled(json.loads(before), changes, seal=True)))
        with a_sentence_or_success():
            read_build(once.lake, "latest")
        with a_sentence_or_success():
            run_audit(once.lake, once.build)
    finally:
        lakes.write_bytes(once.lake, path, before)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> lakes.Lake:
    """A release of two small files, and of a manifest that is right."""
    lake = lakes.open_lake(str(tmp_path_factory.mktemp("released")))
    files = {"README.md": b"# a card", "statistics.json": as_json({"splits": {}})}
    said = {}
    for name, data in files.items():
        lakes.write_bytes(lake, f"releases/1/{name}", data)
        said[name] = _told(data)
    lakes.write_json(
        lake, "releases/1/manifest.json", sealed({"version": "1", "checksum": "x", "files": said, "number": 1})
    )
    return lake


def _told(data: bytes) -> dict:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@FEW
@given(changes=CHANGES, data=BYTES, raw=st.booleans(), statistics=VALUES)
def test_manifests_and_statistics(released, changes, data, raw, statistics):
    folder = Path(released.root) / "releases" / "1"
    kept = {name: (folder / name).read_bytes() for name in ("manifest.json", "statistics.json")}
    try:
        manifest = mangled(json.loads(kept["manifest.json"]), changes, seal=True)
        told = json.dumps(statistics).encode()
        (folder / "statistics.json").write_bytes(told)
        if isinstance(manifest.get("files"), dict):  # with a right sum: what it says is read, then
            manifest = sealed(manifest | {"files": manifest["files"] | {"statistics.json": _told(told)}})
        (folder / "manifest.json").write_bytes(data if raw else as_json(manifest))
        faults = verify(released, "1")
        assert faults
        assert all(isinstance(fault, str) for fault in faults)
    finally:
        for name, before in kept.items():
            (folder / name).write_bytes(before)


@FEW
@given(
    at=st.integers(0, 10**6), piece=st.binary(min_size=1, max_size=40), cut=st.booleans(), file=st.integers(0, 9),
    recorded=st.booleans(),
)  # fmt: skip
def test_warc_files(once, at, piece, cut, file, recorded):
    with tempfile.TemporaryDirectory() as folder:
        lake = lakes.open_lake(folder)
        shutil.copytree(Path(once.lake.root) / CRAWL, Path(folder) / CRAWL)
        if not recorded:
            lakes.write_json(lake, f"{CRAWL}/report.json", {"pages": 14})
        files = [*sorted((Path(folder) / CRAWL).glob("*.warc.gz")), Path(folder) / CRAWL / "index.cdxj"]
        path = files[file % len(files)]
        data = path.read_bytes()
        place = at % len(data)
        path.write_bytes(data[:place] + piece + (b"" if cut else data[place + len(piece) :]))
        with a_sentence_or_success():
            extract_crawl(lake, "zydcd", "c1")
        with a_sentence_or_success():
            run_audit(lake, "zydcd/c1")


LINES = {
    ".jsonl": st.lists(VALUES.map(lambda value: json.dumps(value).encode()), max_size=5).map(b"\n".join),
    ".json": VALUES.map(lambda value: json.dumps(value).encode()),
    ".csv": st.lists(st.lists(WORDS, max_size=4).map(",".join), max_size=5)
    .map("\n".join)
    .map(lambda s: s.encode("utf-8", "replace")),
    ".txt": st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    ".md": st.text(alphabet="# \n甲乙-`<>[]()", max_size=60).map(str.encode),
    ".parquet": st.binary(max_size=60).map(lambda data: b"PAR1" + data + b"PAR1"),
    ".arrow": st.binary(max_size=60).map(lambda data: b"ARROW1\0\0" + data + b"ARROW1"),
}


@FEW
@given(
    given_file=st.sampled_from(sorted(LINES)).flatmap(
        lambda e: st.tuples(st.just(e), st.one_of(LINES[e], st.binary(max_size=60)))
    ),
    good=st.booleans(),
)
def test_ingested_files(given_file, good):
    ending, data = given_file
    with tempfile.TemporaryDirectory() as folder:
        lake = lakes.open_lake(f"{folder}/lake")
        path = Path(folder) / f"given{ending}"
        if good and ending == ".jsonl":  # a good row or two, and then anything
            data = b'{"question": "\xe9\x97\xae\xe9\xa2\x98", "answer": "\xe5\x9b\x9e\xe7\xad\x94"}\n' * 2 + data
        path.write_bytes(data)
        with a_sentence_or_success():
            made = corpus_files.ingest(lake, "given", [path])
            check_misses(extract_crawl(lake, "given", made["crawl"]))
