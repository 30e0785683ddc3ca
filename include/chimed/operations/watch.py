"""What an operator has to be told of though no run failed: a missing week, a full disk, a release that drifted, notices
that do not arrive.

`python -m chimed watch` looks; in Airflow the DAG `watch_deployment` does every hour and sends a notice. Ours.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chimed.crawl import weeks
from chimed.operations import channels
from chimed.release import releases
from chimed.settings import Settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.states import today
from chimed.storage.store import Store

TUESDAY = 1  # crawls begin on Monday; on Tuesday a week's five are done, or something is wrong
LEAST_FREE = 0.1  # share of a disk below which it counts as filling
LEAST_FREE_GB = 20.0


@dataclass(frozen=True)
class Alarm:
    """What was found: a kind (week, disk, drift, notice), what it is about, and a sentence of what is wrong and what to
    do."""

    kind: str
    about: str
    said: str


def watch(settings: Settings, lake: Lake, store: Store | None) -> list[Alarm]:
    """Return everything that a person has to look at now. store: None where nothing has made one yet."""
    crawls = _weeks(settings, lake, store) if store else ()
    return [*crawls, *_disks(settings), *_drift(lake), *_notices(settings, lake)]


def _weeks(settings: Settings, lake: Lake, store: Store) -> Iterator[Alarm]:
    """From Tuesday on: sites that lack the week that ended last, one that was never crawled among them.

    A deployment that never crawled any site reads files of its own, and lacks nothing.
    """
    known = weeks.ever_crawled(store)
    if today().weekday() < TUESDAY or not known:
        return
    monday = weeks.last_week()
    for source, why in weeks.check_week(store, lake, monday).items():
        if why and source not in known and settings.schedules:
            yield Alarm(
                "week",
                f"{source} {monday}",
                f"{source} was never crawled, and the build waits for all sites; switch crawl_{source} on, or build "
                "without it by hand",
            )
        elif why and source in known:
            yield Alarm(
                "week",
                f"{source} {monday}",
                f"{source} has not got the week of {monday} ({why}), and the build waits for it; look at "
                f"crawl_{source}, or build without it by hand",
            )


def _disks(settings: Settings) -> Iterator[Alarm]:
    """Disks of this machine that chimed writes to and that are nearly full."""
    places = {"CHIMED_SCRATCH": settings.scratch, "CHIMED_DATA": settings.data, "CHIMED_STORE": settings.store}
    seen = set()
    for name, value in places.items():
        local = value.removeprefix("sqlite:///")
        if "://" in local:
            continue
        there = next(path for path in (Path(local).absolute(), *Path(local).absolute().parents) if path.exists())
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        free = usage.free / 1e9
        if free < LEAST_FREE_GB and usage.free < LEAST_FREE * usage.total:
            yield Alarm(
                "disk",
                name,
                f"only {free:.1f} GB ({usage.free / usage.total:.0%}) are free where {name} lies; free some space "
                "(python -m chimed retention, older builds), or move it to a larger disk",
            )


def _drift(lake: Lake) -> Iterator[Alarm]:
    """Return the last release if it differs from the one before by more than the limits."""
    made = releases(lake)
    if not made or not lakes.exists(lake, layout.release(made[-1], "changes.json")):
        return
    changes = lakes.read_json(lake, layout.release(made[-1], "changes.json"))
    if sentences := changes.get("stops"):
        yield Alarm(
            "drift",
            made[-1],
            f"release {made[-1]} drifted from {changes['before']}: {'; '.join(map(str, sentences[:5]))}; read its "
            "changes before anybody trains on it",
        )


def _notices(settings: Settings, lake: Lake) -> Iterator[Alarm]:
    """Channels whose last notice did not arrive: told over the others."""
    for one in channels.broken(lake, settings):
        yield Alarm("notice", one.channel, channels.sentence(one))


def alarm_lines(found: list[Alarm]) -> list[str]:
    """Return a line for each alarm; one where there is none."""
    return [f"{one.kind}: {one.said}" for one in found] or [
        "nothing to look at: no missing week, full disk, drift or lost notice"
    ]
