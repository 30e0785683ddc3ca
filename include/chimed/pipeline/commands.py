"""Commands that make records into a build: `python -m chimed ingest | build | estimate | run | ledger | trace`."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from chimed.cli_types import AsJson, Build
from chimed.errors import UserError, choose
from chimed.printing import print_report, print_result
from chimed.settings import settings

app = typer.Typer()
WITHOUT = " (--without-models, if no model server runs)"


@app.command()
def ingest(
    name: Annotated[str, typer.Argument(help="name for the corpus: lower-case letters, digits, _")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help=".csv .tsv .jsonl .json .parquet .arrow .txt .md, or a folder of them (Hugging Face's too)"
        ),
    ],
    columns: Annotated[
        str | None, typer.Option(help="columns whose names are not recognised: question=问,answer=答")
    ] = None,
    language: Annotated[str, typer.Option(help="auto (by the text), zh (modern) or lzh (classical Chinese)")] = "auto",
    domain: Annotated[str, typer.Option(help="auto (by department and text), tcm or general")] = "auto",
    encoding: Annotated[
        str | None, typer.Option(help="encoding of the text files; default: detected and reported")
    ] = None,
    rights: Annotated[
        str | None, typer.Option("--license", "--licence", help="licence of the corpus, printed in the release's card")
    ] = None,
    title: Annotated[str | None, typer.Option(help="title of the corpus, for the card")] = None,
    homepage: Annotated[str | None, typer.Option(help="where the corpus comes from (https://…), for the card")] = None,
) -> None:
    """Read your own files into records; every later build uses them.

    Tables of {question, answer}, {instruction, input, output}, {title, text}, messages, or a herb's labels, with
    Chinese or English column names; books as text or Markdown, by chapters. Reports what it found
    in each file: encoding and language with their certainty, columns, and what was left out and why.
    """
    from chimed.extraction import corpus_files
    from chimed.extraction.crawl_records import check_misses, extract_crawl
    from chimed.storage.lake import open_lake
    from chimed.storage.store import open_store

    choose("language", language, ("auto", "zh", "lzh"))
    choose("domain", domain, ("auto", "tcm", "general"))
    lake = open_lake()
    choices = corpus_files.Choices(corpus_files.parse_columns(columns), language, domain, encoding)  # type: ignore[arg-type]
    said = {"license": rights, "title": title, "homepage": homepage}
    made = corpus_files.ingest(lake, name, files, choices, said)
    report = extract_crawl(lake, name, made["crawl"], store=open_store())
    left = "".join(f"; {reason} {count}" for reason, count in (report["dropped"] | report["failed"]).items())
    kept = f"{report['records']} records from {report['kept_pages']} of {report['pages']} rows or chapters"
    print_report(report | {"read": made["read"]}, f"{name}: {kept}{left}. Next: python -m chimed build{WITHOUT}")
    check_misses(report)


@app.command()
def build(
    options: Annotated[str, typer.Option(help='build options as JSON, e.g. {"perplexity_cut": 0.02}')] = "{}",
    version: Annotated[str | None, typer.Option(help="default: today's date, as 2026.11.22 or 2026.11.22.1")] = None,
    run: Annotated[str | None, typer.Option(help="id of the run that asks; the same id gets the same build")] = None,
    partition: Annotated[
        str | None,
        typer.Option(help="week that the run is for; asked twice with nothing changed, it gets the same build"),
    ] = None,
    no_models: Annotated[
        bool, typer.Option("--without-models", help="ask no language model and need no GPU: rules and counts only")
    ] = False,
) -> None:
    """Open a new build over everything in the lake; `chimed run` then runs its stages."""
    from chimed.build.builds import new_build, read_build
    from chimed.build.options import without_models
    from chimed.storage.lake import find_lake

    chosen = build_options(options)
    if no_models:
        chosen = without_models(chosen, settings().exams)
        logging.getLogger("chimed").info("build: skips %s; screen looks by rule only", ", ".join(chosen["skip"]))
    lake = find_lake()
    made = new_build(lake, chosen, version, run, partition)
    plan = read_build(lake, made).get("plan") or {}
    print_report(
        {"version": made, "plan": plan}, f"build {made} is open{_planned(plan)}. Next: python -m chimed run all"
    )


def _planned(plan: dict[str, Any]) -> str:
    """Describe a build's plan in words; empty where an older version, which made no plan, opened the build."""
    if not plan:
        return ""
    parts = f"{plan['parts']:,} part{'s' if plan['parts'] > 1 else ''}"
    size = f"{plan['bytes'] / 1e6:,.1f} MB of raw files"
    return f": about {plan['rows']:,} rows in {parts}, {plan['tasks']:,} tasks, {size}"


def build_options(text: str) -> dict[str, Any]:
    """Parse a build's options and add those of the settings. Raises UserError if the text is not a JSON object."""
    from chimed.build.options import current_names

    try:
        chosen = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'--options is not JSON ({error}); write for example {{"perplexity_cut": 0.02}}') from None
    if not isinstance(chosen, dict):
        raise UserError('--options is not a JSON object; write for example {"perplexity_cut": 0.02}')
    say = logging.getLogger("chimed").warning
    return {**current_names(settings().build_options, say), **current_names(chosen, say)}


