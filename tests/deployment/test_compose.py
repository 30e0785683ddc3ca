"""One machine: the compose file fits the code, its example, its schema and Compose itself."""

import json
import re
import shutil
import subprocess
import sys
from datetime import timedelta

import pytest
import yaml

from chimed.settings import PROJECT, Settings
from support.deployment import AIRFLOWS, COMPOSE, COMPOSE_FILES, EXAMPLE, SERVICES, chart_values, filled_example, pins


def test_the_example_as_it_is_gives_valid_settings(monkeypatch) -> None:
    def filled(value: object) -> str:
        return re.sub(
            r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: (found[2] or "") if ":-" in found[0] else "x", str(value)
        )

    for key, value in SERVICES["airflow-scheduler"]["environment"].items():
        if key.startswith("CHIMED_"):
            monkeypatch.setenv(key, filled(value))
    chosen = Settings()
    assert (chosen.compute, chosen.serve, chosen.require_approval) == ("local", "external", False)
    assert (chosen.models_queue, chosen.gpus) == ("models", 1)
    assert chosen.k8s_serve_gpus == Settings.model_fields["k8s_serve_gpus"].default


def test_the_example_has_every_compose_variable() -> None:
    files = [(PROJECT / name).read_text(encoding="utf-8") for name in COMPOSE_FILES]
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", "".join(files)))
    assert asked == set(re.findall(r"^(\w+)=", EXAMPLE, flags=re.MULTILINE))


def test_the_example_sets_each_variable_once() -> None:
    names = re.findall(r"^#? *([A-Z][A-Z0-9_]+)=", EXAMPLE, flags=re.MULTILINE)  # also where it is commented out
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("attached", [False, True])
def test_the_lakes_policy_is_attached_once(attached: bool, tmp_path) -> None:
    (script,) = SERVICES["minio-init"]["command"]
    script = script.replace("$$", "$").replace("/tmp/policy.json", str(tmp_path / "policy.json"))
    said = "Policies: chimed-lake" if attached else ""
    users = "enabled    lake-user             chimed-lake\n" + (
        "" if attached else "enabled    chimed    chimed-lake\n"
    )
    (tmp_path / "users").write_text(users)
    mc = (
        f'mc() {{ echo "$*" >> {tmp_path}/ran; case "$*" in *entities*) echo "{said}";; '
        f'*"user list"*) cat {tmp_path}/users;; *attach*) return {int(attached)};; esac; }}\n'
    )
    environment = {"PATH": "/usr/bin:/bin", "MINIO_ROOT_PASSWORD": "a", "LAKE_PASSWORD": "b"}
    done = subprocess.run(["/bin/sh", "-euc", mc + script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ran = (tmp_path / "ran").read_text()
    assert ("attach" in ran) is not attached
    assert ("user remove lake chimed\n" in ran) is not attached  # the user of an earlier version
    assert SERVICES["airflow-worker"]["environment"]["AWS_ACCESS_KEY_ID"] == "lake-user"


IMAGES = {
    "postgres": "postgres:16",
    "redis": "redis:7.2-bookworm",
    "minio": "minio/minio:RELEASE.2025-09-07T16-13-09Z",
    "minio-init": "minio/minio:RELEASE.2025-09-07T16-13-09Z",
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
    "statsd": "prom/statsd-exporter:v0.28.0",
    "grafana": "grafana/grafana:12.1.1",
    **dict.fromkeys(AIRFLOWS, "${CHIMED_AIRFLOW_IMAGE:-chimed-airflow:0.1.0}"),
    "airflow-worker-models": "${CHIMED_MODELS_IMAGE:-chimed-models:0.1.0}",
}
MONITORING = "./include/chimed_airflow/deploy/monitoring"
VOLUMES = {
    "postgres": ["postgres:/var/lib/postgresql/data"],
    "minio": ["minio:/data"],
    "prometheus": [
        "prometheus:/prometheus",
        f"{MONITORING}/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
        f"{MONITORING}/alerts.yml:/etc/prometheus/alerts.yml:ro",
    ],
    "alertmanager": [
        "alertmanager:/alertmanager",
        f"{MONITORING}/alertmanager.yml:/etc/alertmanager/chimed.yml:ro",
    ],
    "statsd": [f"{MONITORING}/statsd.yml:/etc/statsd/mapping.yml:ro"],
    "grafana": [
        f"{MONITORING}/grafana/datasource.yaml:/etc/grafana/provisioning/datasources/chimed.yaml:ro",
        f"{MONITORING}/grafana/provider.yaml:/etc/grafana/provisioning/dashboards/chimed.yaml:ro",
        f"{MONITORING}/grafana/chimed.json:/etc/grafana/dashboards/chimed.json:ro",
    ],
    **{name: ["airflow-logs:/opt/airflow/logs"] for name in AIRFLOWS},
    "airflow-worker": ["airflow-logs:/opt/airflow/logs", "exams:/opt/airflow/exams"],
    "airflow-worker-models": ["airflow-logs:/opt/airflow/logs", "exams:/opt/airflow/exams", "models:/models"],
}
PORTS = {
    "airflow-apiserver": ["127.0.0.1:8080:8080"],
    "prometheus": ["127.0.0.1:9090:9090"],
    "grafana": ["127.0.0.1:3000:3000"],
}  # loopback only
CHECKS = {  # what each health check asks
    "postgres": "pg_isready",
    "redis": "redis-cli ping",
    "minio": "mc ready",
    "prometheus": "/-/healthy",
    "alertmanager": "/-/healthy",
    "statsd": "/-/healthy",
    "grafana": "/api/health",
    "airflow-apiserver": "/api/v2/version",
    "airflow-scheduler": ":8974/health",
    "airflow-dag-processor": "--job-type DagProcessorJob",
    "airflow-triggerer": "--job-type TriggererJob",
    "airflow-worker": "inspect ping",
    "airflow-worker-models": "inspect ping",
}


def test_every_image_port_volume_and_health_check() -> None:
    assert {name: service["image"] for name, service in SERVICES.items()} == IMAGES
    assert {name: one["volumes"] for name, one in SERVICES.items() if "volumes" in one} == VOLUMES
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == PORTS
    mounted = {volume.split(":")[0] for several in VOLUMES.values() for volume in several}
    assert set(COMPOSE["volumes"]) == {one for one in mounted if not one.startswith("./")}
    assert all((PROJECT / one).is_file() for one in mounted if one.startswith("./"))
    assert (
        {name for name, one in SERVICES.items() if "healthcheck" in one}
        == set(CHECKS)
        == set(SERVICES) - {"airflow-init", "minio-init"}
    )
    for name, asked in CHECKS.items():
        assert asked in " ".join(SERVICES[name]["healthcheck"]["test"]), name


def test_services_start_in_order() -> None:
    extra = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}
    assert extra == {name: ["monitoring"] for name in ("prometheus", "alertmanager", "statsd", "grafana")}
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name.endswith("-init") else "unless-stopped"), name
    for name in AIRFLOWS - {"airflow-init"}:
        waits = {of: how["condition"] for of, how in SERVICES[name]["depends_on"].items()}
        assert waits.pop("airflow-init") == "service_completed_successfully"
        assert waits == dict.fromkeys(("postgres", "redis", "minio"), "service_healthy")


