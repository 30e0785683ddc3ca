"""Metrics as a StatsD server gets them, of a model's replies and a stage's ledger; they are never in the way."""

import dataclasses
import socket
from collections.abc import Iterator

import pytest

from chimed import metrics
from chimed.errors import UserError
from chimed.settings import settings


@pytest.fixture
def received(monkeypatch) -> Iterator[list[str]]:
    """A StatsD server on loopback; what it got is read when it is looked at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        monkeypatch.setenv("CHIMED_STATSD", f"127.0.0.1:{server.getsockname()[1]}")
        settings.cache_clear()

        class Lines(list):
            def read(self) -> list[str]:
                try:
                    while True:
                        self.append(server.recv(2000).decode())
                except TimeoutError:
                    return sorted(self)

        yield Lines()
        settings.cache_clear()


def test_a_line_has_name_value_kind_and_tags() -> None:
    assert metrics.line("crawl.pages", 1, "c", {"source": "ask39"}) == "chimed.crawl.pages:1|c|#source:ask39"
    assert metrics.line("x", 1.5, "g", {}) == "chimed.x:1.5|g"


@pytest.mark.parametrize("reason", ["a,b:c|d#e\nf", "<script>", "", "长" * 500, "no text"])
def test_a_tag_begins_no_field(reason: str) -> None:
    said = metrics.line("stage.rows", 1, "c", {"reason": reason})
    assert (said.count("|"), said.count(":"), said.count("\n"), said.count(",")) == (2, 2, 0, 0)
    assert len(said) < 120


def test_a_dead_metrics_server_costs_nothing(monkeypatch) -> None:
    for place in (None, "127.0.0.1:9", "no-such-host.invalid:1"):
        monkeypatch.setenv("CHIMED_STATSD", place or "")
        settings.cache_clear()
        for _ in range(3):
            metrics.count("crawl.pages", source="ask39", miss="none")
    settings.cache_clear()


def test_a_dead_name_server_is_asked_once(monkeypatch) -> None:
    asked: list[str] = []

    def nobody(host: str, *_: object, **__: object) -> list:
        asked.append(host)
        raise OSError("no name server answers")

    monkeypatch.setattr(metrics.socket, "getaddrinfo", nobody)
    monkeypatch.setenv("CHIMED_STATSD", "statsd.example:9125")
    settings.cache_clear()
    for _ in range(100):
        metrics.count("crawl.pages", source="ask39", miss="none")
    assert asked == ["statsd.example"]
    monkeypatch.setattr(metrics, "UNKNOWN", -1.0)  # a while later it is asked again
    metrics.count("crawl.pages", source="ask39", miss="none")
    assert len(asked) == 2


@pytest.mark.parametrize("place", ["statsd:0", "statsd:65536", "statsd:99999", "http://statsd", "a b", "statsd:port"])
def test_a_strange_address_of_metrics_is_refused(monkeypatch, place: str) -> None:
    monkeypatch.setenv("CHIMED_STATSD", place)
    settings.cache_clear()
    with pytest.raises(UserError, match="CHIMED_STATSD has an invalid value"):
        settings()


def test_a_ledger_is_told_by_reason(received) -> None:
    from chimed.pipeline import runner

    report = {"kept": 8, "derived": 0, "dropped": {"an identifier: a phone": 2, "short": 1}, "failed": {"no reply": 1}}
    runner._counted("clean", report)
    assert received.read() == [
        "chimed.stage.rows:1|c|#reason:no reply,result:failed,stage:clean",
        "chimed.stage.rows:1|c|#reason:short,result:dropped,stage:clean",
        "chimed.stage.rows:2|c|#reason:an identifier,result:dropped,stage:clean",
        "chimed.stage.rows:8|c|#reason:none,result:kept,stage:clean",
    ]


def test_new_and_cached_replies_are_told(received, work, served) -> None:
    from chimed.llm import client
    from chimed.llm.protocol import Request, Server

    server = Server(served.url, "test/model", "none", "CHIMED_LLM_URL")
    asked = [Request("p@1", [{"role": "user", "content": f"q{n}"}], {"max_tokens": 9}) for n in range(3)]
    client.ask(asked, server, work)
    client.ask(asked, server, work)
    said = received.read()
    assert said.count("chimed.llm.requests:1|c|#model:test_model,result:new") == 3
    assert said.count("chimed.llm.requests:3|c|#model:test_model,result:cached") == 1
    assert sum("chimed.llm.tokens" in line and "kind:completion" in line for line in said) == 3
    waiting = [line for line in said if line.startswith("chimed.llm.waiting:")]
    assert waiting
    assert all(line.endswith("|g|#model:test_model,shard:0") for line in waiting)


def test_shards_do_not_overwrite_each_others_queue(received, work, served) -> None:
    from chimed.llm import client
    from chimed.llm.protocol import Request, Server

    server = Server(served.url, "test/model", "none", "CHIMED_LLM_URL")
    for part in (3, 4):
        asked = [Request("p@1", [{"role": "user", "content": f"{part} {n}"}], {"max_tokens": 9}) for n in range(9)]
        client.ask(asked, server, dataclasses.replace(work, part=part))
    said = received.read()
    for part in (3, 4):
        own = [line for line in said if line.startswith("chimed.llm.waiting:") and f"shard:{part}" in line]
        assert f"chimed.llm.waiting:0|g|#model:test_model,shard:{part}" in own
        assert len(own) > 1
