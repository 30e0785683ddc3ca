"""What two versions of `clean` make of the same files, side by side: the rows that differ, for a person to read.

    export PYTHONPATH=include
    python tests/benchmarks/compare_clean.py main . qa.csv classics/ --html changed.html --rows 100
    python tests/benchmarks/compare_clean.py v0.4 HEAD qa.csv                  two revisions, as text
    python tests/benchmarks/compare_clean.py raw . qa.csv                      what is read, and what clean makes of it

A version is a git revision, `.` for the files as they are, or `raw` for texts that were not cleaned. Each reads the
files with its own reader (`chimed.extraction.corpus_files`) and cleans them. Prints how many rows differ, left and
came, how many characters, and what the newer version doubts; with `--kind`, only rows whose texts differ so: `lost` (a
numeral or sign is missing), `torn` (an end without a full stop), `courtesy` (hello, wishes or thanks are left).
"""

import argparse
import html
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from difflib import SequenceMatcher
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".txt")
AROUND = 60  # characters shown on each side of a difference
# run by the version's own code: rows as JSON lines of file, number, fate and words
READ = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
try:
    from chimed.extraction import corpus_files as corpus
    from chimed.extraction.parsed_records import record_from_page as from_page
    from chimed.schema import table
except ImportError:  # a version before the modules had rooms
    from chimed.records import from_page, table
    from chimed.sources import corpus
from chimed.sources.page import Miss
from chimed.stages import clean
cleaning, names = sys.argv[1] == "clean", sys.argv[2:]
when = datetime.now(UTC)
rows = []
for name in names:
    with open(name, "rb") as body:
        for number, read in corpus.read_file(Path(name).name, body):
            place = f"{Path(name).name}#{number}"
            if isinstance(read, Miss):
                print(json.dumps({"place": place, "fate": read.reason}))
            else:
                url = f"corpus:x/{place}"
                rows.append(from_page(read, source="x", url=url, fetched=when, page=place))
frame = table(rows).unique("id", keep="first", maintain_order=True)
outcome = clean.run(frame, None) if cleaning else None
kept = frame if outcome is None else outcome.kept
for row in kept.select("page", "title", "text", "question", "answer").to_dicts():
    print(json.dumps({"place": row.pop("page"), "fate": "kept", **{k: v for k, v in row.items() if v is not None}}))
if outcome is not None:
    for place, reason in outcome.dropped.select("page", "reason").iter_rows():
        print(json.dumps({"place": place, "fate": reason}))
    print(json.dumps({"figures": outcome.figures}))
"""
GUARDED = re.compile(r"[0-9一二三四五六七八九十百千万半两○〇□<>≤≥=±×÷+%‰°℃^不无未勿忌禁非没]")
TORN = re.compile(r"[，、,；：;:（(]$")
COURTESY = re.compile(
    r"(?:^|[。！!？?；\s])(?:(?:医生|大夫|专家|主任|老师)[，,]?)?(?:[你您]|大家|早上|上午|下午|晚上)们?好[啊呀]?(?:[，。！!：:~\s]|$)"
    r"|(?:^|[。！!？?\s])(?:最后，)?(?:祝|谢谢|感谢|多谢)[^，。！!？?\n]{0,20}[。！!~]*\s*$"
)


def texts(version: str, files: list[str], folder: Path) -> tuple[dict[str, dict], dict]:
    """What a version makes of the files: place (file#number) → fate and words; and the figures of its report."""
    include = ROOT / "include"
    if version not in (".", "raw"):
        include = folder / re.sub(r"\W", "_", version) / "include"
        packed = subprocess.run(["git", "archive", version, "include"], cwd=ROOT, check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(include.parent, filter="data")
    command = [sys.executable, "-c", READ, "read" if version == "raw" else "clean", *files]
    said = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(include)}, check=True, capture_output=True)
    rows = [json.loads(line) for line in said.stdout.decode().splitlines()]
    figures = next((row["figures"] for row in rows if "figures" in row), {})
    return {row["place"]: row for row in rows if "place" in row}, figures


