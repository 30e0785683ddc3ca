"""The review page: one keystroke gives a verdict on a sampled text; the verdicts measure the stage."""

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from chimed_airflow.web.access import Judging, may_edit, may_judge, name_of, token_for
from chimed_airflow.web.limits import Held, Short
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import HEADERS, label, language_of, page, plain

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.store import Store

BATCH = 25  # records that a page loads ahead
RATED = "rate"  # the stage whose queue is rated by the rubric
MOST_HELD = 600  # ids that a page may send as already loaded or skipped

router = APIRouter(prefix="/review")


class Verdict(BaseModel):
    """A verdict on a record of a build's queue, as a page sends it."""

    model_config = ConfigDict(extra="forbid")

    build: str = Field(max_length=200)
    stage: str = Field(max_length=200)
    record: str = Field(max_length=64)
    verdict: str = Field(max_length=32)


@router.get("")
def review(request: Request, user: GetUserDep, build: Short = "", stage: Short = "") -> HTMLResponse:
    """Show a review queue, by default the newest."""
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
        standing=stands(store, queue["build"], queue["stage"], language_of(request), texts=may),
        criteria=_criteria(language_of(request)) if queue["stage"] == RATED else {},
        may_judge=may,
        reviewer=name_of(user),
        mine=reviews.judged_by(store, queue["build"], queue["stage"], name_of(user)),
        token=token_for(user),
    )


@router.get("/items", dependencies=[Depends(may_edit)])
def items(user: GetUserDep, build: Short, stage: Short, beyond: Held = "") -> JSONResponse:
    """Return the next records that this reviewer has not judged. beyond: ids the page has already, by comma.

    Only for reviewers: many of the texts were flagged because they identify a person.
    """
    from chimed.release.review import waiting

    held = [id for id in beyond.split(",") if id][:MOST_HELD]
    found = waiting(open_store(), build, stage, name_of(user), BATCH, held)
    return JSONResponse([{**one, "text": plain(one["text"])} for one in found], headers=HEADERS)


@router.post("/verdicts", dependencies=Judging)
def verdict(said: Verdict, request: Request, user: GetUserDep) -> JSONResponse:
    """Record a verdict; return what the stage had decided, and the verdicts so far."""
    from chimed.release.review import judge

    store = open_store()
    stage_said = judge(store, said.build, said.stage, said.record, name_of(user), said.verdict)
    now = stands(store, said.build, said.stage, language_of(request))
    said_so = {**stage_said, "reason": plain(stage_said["reason"])}
    return JSONResponse({"stage": said_so, "standing": now}, headers=HEADERS)


def _criteria(language: str) -> dict[str, str]:
    """Return the rubric's criteria that people rate by, with their titles."""
    from chimed.rating import rubric

    return {name: rubric.load().titles[name][language == "zh"] for name in rubric.JUDGED}


def stands(store: "Store", build: str, stage: str, language: str, texts: bool = True) -> dict[str, Any]:
    """Return what people's verdicts on a queue say so far, in words (`shown`). texts: as there.

    In a queue of rated rows each measure is a criterion: how far the judge agrees with people, as quadratic kappa.
    """
    from chimed.release import people, review

    said = shown(review.standing(store, build, stage), language, texts)
    if stage != RATED:
        return said
    rated = people.rated_by_people(store, build)
    kappas = {name: _kappa_words(one) for name, one in rated["criteria"].items()}
    return {**said, **kappas, "judged": rated["rated"], "sampled": rated["sampled"]}


def _kappa_words(one: dict[str, Any]) -> dict[str, Any]:
    """Return a kappa with its interval. On the drawn scale 0 is no more agreement than by chance, 100 is perfect."""
    counts = f"{one['same']} / {one['of']}"
    if one["low"] is None:
        return {"share": "–", "interval": "–", "counts": counts, "low": 0, "high": 0, "at": 0}
    low, high, at = (round(100 * max(0.0, one[name]), 1) for name in ("low", "high", "kappa"))
    interval = f"{one['low']:.2f} – {one['high']:.2f}"
    return {"share": f"{one['kappa']:.2f}", "interval": interval, "counts": counts, "low": low, "high": high, "at": at}


def shown(standing: dict[str, Any], language: str, texts: bool = True) -> dict[str, Any]:
    """Return the verdicts so far in words: each share with its interval, reviewers, disputed records.

    texts: whether the user may see the texts of the disputed records.
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
