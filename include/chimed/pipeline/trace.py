"""Show what became of a record and where it comes from: the ledger, a record's fate, and its trace back to the page."""

import json
import sys
from typing import Any

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chimed.build import order, reports
from chimed.build.builds import list_builds, read_build, stages_of
from chimed.build.ledger import LedgerError, read_ledger
from chimed.characters import one_line
from chimed.errors import UserError
from chimed.pipeline.doubtful import find_doubts
from chimed.printing import print_result
from chimed.roles import SPOKEN
from chimed.schema import QUALITY, with_present_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.store import Store, find
from chimed.storage.store_tables import REPLIES
from chimed.text.passages import PASSAGE

_WIDE = 110
_NARROW = 100  # narrower terminals get a table without lines and seconds
_MOST_LOST = 3  # missing or damaged files that are named
_BATCH = 500  # rows decoded at once while looking for one


def print_ledger(lake: Lake, build: str, as_json: bool = False) -> None:
    """Print a build's ledger to stdout.

    Raises UserError for an unknown build. Exits 1 if the ledger does not close, or if a file with its rows is missing
    or has another size.
    """
    version = read_build(lake, build)["version"]
    try:
        entries = read_ledger(lake, version)
    except LedgerError as error:
        print(f"the ledger of build {version} does not close: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    lost = [fault for entry in entries for fault in reports.lost_files(lake, version, entry["stage"])]
    if as_json:
        print(json.dumps({"build": version, "stages": entries}, ensure_ascii=False))
        _exit_if_lost(lost, version)
        return
    console = Console(width=_WIDE if not sys.stdout.isatty() else None)
    narrow = console.width < _NARROW
    table = Table(title=f"build {version}", title_justify="left")
    if narrow:
        table.box, table.padding = SIMPLE_HEAD, (0, 1, 0, 0)
    heads = ("stage", "read", "kept", "dropped", "failed", "derived", *(() if narrow else ("seconds",)))
    for name in heads:
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for entry in entries:
        why = [f"{reason} {count}" for key in ("dropped", "failed") for reason, count in entry[key].items()]
        why += [f"generated, then rejected: {reason} {count}" for reason, count in entry["derived_dropped"].items()]
        why = ["skipped"] if entry["skipped"] else why
        counts = [str(entry["read"]), str(entry["kept"])]
        counts += [str(sum(entry[key].values())) for key in ("dropped", "failed")]
        table.add_row(
            entry["stage"],
            *counts,
            str(entry["derived"]),
            *(() if narrow else (f"{entry['seconds']:.1f}",)),
            Text("\n".join(map(one_line, why))),
        )
    done = {entry["stage"] for entry in entries}
    for name in order.NAMES:
        if name not in done:
            table.add_row(name, *[""] * (len(heads) - 1), "not run")
    console.print(table)
    last = entries[-1]["stage"] if entries else "none"
    _exit_if_lost(lost, version)
    print(f"every row is accounted for; last stage done: {last}")


def _exit_if_lost(lost: list[str], version: str) -> None:
    """Exit 1 if files of a build are missing or have another size, so the counted rows are not there."""
    if lost:
        said = f"{'; '.join(lost[:_MOST_LOST])}{' …' if len(lost) > _MOST_LOST else ''}"
        print(f"the rows were counted, but {said}; run: python -m chimed audit {version}", file=sys.stderr)
        raise SystemExit(1)


def print_fate(lake: Lake, build: str, record: str, as_json: bool = False) -> None:
    """Print what each stage did with a record, and the doubts about it that the reports have samples of.

    Raises UserError if no stage of the build has the record.
    """
    made = read_build(lake, build)
    version, lines = made["version"], []
    doubts = find_doubts(lake, version, record)
    if as_json:
        found = [
            {"stage": stage.name, "fate": fate, "row": row}
            for stage in order.stages_of_build(made)
            for row, fate in _rows_of_stage(lake, version, stage.name, record)
        ]
        if found:
            print_result({"build": version, "record": record, "stages": found, "doubts": doubts})
            return
    for stage in order.stages_of_build(made):
        for row, fate in _rows_of_stage(lake, version, stage.name, record):
            lines.append(one_line(f"{stage.name:14} {fate}"))
            del row
        lines += [_format_doubt(one) for one in doubts if one["stage"] == stage.name]
    if not lines:
        raise UserError(
            f"no record {record!r} in build {version}; ids are 16 hex digits, see the id column of a release"
        )
    print("\n".join(lines))


def _format_doubt(one: dict[str, Any]) -> str:
    said = one_line(f"{one['stage']:14} kept, but doubtful: {one['rule']}; {one['why']}")
    return (
        said + f"\n{'':14} {one_line(one['column'])}: {_short(one['before'])} → {_short(one['after'])}"
        if one["column"]
        else said
    )


def print_trace(lake: Lake, store: Store, build: str, record: str, as_json: bool = False) -> None:
    """Print a record and its ancestors up to the page, each with the prompts and replies that made it.

    `latest` searches all builds, newest first. Raises UserError if no build has the record.
    """
    versions = list(reversed(list_builds(lake))) if build == "latest" else [read_build(lake, build)["version"]]
    version, way = next(((v, way) for v in versions if (way := trace_record(lake, store, v, record))), (None, []))
    if version is None:
        raise UserError(f"no record {record!r} in {', '.join(versions) or 'any build'}; see the id column of a release")
    if as_json:
        print_result({"build": version, "way": way})
        return
    print(f"build {version}")
    for step in way:
        _print_record(step)


def trace_record(lake: Lake, store: Store, version: str, record: str) -> list[dict[str, Any]]:
    """Return a record and its ancestors up to the one read from a page, in their last state; [] if it is unknown.

    The other rows that a question over two steps was made from come last.
    Each has the columns of `RECORD`, `stage`, `fate` and `answers`: rows of the store's replies, or only the `key` of a
    reply that is not in the store.
    """
    way: list[dict[str, Any]] = []
    others: list[str] = []
    wanted: str | None = record
    place: str | None = None
    while wanted:
        # rows of one page share a part (`build`): a parent is where its child was found, unless it left earlier
        row = _find_in_file(lake, place, wanted) if place else None
        row, place = (row, place) if row is not None else _find_last(lake, version, wanted)
        if row is None:
            break
        way.append(_with_answers(store, row))
        others += [one["id"] for one in row.get("also_from") or ()]
        wanted = row["parent"]
    for other in dict.fromkeys(others):
        row, _ = _find_last(lake, version, other)
        way += [_with_answers(store, row)] if row is not None else []
    return way


def _with_answers(store: Store, row: dict[str, Any]) -> dict[str, Any]:
    replies = find(store, REPLIES, row["replies"] or [])
    return row | {"answers": [replies.get(key, {"key": key}) for key in row["replies"] or []]}


def _rows_of_stage(lake: Lake, version: str, stage: str, record: str) -> list[tuple[dict[str, Any], str]]:
    folder = layout.build(version, stage)
    found = []
    for name in lakes.names(lake, folder):
        if not name.endswith(".parquet"):
            continue
        known = lakes.read_table(lake, f"{folder}/{name}", ["id", "parent"])
        if record in known["id"] or (name.startswith("dropped-") and record in known["parent"]):
            its_own = pl.col("id") == record
            if name.startswith("dropped-"):
                its_own |= (pl.col("parent") == record) & (pl.col("reason") == PASSAGE)
            for row in lakes.read_table(lake, f"{folder}/{name}").filter(its_own).to_dicts():
                left = f"{row.get('fate')}: {row.get('reason')} ({row.get('detail') or '-'})"
                found.append((with_present_names(row), left if name.startswith("dropped-") else "kept"))
    return found


def _find_last(lake: Lake, version: str, record: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the record as the last stage that has it left it, and the path of the file."""
    for stage in reversed(stages_of(lake, version)):
        folder = layout.build(version, stage.name)
        for name in lakes.names(lake, folder):
            row = _find_in_file(lake, f"{folder}/{name}", record) if name.endswith(".parquet") else None
            if row is not None:
                return row, f"{folder}/{name}"
    return None, None


def _find_in_file(lake: Lake, path: str, record: str) -> dict[str, Any] | None:
    """Return the record with `stage` and `fate` if this file of a stage has it, else None."""
    row = read_row(lake, path, record)
    if row is None:
        return None
    stage, name = path.split("/")[-2:]
    left = f"{row.get('fate')}: {row.get('reason')} ({row.get('detail') or '-'})"
    return row | {"stage": stage, "fate": f"{stage}: {left if name.startswith('dropped-') else 'kept'}"}


def read_row(lake: Lake, path: str, record: str) -> dict[str, Any] | None:
    """Read a table's row by its id. Only the ids of a part are read, then a few hundred rows around the match."""
    with lake.fs.open(lake.at(path), "rb") as opened:
        file = pq.ParquetFile(opened)
        for group in range(file.num_row_groups):
            place = pc.index(file.read_row_group(group, columns=["id"])["id"], record).as_py()
            for rows in file.iter_batches(_BATCH, row_groups=[group]) if place >= 0 else ():
                if place < len(rows):
                    return with_present_names(rows.slice(place, 1).to_pylist()[0])
                place -= len(rows)
    return None


def _print_record(row: dict[str, Any]) -> None:
    told = (f"{row['kind']} {row['id']}", row["source"], row["domain"], row["language"], row["fate"])
    print(f"\n{one_line('  '.join(str(one) for one in told))}")
    for name in (
        "title",
        "text",
        "question",
        "reasoning",
        "answer",
        "rejected",
        "rejected_by",
        "preference_margin",
        "department",
        "published",
        "perplexity",
    ):
        if row.get(name) is not None:
            print(f"  {name:12}{_short(row[name])}")
    for turn in row.get("turns") or ():
        print(f"  {SPOKEN[turn['role']]}: {_short(turn['text'])}")
    _print_rating(row)
    _print_pair(row)
    if row.get("identifiers"):  # kinds and places, as cleaning put them down; never the words
        print(f"  {'identifiers':12}{_short(', '.join(row['identifiers']))}")
    _print_evidence(row)
    if row["prompt"]:
        print(f"  {'made by':12}{_short(row['model'])} with {_short(row['prompt'])}")
    for reply in row["answers"]:
        _print_reply(reply)
    if not row["parent"]:
        for name, value in (("page", row["url"]), ("fetched", row["fetched"]), ("in the lake", row["page"])):
            print(f"  {name:12}{one_line(str(value))}")


def _print_evidence(row: dict[str, Any]) -> None:
    """Print where a record's answer stands: in its parent, and in the other rows that it was made from."""
    if row["evidence"]:
        print(f"  {'evidence':12}{_places(row['evidence'])} of its parent")
    for other in row.get("also_from") or ():
        of = f"{_places(other['evidence'])} of " if other["evidence"] else ""
        print(f"  {'also from':12}{of}{one_line(other['id'])}, {one_line(other['url'])}")


def _places(spans: list[dict[str, int]]) -> str:
    return ", ".join(f"[{span['start']}:{span['end']}]" for span in spans)


def _print_rating(row: dict[str, Any]) -> None:
    if row.get(QUALITY[0]) is not None:
        criteria = ", ".join(f"{name.removeprefix('quality_')} {row[name]}" for name in QUALITY[1:])
        print(f"  {'rating':12}{row[QUALITY[0]]} ({criteria})")
    if row.get("cluster") is not None:
        print(f"  {'cluster':12}{row['cluster']}")


def _print_pair(row: dict[str, Any]) -> None:
    """Print who wrote a preference's two answers, and how the judge rated each."""
    for name in ("chosen", "rejected"):
        if row.get(f"{name}_model") is not None:
            print(f"  {f'{name} by':12}{_short(row[f'{name}_model'])}")
        if scores := row.get(f"{name}_scores"):
            print(f"  {name:12}{', '.join(f'{criterion} {score}' for criterion, score in scores.items())}")


def _print_reply(reply: dict[str, Any]) -> None:
    if "text" not in reply:
        print(f"  {'reply':12}{reply['key'][:12]} is not in the store")
        return
    print(f"  {'reply':12}{reply['key'][:12]} of {_short(reply['model'])} to {_short(reply['prompt'])}")
    for message in json.loads(reply["messages"]):
        print(f"    {_short(message['role']):10}{_short(message['content'])}")
    if reply["reasoning"]:
        print(f"    {'thinking':10}{_short(reply['reasoning'])}")
    print(f"    {'answered':10}{_short(reply['text'])}")
    if reply["fault"]:
        print(f"    {'unusable':10}{_short(reply['fault'])}")


def _short(value: object) -> str:
    text = one_line(str(value))
    return text if len(text) <= _WIDE else f"{text[:_WIDE]}… ({len(text)} characters)"
