"""The button that leads from a task to the page of ChiMed that shows what it worked on."""

from typing import Any
from urllib.parse import quote, urlencode

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

PAGES = "plugin/chimed/chimed"  # within Airflow's UI, its navigation around it


class PagesLink(BaseOperatorLink):
    """ChiMed's page of a task: its source, build, release, review queue or scores."""

    name = "ChiMed"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the page's address, from the command as Airflow rendered it for the task."""
        del ti_key
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        command = getattr(operator, "command", None) or operator.arguments
        return f"{base}/{PAGES}/{place_of([str(part) for part in command])}"


def place_of(command: list[str]) -> str:
    """Where the page of a `chimed` command lies below the pages' root."""
    verb, *rest = [part for part in command if part]
    named = dict(part.removeprefix("--").split("=", 1) for part in rest if part.startswith("--") and "=" in part)
    if verb in ("crawl", "extract"):
        return f"sources#{quote(rest[0])}"
    if verb == "run" and "--build" in rest:
        build = rest[rest.index("--build") + 1]
        if rest[0] == "screen":
            return f"review?{urlencode({'build': build, 'stage': 'screen'})}"
        return f"{'releases' if rest[0] == 'release' else 'builds'}/{quote(build)}"
    if verb == "ledger":
        return f"builds/{quote(rest[0])}"
    if verb in ("train", "evaluate", "compare") and {"release", "recipe"} <= named.keys():
        return f"scores?{urlencode({'release': named['release'], 'recipe': named['recipe']})}"
    return ""
