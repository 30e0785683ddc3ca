"""The overview: what needs a person now, the last build as a flow from pages to subsets, the cost of the next refresh.

Also the page of a build, and the search through the records that left it.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from chimed.build.order import NAMES as STAGES
from chimed_airflow.web.charts import flow
from chimed_airflow.web.counted import age, recent
from chimed_airflow.web.limits import Searching, Share, Short, Words
from chimed_airflow.web.now import now
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import language_of, page

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.lake import Lake

A_PAGE = 20  # records on one page of the search

router = APIRouter()


@router.get("/")
def overview(request: Request, user: GetUserDep) -> HTMLResponse:
    """Show the last build, what runs, what a refresh costs, and all builds."""
    from chimed.build.builds import list_builds  # here, not above: the scheduler loads plugins too, and needs no polars
    from chimed.release import releases
    from chimed.storage.lake import lake_at

    lake = lake_at()
    known, released = list_builds(lake), releases(lake)
    coverage, weekly = _coverage(), _week(lake)
    last = next((shown for version in reversed(known) if (shown := _build_if_readable(lake, version))), None)
    return page(
        request,
        "overview.html.j2",
        here="overview",
        last=last,
        # a newer build that is no release does not hide the release that people use
        standing=released[-1] if released and last and not last["released"] else None,
        builds=[{"version": version, "released": version in set(released)} for version in reversed(known)][:20],
        **now(user),
        week=weekly,
        review=_to_review(),
        coverage=coverage,
        counting=coverage is None,
        age=age("coverage"),
    )


def _week(lake: "Lake") -> dict[str, Any] | None:
    """Return the Monday of the last whole week, and by source why it is missing; None while that is counted."""
    from chimed.crawl.weeks import check_week, last_week

    store, monday = open_store(), last_week()
    missing = recent("week", f"{store.engine.url}{monday}", lambda: check_week(store, lake, monday))
    if missing is None:
        return None
    have = [source for source, why in missing.items() if why is None]
    return {"monday": monday, "missing": {source: why for source, why in missing.items() if why}, "have": have}


def _to_review() -> dict[str, Any] | None:
    """Return the newest build's first review queue with texts that nobody has looked at: build, stage, left."""
    from chimed.release import people, review

    store = open_store()
    known = review.queues(store)
    for queue in (one for one in known if one["build"] == known[0]["build"]):
        if queue["stage"] == people.STAGE:
            rated = people.rated_by_people(store, queue["build"])
            left = rated["sampled"] - rated["rated"]
        else:
            found = review.standing(store, queue["build"], queue["stage"])
            left = sum(found[kind]["sampled"] - found[kind]["of"] for kind in ("precision", "missed"))
        if left:
            return {**queue, "left": left}
    return None


@router.get("/builds/{version}")
def build(version: str, request: Request) -> HTMLResponse:
    """Show a build: its flow, ledger, doubtful rows and options."""
    from chimed.storage.lake import lake_at

    lake = lake_at()
    last = _build(lake, version)
    return page(request, "build.html.j2", here="overview", last=last, changed=_options_changed(lake, last))


@router.get("/builds/{version}/ratings", dependencies=Searching)
def ratings(version: str, request: Request, cut: Share = None) -> Response:
    """Show how a build's rows are rated, and what a cut would take; a build without ratings has only its own page.

    cut: its share, in per cent.
    """
    from chimed.errors import UserError
    from chimed.pipeline.ratings import read_ratings
    from chimed.rating import ranking, rubric
    from chimed.storage.lake import lake_at

    try:
        told = read_ratings(lake_at(), version, None if cut is None else cut / 100)
    except UserError:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/builds/{quote(version)}", 303)
    titles = {name: pair[language_of(request) == "zh"] for name, pair in rubric.load().titles.items()}
    shares = sorted({*ranking.SHARES, told["share"]})
    return page(request, "ratings.html.j2", here="overview", told=told, titles=titles, shares=shares)


@router.get("/builds/{version}/diversity", dependencies=Searching)
def diversity(version: str, request: Request) -> Response:
    """Show what a build's rows vary in; a build that has not measured it has only its own page."""
    from chimed.errors import UserError
    from chimed.pipeline.diversity import read_diversity
    from chimed.storage.lake import open_lake

    try:
        told = read_diversity(open_lake(), version)
    except UserError:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/builds/{quote(version)}", 303)
    return page(request, "diversity.html.j2", here="overview", told=told)


