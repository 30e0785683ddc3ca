"""Looks every hour for what a person has to see though no run failed.

From Tuesday on: a site that has not got last week, for which the build waits. At any time: a disk that is nearly full,
a last release that differs from the one before by more than its limits, tasks that their pool can never take, and
notices that do not arrive. What is found is in the log, and goes by mail and webhook to whom the settings name, once a
day.
"""

from datetime import timedelta

from airflow.sdk import DAG

from chimed.settings import settings
from chimed_airflow import titles
from chimed_airflow.notice import FailureNotice
from chimed_airflow.tasks import DEFAULTS
from chimed_airflow.watching import WatchOperator

with DAG(
    dag_id="watch_deployment",
    dag_display_name=titles.watch(),
    description="Tells a person of a missing week, a full disk, a drift, or tasks that never start, every hour",
    doc_md=__doc__,
    schedule="0 * * * *" if settings().schedules else None,
    catchup=False,
    max_active_runs=1,
    tags=["chimed", "operate"],
    default_args=DEFAULTS,
    on_failure_callback=FailureNotice(),
):
    WatchOperator(task_id="watch", doc_md=WatchOperator.__doc__, execution_timeout=timedelta(minutes=30))
