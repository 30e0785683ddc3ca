"""Who is given which secret: in compose, in the chart's components, in pods; and what their passwords may hold."""

import re
import subprocess
import sys

import pytest

from chimed.settings import PROJECT, Settings
from support.deployment import AIRFLOWS, EXAMPLE, FIELDS, SERVICES, chart_values

# settings of the demo, and of the image itself
NOT_OF_A_DEPLOYMENT = {"CHIMED_REPLICA", "CHIMED_REPLICA_DELAY", "CHIMED_MODELS_PYTHON", "CHIMED_SCRATCH"}
SECRET_SETTINGS = {"CHIMED_STORE_PASSWORD", "CHIMED_LLM_KEY", "CHIMED_NOTIFY_WEBHOOK"}


def test_services_get_exactly_the_codes_settings() -> None:
    for name in AIRFLOWS:
        given = {key for key in SERVICES[name]["environment"] if key.startswith("CHIMED_")}
        assert given - SECRET_SETTINGS == FIELDS - NOT_OF_A_DEPLOYMENT - SECRET_SETTINGS, name
    assert set(SERVICES["airflow-worker"]["environment"]) >= SECRET_SETTINGS
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert "CHIMED_SCRATCH=" in image
    assert "CHIMED_MODELS_PYTHON=" in image


def test_the_example_holds_no_secret() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    named = re.compile(r"PASSWORD|SECRET_KEY|JWT|FERNET|LLM_KEY")
    assert [name for name, value in example.items() if named.search(name) and value] == []


WORKERS = {"airflow-worker", "airflow-worker-models"}
API, SCHEDULER, PARSER, TRIGGERER = (
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
)
SECRETS = {  # each secret of .env, and the services that are given it
    "POSTGRES_PASSWORD": {"postgres", "airflow-init"},
    "MINIO_ROOT_PASSWORD": {"minio", "minio-init"},
    "AIRFLOW_ADMIN_PASSWORD": {"airflow-init"},
    "LAKE_PASSWORD": {"minio-init", API, PARSER, TRIGGERER, *WORKERS},
    "AIRFLOW_DB_PASSWORD": AIRFLOWS,
    "CHIMED_STORE_PASSWORD": {"airflow-init", API, PARSER, *WORKERS},
    "REDIS_PASSWORD": {"redis", SCHEDULER, *WORKERS},
    "AIRFLOW_FERNET_KEY": AIRFLOWS - WORKERS,
    "AIRFLOW_JWT_SECRET": {API, SCHEDULER},
    "AIRFLOW_API_SECRET_KEY": {"airflow-init", API, TRIGGERER, *WORKERS},
    "CHIMED_LLM_KEY": WORKERS,
    "HF_TOKEN": WORKERS,
    "CHIMED_NOTIFY_WEBHOOK": {PARSER, *WORKERS, "alertmanager"},  # `chimed check` runs in the models' worker
    "AIRFLOW_CONN_SMTP_DEFAULT": {PARSER, *WORKERS},
    "AIRFLOW_CONN_KUBERNETES_DEFAULT": {TRIGGERER, "airflow-worker"},
    "OPENLINEAGE_TRANSPORT": {SCHEDULER, *WORKERS},
    "ALERTS_HEARTBEAT": {"alertmanager"},
}


def test_no_secret_of_the_example_is_forgotten() -> None:
    named = set(re.findall(r"^(\w*(?:PASSWORD|KEY|SECRET|TOKEN|WEBHOOK|CONN\w+))=", EXAMPLE, flags=re.MULTILINE))
    assert named - {"CHIMED_K8S_SECRET", "CHIMED_K8S_PULL_SECRET"} <= set(SECRETS)