@router.get("/builds/{version}/unasked.csv", dependencies=Searching)
def unasked(version: str, request: Request) -> Response:
    """Return the medicine that documents name and no question does, as a file for a spreadsheet."""
    from chimed.errors import UserError
    from chimed.pipeline.diversity import read_diversity, unasked_csv
    from chimed.storage.lake import open_lake

    try:
        told = read_diversity(open_lake(), version)
    except UserError:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/builds/{quote(version)}", 303)
    headers = {"Content-Disposition": f'attachment; filename="unasked-{told["build"]}.csv"'}
    return Response(unasked_csv(told), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/of")
def of(request: Request, dag: str, run: str, task: str = "") -> RedirectResponse:
    """Redirect to the page about a run or task of Airflow: its source, build, review queue, release or scores."""
    from chimed.build.builds import list_builds, read_build
    from chimed.release import is_whole
    from chimed.storage.lake import lake_at

    run = run.replace(" ", "+")  # a run's id holds a time zone's +, which an address reads as a space
    place = ""
    if dag.startswith("crawl_"):
        place = f"sources#{quote(dag.removeprefix('crawl_'))}"
    elif dag == "train_models":
        place = "scores"
    elif dag == "build_dataset":
        lake = lake_at()
        made = next((one for one in reversed(list_builds(lake)) if read_build(lake, one).get("run") == run), None)
        if made:
            place = f"builds/{made}"
            if task == "screen":
                place = f"review?{urlencode({'build': made, 'stage': 'screen'})}"
            elif task.startswith("rate"):
                place = f"builds/{made}/ratings"
            elif task.startswith("diversify"):
                place = f"builds/{made}/diversity"
            elif task == "release" and is_whole(lake, made):
                place = f"releases/{made}"
    return RedirectResponse(f"{request.scope.get('root_path', '')}/{place}", 303)


@router.get("/dropped", dependencies=Searching)
def dropped(
    request: Request, build: Short = "", stage: Short = "", reason: Short = "", words: Words = "", start: Words = ""
) -> HTMLResponse:
    """Show the records that left one build or all, by stage, reason and words."""
    from chimed.build.builds import list_builds
    from chimed.errors import choose
    from chimed.pipeline.dropped import Search
    from chimed.pipeline.dropped import find_dropped as found
    from chimed.storage.lake import lake_at

    lake = lake_at()
    known = list(reversed(list_builds(lake)))
    if build:
        choose("build", build, known)
    sought = Search(build, stage, reason, words.strip()[:100])
    left = found(lake, sought, start[:300], A_PAGE)
    return page(
        request,
        "dropped.html.j2",
        here="overview",
        sought=sought,
        left=left,
        builds=known,
        stages=STAGES,
        reasons=_reasons(lake, build or (known[0] if known else ""), stage),
    )


def _reasons(lake: "Lake", version: str, stage: str) -> list[str]:
    """Return the reasons in a build's ledger, most frequent first; [] if the ledger does not close."""
    from collections import Counter

    from chimed.build.ledger import LedgerError, read_ledger

    if not version:
        return []
    try:
        entries = read_ledger(lake, version)
    except LedgerError:
        return []
    counted: Counter[str] = Counter()
    for entry in entries:
        if stage in ("", entry["stage"]):
            for reasons in (entry["dropped"], entry["failed"], entry["derived_dropped"]):
                counted.update(reasons)
    return [reason for reason, _ in counted.most_common()]


def _options_changed(lake: "Lake", made: dict[str, Any]) -> dict[str, Any] | None:
    """Return the build before, and the options that differ as (name, its value, this build's value)."""
    from chimed.build.builds import list_builds, read_build

    known = list_builds(lake)
    place = known.index(made["version"])
    if not place:
        return None
    before = read_build(lake, known[place - 1])["options"]
    names = list(dict.fromkeys([*before, *made["options"]]))
    differ = [(n, before.get(n), made["options"].get(n)) for n in names if before.get(n) != made["options"].get(n)]
    return {"before": known[place - 1], "options": differ}


def _build_if_readable(lake: "Lake", version: str) -> dict[str, Any] | None:
    from chimed.errors import UserError

    try:
        return _build(lake, version)
    except UserError:  # its build.json was cut short: the one before is shown, and the page of the build says it
        return None


def _build(lake: "Lake", version: str) -> dict[str, Any]:
    """Return a build's flow, ledger and doubts. A released build's ledger is read from its manifest."""
    from chimed.build.builds import read_build
    from chimed.build.ledger import LedgerError, read_ledger
    from chimed.errors import UserError
    from chimed.pipeline.doubtful import list_doubtful
    from chimed.release import SUBSETS, folder_of, is_whole, read_manifest
    from chimed.release.table4 import TOTAL, table4
    from chimed.storage.lake import read_json

    made = read_build(lake, version)
    version, broken, rows, doubts = made["version"], "", dict.fromkeys(SUBSETS, 0), []
    released = is_whole(lake, version)
    try:
        if released:
            entries = read_manifest(lake, version)["ledger"]
            sizes = table4(read_json(lake, f"{folder_of(version)}/statistics.json"))
            rows = {subset: sizes[subset][TOTAL]["rows"] for subset in SUBSETS}
        else:
            entries = read_ledger(lake, version)
        shown, doubts = flow(entries, rows), list_doubtful(lake, version)
    except (LedgerError, UserError) as error:
        entries, broken = [], str(error)
        shown = flow([], rows)
    except (LookupError, TypeError, ValueError, AttributeError, FileNotFoundError):  # a file that holds something else
        entries, broken = [], f"its reports are not what was written; python -m chimed audit {version} says which"
        shown = flow([], rows)
    return {
        "version": version,
        "made": _moment(made.get("made")),
        "options": made.get("options", {}),
        "code": made.get("code", "?"),
        "released": released,
        "broken": broken,
        "doubtful": doubts,
        "rated": any(one["stage"] == "rate" and not one.get("skipped") for one in entries),
        "varied": any(one["stage"] == "diversify" and not one.get("skipped") for one in entries),
        "ledger": entries,
        "not_run": [] if released else [name for name in STAGES if name not in {one["stage"] for one in entries}],
        "flow": shown,
        "subsets": rows,
        "rows": sum(rows.values()),
    }


def _moment(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None


def _coverage() -> list[dict[str, Any]] | None:
    """Return the sources' coverage; None while it is counted."""
    from chimed.crawl.coverage import measure_coverage

    store = open_store()
    return recent("coverage", str(store.engine.url), lambda: measure_coverage(store))
