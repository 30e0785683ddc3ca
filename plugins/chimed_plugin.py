"""Adds ChiMed's pages to Airflow's UI and notes to its runs. Flat: Airflow loads plugin files by their stem alone."""

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from chimed_airflow import notes
from chimed_airflow.web import app

VIEW = {"name": "ChiMed", "icon": "chimed/static/icon.svg"}
OF = "chimed/of?dag={DAG_ID}&run={RUN_ID}"  # Airflow fills in which


class ChimedPlugin(AirflowPlugin):
    """The pages at /chimed, their place in the navigation, and a tab on each run and task."""

    name = "chimed"
    listeners: ClassVar = [notes]
    fastapi_apps: ClassVar = [{"app": app, "url_prefix": "/chimed", "name": "ChiMed"}]
    external_views: ClassVar = [
        {**VIEW, "href": "chimed/", "destination": "nav", "url_route": "chimed", "nav_top_level": True},
        {**VIEW, "href": f"{OF}", "destination": "dag_run", "url_route": "chimed_run"},
        {**VIEW, "href": f"{OF}&task={{TASK_ID}}", "destination": "task_instance", "url_route": "chimed_task"},
    ]
