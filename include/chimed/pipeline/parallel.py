"""Run the shards of a stage in parallel on the cores of one machine.

`python -m chimed run <stage>` does this for stages that compute shard by shard. Airflow maps shards over its workers
and runs one at a time. Stages that ask models or score with one run in a single process, because their cores only wait.
"""

from concurrent.futures import ThreadPoolExecutor

from chimed.build import order
from chimed.build.builds import count_shards, stages_of
from chimed.build.context import Work, open_work
from chimed.concurrency import MAX_PROCESSES, available_cores, worker_processes
from chimed.pipeline.runner import run_stage

SHARDS_PER_PROCESS = 2  # starting a process takes as long as a shard, so fewer shards run in threads


def run_shards(work: Work, stage: str) -> list[dict]:
    """Run all shards of a stage on the available cores; return their reports, as `run_stage` does.

    Raises what `run_stage` raises, and WorkerDied. Shards that are finished by then stay finished.
    """
    total = count_shards(work.lake, work.build, stage)
    this = order.stage(stage, stages_of(work.lake, work.build))
    processes = min(available_cores(), total // SHARDS_PER_PROCESS, MAX_PROCESSES)
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
