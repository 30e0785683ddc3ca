"""Adds ChiMed's pages to Airflow's UI and notes to its runs. Flat: Airflow loads plugin files by their stem alone."""

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from chimed_airflow import notes
from chimed_airflow.web import app


class ChimedPlugin(AirflowPlugin):
    """The pages at /chimed, and their place in the navigation."""

    name = "chimed"
    listeners: ClassVar = [notes]
    fastapi_apps: ClassVar = [{"app": app, "url_prefix": "/chimed", "name": "ChiMed"}]
    external_views: ClassVar = [
        {"name": "ChiMed", "href": "chimed/", "destination": "nav", "url_route": "chimed", "nav_top_level": True}
    ]
