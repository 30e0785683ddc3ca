"""Notices: of a failed run (which task, why, the end of the build's ledger), of a site that is left alone, of a release
that waits for approval, and of what `chimed watch` found: a missing week, a full disk, a release that drifted.

Each is always in the log, of the DAG processor, which runs it once a run, or of the task that waits. It is also sent by
mail to `CHIMED_NOTIFY`, over Airflow's connection `smtp_default`, and to the webhook `CHIMED_NOTIFY_WEBHOOK`. A channel
that fails is logged, written down for `chimed check` and `watch`, and keeps no notice from going out over the others.
"""

import html
import logging
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import BaseNotifier, literal
from airflow.sdk.exceptions import AirflowException

from chimed import lists
from chimed.settings import settings
from chimed_airflow import commands

log = logging.getLogger(__name__)

LINES = 5  # of the ledger: its last stages
LONGEST = 3000  # characters of a message of a webhook
SECONDS = 15  # for a webhook to answer
KINDS = {
    "week": "a missing week",
    "disk": "a full disk",
    "drift": "a release that drifted",
    "notice": "notices that do not arrive",
    "pool": "tasks that never start",
}
REASON = 80  # characters of a reason
WHY = "why"  # key of the XCom that says why a task failed; the run's note has it too


class FailureNotice(BaseNotifier):
    """A DAG's `on_failure_callback`."""

    def notify(self, context: Any) -> None:
        """Log the notice, and send it where the settings say so."""
        subject, text = notice(context)
        self.log.error("%s\n%s", subject, text)
        send(subject, text, context)


class ApprovalNotice(BaseNotifier):
    """Tells that a build waits for a person to approve its release, and where."""

    def notify(self, context: Any) -> None:
        """Log the notice, and send it where the settings say so."""
        subject, text = waits_for_approval(context)
        self.log.info("%s\n%s", subject, text)
        try:
            send(subject, text, context)
        except NotSent as error:  # the question stands in Airflow all the same; a broken channel must not end the build
            self.log.error("%s", error)


def waits_for_approval(context: Any) -> tuple[str, str]:
    """Subject and text of the notice that a release waits for approval."""
    ti = context["ti"]
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    where = f"{base}/dags/{ti.dag_id}/runs/{quote(ti.run_id)}/tasks/{ti.task_id}/required_actions"
    build = opened(context)
    lines = [f"approve or reject it: {where}", *([f"build: {build}", *ledger_lines(build)] if build else [])]
    return f"a release waits for approval: {build or ti.run_id}", "\n".join(lines)


class NotSent(AirflowException):
    """A notice went out over no channel at all."""


def send(subject: str, text: str, context: Any, over: Collection[str] | None = None) -> dict[str, str]:
    """Send a notice over every channel that the settings name; return the error of each that failed.

    over: only these channels. Raises NotSent where all of them failed, so that trying again repeats the notice nowhere.
    """
    wanted = [name for name in in_use() if over is None or name in over]
    failed: dict[str, str] = {}
    for name in wanted:
        try:
            CHANNELS[name](subject, text, context)
        except Exception as error:
            failed[name] = str(error) or type(error).__name__
            log.error("the notice %r was not sent by %s: %s", subject, name, failed[name])
        _record(name, failed.get(name))
    if failed and len(failed) == len(wanted):
        raise NotSent("; ".join(f"the notice was not sent by {name}: {why}" for name, why in failed.items()))
    return failed


def in_use() -> list[str]:
    """Return the names of the channels that the settings name someone for."""
    from chimed.operations import channels  # here: it brings the lake, and every DAG file imports this module

    return [name for name in CHANNELS if channels.is_set(name, settings())]


def _record(channel: str, why: str | None) -> None:
    """Write down how a channel did. A lake that cannot be written keeps no notice from going out."""
    from chimed.operations import channels
    from chimed.storage.lake import open_lake

    try:
        channels.record(open_lake(), channel, why)
    except Exception as error:  # each file system has its own errors; a full disk is one of them
        log.error("how the channel %s did could not be written down: %s", channel, error)


