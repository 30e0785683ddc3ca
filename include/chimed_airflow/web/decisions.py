"""Decisions: who gave a verdict, took something down or accepted a drift, and when."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from chimed_airflow.web.limits import Searching, Short
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import page

SHOWN = 200  # the latest; the command `decisions` tells all

router = APIRouter(prefix="/decisions")


@router.get("", dependencies=Searching)
def decisions(request: Request, what: Short = "") -> HTMLResponse:
    """The latest decisions, of one kind or of all."""
    from chimed.errors import choose
    from chimed.storage import audit_log

    kind = choose("decision", what, audit_log.KINDS) if what else None
    rows = audit_log.list_decisions(open_store(), SHOWN, kind)
    return page(request, "decisions.html.j2", here="review", rows=rows, what=what, kinds=audit_log.KINDS)
