"""Every path of the lake is named in one module."""

import re
from pathlib import Path

from chimed.storage import layout

PROJECT = Path(__file__).resolve().parents[2]
TREES = "raw|extracts|builds|signatures|releases|models|scores"
WRITTEN = re.compile(
    rf"""f["'](?:{TREES})/\{{[^"'\s]*["']"""
)  # an f-string that is a path of the lake, and no sentence
ADDRESSES = {"links.py", "overview.py"}  # of the pages, not of the lake


def test_only_one_module_writes_paths() -> None:
    files = [path for room in ("chimed", "chimed_airflow") for path in (PROJECT / "include" / room).rglob("*.py")]
    found = {
        f"{path.name}: {line}"
        for path in files
        if path.name not in ADDRESSES and path != Path(layout.__file__)
        for line in WRITTEN.findall(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_paths_are_as_lakes_have_them() -> None:
    assert layout.raw("ask39/2026-11-16", layout.REPORT) == "raw/ask39/2026-11-16/report.json"
    assert layout.extracts("ask39", "2026-11-16") == "extracts/ask39/2026-11-16"
    assert layout.build("2026.11.22", "clean", layout.kept(7)) == "builds/2026.11.22/clean/kept-00007.parquet"
    assert layout.build("2026.11.22", "clean", layout.dropped(7)) == "builds/2026.11.22/clean/dropped-00007.parquet"
    assert layout.build("2026.11.22", "clean", layout.report(7)) == "builds/2026.11.22/clean/report-00007.json"
    assert layout.build("2026.11.22", layout.LEDGER) == "builds/2026.11.22/ledger.parquet"
    assert layout.release("2026.11.22", layout.MANIFEST) == "releases/2026.11.22/manifest.json"
    assert layout.models("2026.11.22", "tiny", "sft") == "models/2026.11.22/tiny/sft"
    assert layout.scores("compared", "x", layout.COMPARISON) == "scores/compared/x/compare.json"
    assert layout.signatures("v1") == "signatures/v1"
