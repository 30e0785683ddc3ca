"""Show what exists, what is running, and what to do next: `python -m chimed status`. Ours.

Only reports and a few counts are read, so it answers at once, whatever the size of the lake.
"""

from importlib.util import find_spec
from typing import Any

from chimed.build.builds import count_parts, list_builds, read_build, stages_of
from chimed.characters import printable
from chimed.crawl import weeks
from chimed.errors import UserError
from chimed.printing import safe
from chimed.release import folder_of, is_whole, releases
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake, lake_at, missing_folder
from chimed.storage.store import Store

COMMAND = "python -m chimed"


def read_status() -> dict[str, Any]:
    """Return what exists, what is running and what to do next.

    Keys: lake, missing (a sentence if the lake's folder is not there, else None), store, week (the Monday of the last
    whole week), sources (name, crawls, week: why it is missing or None), corpora, build (version, done, next, released,
    held; None if there is none), releases, trained, review (texts waiting), running (sources being crawled), next
    (sentences, each with `do`, a command or None).
    """
    from chimed.storage.store import find_existing_store

    lake, store = lake_at(), find_existing_store()
    monday = weeks.last_week()
    missing = weeks.check_week(store, lake, monday) if store else dict.fromkeys(source_names(), weeks.NEVER_CRAWLED)
    sources = [{"source": name, "crawls": _count_crawls(lake, name), "week": missing[name]} for name in source_names()]
    known, whole = list_builds(lake), releases(lake)
    found: dict[str, Any] = {
        "lake": settings().data,
        "missing": missing_folder(lake),
        "store": settings().store.rsplit("@", 1)[-1],
        "week": monday,
        "sources": sources,
        "corpora": [
            name for name in lakes.names(lake, layout.RAW) if name not in source_names() and _count_crawls(lake, name)
        ],
        "build": _build_state(lake, known[-1]) if known else None,
        "releases": whole,
        "trained": _list_trained(lake, whole[-1]) if whole else [],
        "review": _count_unreviewed(store) if store else 0,
        "running": _list_running(store) if store else [],
    }
    return found | {"next": _next_steps(found)}


def _count_crawls(lake: Lake, source: str) -> int:
    """Return how many crawls of a source are finished."""
    return sum(
        lakes.exists(lake, layout.raw(source, name, layout.REPORT)) for name in lakes.names(lake, layout.raw(source))
    )


def _build_state(lake: Lake, version: str) -> dict[str, Any]:
    """Return how far a build is."""
    names = [one.name for one in stages_of(lake, version)]
    done = []
    for name in names:
        try:
            count_parts(lake, version, name)
        except UserError:
            break
        done.append(name)
    left = names[len(done) :]
    return {
        "version": version,
        "made": read_build(lake, version)["made"],
        "done": len(done),
        "of": len(names),
        "next": left[0] if left else None,
        "released": is_whole(lake, version),
        "held": not is_whole(lake, version) and lakes.exists(lake, f"{folder_of(version)}/changes.json"),
    }


def _list_trained(lake: Lake, release: str) -> list[str]:
    """Return `<recipe>/<phase>` of everything trained on a release."""
    return [
        f"{recipe}/{phase}"
        for recipe in lakes.names(lake, layout.models(release))
        for phase in lakes.names(lake, layout.models(release, recipe))
        if lakes.exists(lake, layout.models(release, recipe, phase, layout.REPORT))
    ]


def _count_unreviewed(store: Store) -> int:
    """Return how many texts of the newest review queue nobody has looked at."""
    from chimed.release.review import queues, standing

    newest = next(iter(queues(store)), None)
    if newest is None:
        return 0
    found = standing(store, newest["build"], newest["stage"])
    return sum(found[kind]["sampled"] - found[kind]["of"] for kind in ("precision", "missed"))


