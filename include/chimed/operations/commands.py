"""Commands for operation: `python -m chimed status | check | watch | audit | decisions | serve | store`."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from chimed.characters import one_line, printable
from chimed.cli_types import AsJson
from chimed.errors import UserError, WorkStopped, choose
from chimed.pipeline.commands import build_options
from chimed.printing import print_result, safe
from chimed.secrets import without_secrets
from chimed.settings import settings

app = typer.Typer()
serve_app = typer.Typer(help="Start and stop vLLM for the generator and the judge.", no_args_is_help=True)
store_app = typer.Typer(
    help="Upgrade the store's schema; ask again for unusable replies; prune old ones.", no_args_is_help=True
)
app.add_typer(serve_app, name="serve")
app.add_typer(store_app, name="store")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what is there, what is under way, and what to do next."""
    from chimed.operations.status import print_status
    from chimed.operations.status import read_status as found

    now = found()
    if as_json:
        print_result(now)
    else:
        print_status(now)


@app.command()
def check(
    build: Annotated[str | None, typer.Option("--build", help="for this build's options")] = None,
    options: Annotated[str, typer.Option(help="for these build options, as JSON")] = "{}",
    only_servers: Annotated[
        bool, typer.Option("--only-servers", help="check only the model servers, also those that serve up started")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="check only that this recipe exists, is valid and has its GPUs")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training/--no-training", help="whether a training may follow the build")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check everything a build will need before it begins; if something is wrong, say how to fix it and exit 1.

    What is marked LOOK keeps no build from being right: an address that nobody reads, a notice that did not arrive.
    """
    from chimed.operations.check import build_context, check_training, print_findings
    from chimed.operations.check import run_checks as look

    work = build_context(build_options(options), build)
    findings = check_training(work, recipe) if recipe else look(work, only_servers, training)
    if as_json:
        print_result([vars(one) for one in findings])
    else:
        print_findings(findings)
    wrong = [one for one in findings if not one.fine and one.stops]
    if wrong:
        failed = f"{len(wrong)} of {len(findings)} checks failed"
        if (
            sys.stdout.isatty() and not as_json
        ):  # a person has just read the lines above; a run's note has only this one
            raise WorkStopped(f"{failed}; the lines marked WRONG say how to fix it")
        raise WorkStopped(f"{failed}. {'; '.join(f'{one.what}: {one.said}' for one in wrong)}")


@app.command()
def watch(as_json: AsJson = False) -> None:
    """Look for what has to be seen though no run failed: a missing week, a full disk, a drift, lost notices."""
    from chimed.operations.watch import alarm_lines
    from chimed.operations.watch import watch as look
    from chimed.storage.lake import lake_at, missing_folder
    from chimed.storage.store import find_existing_store

    lake = lake_at()
    if fault := missing_folder(lake):  # of a new deployment, too: no reason to fail every hour
        print(safe(fault), file=sys.stderr)
    found = look(settings(), lake, find_existing_store())
    if as_json:
        print_result([vars(one) for one in found])
    else:
        print("\n".join(map(safe, alarm_lines(found))))


@app.command()
def decisions(
    what: Annotated[str | None, typer.Option(help="only these: verdict, takedown or accepted drift")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="show at most this many, the latest")] = 200,
    as_json: AsJson = False,
) -> None:
    """List who decided what, and when: verdicts on records, takedowns, drifts that were accepted; newest first."""
    from chimed.storage import audit_log
    from chimed.storage.store import find_store

    if what is not None:
        choose("decision", what, audit_log.KINDS)
    found = audit_log.list_decisions(find_store(), most, what)
    if as_json:
        print_result(found)
    elif not found:
        print("no decision has been recorded yet", file=sys.stderr)
    for one in [] if as_json else found:
        words = (f"{one['at']:%Y-%m-%d %H:%M} UTC", one["who"], one["what"], one["about"], one["said"])
        print(one_line(without_secrets("  ".join(words))))


@serve_app.command()
def up(timeout: Annotated[int, typer.Option(help="seconds until both must answer")] = 1800) -> None:
    """Start both servers and wait until they answer; if others run them (CHIMED_SERVE), only check them."""
    from chimed.llm import servers

    if settings().serve == "local":
        servers.start_servers(timeout)
    else:
        servers.wait_for_servers(timeout if settings().serve == "kubernetes" else 30)


@serve_app.command()
def down() -> None:
    """Stop the servers that up started on this machine, also half-started ones."""
    from chimed.llm import servers

    servers.stop_servers()


@store_app.command()
def upgrade() -> None:
    """Upgrade the store's schema to this version."""
    from chimed.storage.store import upgrade as bring

    bring()


@store_app.command("forget-faults")
def forget_faults() -> None:
    """Forget unusable replies (empty, malformed, only thinking), so that the models are asked again."""
    from chimed.storage.store import find_store
    from chimed.storage.store import forget_faults as forget

    print_result({"forgotten": forget(find_store())})


@store_app.command()
def prune(
    before: Annotated[str, typer.Option(help="day, UTC, as 2026-01-31: what is older is pruned")],
    yes: Annotated[bool, typer.Option("--yes", help="delete it; without this it is only counted")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete old model replies and perplexities; first, say what it would cost to ask for them again."""
    from chimed.llm import prompts
    from chimed.storage.pruning import prune as pruned
    from chimed.storage.store import find_store

    try:
        day = datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UserError(f"--before {before!r} is not a day; write it as 2026-01-31") from None
    told = pruned(find_store(), day, prompts.versions(), yes)
    if as_json:
        print_result(told)
        return
    for one in told["by_prompt"]:
        wanted = "" if one["current"] else "; its wording has changed since, so no build asks it again"
        cost = f"{one['requests']:,} replies, {one['prompt_tokens'] + one['completion_tokens']:,} tokens"
        print(one_line(f"{one['prompt']} ({one['model']}): {cost}, {one['seconds']:,.0f} server seconds{wanted}"))
    again = told["again"]
    tokens = again["prompt_tokens"] + again["completion_tokens"]
    print(
        f"{'deleted' if yes else 'would delete'} {told['replies']:,} replies and {told['perplexities']:,} perplexities "
        f"({told['tokens']:,} tokens); to ask again what builds still want: {again['requests']:,} requests, "
        f"{tokens:,} tokens, {again['seconds']:,.0f} server seconds"
    )
    if told["not_dated"]:
        print(f"{told['not_dated']:,} perplexities have no date (an older version computed them) and stay")
    if not yes:
        print("nothing is deleted yet; add --yes to delete", file=sys.stderr)


@app.command()
def audit(
    what: Annotated[str, typer.Argument(help="a build's or a release's version, latest, or a crawl: source/crawl")],
    as_json: AsJson = False,
) -> None:
    """Compare every file with its recorded checksum, back to the crawls; list each damaged one and exit 1."""
    from chimed.operations.audit import run_audit as audited
    from chimed.storage.lake import find_lake

    found = audited(find_lake(), what)
    if as_json:
        print_result({**vars(found), "faults": [vars(one) for one in found.faults]})
    else:
        for fault in found.faults:
            print(printable(str(fault)))
        older = f", {found.not_recorded} not recorded (an older version wrote them)" if found.not_recorded else ""
        whole = "" if found.faults else "; no damage found"
        print(f"{what}: {found.files} files, {found.bytes:,} bytes checked{older}{whole}")
    if found.faults:
        raise WorkStopped(f"{what}: {len(found.faults)} files differ from what was written, or are missing")