def test_no_task_outlives_the_visibility_timeout() -> None:
    environment = SERVICES["airflow-worker"]["environment"]
    seconds = int(environment["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])
    days = [
        float(n) for path in PROJECT.glob("dags/*.py") for n in re.findall(r"timedelta\(days=(\d+)", path.read_text())
    ]
    hours = [
        float(n) / 24
        for path in PROJECT.glob("dags/*.py")
        for n in re.findall(r"timedelta\(hours=(\d+)", path.read_text())
    ]
    assert timedelta(seconds=seconds) > timedelta(days=max([*days, *hours]))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("compose-spec", "docker-compose*.yaml"),
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/parser.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("citation-file-format", "CITATION.cff"),
        ("renovate", "renovate.json"),
    ],
)
def test_a_service_reads_its_configuration_as_specified(schema: str, pattern: str) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*argv, *map(str, PROJECT.glob(pattern))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def merged(*files: str) -> dict:
    """Compose files put together as Compose does it: mappings key by key, everything else by the last one."""

    def together(one: object, other: object) -> object:
        if not (isinstance(one, dict) and isinstance(other, dict)):
            return other
        return one | {key: together(one[key], value) if key in one else value for key, value in other.items()}

    found: object = {}
    for file in files:
        found = together(found, yaml.safe_load((PROJECT / file).read_text(encoding="utf-8")))
    assert isinstance(found, dict)
    return found


