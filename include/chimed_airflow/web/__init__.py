"""ChiMed's pages in Airflow's UI: releases, and the ledger of every build. Behind Airflow's own login.

Pages are rendered here, with every crawled word escaped, from the lake's own reports; Airflow's database is not asked.
"""

from pathlib import Path
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from chimed.errors import UserError

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"}

app = FastAPI(title="ChiMed", docs_url=None, redoc_url=None, openapi_url=None)
templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


def page(template: str, **values: Any) -> HTMLResponse:
    """A page: no scripts, nothing from elsewhere."""
    return HTMLResponse(templates.get_template(template).render(**values), headers=HEADERS)


@app.exception_handler(UserError)
def unknown(request: Request, error: UserError) -> PlainTextResponse:
    """What does not exist is said in the sentence the command line would say."""
    return PlainTextResponse(str(error), status_code=404)


@app.get("/")
def overview(user: GetUserDep) -> HTMLResponse:
    """All releases with their rows, and all builds."""
    from chimed.build import builds  # here, not above: the scheduler loads plugins too, and needs no polars
    from chimed.lake import exists, names, open_lake, read_json

    lake = open_lake()
    releases = [
        {"version": name, **read_json(lake, f"releases/{name}/statistics.json")}
        for name in reversed(names(lake, "releases"))
        if exists(lake, f"releases/{name}/manifest.json")
    ]
    return page("overview.html.j2", releases=releases, builds=list(reversed(builds(lake))), lake=lake.root)


@app.get("/builds/{version}")
def build(version: str, user: GetUserDep) -> HTMLResponse:
    """One build: its options and its ledger."""
    from chimed.build import read_build
    from chimed.lake import open_lake
    from chimed.ledger import LedgerError, ledger

    lake = open_lake()
    made = read_build(lake, version)
    try:
        entries, broken = ledger(lake, made["version"]), ""
    except LedgerError as error:
        entries, broken = [], str(error)
    return page("build.html.j2", build=made, entries=entries, broken=broken)
