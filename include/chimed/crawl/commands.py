"""Crawling: `python -m chimed crawl | extract | coverage`."""

import math
from datetime import date, datetime
from typing import Annotated

import typer

from chimed import lists
from chimed.cli_types import AsJson
from chimed.errors import LEFT_ALONE, CrawlStopped, UserError, choose
from chimed.printing import print_result
from chimed.sources import PAPER
from chimed.sources import names as source_names

app = typer.Typer()

Source = Annotated[str, typer.Argument(help=f"a site: {', '.join(PAPER)}, or one of your own")]


@app.command()
def crawl(
    source: Source,
    since: Annotated[str | None, typer.Option("--from", help="first day, YYYY-MM-DD")] = None,
    until: Annotated[str | None, typer.Option("--to", help="the day after the last, YYYY-MM-DD")] = None,
    mode: Annotated[str, typer.Option(help="refresh: what is new or changed; full: every page")] = "refresh",
    max_pages: Annotated[int | None, typer.Option(min=1, help="fetch at most this many detail pages")] = None,
    sections: Annotated[str | None, typer.Option(help="only these lists of the site, separated by commas")] = None,
    name: Annotated[
        str | None, typer.Option("--crawl", help="name of the crawl; default: from the interval, or today")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="accept a week that is unusually small")] = False,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="request nothing while the site asks to be left alone; exit code 3")
    ] = False,
) -> None:
    """Fetch one site's pages politely into WARC files; a finished crawl is not fetched again."""
    choose("source", source, source_names())
    choose("mode", mode, ("refresh", "full"))
    from chimed.crawl.crawl import crawl_source  # here: the smallest environment has no crawler

    try:
        report = crawl_source(
            source,
            since=_day(since),
            until=_day(until),
            mode=mode,
            max_pages=max_pages,
            sections=_sections(sections),
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


def _sections(said: str | None) -> tuple[str, ...] | None:
    if said and not lists.entries(said):  # none must not mean all
        raise UserError(f"--sections {said!r} names no list; leave it out for all of them")
    return tuple(lists.entries(said)) if said else None


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else None
    except ValueError:
        raise UserError(f"{text!r} is not a day; write it as 2026-11-16") from None


@app.command()
def extract(
    source: Source,
    crawl: Annotated[str, typer.Option(help="the crawl's name")],
    accept: Annotated[
        bool, typer.Option("--accept", help="accept records that lack a field earlier crawls had")
    ] = False,
) -> None:
    """Read one crawl's pages into records and print how many pages gave records, and why others did not.

    Fails if too many pages give no record, or if the records lack a field that those of earlier crawls had.
    """
    from chimed.extraction.crawl_records import check_misses, extract_crawl
    from chimed.extraction.fields import check_fields
    from chimed.storage.lake import find_lake

    lake = find_lake()
    report = extract_crawl(lake, choose("source", source, source_names()), crawl)
    print_result(report)
    check_misses(report)
    if not accept:
        check_fields(lake, report)


@app.command()
def coverage(
    weeks: Annotated[bool, typer.Option("--weeks", help="weeks that were never crawled, or only partly")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the known pages of each site, pages without a record and why, and the cost of the next refreshes."""
    from chimed.crawl.coverage import measure_coverage, print_coverage
    from chimed.crawl.weeks import list_missing_weeks as not_crawled
    from chimed.crawl.weeks import print_weeks
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    if weeks:
        lake = find_lake()
        found = not_crawled(find_store(), lake)
        print_result(found) if as_json else print_weeks(found)
        return
    entries = measure_coverage(find_store())
    if as_json:
        print_result(entries)
    else:
        print_coverage(entries)
