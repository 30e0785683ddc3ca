"""Run the shards of a stage in parallel on the cores of one machine.

`python -m chimed run <stage>` does this for stages that compute shard by shard. Airflow maps shards over its workers
and runs one at a time. Stages that ask models or score with one run in a single process, because their cores only wait.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from chimed.build import order
from chimed.build.builds import count_shards, stages_of
from chimed.build.context import StageContext, open_context
from chimed.build.steps import corpus_of, report_of
from chimed.concurrency import MAX_PROCESSES, available_cores, worker_processes
from chimed.pipeline import steps
from chimed.pipeline.runner import run_stage

SHARDS_PER_PROCESS = 2  # starting a process takes as long as a shard, so fewer shards run in threads
SHARDS_PER_PROCESS_OF_STEPS = 8  # each process of a stage with steps loads the word lists anew


def run_shards(work: StageContext, stage: str) -> list[dict[str, Any]]:
    """Run all shards of a stage on the available cores; return their reports, as `run_stage` does.

    Raises what `run_stage` raises, and WorkerDied. Shards that are finished by then stay finished.
    """
    total = count_shards(work.lake, work.build, stage)
    this = order.stage(stage, stages_of(work.lake, work.build))
    processes = min(
        available_cores(),
        total // (SHARDS_PER_PROCESS_OF_STEPS if this.steps_of(work.options) else SHARDS_PER_PROCESS),
        MAX_PROCESSES,
    )
    if (this.scope, this.needs) != ("shard", "cpu"):
        return run_stage(work, stage)
    if processes < 2:
        _take_steps(work, this, lambda step, numbers: map(partial(_step_here, work, stage, step), numbers))
        with ThreadPoolExecutor(min(available_cores(), MAX_PROCESSES)) as threads:
            found = threads.map(lambda shard: run_stage(work, stage, shard), range(total))
            return [report for reports in found for report in reports]
    with worker_processes(stage, processes) as pool:
        _take_steps(work, this, lambda step, numbers: pool.map(partial(_step, work.build, stage, step), numbers))
        found = pool.map(_run, [work.build] * total, [stage] * total, range(total))
        return [report for reports in found for report in reports]


def _take_steps(
    work: StageContext, stage: order.Stage, several: Callable[[order.Step, Iterable[int]], Iterator[dict[str, Any]]]
) -> None:
    """Run the steps of a stage that still has parts to do. several: runs tasks of one step in parallel."""
    taken = stage.steps_of(work.options)
    if not taken or stage.name in work.options.skip or not steps.missing_parts(work, stage.name):
        return
    corpus = corpus_of(work, stage.name)
    if report_of(work, corpus, taken[-1].name, 0) is not None:
        return
    for step in taken:
        if step.over == "all":  # here: it has the machine to itself
            steps.run_step(work, corpus, step, 0)
        else:
            list(several(step, range(corpus.tasks(step))))


def _step_here(work: StageContext, stage: str, step: order.Step, number: int) -> dict[str, Any]:
    return steps.run_step(work, corpus_of(work, stage), step, number)


def _step(build: str, stage: str, step: order.Step, number: int) -> dict[str, Any]:
    return _step_here(open_context(build), stage, step, number)


def _run(build: str, stage: str, shard: int) -> list[dict[str, Any]]:
    return run_stage(open_context(build), stage, shard)