def _list_running(store: Store) -> list[str]:
    """Return the sources whose lease is held: they are being crawled, or their crawler died less than a minute ago."""
    from sqlalchemy import select

    from chimed.storage.store_tables import LEASES

    with store.engine.connect() as connection:
        return sorted(connection.execute(select(LEASES.c.source)).scalars())


def _next_steps(found: dict[str, Any]) -> list[dict[str, str | None]]:
    """Return what to do next, most useful first."""
    monday, until = found["week"], found["week"] + weeks.WEEK
    crawled = sum(one["crawls"] for one in found["sources"])
    build = found["build"]
    said: list[dict[str, str | None]] = []

    def add(what: str, do: str | None = None) -> None:
        said.append({"what": what, "do": do})

    if not crawled and not found["corpora"] and build is None and not found["releases"]:
        add("See everything run once, on a replica of the sites and with tiny models", "make demo")
        add("Or read files of your own", f"{COMMAND} ingest mine qa.csv books/*.txt")
        add("Or crawl a week of one site", f"{COMMAND} crawl ask39 --from {monday} --to {until}")
        return said
    if build is None:
        add("Check whether servers, exams and disk are ready for a build", f"{COMMAND} check")
        add("Open a build over everything there is, then run its stages", f"{COMMAND} build && {COMMAND} run all")
    elif build["held"]:
        earlier = found["releases"][-1] if found["releases"] else "<release>"
        add(
            f"Release {build['version']} drifts from {earlier} and is held back: look at why, and accept it with a "
            "reason or mend it",
            f"{COMMAND} diff {earlier} {build['version']}",
        )
    elif build["next"]:
        add(f"Go on with build {build['version']}", f"{COMMAND} run all --build {build['version']}")
    elif not found["trained"]:
        add("See what it takes to train on the release", f"{_training()} train --plan --recipe {settings().recipe}")
    lacking = [one["source"] for one in found["sources"] if one["week"] and one["crawls"]]
    if lacking:
        add(
            f"{', '.join(lacking)}: the week of {monday} is not fully crawled",
            f"{COMMAND} crawl {lacking[0]} --from {monday} --to {until}",
        )
    if found["review"]:
        add(f"{found['review']} screened texts wait to be reviewed, on ChiMed's page Review in Airflow", None)
    return said


def _training() -> str:
    """Return how training is started here: by this environment if it has torch, else by the models' own."""
    return COMMAND if find_spec("torch") else f"{settings().models_python} -m chimed"


def print_status(found: dict[str, Any]) -> None:
    """Print the status for a person."""
    print(f"lake   {found['lake']}\nstore  {found['store']}\n")
    if found["missing"]:
        print(f"{safe(found['missing'])}\n")
    have = [one["source"] for one in found["sources"] if not one["week"]]
    crawled = any(one["crawls"] for one in found["sources"])
    print(
        f"week of {found['week']}: {len(have)} of {len(found['sources'])} sites have it" if crawled else "no crawl yet"
    )
    for one in found["sources"] if crawled or found["running"] else []:
        running = ", being crawled now" if one["source"] in found["running"] else ""
        week = "has the week" if not one["week"] else f"week: {one['week']}"
        print(f"  {one['source']:<10} {one['crawls']:>4} crawls, {printable(week)}{running}")
    if found["corpora"]:
        print(f"corpora: {', '.join(found['corpora'])}")
    build = found["build"]
    if build is None:
        print("no build yet")
    else:
        state = "released" if build["released"] else "held back" if build["held"] else f"next stage: {build['next']}"
        print(f"last build: {build['version']}, {build['done']} of {build['of']} stages done, {state}")
    print(f"releases: {', '.join(found['releases'][-5:]) or 'none yet'}")
    if found["trained"]:
        print(f"trained on {found['releases'][-1]}: {', '.join(found['trained'])}")
    if found["next"]:
        print("\nwhat to do next:")
    for one in found["next"]:
        print(f"  {one['what']}" + (f":\n      {one['do']}" if one["do"] else ""))
