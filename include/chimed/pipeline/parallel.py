"""Shards of a stage side by side: what one machine's cores do where no scheduler hands the shards out.

`python -m chimed run <stage>` works so on the stages that compute shard by shard. Airflow maps shards over its workers
and asks for one at a time. Models are asked, and scored with, from one process: there the cores only wait.
"""

from concurrent.futures import ThreadPoolExecutor

from chimed.build import order
from chimed.build.builds import shards_of, stages_of
from chimed.build.context import Work, open_work
from chimed.concurrency import MAX_PROCESSES, available_cores, worker_processes
from chimed.pipeline.runner import run_stage

LEAST = 2  # shards of a process: it takes as long to start as one takes; fewer are worked on by threads


def run_shards(work: Work, stage: str) -> list[dict]:
    """Runs all shards of a stage, on the cores that there are; returns their reports, as `run_stage` does.

    Raises what `run_stage` raises, and WorkerDied; shards that are done by then stay done.
    """
    total = shards_of(work.lake, work.build, stage)
    this = order.stage(stage, stages_of(work.lake, work.build))
    processes = min(available_cores(), total // LEAST, MAX_PROCESSES)
    if (this.scope, this.needs) != ("shard", "cpu"):
        return run_stage(work, stage)
    if processes < 2:
        with ThreadPoolExecutor(min(available_cores(), MAX_PROCESSES)) as threads:
            found = threads.map(lambda shard: run_stage(work, stage, shard), range(total))
            return [report for reports in found for report in reports]
    with worker_processes(stage, processes) as pool:
        found = pool.map(_run, [work.build] * total, [stage] * total, range(total))
        return [report for reports in found for report in reports]


def _run(build: str, stage: str, shard: int) -> list[dict]:
    return run_stage(open_work(build), stage, shard)