def words(row: dict | None) -> str:
    """A row's words, or why it has none."""
    if row is None:
        return "[not there]"
    if row["fate"] != "kept":
        return f"[{row['fate']}]"
    return "\n".join(f"{name}: {row[name]}" for name in ("title", "text", "question", "answer") if row.get(name))


def differs_so(kind: str, before: str, after: str) -> bool:
    """Whether two texts differ in the way that `--kind` names."""
    if kind == "lost":
        return GUARDED.findall(before) != GUARDED.findall(after)
    if kind == "torn":
        return any(map(TORN.search, after.split("\n")))
    return kind != "courtesy" or any(map(COURTESY.search, after.split("\n")))


def differences(before: str, after: str) -> list[tuple[str, str, str, str]]:
    """(left of it, taken out, put in, right of it) of each place where two texts differ."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        (before[max(0, i - AROUND) : i], before[i:j], after[k:m], before[j : j + AROUND])
        for what, i, j, k, m in matcher.get_opcodes()
        if what != "equal"
    ]


def as_html(pairs: list[tuple[str, str, str]]) -> str:
    """A page with a table: place, what was, what is; differences marked."""
    rows = []
    for place, before, after in pairs:
        marked = []
        for left, out, into, right in differences(before, after):
            left, out, into, right = map(html.escape, (left, out, into, right))
            marked.append(f"…{left}<del>{out}</del><ins>{into}</ins>{right}…")
        rows.append(f"<tr><td>{html.escape(place)}<td>{'<hr>'.join(marked)}")
    style = "td{border:1px solid #ccc;padding:4px;white-space:pre-wrap}del{background:#fcc}ins{background:#cfc}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><table>{''.join(rows)}</table>"


def main() -> None:
    """Prints what differs, and writes a page of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", help="a git revision, . or raw")
    parser.add_argument("after")
    parser.add_argument("files", nargs="+", type=Path, help="files or folders of them")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=("any", "lost", "torn", "courtesy"), default="any")
    parser.add_argument("--html", type=Path)
    chosen = parser.parse_args()
    found = [one for file in chosen.files for one in (sorted(file.rglob("*")) if file.is_dir() else [file])]
    files = [str(one) for one in found if one.suffix.lower() in ENDINGS]
    with tempfile.TemporaryDirectory() as folder:
        old, _ = texts(chosen.before, files, Path(folder))
        new, figures = texts(chosen.after, files, Path(folder))
    pairs = [(place, words(old.get(place)), words(new.get(place))) for place in sorted(old.keys() | new.keys())]
    changed = [pair for pair in pairs if pair[1] != pair[2]]
    left = [pair for pair in changed if pair[2].startswith("[") and not pair[1].startswith("[")]
    came = [pair for pair in changed if pair[1].startswith("[") and not pair[2].startswith("[")]
    print(f"{len(pairs)} rows, {len(changed)} differ, {len(left)} left, {len(came)} came back")
    for name in (".", "torn", "courtesy"):
        if name != ".":
            counts = [sum(differs_so(name, "", pair[side]) for pair in pairs) for side in (1, 2)]
            print(f"rows with a line that is {name}: {counts[0]} before, {counts[1]} after")
    print("doubtful:", {name: one["rows"] for name, one in figures.get("doubtful", {}).items()})
    wanted = [pair for pair in changed if differs_so(chosen.kind, pair[1], pair[2])]
    shown = random.Random(chosen.seed).sample(wanted, min(chosen.rows, len(wanted)))
    if chosen.html:
        chosen.html.write_text(as_html(shown), encoding="utf-8")
        return
    for place, before, after in shown:
        print(f"── {place}")
        for left_of, out, into, right_of in differences(before, after):
            print(f"  …{left_of}[-{out}-]{{+{into}+}}{right_of}…".replace("\n", "⏎"))


if __name__ == "__main__":
    main()
