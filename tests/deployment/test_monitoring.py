"""Alerts, the dashboard and who is told."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from chimed.settings import PROJECT
from support.deployment import DEPLOY, SERVICES


def test_dashboards_use_only_sent_metrics() -> None:
    from chimed import metrics

    folder, rows = DEPLOY / "monitoring", re.findall(r"^\| chimed\.(\S+) \| ([^|]+) \|", metrics.__doc__ or "", re.M)
    known = {f"chimed_{name.replace('.', '_')}": tags for name, tags in rows}
    assert len(known) == 6
    dashboard = json.loads((folder / "grafana" / "chimed.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((folder / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    asked += [rule["expr"] for rule in rules]
    assert {name for expression in asked for name in re.findall(r"chimed_\w+", expression)} == set(known)
    for expression in asked:
        labels = {label for some in re.findall(r"by \(([\w, ]+)\)", expression) for label in some.split(", ")}
        labels |= set(re.findall(r"[{,](\w+)[!=~]=?", expression))
        tags = {tag for name in re.findall(r"chimed_\w+", expression) for tag in known[name].split(", ")}
        assert labels <= tags | {"pool_name"}, expression
    sent = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "include").rglob("*.py"))
    assert [name for name, _ in rows if not re.search(rf'(?:count|gauge)\(\s*"{re.escape(name)}"', sent)] == []


def test_alerts_reach_somebody_and_say_when_they_cannot() -> None:
    folder = DEPLOY / "monitoring"
    rules = {
        one["alert"]: one for one in yaml.safe_load((folder / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    }
    assert rules["Watchdog"]["expr"] == "vector(1)"
    assert {"MetricsAreMissing", "AlertsAreNotSent"} <= set(rules)
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    (manager,) = prometheus["alerting"]["alertmanagers"]
    assert manager["static_configs"][0]["targets"] == ["alertmanager:9093"]
    route = yaml.safe_load((folder / "alertmanager.yml").read_text("utf-8"))
    receivers = {one["name"]: one for one in route["receivers"]}
    assert route["route"]["receiver"] == "people"
    assert receivers["people"]["slack_configs"][0]["api_url_file"] == "/tmp/webhook"
    (watchdog,) = route["route"]["routes"]
    assert (watchdog["matchers"], watchdog["receiver"]) == (["alertname = Watchdog"], "heartbeat")
    assert (watchdog["group_interval"], watchdog["repeat_interval"]) == ("1m", "50s")
    assert receivers["heartbeat"]["webhook_configs"][0]["url_file"] == "/tmp/heartbeat"


@pytest.mark.parametrize(
    ("webhook", "heartbeat", "code", "receiver"),
    [
        ("", "", 2, None),
        ("https://hooks.example.org/a$b'c", "", 0, "nobody"),
        ("https://hooks.example.org/1", "https://alive.example.org/2", 0, "heartbeat"),
    ],
)
def test_what_alertmanager_is_started_with(webhook, heartbeat, code, receiver, tmp_path) -> None:
    (script,) = SERVICES["alertmanager"]["command"]
    for there, here in (
        ("$$", "$"),
        ("/tmp/", f"{tmp_path}/"),  # before other paths are put in, which may lie there, too
        ("/etc/alertmanager/chimed.yml", str(DEPLOY / "monitoring" / "alertmanager.yml")),
        ("exec /bin/alertmanager", f"cp {tmp_path}/alertmanager.yml {tmp_path}/started; true"),
    ):
        script = script.replace(there, here)
    environment = {"PATH": os.environ["PATH"], "CHIMED_NOTIFY_WEBHOOK": webhook, "ALERTS_HEARTBEAT": heartbeat}
    done = subprocess.run(["/bin/sh", "-euc", script], env=environment, capture_output=True, text=True)
    assert (done.returncode != 0) == bool(code), done.stderr
    if code:
        assert "without it alerts reach nobody" in done.stderr
        return
    assert (tmp_path / "webhook").read_text() == webhook
    assert (tmp_path / "webhook").stat().st_mode & 0o077 == 0
    started = yaml.safe_load((tmp_path / "started").read_text())
    assert started["route"]["routes"][0]["receiver"] == receiver
    assert ("nobody is told when this machine itself is down" in done.stderr) == (receiver == "nobody")


def test_a_killed_shards_gauge_is_forgotten() -> None:
    (mapping,) = yaml.safe_load((DEPLOY / "monitoring" / "statsd.yml").read_text("utf-8"))["mappings"]
    rules = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    (rule,) = [one for one in rules if mapping["name"] in one["expr"]]
    looks_back = max(map(int, re.findall(r"\[(\d+)m\]", rule["expr"])))
    assert int(mapping["ttl"].rstrip("m")) > looks_back + int(rule["for"].rstrip("m"))
    assert mapping["match"].replace(".", "_") == mapping["name"]
    mounted = " ".join(SERVICES["statsd"]["volumes"])
    assert SERVICES["statsd"]["command"][0].split("=")[1] in mounted


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")
def test_prometheus_takes_rules_and_configuration(tmp_path) -> None:
    folder = DEPLOY / "monitoring"
    text = (folder / "prometheus.yml").read_text("utf-8").replace("/etc/prometheus", str(folder))
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