@app.command()
def run(
    stage: Annotated[str, typer.Argument(help="a stage's name, or all")],
    build: Build = "latest",
    shard: Annotated[int | None, typer.Option(help="only this shard; default: all")] = None,
    shards: Annotated[
        int, typer.Option(min=1, help="so many shards from --shard on, in one process; each is finished on its own")
    ] = 1,
    step: Annotated[
        str | None, typer.Option(help="only this step of a stage that has some, as a scheduler maps them (--shard)")
    ] = None,
) -> None:
    """Run a stage of a build, or all. A finished stage is not run again; an interrupted one continues."""
    from chimed.build import order
    from chimed.build.builds import adopt_scopes, count_shards, stages_of
    from chimed.build.context import open_context
    from chimed.build.steps import corpus_of
    from chimed.pipeline import steps
    from chimed.pipeline.parallel import run_shards
    from chimed.pipeline.runner import run_stage

    if stage != "all":
        choose("stage", stage, order.NAMES)
    work = open_context(build)
    adopt_scopes(work.lake, work.build)
    if step is not None:
        its_steps = {one.name: one for one in order.stage(stage).steps} if stage != "all" else {}
        if not its_steps:
            raise UserError(f"{'all' if stage == 'all' else stage} has no steps that run alone; leave --step out")
        choose(f"step of {stage}", step, list(its_steps))
        report = steps.run_step(work, corpus_of(work, stage), its_steps[step], shard or 0)
        print_report([report], f"build {work.build}: {stage} {step} {shard or 0} is done")
        return
    names = [one.name for one in stages_of(work.lake, work.build)] if stage == "all" else [stage]
    if shard is None:
        ran = (run_shards(work, name) for name in names)
    else:
        last = max(shard + 1, min(shard + shards, count_shards(work.lake, work.build, names[0])))
        ran = (run_stage(work, name, number) for name in names for number in range(shard, last))
    reports = [report for several in ran for report in several]
    done = f"build {work.build}: {', '.join(names)} done" if stage != "all" else f"build {work.build} is complete"
    print_report(reports, f"{done}. What was kept and dropped, and why: python -m chimed ledger {work.build}")


@app.command()
def estimate(
    build: Build = "latest",
    rate: Annotated[float | None, typer.Option(min=0.001, help="tokens a second; default: as measured so far")] = None,
) -> None:
    """Estimate what a build still has to ask the models: requests, tokens and hours. Asks nothing."""
    from chimed.build.context import open_context
    from chimed.pipeline.estimate import estimate_build

    found = estimate_build(open_context(build), rate)
    tokens = found["prompt_tokens"] + found["completion_tokens"]
    print_report(
        found,
        f"build {found['build']} has {found['remain']:,.0f} of {found['requests']:,.0f} requests still to ask: "
        f"{tokens:,.0f} tokens, {found['hours']:.1f} hours. By stage, as JSON: python -m chimed estimate | cat",
    )


@app.command(hidden=True)
def shards(
    stage: Annotated[str, typer.Argument(help="a stage's name")],
    build: Build = "latest",
    names: Annotated[bool, typer.Option("--names", help="the name of each, as a list")] = False,
) -> None:
    """Print how many shards a stage of a build has."""
    from chimed.build.builds import count_shards, read_build
    from chimed.build.inputs import shard_name
    from chimed.storage.lake import find_lake

    lake = find_lake()
    made = read_build(lake, build)
    number = count_shards(lake, made["version"], stage)
    if not names:
        print_result(number)
    elif number == len(made["shards"]):
        print_result([shard_name(shard) for shard in made["shards"]])
    else:
        print_result([f"part {n + 1} of {number}" for n in range(number)])


@app.command()
def ledger(
    build: Annotated[str, typer.Argument(help="a build's version, or latest")] = "latest",
    record: Annotated[str | None, typer.Option(help="show what happened to this record in every stage instead")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what every stage of a build read, kept and dropped, and why; fails if a row is not accounted for."""
    from chimed.pipeline.trace import print_fate, print_ledger
    from chimed.storage.lake import find_lake

    if record:
        print_fate(find_lake(), build, record, as_json)
    else:
        print_ledger(find_lake(), build, as_json)


@app.command()
def ratings(
    build: Annotated[str, typer.Argument(help="a build's version, or latest")] = "latest",
    cut: Annotated[
        float | None, typer.Option(min=0.0, max=0.99, help="share to look at; default: the build's own, else 0.05")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a build's rows are rated, how sure that is, and what a cut would take: the best, the worst, the line."""
    from chimed.pipeline.ratings import print_ratings, read_ratings
    from chimed.storage.lake import find_lake

    told = read_ratings(find_lake(), build, cut)
    if as_json:
        print_result(told)
    else:
        print_ratings(told)


@app.command()
def trace(
    record: Annotated[str, typer.Argument(help="a record's id, from any stage's table or a release")],
    build: Build = "latest",
    as_json: AsJson = False,
) -> None:
    """Trace a record back to its page and to the prompts and replies that made it."""
    from chimed.pipeline.trace import print_trace
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store

    print_trace(find_lake(), find_store(), build, record, as_json)
