"""Review: one keystroke a verdict on sampled texts, and what the verdicts say of the stage so far."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from chimed_airflow.web.access import Judging, may_edit, may_judge, name_of, token_for
from chimed_airflow.web.limits import Held, Short
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import HEADERS, label, language_of, page, plain

BATCH = 25  # records the page holds ahead
MOST_HELD = 600  # ids of records it has or skipped

router = APIRouter(prefix="/review")


class Verdict(BaseModel):
    """What a page sends: a verdict on a record of a build's queue."""

    model_config = ConfigDict(extra="forbid")

    build: str = Field(max_length=200)
    stage: str = Field(max_length=200)
    record: str = Field(max_length=64)
    verdict: str = Field(max_length=32)


@router.get("")
def review(request: Request, user: GetUserDep, build: Short = "", stage: Short = "") -> HTMLResponse:
    """The queue, the newest where none is named."""
    from chimed.errors import choose
    from chimed.release import review as reviews

    store, may = open_store(), may_judge(request, user)
    queues = reviews.queues(store)
    if not queues:
        return page(request, "review.html.j2", here="review", queue=None, queues=[], script=False)
    if build or stage:
        choose("review queue", f"{build}/{stage}", [f"{one['build']}/{one['stage']}" for one in queues])
        queue = next(one for one in queues if (one["build"], one["stage"]) == (build, stage))
    else:
        queue = queues[0]
    return page(
        request,
        "review.html.j2",
        here="review",
        script=True,
        queue=queue,
        queues=queues,
        standing=shown(reviews.standing(store, queue["build"], queue["stage"]), language_of(request), texts=may),
        may_judge=may,
        reviewer=name_of(user),
        mine=reviews.judged_by(store, queue["build"], queue["stage"], name_of(user)),
        token=token_for(user),
    )


@router.get("/items", dependencies=[Depends(may_edit)])
def items(user: GetUserDep, build: Short, stage: Short, beyond: Held = "") -> JSONResponse:
    """The next records this reviewer has not judged. beyond: ids it has already, by comma.

    Only for who may judge: many of the texts were flagged because they identify a person.
    """
    from chimed.release.review import waiting

    held = [id for id in beyond.split(",") if id][:MOST_HELD]
    found = waiting(open_store(), build, stage, name_of(user), BATCH, held)
    return JSONResponse([{**one, "text": plain(one["text"])} for one in found], headers=HEADERS)


@router.post("/verdicts", dependencies=Judging)
def verdict(said: Verdict, request: Request, user: GetUserDep) -> JSONResponse:
    """Writes a verdict down; answers what the stage had said, and how the verdicts stand now."""
    from chimed.release.review import judge, standing

    store = open_store()
    stage_said = judge(store, said.build, said.stage, said.record, name_of(user), said.verdict)
    now = shown(standing(store, said.build, said.stage), language_of(request))
    said_so = {**stage_said, "reason": plain(stage_said["reason"])}
    return JSONResponse({"stage": said_so, "standing": now}, headers=HEADERS)


def shown(standing: dict[str, Any], language: str, texts: bool = True) -> dict[str, Any]:
    """How the verdicts stand as words of the page: each share with its interval, reviewers, disputed records.

    texts: whether who looks may see what the disputed records say.
    """
    return {
        **{name: _words(standing[name]) for name in ("precision", "missed", "agreement")},
        "judged": sum(standing[name]["of"] for name in ("precision", "missed")),
        "sampled": sum(standing[name]["sampled"] for name in ("precision", "missed")),
        "reviewers": [
            {**one, "last": one["last"].strftime("%Y-%m-%d %H:%M") + " UTC"} for one in standing["reviewers"]
        ],
        "disputed": [
            {
                "record": one["record"],
                "text": plain(one["text"])[:300] if texts else "",
                "stage": label(language, one["kind"]),
                "verdicts": [f"{name}: {label(language, verdict)}" for name, verdict in one["verdicts"].items()],
            }
            for one in standing["disputed"][:50]
        ],
    }


def _words(share: dict[str, Any]) -> dict[str, Any]:
    if not share["of"]:
        return {"share": "–", "interval": "–", "counts": "0 / 0", "low": 0, "high": 0, "at": 0}
    return {
        "share": f"{share['part'] / share['of']:.1%}",
        "interval": f"{share['low']:.1%} – {share['high']:.1%}",
        "counts": f"{share['part']} / {share['of']}",
        "low": round(100 * share["low"], 1),
        "high": round(100 * share["high"], 1),
        "at": round(100 * share["part"] / share["of"], 1),
    }
