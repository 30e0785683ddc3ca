"""The notice of a failed run: it tells the build's last stages, is always logged, and mailed where addresses are."""

import json
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from chimed.operations import channels
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake

pytestmark = pytest.mark.slow  # importing Airflow takes seconds

VERSION = "2026.11.22"


@pytest.fixture
def context(tmp_path, monkeypatch) -> Iterator[dict]:
    """A failed run of a build of which one stage is done."""
    from airflow.sdk import DAG, BaseOperator

    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    settings.cache_clear()
    lake = open_lake()
    lakes.write_json(lake, f"builds/{VERSION}/build.json", {"version": VERSION, "shards": [["ask39/1"]], "options": {}})
    report = {"stage": "extract", "parts": 1, "read": 9, "kept": 8, "derived": 8, "seconds": 1.0,
              "dropped": {"no <b>text</b>": 1}, "failed": {}, "derived_dropped": {}, "figures": {},
              "sources": {"read": {}}}  # fmt: skip
    lakes.write_json(lake, f"builds/{VERSION}/extract/report-00000.json", report)
    found = {("open_build", "return_value"): VERSION, ("dedup", "why"): "room for 2 GB is wanted"}
    ti = SimpleNamespace(
        task_id="dedup", try_number=3, xcom_pull=lambda task_ids, key="return_value", **_: found.get((task_ids, key))
    )
    with DAG("build_dataset", schedule=None) as dag:
        BaseOperator(task_id="open_build")
    yield {"dag": dag, "run_id": "manual__{{ 1 }}", "reason": "task_failure", "ti": ti}
    settings.cache_clear()


class Post(socketserver.StreamRequestHandler):
    """As much SMTP as it takes to be handed a letter."""

    def handle(self) -> None:
        self.say("220 post")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.letters.append(letter)
            self.say("221 bye" if word == b"QUIT" else "250 well")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def letters(monkeypatch) -> Iterator[list[bytes]]:
    """What a mail server on loopback, Airflow's `smtp_default`, was handed."""
    with socketserver.TCPServer(("127.0.0.1", 0), Post) as server:
        server.letters = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = "disable_ssl=true&disable_tls=true&from_email=chimed%40example.org"
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{server.server_address[1]}/?{extra}")
        yield server.letters
        server.shutdown()


def test_a_notice_tells_task_reason_and_ledger(context) -> None:
    from chimed_airflow.notice import notice

    subject, text = notice(context)
    assert subject == "build_dataset failed: manual__{{ 1 }}"
    assert text.splitlines() == [
        "reason: room for 2 GB is wanted",
        "task: dedup, attempt 3",
        f"build: {VERSION}",
        "extract: read 9, kept 8, dropped 1, failed 0, mostly: no <b>text</b>",
    ]


def test_a_notice_needs_no_readable_ledger(context) -> None:
    from chimed_airflow.notice import ledger_lines, notice

    crawl = SimpleNamespace(dag_id="crawl_ask39", task_dict={"crawl": None})
    assert notice({"dag": crawl, "run_id": "x"}) == ("crawl_ask39 failed: x", "reason: not told")
    (line,) = ledger_lines("2020.01.01")
    assert line.startswith("no ledger: unknown build '2020.01.01'")


def test_notices_need_addresses(context, letters, monkeypatch) -> None:
    from chimed_airflow.notice import FailureNotice

    said: list[str] = []
    notice = FailureNotice()
    monkeypatch.setattr(notice.log, "error", lambda form, *args: said.append(form % args))
    notice(dict(context))
    assert "extract: read 9" in said[0]
    assert (len(said), letters) == (1, [])

    monkeypatch.setenv("CHIMED_NOTIFY", "lead@example.org，other@example.org；")
    settings.cache_clear()
    notice(dict(context))
    assert len(said) == 2
    (letter,) = letters
    mail = message_from_bytes(letter)
    assert (mail["Subject"], mail["To"]) == (
        "build_dataset failed: manual__{{ 1 }}",
        "lead@example.org, other@example.org",
    )
    assert "no &lt;b&gt;text&lt;/b&gt;" in mail.get_payload()[0].get_payload(decode=True).decode()


