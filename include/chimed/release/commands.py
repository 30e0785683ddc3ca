"""The commands on releases: `python -m chimed verify | preview | diff | takedown | retention | push`."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from chimed.cli_types import AsJson
from chimed.errors import UserError
from chimed.printing import print_report, print_result
from chimed.release.codes import CODES, UNSPECIFIED
from chimed.storage import layout

app = typer.Typer()


@app.command()
def verify(
    release: Annotated[str, typer.Argument(help="a version, latest, or the path or URL of a copy's folder")],
    as_json: AsJson = False,
) -> None:
    """Check a release against its manifest: every file's checksum, columns, ids, splits, statistics."""
    from chimed.release import verify as verifying
    from chimed.storage import lake as lakes

    lake, folder = verifying.find_folder(release)
    faults = verifying.faults_in(lake, folder)
    if as_json:
        print(json.dumps({"folder": lake.at(folder), "faults": faults}, ensure_ascii=False))
        raise SystemExit(1 if faults else 0)
    if faults:
        print("\n".join(faults))
        print(f"{lake.at(folder)}: {len(faults)} faults", file=sys.stderr)
        raise SystemExit(1)
    manifest = lakes.read_json(lake, f"{folder}/{layout.MANIFEST}")
    print(
        f"release {manifest['version']}: {len(manifest['files'])} files are unchanged; "
        f"checksum {manifest['checksum']} (the rows), seal {manifest.get('seal', 'not recorded')} (everything)"
    )


@app.command(hidden=True)
def preview(build: Annotated[str, typer.Option("--build", help="a build's version, or latest")] = "latest") -> None:
    """Show what a build's release would contain, as JSON: ledger so far, rows, changes since the last release."""
    from chimed.release.preview import preview as previewed
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    print(json.dumps(previewed(find_lake(), find_store(), build), ensure_ascii=False))


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="a release's version")],
    new: Annotated[str, typer.Argument(help="a later version, released or held back")],
    accept: Annotated[
        str | None, typer.Option(help="accept the drift of a release that was held back; the reason is recorded")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show rows added, removed and changed, and drift; exit 1 if a limit is exceeded and not accepted."""
    from chimed.release import find_release, folder_of, is_whole, read_manifest
    from chimed.release.diff import difference, side_of
    from chimed.release.write import accept as accept_drift
    from chimed.storage import audit_log
    from chimed.storage import lake as lakes
    from chimed.storage.store import find_store

    lake = lakes.find_lake()
    old = find_release(lake, old)
    held = not is_whole(lake, new) and lakes.exists(lake, f"{folder_of(new)}/changes.json")
    new = new if held else find_release(lake, new)
    if accept is not None:
        kept = accept_drift(lake, old, new, accept, audit_log.current_user())
        audit_log.record_decision(find_store(), "accepted drift", f"{old} → {new}", "; ".join(kept["stops"]))
        print_result(kept)
        print(f"next, run: python -m chimed run release --build {new}", file=sys.stderr)
        return
    found = difference(side_of(lake, folder_of(old)), side_of(lake, folder_of(new)))
    said = None if held else read_manifest(lake, new).get("accepted")
    if as_json:
        print(json.dumps({"old": old, "new": new, "held": held, "accepted": said, **found}, ensure_ascii=False))
    else:
        _print_diff(old, new, found)
    if found["stops"] and not (said and said["before"] == old):
        raise SystemExit(1)


def _print_diff(old: str, new: str, found: dict[str, Any]) -> None:
    rows = Table(title=f"{old} → {new}", title_justify="left")
    for name in ("subset", "source"):
        rows.add_column(name)
    for name in ("added", "removed", "changed", "same"):
        rows.add_column(name, justify="right")
    for row in found["rows"]:
        rows.add_row(*(str(row[name]) for name in ("subset", "source", "added", "removed", "changed", "same")))
    drift = Table("drift in", "PSI", "limit", "median before", "median now")
    for one in found["drift"]:
        cells = (one[name] for name in ("psi", "limit", "old_median", "new_median"))
        drift.add_row(one["what"], *("–" if cell is None else f"{cell:g}" for cell in cells))
    console = Console()
    console.print(rows, drift)
    for sentence in found["stops"]:
        console.print(f"over its limit: {sentence}", markup=False)
    if not found["stops"]:
        console.print("nothing is over its limit")


@app.command()
def takedown(
    target: Annotated[
        str,
        typer.Argument(
            help="a page's URL, a corpus's row (corpus:name/…), a place raw/…#… as in a row's page, a record's id, "
            "or a source or corpus"
        ),
    ],
    reason: Annotated[str, typer.Option(help="who asked, and why; private, kept in the store only")],
    code: Annotated[
        str, typer.Option(help=f"the reason that cards and manifests may give: {', '.join(CODES)}")
    ] = UNSPECIFIED,
    releases: Annotated[
        bool, typer.Option("--releases", help="also withdraw existing releases and replace them by patches")
    ] = False,
    unseen: Annotated[bool, typer.Option("--unseen", help="also accept a page that was never seen")] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="also erase its text from everything in the lake and the store; prints a receipt"),
    ] = False,
) -> None:
    """Take down a page, row or source: it is not crawled again, and everything made from it is dropped from builds.

    With --purge its text is also erased from raw pages, extracts, builds, releases, replies and reviews, and the reason
    is not kept. If a purge was killed, run it again: it continues.
    """
    from chimed.release.takedown import take_down
    from chimed.storage.audit_log import current_user
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    lake, store, by = find_lake(), find_store(), current_user()
    if purge:
        from chimed.release.purge import purge as purged

        print(json.dumps(purged(lake, store, target, reason, unseen, code, by), ensure_ascii=False))
        return
    said = take_down(lake, store, target, reason, releases, unseen, code, by)
    print(json.dumps(said, ensure_ascii=False))


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count what would be removed")] = False,
) -> None:
    """Remove the text of rows that were dropped long ago from builds, and old raw pages.

    The settings CHIMED_RETENTION_… say after how many days: by default 90 for rows dropped for an identifier or a name,
    and never for everything else.
    """
    from chimed.release.retention import retain
    from chimed.settings import settings
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    told = retain(find_lake(), find_store(), settings(), dry_run)
    gone = f"the text of {sum(told['rows'].values()):,} rows in builds and {told['reviews']:,} reviews"
    crawls = f"the raw pages of {len(told['raw'])} crawls"
    print_report(told, f"{'would remove' if dry_run else 'removed'} {gone}, {crawls}")


@app.command()
def push(
    release: Annotated[str, typer.Argument(help="a version, or latest")],
    to: Annotated[str, typer.Argument(help="a folder, s3://bucket/path, or hf://owner/name")],
) -> None:
    """Copy a verified release to a folder, an object store or the Hugging Face Hub, its manifest last."""
    from chimed.release import find_release
    from chimed.release.push import push as copy_release
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    if to.startswith("hf://") and to.removeprefix("hf://").strip("/").count("/") != 1:
        raise UserError(f"{to!r} is not a repository of the hub; write hf://<owner>/<name>")
    lake = find_lake()
    sent = copy_release(lake, find_release(lake, release), to, find_store())
    print_report(sent, f"copied {sent['files']} files to {sent['to']}; checksum {sent['checksum']}")
