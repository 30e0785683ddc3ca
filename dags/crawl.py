"""Crawls one site a week: fetch its pages politely into WARC files, then read them into records.

One DAG a site, so that a backfill is of one site. A run owns the week of its partition key, a Monday: a site with dated
pages gives those published in that week, one without what is new or changed. By hand it runs for the week that ended
last, or for the key it is given. When all five sites have a week, `build_dataset` starts by itself; a backfilled week
starts no build and waits for none: the next build takes its records too.

A site that refuses is left alone for as long as it says, or a day: the task is up for reschedule until then, and asks
again by itself, seven times; a notice says so.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable, Param, PartitionedAtRuntime

from chimed.settings import settings
from chimed.sources import NAMES as SOURCES
from chimed_airflow.assets import RECORDS
from chimed_airflow.notice import FailureNotice
from chimed_airflow.params import POOLS
from chimed_airflow.summaries import crawl_line
from chimed_airflow.tasks import DEFAULTS, ChimedOperator, CrawlOperator, numbers
from chimed_airflow.weeks import KEY_FORMAT, ZONE, week

WEEK = "week(partition_key, dag_run.run_after)"
# The week's own run fills one folder, however often it is cleared; a run by hand crawls anew, into its own.
AGAIN = "{{ dag_run.run_after.strftime('-%Y%m%dT%H%M%S') if dag_run.run_type == 'manual' else '' }}"
CRAWL = f"{{{{ {WEEK}.key }}}}{AGAIN}"

PARAMS = {
    "mode": Param(
        "refresh",
        enum=["refresh", "full"],
        description="refresh: what is new or changed in the week; full: every page of all weeks",
    ),
    "max_pages": Param(
        None, type=["integer", "null"], minimum=1, description="fetch no more detail pages than this; empty: no limit"
    ),
    "sections": Param(
        None,
        type=["string", "null"],
        pattern="^[\\w,-]*$",
        description="only these lists of the site, by comma; empty: all",
    ),
    "accept": Param(
        False,
        type="boolean",
        description="take a week that is unusually small, or whose records lack a field that those before had",
    ),
}


def schedule(hour: int) -> CronPartitionTimetable | PartitionedAtRuntime:
    """Mondays at an hour of Shanghai, for the week that has just ended; nothing by itself where schedules are off."""
    if not settings().schedules:
        return PartitionedAtRuntime()
    return CronPartitionTimetable(f"0 {hour} * * 1", timezone=ZONE, run_offset=-1, key_format=KEY_FORMAT)


for place, source in enumerate(SOURCES):
    with DAG(
        dag_id=f"crawl_{source}",
        description=f"Crawl {source} for one week and read its pages into records",
        doc_md=__doc__,
        schedule=schedule(hour=(1 + place) % 24),
        catchup=False,
        max_active_runs=1,
        tags=["chimed", "crawl", source],
        # a site that pools.json does not name yet has no pool of its own: its task would wait for ever
        default_args={**DEFAULTS, "pool": f"site_{source}" if f"site_{source}" in POOLS else "default_pool"},
        params=PARAMS,
        user_defined_macros={"week": week},
        on_failure_callback=FailureNotice(),
    ):
        crawl = CrawlOperator(
            task_id="crawl",
            doc_md=f"Fetches the pages of {source} politely into WARC files; a finished crawl is not fetched again.",
            command=[
                *("crawl", source, f"--crawl={CRAWL}"),
                f"{{{{ '' if params.mode == 'full' else '--from=%s' % {WEEK}.since }}}}",
                f"{{{{ '' if params.mode == 'full' else '--to=%s' % {WEEK}.until }}}}",
                "--mode={{ params.mode }}",
                "{{ '--max-pages=%d' % params.max_pages if params.max_pages else '' }}",
                "{{ '--sections=' ~ params.sections if params.sections else '' }}",
                "{{ '--accept' if params.accept else '' }}",
                "--unattended",
            ],
            returns=numbers,
            execution_timeout=timedelta(hours=48),
        )
        extract = ChimedOperator(
            task_id="extract",
            doc_md="Reads the crawl's pages into records; every page ends as records or as a miss with its reason.",
            command=["extract", source, f"--crawl={CRAWL}", "{{ '--accept' if params.accept else '' }}"],
            returns=numbers,
            note=crawl_line,
            outlets=[RECORDS[source]],
            asset_key=f"{{{{ {WEEK}.key }}}}",
            execution_timeout=timedelta(hours=2),
        )
        crawl >> extract
