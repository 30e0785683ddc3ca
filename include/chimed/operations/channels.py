"""How the last notice of each channel went: a file of the lake for a channel that fails, until one arrives. Ours.

Notices are sent by tasks, by Airflow's DAG processor and by hand, on different machines. Where one channel fails, what
`python -m chimed check` and `watch` say of it reaches a person over the others.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chimed.characters import short
from chimed.errors import UserError
from chimed.settings import Settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

CHANNELS = {"mail": "CHIMED_NOTIFY, and the connection smtp_default", "webhook": "CHIMED_NOTIFY_WEBHOOK"}
REASON = 200  # characters of an error


@dataclass(frozen=True)
class Broken:
    """A channel whose last notice did not arrive. since: when the first one failed, ISO 8601 in UTC."""

    channel: str
    since: str
    why: str


def is_set(channel: str, chosen: Settings) -> bool:
    """Return whether the settings name someone to send to over a channel."""
    return bool(chosen.notify if channel == "mail" else chosen.notify_webhook)


def record(lake: Lake, channel: str, why: str | None) -> None:
    """Write down that a channel failed, and why; or, where `why` is None, that it works (again).

    Raises OSError where the lake cannot be written: whoever sends a notice goes on all the same.
    """
    path = layout.notices(f"{channel}.json")
    known = _read(lake, path)
    if why is None:
        if known is not None:
            lakes.remove(lake, path)
        return
    since = (known or {}).get("since") or f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"
    lakes.write_json(lake, path, {"since": since, "why": short(why, REASON)})


def broken(lake: Lake, chosen: Settings) -> list[Broken]:
    """Return the channels in use whose last notice did not arrive."""
    found = {one: _read(lake, layout.notices(f"{one}.json")) for one in CHANNELS if is_set(one, chosen)}
    return [
        Broken(channel, str(known.get("since")), str(known.get("why"))) for channel, known in found.items() if known
    ]


def sentence(one: Broken) -> str:
    """Return what is wrong with a channel, and what to do."""
    return f"notices do not arrive by {one.channel} since {one.since} UTC ({one.why}); correct {CHANNELS[one.channel]}"


def _read(lake: Lake, path: str) -> dict[str, Any] | None:
    """Return a channel's file; None where there is none. One that is torn says that the channel failed."""
    if not lakes.exists(lake, path):
        return None
    try:
        return lakes.read_json(lake, path)
    except (OSError, UserError):
        return {"since": "a time that is not known", "why": f"{path} is damaged"}