@pytest.fixture
def posted(monkeypatch) -> Iterator[list[dict]]:
    """What a webhook on loopback, that of the settings, was sent. It answers 200, and 500 to what says so."""
    found: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if "refuse" in found[-1]["text"] else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("CHIMED_NOTIFY_WEBHOOK", f"http://127.0.0.1:{server.server_address[1]}/services/secret")
        monkeypatch.setenv("CHIMED_NOTIFY", "lead@example.org")
        settings.cache_clear()
        yield found
        server.shutdown()


ALARMS = [
    {"kind": "week", "about": "ask39 2026-11-16", "said": "ask39 has not got the week of 2026-11-16 (never crawled)"},
    {"kind": "disk", "about": "CHIMED_DATA", "said": "only 1.0 GB (1%) are free where CHIMED_DATA lies"},
    {"kind": "drift", "about": "2026.11.23", "said": "release 2026.11.23 drifted from 2026.11.16: length <b> of sft"},
]


def test_every_notice_arrives_by_both_channels(context, letters, posted) -> None:
    from chimed_airflow import notice

    context["ti"].dag_id, context["ti"].run_id = "build_dataset", "manual__1"
    notice.FailureNotice()(dict(context))
    notice.ApprovalNotice()(dict(context))
    notice.send(*notice.alarms(ALARMS), dict(context))
    expected = (
        ("build_dataset failed", "room for 2 GB is wanted"),
        ("a release waits for approval", "required_actions"),
        ("chimed: look at a full disk, a release that drifted, a missing week", "only 1.0 GB (1%) are free"),
    )
    assert len(letters) == len(posted) == len(expected)
    for (subject, said), letter, post in zip(expected, letters, posted, strict=True):
        mail = message_from_bytes(letter)
        assert mail["Subject"].replace("\r\n", "").startswith(subject)
        assert said in mail.get_payload()[0].get_payload(decode=True).decode()
        assert post["text"].startswith(f"*{subject}")
        assert said in post["text"]
    assert "length &lt;b&gt; of sft" in posted[-1]["text"]  # no mention, no link


def test_one_failing_channel_stops_no_other(context, letters, posted, caplog, capsys) -> None:
    from chimed_airflow import notice

    caplog.set_level("INFO")
    failed = notice.send("a subject", "refuse this", dict(context))
    assert failed == {"webhook": "the webhook answered 500"}  # nobody tries again, which would repeat the mail
    assert len(letters) == 1
    (known,) = channels.broken(open_lake(), settings())
    assert (known.channel, known.why) == ("webhook", "the webhook answered 500")
    said = caplog.text + "".join(capsys.readouterr())
    assert said.count("was not sent by webhook") <= 1
    assert "/services/secret" not in said
    notice.send("a subject", "take this", dict(context))
    assert channels.broken(open_lake(), settings()) == []


def test_a_notice_that_went_nowhere_is_an_error(context, posted, monkeypatch) -> None:
    from chimed_airflow import notice

    monkeypatch.delenv("CHIMED_NOTIFY")
    settings.cache_clear()
    with pytest.raises(notice.NotSent, match="not sent by webhook: the webhook answered 500"):
        notice.send("a subject", "refuse this", dict(context))
    context["ti"].dag_id, context["ti"].run_id = "build_dataset", "refuse_this"
    notice.ApprovalNotice()(dict(context))  # the question stands in Airflow all the same
    assert "refuse_this" in posted[-1]["text"]


def test_a_full_disk_keeps_no_notice_back(context, letters, posted, monkeypatch) -> None:
    from chimed_airflow import notice

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lakes, "write_bytes", full)
    assert notice.send("a subject", "refuse this", dict(context)) == {"webhook": "the webhook answered 500"}
    assert notice.send("a subject", "take this", dict(context)) == {}
    assert len(letters) == 2


