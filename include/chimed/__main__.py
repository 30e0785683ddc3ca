"""The command line: `python -m chimed …`. The same commands run by hand, in an Airflow worker and in a GPU pod.

Progress goes to stderr, a command's result to stdout as one JSON line (or a table where a person asked for one).
A user's mistake is one sentence and exit code 2; a stage that cannot keep its promises exits 1.
"""

import gc
import json
import math
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from chimed.characters import printable
from chimed.errors import LEFT_ALONE, CrawlStopped, UserError, WorkStopped, choose
from chimed.explained import explained
from chimed.printing import log_to_stderr, print_error, print_result, print_traceback, speak_utf8
from chimed.release.commands import app as release_app
from chimed.settings import settings
from chimed.sources import NAMES as SOURCES
from chimed.train.commands import app as train_app

app = typer.Typer(
    help="A factory for Chinese medical language-model data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="The store's schema.", no_args_is_help=True)
app.add_typer(store_app, name="store")
serve_app = typer.Typer(help="vLLM for the generator and the judge on this machine.", no_args_is_help=True)
app.add_typer(serve_app, name="serve")
app.add_typer(release_app)  # verify, preview, diff, takedown, push
app.add_typer(train_app)  # find-release, train, evaluate, compare, exams

Source = Annotated[str, typer.Argument(help=f"one of {', '.join(SOURCES)}")]
Build = Annotated[str, typer.Option("--build", help="a build's version, or latest")]


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else None
    except ValueError:
        raise UserError(f"{text!r} is not a day; write it as 2026-11-16") from None


@app.command()
def crawl(
    source: Source,
    since: Annotated[str | None, typer.Option("--from", help="first day of the interval, YYYY-MM-DD")] = None,
    until: Annotated[str | None, typer.Option("--to", help="the day after its last, YYYY-MM-DD")] = None,
    mode: Annotated[str, typer.Option(help="refresh: what is new or changed; full: every page")] = "refresh",
    max_pages: Annotated[int | None, typer.Option(min=1, help="fetch no more detail pages than this")] = None,
    sections: Annotated[str | None, typer.Option(help="only these lists of the site, by comma")] = None,
    name: Annotated[
        str | None, typer.Option("--crawl", help="the crawl's name; default from the interval or today")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="take a week though it is unusually small")] = False,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="ask nothing while the site wants to be left alone; exit code 3 then")
    ] = False,
) -> None:
    """Fetch one site's pages politely into WARC files; a finished crawl is not fetched again."""
    from chimed.stages.crawl import crawl_source

    choose("source", source, SOURCES)
    choose("mode", mode, ("refresh", "full"))
    try:
        report = crawl_source(
            source,
            since=_day(since),
            until=_day(until),
            mode=mode,
            max_pages=max_pages,
            sections=tuple(sections.split(",")) if sections else None,
            name=name,
            accept=accept,
            unattended=unattended,
        )
    except CrawlStopped as stopped:
        if not unattended or stopped.wait is None:
            raise
        print_result({"wait": math.ceil(stopped.wait), "times": stopped.times, "why": str(stopped)})
        raise typer.Exit(LEFT_ALONE) from None
    print_result(report)


@app.command()
def extract(
    source: Source,
    crawl: Annotated[str, typer.Option(help="the crawl's name")],
    accept: Annotated[bool, typer.Option("--accept", help="take records that lack a field those before had")] = False,
) -> None:
    """Read one crawl's pages into records, and print the counts of records and misses; fails where misses abound, or
    where its records lack a field that those of the crawls before had."""
    from chimed.lake import open_lake
    from chimed.stages.extracts import check_misses, extract_crawl
    from chimed.stages.fields import check_fields

    lake = open_lake()
    report = extract_crawl(lake, choose("source", source, SOURCES), crawl)
    print_result(report)
    check_misses(report)
    if not accept:
        check_fields(lake, report)