def test_the_gpu_file_only_adds_gpus(tmp_path) -> None:
    both = merged(*COMPOSE_FILES)
    file = tmp_path / "merged.yaml"
    file.write_text(yaml.safe_dump(both), encoding="utf-8")
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    assert subprocess.run(argv, capture_output=True).returncode == 0
    worker = both["services"].pop("airflow-worker-models")
    (devices,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    plain = SERVICES["airflow-worker-models"]
    assert plain["environment"].items() <= worker["environment"].items()
    assert "deploy" not in plain
    assert both["services"] == {name: one for name, one in SERVICES.items() if name != "airflow-worker-models"}


def compose() -> list[str]:
    """Compose's own command, where it is here."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) and not subprocess.run([*program, "version"], capture_output=True).returncode:
            return program
    pytest.skip("no Compose here")


@pytest.mark.parametrize("files", [COMPOSE_FILES[:1], COMPOSE_FILES])
def test_compose_itself_takes_the_files(files, tmp_path) -> None:
    (tmp_path / ".env").write_text(filled_example())
    given = [word for file in files for word in ("-f", str(PROJECT / file))]
    argv = [*compose(), "--env-file", str(tmp_path / ".env"), *given, "--profile", "monitoring", "config"]
    done = subprocess.run([*argv, "--format", "json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["services"]
    assert set(found) == set(SERVICES)
    assert ("deploy" in found["airflow-worker-models"]) == (len(files) == 2)
    assert found["airflow-worker"]["environment"]["CHIMED_EXAMS"] == "/opt/airflow/exams"


def test_compose_refuses_what_is_not_filled_in(tmp_path) -> None:
    (tmp_path / ".env").write_text(filled_example().replace("CHIMED_CONTACT=word", "CHIMED_CONTACT="))
    argv = [*compose(), "--env-file", str(tmp_path / ".env"), "-f", str(PROJECT / COMPOSE_FILES[0]), "config"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode != 0
    assert "CHIMED_CONTACT" in done.stderr


def seconds(said: str) -> int:
    """Compose's 5m or 60s as seconds."""
    return int(said[:-1]) * {"m": 60, "s": 1}[said[-1]]


def test_workers_stop_warmly_and_in_time() -> None:
    from chimed_airflow import commands, manifests

    for name, patience in (("airflow-worker", 240), ("airflow-worker-models", 0)):
        service = SERVICES[name]
        program = service["command"].split(" --queues")[0]
        assert program == f"python -m chimed_airflow.worker --patience {patience}", name
        assert service["environment"]["DUMB_INIT_SETSID"] == "0", name
        # the models' worker trains, the other one does not
        grace = commands.LONG_GRACE if patience == 0 else commands.GRACE
        assert seconds(service["stop_grace_period"]) >= patience + grace + 30, name
    assert commands.LONG_GRACE == manifests.GRACE  # a checkpoint takes as long in a pod
    cluster = chart_values()["workers"]["kubernetes"]["terminationGracePeriodSeconds"]
    assert cluster >= commands.LONG_GRACE + 30
    assert seconds(SERVICES["postgres"]["stop_grace_period"]) >= 60


def test_exams_have_a_place_that_workers_may_write_to() -> None:
    place = "/opt/airflow/exams"
    with_exams = {name for name, one in SERVICES.items() if f"exams:{place}" in one.get("volumes", [])}
    assert with_exams == {"airflow-worker", "airflow-worker-models"}
    for name in AIRFLOWS:
        assert SERVICES[name]["environment"]["CHIMED_EXAMS"] == f"${{CHIMED_EXAMS:-{place}}}"
    # a new volume takes the owner of the image's folder, which the image's user makes
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8").split("AS models")[0]
    assert f"RUN mkdir {place}\n" in image
    assert "USER" not in image


def test_lineage_and_metrics_are_off_by_default() -> None:
    environment = SERVICES["airflow-scheduler"]["environment"]
    assert environment["AIRFLOW__OPENLINEAGE__TRANSPORT"] == "${OPENLINEAGE_TRANSPORT:-}"
    assert environment["AIRFLOW__METRICS__OTEL_ON"] == "${METRICS_ON:-false}"


def test_logs_go_to_the_bucket() -> None:
    environment = SERVICES["airflow-worker"]["environment"]
    assert environment["AIRFLOW__LOGGING__REMOTE_LOGGING"] == "true"
    logging = chart_values()["config"]["logging"]
    assert environment["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == logging["remote_base_log_folder"]
    assert "apache-airflow-providers-amazon" in pins(PROJECT / "requirements-production.txt")