def test_every_service_has_only_its_passwords() -> None:
    for secret, expected in SECRETS.items():
        given = {name for name, one in SERVICES.items() if f"${{{secret}" in str(one.get("environment"))}
        assert given == expected, secret
    for name, service in SERVICES.items():
        for key, value in (service.get("environment") or {}).items():
            assert not re.search(r"://[^/]*\$\{", str(value)), f"{name}: {key} is pasted together"
    assert "openssl rand -hex 32" in EXAMPLE


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
        url = make_url(said.removeprefix("db+"))
        assert (url.password, url.host) == (word, "redis" if what == "broker" else "postgres")
        assert url.database == ("0" if what == "broker" else "airflow")  # no line's end: Airflow would keep it


@pytest.mark.slow
def test_roles_may_do_no_more_than_they_need() -> None:
    import psycopg

    from chimed.storage.store import open_store, upgrade
    from chimed_airflow import roles
    from support import postgres

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


STORE, LAKE = {"CHIMED_STORE", "CHIMED_STORE_PASSWORD"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
PLACE, HUB = {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}, {"HF_TOKEN", "HF_ENDPOINT"}
TOLD = {"CHIMED_NOTIFY_WEBHOOK", "AIRFLOW_CONN_SMTP_DEFAULT"}
COMPONENTS = {  # of the chart, and the keys of the secret `chimed` that each is given
    "scheduler": set(),
    "apiServer": STORE | LAKE | PLACE,
    "dagProcessor": STORE | LAKE | PLACE | TOLD,
    "triggerer": LAKE | PLACE,
    "migrateDatabaseJob": STORE,
    "createUserJob": set(),
    "workers": STORE | LAKE | PLACE | TOLD | HUB | {"CHIMED_LLM_KEY"},
}


def test_every_component_has_only_its_keys() -> None:
    values = chart_values()
    assert not {"extraEnvFrom", "extraEnv", "secret"} & set(values)  # these go to every component
    assert all(set(one) == {"name", "value"} for one in values["env"])
    for name, expected in COMPONENTS.items():
        given = (values[name]["kubernetes"] if name == "workers" else values[name]).get("env", [])
        refs = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in given}
        assert set(refs) == expected, name
        assert {one["name"] for one in refs.values()} <= {"chimed"}
        assert all(key == one["key"] for key, one in refs.items())
        may_lack = {key for key, one in refs.items() if one.get("optional")}
        assert may_lack == expected & (PLACE | HUB | TOLD), name  # without another one it does not start


def keys_of(container: dict) -> dict[str, bool]:
    """The keys of the secret that a container is given, and whether it starts without each."""
    refs = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
    return {one["key"]: one.get("optional", False) for one in refs}


@pytest.mark.parametrize(
    ("command", "data", "password", "needed"),
    [
        (["run", "perplexity"], "s3://lake/chimed", "word", STORE | LAKE),
        (["run", "perplexity"], "s3://lake/chimed", None, {"CHIMED_STORE"} | LAKE),  # the address has the password
        (["train", "cpt"], "/data/lake", "word", STORE),
        (["evaluate", "base"], "s3://lake/chimed", "word", LAKE),
        (["evaluate", "base"], "/data/lake", "word", set()),
    ],
)
def test_a_pod_does_not_start_without_its_keys(command, data, password, needed) -> None:
    from chimed_airflow import manifests

    chosen = Settings(data=data, store_password=password, store="postgresql://db/chimed")
    (container,) = manifests.pod(command, 1, chosen)["spec"]["containers"]
    given = keys_of(container)
    assert {key for key, optional in given.items() if not optional} == needed
    assert not {"CHIMED_LLM_KEY", "CHIMED_NOTIFY_WEBHOOK"} & set(given)
    assert (command[0] == "evaluate") == (not STORE & set(given))


def test_a_model_server_has_its_key_or_does_not_start() -> None:
    from datetime import UTC, datetime

    from chimed.llm import servers
    from chimed_airflow import manifests

    chosen = Settings(llm_url="http://a.chimed.svc:8000/v1")
    deployment, _ = manifests.server(servers.configured_servers(chosen)[0], chosen, "run", datetime.now(UTC))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert keys_of(container) == {"CHIMED_LLM_KEY": False, "HF_TOKEN": True, "HF_ENDPOINT": True}