class Watched:
    """Runs of the watching task, one after the other: each knows what the one before returned."""

    def __init__(self, monkeypatch, context: dict) -> None:
        from chimed_airflow import commands, starving

        self.alarms, self.states, self.returned, self.context = list(ALARMS), {}, None, dict(context)
        count = self.count
        monkeypatch.setattr(commands, "run", lambda argv, say: list(self.alarms))
        monkeypatch.setattr(starving, "AGAIN", 0.0)
        self.context["ti"] = SimpleNamespace(xcom_pull=lambda **_: self.returned, get_ti_count=count)

    def count(self, *, dag_id: str, states: list[str], task_ids: list[str] | None = None) -> int:
        """How many tasks of a DAG are in these states."""
        held = self.states.get(dag_id, {})
        return sum(state in states for task, state in held.items() if task_ids is None or task in task_ids)

    def run(self) -> None:
        from chimed_airflow.watching import WatchOperator

        self.returned = WatchOperator.execute.__wrapped__(WatchOperator(task_id="watch"), self.context)


def test_a_broken_webhook_repeats_no_mail(context, letters, posted, monkeypatch) -> None:
    watched = Watched(monkeypatch, context)
    watched.alarms[0] = ALARMS[0] | {"said": "refuse this"}
    for _ in range(3):
        watched.run()
    assert (len(letters), len(posted)) == (1, 3)  # the webhook is tried again, the mail is not
    watched.alarms[0] = ALARMS[0] | {"said": "take this"}
    for _ in range(2):
        watched.run()
    assert (len(letters), len(posted)) == (1, 4)
    assert "look at a full disk, a release that drifted, a missing week" in posted[-1]["text"]


def test_a_watch_that_told_nobody_fails(context, posted, monkeypatch) -> None:
    from chimed_airflow.notice import NotSent

    monkeypatch.delenv("CHIMED_NOTIFY")
    settings.cache_clear()
    watched = Watched(monkeypatch, context)
    watched.alarms[0] = ALARMS[0] | {"said": "refuse this"}
    for _ in range(2):
        with pytest.raises(NotSent):
            watched.run()
    assert len(posted) == 2


POOLS = {  # what tasks are doing, and which pool's tasks starve
    "a training waits alone": ({"train_models": {"cpt": "scheduled", "find_release": "success"}}, "gpus"),
    "it waits for an evaluation": ({"train_models": {"cpt": "scheduled", "evaluate_base": "running"}}, None),
    "it waits for perplexity": (
        {"train_models": {"cpt": "scheduled"}, "build_dataset": {"perplexity": "deferred"}},
        None,
    ),
    "perplexity waits alone": ({"build_dataset": {"perplexity": "scheduled", "clean": "success"}}, "gpus"),
    "a stage that asks models waits": ({"build_dataset": {"screen": "scheduled"}}, "llm"),
    "others of its pool ask": ({"build_dataset": {"screen": "scheduled", "translate": "running"}}, None),
    "a crawl waits": ({"crawl_ask39": {"crawl": "scheduled"}}, "site_ask39"),
    "all runs": ({"train_models": {"cpt": "running"}, "build_dataset": {"screen": "queued"}}, None),
    "nothing runs": ({}, None),
    "the machine is full": (
        {"train_models": {"cpt": "scheduled"}, "build_dataset": {f"clean_{n}": "running" for n in range(16)}},
        None,
    ),
}


@pytest.mark.parametrize("what", POOLS)
def test_tasks_that_never_start_are_told_of(context, letters, monkeypatch, what: str) -> None:
    monkeypatch.setenv("CHIMED_NOTIFY", "lead@example.org")
    settings.cache_clear()
    watched = Watched(monkeypatch, context)
    watched.alarms, (watched.states, pool) = [], POOLS[what]
    for _ in range(2):
        watched.run()
    assert watched.returned["about"] == ([f"pool {pool}"] if pool else [])
    assert len(letters) == bool(pool)
    if pool:
        mail = message_from_bytes(letters[0]).get_payload()[0].get_payload(decode=True).decode()
        assert f"wait for slots of the pool {pool} though none of its tasks runs" in mail


def test_an_alarm_is_told_daily_by_each_channel() -> None:
    from chimed_airflow.watching import about, told_by

    one = about(ALARMS[0])
    older = {"day": "2026-11-26", "about": [one]}
    known = older | {"told": {"mail": [one], "webhook": []}}
    assert told_by("mail", known, "2026-11-26") == {one}
    assert told_by("webhook", known, "2026-11-26") == set()
    assert told_by("webhook", older, "2026-11-26") == {one}
    assert told_by("mail", known, "2026-11-27") == told_by("mail", {}, "2026-11-26") == set()
