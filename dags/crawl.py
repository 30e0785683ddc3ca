"""Crawls one site a week: fetch its pages politely into WARC files, then read them into records.

There is one DAG for each site, so that a backfill is of one site. Every Monday it takes the week that has just ended. A
run owns one week: a site with dated pages gives those published in it, one without gives what is new or changed. Run by
hand, it takes the week chosen as `week` in its form, or else the one that ended last; Logical Date has no effect. For
earlier weeks use Trigger → Backfill, from the first Monday to the last Sunday.

When all five sites have a week, `build_dataset` starts by itself. A backfilled week starts no build and waits for none:
the next build takes its records too.

A site that refuses is left alone for as long as it says, or a day: the task is up for reschedule until then, and tries
again by itself, seven times; a notice says so.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable, PartitionedAtRuntime

from chimed.settings import settings
from chimed.sources import names as source_names
from chimed_airflow import pools, titles
from chimed_airflow.assets import records
from chimed_airflow.notice import FailureNotice
from chimed_airflow.params import crawl_params, listed
from chimed_airflow.summaries import crawl_line
from chimed_airflow.tasks import DEFAULTS, ChimedOperator, CrawlOperator, numbers
from chimed_airflow.weeks import KEY_FORMAT, TIME_ZONE, of_run

WEEK = "week(dag_run, params)"
# The week's own run fills one folder, however often it is cleared; a run by hand crawls anew, into its own.
AGAIN = "{{ dag_run.run_after.strftime('-%Y%m%dT%H%M%S') if dag_run.run_type == 'manual' else '' }}"
CRAWL = f"{{{{ {WEEK}.key }}}}{AGAIN}"


def schedule(hour: int) -> CronPartitionTimetable | PartitionedAtRuntime:
    """Mondays at an hour of Shanghai, for the week that has just ended; none where schedules are off."""
    if not settings().schedules:
        return PartitionedAtRuntime()
    # a new DAG begins with the next Monday; with a start_date Airflow would run nothing by hand for days before it
    days = {"timezone": TIME_ZONE, "run_offset": -1, "key_format": KEY_FORMAT, "run_immediately": False}
    return CronPartitionTimetable(f"0 {hour} * * 1", **days)


for place, source in enumerate(source_names()):
    with DAG(
        dag_id=f"crawl_{source}",
        dag_display_name=titles.crawl(source),
        description=f"Fetches a week of {titles.host(source)} and reads its pages into records, every Monday",
        doc_md=__doc__,
        schedule=schedule(hour=(1 + place) % 24),
        catchup=False,
        max_active_runs=1,
        tags=["chimed", "crawl", source],
        # a site that pools.json does not name yet has no pool of its own: its task would wait for ever
        default_args={**DEFAULTS, "pool": f"site_{source}" if f"site_{source}" in pools.wanted() else "default_pool"},
        params=crawl_params(source),
        user_defined_macros={"week": of_run, "listed": listed},
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
                "{{ '--sections=' ~ listed(params.sections) if params.sections else '' }}",
                "{{ '--accept' if params.accept else '' }}",
                "--unattended",
            ],
            returns=numbers,
            execution_timeout=timedelta(hours=48),
        )
        extract = ChimedOperator(
            task_id="extract",
            doc_md="Reads the crawl's pages into records; each page gives records or is counted with a reason.",
            command=["extract", source, f"--crawl={CRAWL}", "{{ '--accept' if params.accept else '' }}"],
            returns=numbers,
            note=crawl_line,
            outlets=[records()[source]],
            asset_key=f"{{{{ {WEEK}.key }}}}",
            execution_timeout=timedelta(hours=2),
        )
        crawl >> extract
