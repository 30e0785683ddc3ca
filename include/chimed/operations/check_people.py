"""Check how people are reached, and how the work is seen: contact, notices, metrics. Ours.

Each check returns a sentence about what is there, or raises one about what is wrong (see `chimed.operations.check`).
"""

import re
from urllib.parse import urlsplit

from chimed import lists, metrics
from chimed.build.context import StageContext
from chimed.errors import UserError
from chimed.operations import channels
from chimed.operations.findings import Notable

MAIL = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;]{1,255}")
PAGE = re.compile(r"https?://[\w.-]+(:\d+)?(/\S*)?")


def check_contact(work: StageContext) -> str:
    """Check that a site's owner can reach whoever crawls. Raises UserError, or Notable where nobody is named."""
    said, where = work.settings.contact.strip(), work.settings
    if not MAIL.fullmatch(said.removeprefix("mailto:")) and not PAGE.fullmatch(said):
        raise UserError(
            "CHIMED_CONTACT is neither a mail address nor a page's (https://…); it goes to every site's owner"
        )
    if "contact" not in where.model_fields_set and where.schedules and not where.replica:
        raise Notable(
            f"CHIMED_CONTACT is not set, so owners of sites that are crawled are sent to {said}; set your own"
        )
    return f"owners of sites are told {said}"


def check_notices(work: StageContext) -> str:
    """Check that notices can be sent, as far as that shows without sending one.

    Raises UserError for an address that is none, and Notable for a channel whose last notice did not arrive.
    """
    where = work.settings
    addresses = lists.entries(where.notify or "")
    if where.notify and not addresses:
        raise UserError("CHIMED_NOTIFY names nobody; write a@example.org, b@example.org, or leave it empty")
    for one in addresses:
        if not MAIL.fullmatch(one):
            raise UserError("CHIMED_NOTIFY names something that is no mail address; write a@example.org, b@example.org")
    hook = where.notify_webhook.get_secret_value() if where.notify_webhook else ""
    if hook and not (urlsplit(hook).scheme in ("http", "https") and urlsplit(hook).hostname):
        raise UserError("CHIMED_NOTIFY_WEBHOOK is no address; write it as https://<host>/<path>")
    if broken := channels.broken(work.lake, where):
        raise Notable("; ".join(map(channels.sentence, broken)))
    by = [channel for channel in channels.CHANNELS if channels.is_set(channel, where)]
    return f"notices go out by {' and '.join(by)}" if by else "notices are only in the log (CHIMED_NOTIFY sends them)"


def check_metrics(work: StageContext) -> str:
    """Check that the metrics' server has a name that is known. Raises Notable: metrics stop no work."""
    place = work.settings.statsd or ""
    try:
        metrics.look_up(place)
    except (OSError, UnicodeError) as error:
        raise Notable(f"CHIMED_STATSD is {place}, and no such host is found ({error}); metrics are lost") from None
    return f"metrics go to {place}"