def by_mail(subject: str, text: str, context: Any) -> None:
    """Send a notice by mail, where the settings name addresses."""
    if addresses := lists.entries(settings().notify or ""):
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        # literal: what they hold must not be taken for a template
        mail: dict[str, Any] = {
            "subject": literal(subject),
            "html_content": literal(f"<pre>{html.escape(text)}</pre>"),
        }
        SmtpNotifier(to=addresses, **mail)(context)


def by_webhook(subject: str, text: str, context: Any) -> None:
    """Post a notice to the webhook of the settings. Raises AirflowException, without the URL: it is secret."""
    del context
    hook = settings().notify_webhook
    if hook is None:
        return
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the address of every request
    # Slack takes <…> for a link or a mention, and knows these three entities only
    body = f"*{html.escape(subject, quote=False)}*\n```{html.escape(text[:LONGEST], quote=False)}```"
    try:
        said = httpx.post(hook.get_secret_value(), json={"text": body}, timeout=SECONDS, follow_redirects=False)
    except httpx.HTTPError as error:
        raise AirflowException(f"the webhook was not reached ({type(error).__name__})") from None
    if said.status_code >= 300:
        raise AirflowException(f"the webhook answered {said.status_code}")


CHANNELS: dict[str, Callable[[str, str, Any], None]] = {"mail": by_mail, "webhook": by_webhook}


def alarms(found: list[dict[str, str]]) -> tuple[str, str]:
    """Subject and text of the notice of what `chimed watch` found."""
    kinds = sorted({one["kind"] for one in found})
    return f"chimed: look at {', '.join(KINDS[kind] for kind in kinds)}", "\n".join(one["said"] for one in found)


def left_alone(context: Any, why: str, until: datetime) -> tuple[str, str]:
    """Subject and text of the notice that a site wants to be left alone, and the run waits."""
    subject = f"{context['dag'].dag_id} waits: {context['run_id']}"
    lines = [
        f"reason: {why}",
        f"task: {context['ti'].task_id}, asks again at {until:%Y-%m-%d %H:%M} UTC by itself",
        "the site may want a slower pace, or you may have to write to its owner; "
        "to try again at once, run the same command by hand",
    ]
    return subject, "\n".join(lines)


def notice(context: Any) -> tuple[str, str]:
    """Subject and text of a failed run's notice."""
    task = context.get("ti")
    subject = f"{context['dag'].dag_id} failed: {context['run_id']}"
    lines = [f"reason: {_reason(context, task)}"]
    if task is not None:
        lines.append(f"task: {task.task_id}, attempt {task.try_number}")
    build = opened(context)
    lines += [f"build: {build}", *ledger_lines(build)] if build else []
    return subject, "\n".join(lines)


def _reason(context: Any, task: Any) -> str:
    """Return the error of the failed task, or else Airflow's reason for the failure."""
    told = None
    if task is not None:
        told = task.xcom_pull(task_ids=task.task_id, key=WHY, map_indexes=getattr(task, "map_index", -1))
    return str(told or context.get("reason", "not told"))


def opened(context: Any) -> str | None:
    """Return the version of the build that the run opened; None where it opened none."""
    if "open_build" not in context["dag"].task_dict or context.get("ti") is None:
        return None
    return context["ti"].xcom_pull(task_ids="open_build")


def ledger_lines(build: str) -> list[str]:
    """Return the last `LINES` stages of a build's ledger, one line each; the error where the command failed."""
    said: list[str] = []
    try:
        found = commands.run(["ledger", build, "--json"], said.append)
    except Exception as error:  # a notice must go out, whatever else is broken
        return [f"no ledger: {error}"]
    return [_line(entry) for entry in found["stages"][-LINES:]] or ["no stage is done"]


def _line(entry: dict[str, Any]) -> str:
    why = entry["dropped"] | entry["failed"]
    most = max(why, key=lambda reason: why[reason], default="")
    left = f"dropped {sum(entry['dropped'].values())}, failed {sum(entry['failed'].values())}"
    return f"{entry['stage']}: read {entry['read']}, kept {entry['kept']}, {left}" + (
        f", mostly: {most[:REASON]}" if most else ""
    )
