"""Run the steps that a stage needs before its parts (`chimed.build.steps`): each task once, on whichever worker."""

import time
from typing import Any

from chimed.build import order, reports
from chimed.build.builds import expected_shards, stages_of
from chimed.build.context import StageContext
from chimed.build.contract import ModelStage, SteppedStage, load_stage
from chimed.build.steps import Corpus, corpus_of, report_of
from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import sealed


def take(work: StageContext, stage: order.Stage) -> None:
    """Run every unfinished step of a stage, one task after the other; where all are finished, that costs one look."""
    taken = stage.steps_of(work.options)
    if not taken or stage.name in work.options.skip:
        return
    corpus = corpus_of(work, stage.name)
    if report_of(work, corpus, taken[-1].name, 0) is not None:
        return
    for step in taken:
        for number in range(corpus.tasks(step)):
            run_step(work, corpus, step, number)


def run_step(work: StageContext, corpus: Corpus, step: order.Step, number: int) -> dict[str, Any]:
    """Run a task of a step unless it is finished, and return its report. The steps before it must be finished.

    Raises UserError where there is no such task, and WorkStopped where another process has taken it over.
    """
    if not 0 <= number < corpus.tasks(step):
        raise UserError(f"{step.name} of {corpus.stage} has tasks 0 to {corpus.tasks(step) - 1}, not {number}")
    if (report := report_of(work, corpus, step.name, number)) is not None:
        return report
    done = {"build": work.build, "stage": corpus.stage, "step": step.name, "number": number}
    done |= {"corpus": corpus.digest, "ranges": corpus.ranges}
    if corpus.stage in work.options.skip or not step.is_taken(work.options):
        work.say(f"{corpus.stage} {step.name} {number}: skipped")
        return done | {"figures": {}, "seconds": 0.0}
    if not missing_parts(work, corpus.stage):  # and the steps' files were removed: nothing needs them again
        work.say(f"{corpus.stage} {step.name} {number}: already done")
        return done | {"figures": {}, "seconds": 0.0}
    from chimed.storage.lease import wait_for_lease  # here, not above: SQLAlchemy takes long to load

    name = f"{corpus.stage} {step.name} {number}"
    with wait_for_lease(work.store, work.lake.root, f"build {work.build} {name}", work.say) as still_ours:
        if (report := report_of(work, corpus, step.name, number)) is not None:
            return report
        lakes.clear_drafts(work.lake, corpus.path(step.name, ""), lambda file: f"-{number:05d}." in file)
        started = time.monotonic()
        does = load_stage(order.stage(corpus.stage))
        assert isinstance(does, SteppedStage | ModelStage)
        figures = does.steps[step.name](work, corpus, number)
        report = done | {"figures": figures, "seconds": round(time.monotonic() - started, 3)}
        still_ours()
        lakes.write_json(work.lake, corpus.path(step.name, layout.report(number)), sealed(report))
    work.say(", ".join([name, *(f"{key} {value}" for key, value in figures.items() if isinstance(value, int))]))
    return report


def missing_parts(work: StageContext, stage: str) -> int:
    """Return how many parts of a stage have no report yet, or one that was cut short.

    Names are counted first, since every part asks this when it ends; the reports are read when none is missing by name.
    """
    names = lakes.names(work.lake, layout.build(work.build, stage))
    expected = expected_shards(work.lake, work.build, stages_of(work.lake, work.build), stage)
    if missing := expected - sum(name.startswith("report-") for name in names):
        return missing
    return sum(reports.read(work.lake, work.build, stage, part) is None for part in range(expected))


def clear(work: StageContext, stage: str) -> None:
    """Delete the files of a stage's steps. Safe to repeat, and to run in two processes at once."""
    for folder in (layout.steps(work.build, stage), layout.steps(work.build)):
        try:
            if lakes.exists(work.lake, folder) and (folder.endswith(stage) or not lakes.names(work.lake, folder)):
                lakes.remove_folder(work.lake, folder)
        except FileNotFoundError:  # another process was faster
            continue