@app.command()
def ingest(
    name: Annotated[str, typer.Argument(help="what to call the corpus: small letters, digits, _")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help=".csv .tsv .jsonl .json .parquet .arrow .txt .md, or a folder of them (Hugging Face's too)"
        ),
    ],
    columns: Annotated[
        str | None, typer.Option(help="what the columns are, where their names do not say: question=问,answer=答")
    ] = None,
    language: Annotated[str, typer.Option(help="auto (by the text), zh (modern) or lzh (classical Chinese)")] = "auto",
    domain: Annotated[str, typer.Option(help="auto (by department and text), tcm or general")] = "auto",
    encoding: Annotated[
        str | None, typer.Option(help="of the text files; default: by evidence, and it is told")
    ] = None,
    rights: Annotated[
        str | None, typer.Option("--license", "--licence", help="the corpus's licence; the release's card tells it")
    ] = None,
    title: Annotated[str | None, typer.Option(help="the corpus's own name, for the card")] = None,
    homepage: Annotated[str | None, typer.Option(help="where the corpus comes from (https://…), for the card")] = None,
) -> None:
    """Take in a corpus that exists already; builds then take it too.

    Tables of {question, answer}, {instruction, input, output}, {title, text}, messages, or a herb's labels, with
    Chinese or English column names; books as text or Markdown, by chapters. What each file was found to be is told on
    stderr: its encoding and language with their certainty, its columns, what was left out and why.
    """
    from chimed.lake import open_lake
    from chimed.sources import corpus
    from chimed.stages.extracts import check_misses, extract_crawl
    from chimed.store import open_store

    choose("language", language, ("auto", "zh", "lzh"))
    choose("domain", domain, ("auto", "tcm", "general"))
    lake = open_lake()
    choices = corpus.Choices(corpus.asked_columns(columns), language, domain, encoding)  # type: ignore[arg-type]
    said = {"license": rights, "title": title, "homepage": homepage}
    made = corpus.ingest(lake, name, files, choices, said)
    report = extract_crawl(lake, name, made["crawl"], store=open_store())
    print_result(report | {"read": made["read"]})
    check_misses(report)


@app.command()
def coverage(
    weeks: Annotated[bool, typer.Option("--weeks", help="the weeks that were never crawled, or in part only")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What is known of each site, what was missed and why, and what the next refreshes will cost."""
    from chimed.coverage import coverage, print_coverage
    from chimed.lake import open_lake
    from chimed.store import open_store
    from chimed.weeks import print_weeks
    from chimed.weeks import weeks as not_crawled

    if weeks:
        found = not_crawled(open_store(), open_lake())
        print_result(found) if as_json else print_weeks(found)
        return
    entries = coverage(open_store())
    if as_json:
        print_result(entries)
    else:
        print_coverage(entries)


@app.command()
def build(
    options: Annotated[str, typer.Option(help="options.Options as JSON")] = "{}",
    version: Annotated[str | None, typer.Option(help="default: today, 2026.11.22, then 2026.11.22.1")] = None,
    run: Annotated[str | None, typer.Option(help="who asks: asked again, the same build is given")] = None,
) -> None:
    """Open a new build over everything crawled so far; its stages are then run one by one."""
    from chimed.build import new_build
    from chimed.lake import open_lake

    print_result({"version": new_build(open_lake(), _options(options), version, run)})


@app.command()
def check(
    build: Annotated[str | None, typer.Option("--build", help="for this build's options")] = None,
    options: Annotated[str, typer.Option(help="for these options.Options, as JSON")] = "{}",
    only_servers: Annotated[
        bool, typer.Option("--only-servers", help="only the model servers, those of serve up included")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Look at all that a build will need, before it begins; say what mends what is wrong, and exit 1."""
    from chimed.check import check as look
    from chimed.check import print_findings, surroundings

    findings = look(surroundings(_options(options), build), only_servers)
    if as_json:
        print_result([vars(one) for one in findings])
    else:
        print_findings(findings)
    wrong = [one for one in findings if not one.fine]
    if wrong:
        raise WorkStopped(f"{len(wrong)} of {len(findings)} checks say no: {', '.join(one.what for one in wrong)}")


def _options(text: str) -> dict:
    """A build's options, on top of the settings' own."""
    try:
        chosen = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'--options is not JSON ({error}); write for example {{"perplexity_cut": 0.02}}') from None
    if not isinstance(chosen, dict):
        raise UserError('--options is no JSON object; write for example {"perplexity_cut": 0.02}')
    return {**settings().build_options, **chosen}


@app.command()
def run(
    stage: Annotated[str, typer.Argument(help="a stage's name, or all")],
    build: Build = "latest",
    shard: Annotated[int | None, typer.Option(help="only this part; default all of them")] = None,
) -> None:
    """Run a stage of a build. A finished stage is a no-op; a killed one goes on where it was."""
    from chimed import stages
    from chimed.build import open_work, run_stage, stages_of
    from chimed.side_by_side import run_shards

    if stage != "all":
        choose("stage", stage, stages.NAMES)
    work = open_work(build)
    names = [one.name for one in stages_of(work.lake, work.build)] if stage == "all" else [stage]
    ran = (run_shards(work, name) if shard is None else run_stage(work, name, shard) for name in names)
    print_result([report for reports in ran for report in reports])


@app.command()
def estimate(
    build: Build = "latest",
    rate: Annotated[float | None, typer.Option(min=0.001, help="tokens a second; default: as measured so far")] = None,
) -> None:
    """What a build has still to ask of the models: requests, tokens and hours. Asks nothing."""
    from chimed.build import open_work
    from chimed.estimate import estimate as estimated

    print_result(estimated(open_work(build), rate))


@app.command()
def shards(stage: Annotated[str, typer.Argument(help="a stage's name")], build: Build = "latest") -> None:
    """How many shards a stage of a build has."""
    from chimed.build import read_build, shards_of
    from chimed.lake import open_lake

    lake = open_lake()
    print_result(shards_of(lake, read_build(lake, build)["version"], stage))


@app.command()
def ledger(
    build: Annotated[str, typer.Argument(help="a build's version, or latest")] = "latest",
    record: Annotated[str | None, typer.Option(help="show this record's fate in every stage instead")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Print what every stage of a build read, kept, dropped and why; fails where a row is unaccounted for."""
    from chimed.lake import open_lake
    from chimed.trace import print_fate, print_ledger

    if record:
        print_fate(open_lake(), build, record)
    else:
        print_ledger(open_lake(), build, as_json)


@app.command()
def audit(
    what: Annotated[str, typer.Argument(help="a build's or a release's version, latest, or a crawl: source/crawl")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Compare every file with what was recorded when it was written, back to the crawls; name each bad one, exit 1."""
    from chimed.audit import audit as audited
    from chimed.lake import open_lake

    found = audited(open_lake(), what)
    if as_json:
        print_result({**vars(found), "faults": [vars(one) for one in found.faults]})
    else:
        for fault in found.faults:
            print(printable(str(fault)))
        older = f", {found.not_recorded} not recorded (an older version wrote them)" if found.not_recorded else ""
        print(f"{what}: {found.files} files, {found.bytes:,} bytes looked at{older}")
    if found.faults:
        raise WorkStopped(f"{what}: {len(found.faults)} files are not what was written")


@app.command()
def trace(
    record: Annotated[str, typer.Argument(help="a record's id, from any stage's table or a release")],
    build: Build = "latest",
) -> None:
    """Walk from a record to its page, and to the prompts and replies that made it."""
    from chimed.lake import open_lake
    from chimed.store import open_store
    from chimed.trace import print_trace

    print_trace(open_lake(), open_store(), build, record)


@serve_app.command()
def up(timeout: Annotated[int, typer.Option(help="seconds until both must answer")] = 1800) -> None:
    """Start both servers and wait until they answer; where others run them (CHIMED_SERVE), only see that they do."""
    from chimed import serve

    if settings().serve == "local":
        serve.up(timeout)
    else:
        serve.probe(timeout if settings().serve == "kubernetes" else 30)


@serve_app.command()
def down() -> None:
    """End the servers that up started on this machine, half-started ones too."""
    from chimed import serve

    serve.down()


@store_app.command()
def upgrade() -> None:
    """Bring the store's schema to this code's."""
    from chimed.store import upgrade as bring

    bring()


@store_app.command("forget-faults")
def forget_faults() -> None:
    """Have the models asked again what they answered with nothing of use: empty, malformed, thinking only."""
    from chimed.store import forget_faults as forget
    from chimed.store import open_store

    print_result({"forgotten": forget(open_store())})


def main() -> None:
    """Entry point: errors for the user are one line, never a traceback."""
    speak_utf8()
    sys.excepthook = print_traceback
    gc.set_threshold(50_000, 20)  # what loads Polars and Arrow makes no cycles; looking for them took a tenth of it
    log_to_stderr()
    try:
        app()
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from None
    except WorkStopped as error:
        print_error(error)
        raise SystemExit(1) from None
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        print_error(told)
        raise SystemExit(2 if isinstance(told, UserError) else 1) from None
    finally:
        gc.freeze()  # a process that ends need not look for cycles: with torch loaded, over a second of a core


if __name__ == "__main__":
    main()
