"""A cluster: the chart's values, and the objects besides the chart."""

import os
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime

import pytest
import yaml

from chimed.settings import PROJECT, Settings
from support.deployment import DEPLOY, FIELDS, chart_values, check_manifests, objects, pins


def test_chart_values_name_real_settings() -> None:
    values = chart_values()
    given = {one["name"]: one["value"] for one in values["env"]}
    logs = f"AIRFLOW_CONN_{values['config']['logging']['remote_log_conn_id'].upper()}"
    assert given.pop(logs) == "aws://"  # without it Airflow says at each log that there is no such connection
    assert set(given) <= FIELDS
    assert not {"CHIMED_STORE", "CHIMED_LLM_KEY"} & set(given)
    assert values["executor"] == "KubernetesExecutor"
    assert values["airflowVersion"] == pins(PROJECT / "requirements-production.txt")["apache-airflow"]
    for name in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"):
        assert values[name] == values["data"]["metadataSecretName"] == "chimed-airflow"
    steps = ["airflow db migrate", "python -m chimed store upgrade", "python -m chimed_airflow.pools"]
    assert values["migrateDatabaseJob"]["args"][-1].split("\n")[1:4] == steps
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
    greedy = {"name": "g", "envFrom": [{"secretRef": {"name": "chimed"}}]}
    template = yaml.safe_dump({"spec": {"containers": [greedy]}})
    worker = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "w"},
        "data": {"pod_template_file.yaml": template},
    }
    said = check_manifests.wrong(yaml.safe_dump_all([pod, job, odd, worker]))
    assert {"ConfigMap w: g: takes all of the secret chimed", "ConfigMap w: g: seccomp"} <= set(said)
    assert {"Pod x: c: capabilities", "Job y: c: seccomp"} <= set(said)
    assert any(line.startswith("Service z: ") and "prots" in line for line in said)


def test_a_cluster_takes_the_objects_besides_the_chart() -> None:
    text = (DEPLOY / "cluster.yaml").read_text(encoding="utf-8")
    assert check_manifests.wrong(text) == []
    found = objects("cluster.yaml")
    kinds = Counter(one["kind"] for one in found)
    assert kinds == {
        "Namespace": 1, "ServiceAccount": 2, "Role": 3, "RoleBinding": 3, "NetworkPolicy": 2, "PriorityClass": 1,
        "CronJob": 1,
    }  # fmt: skip
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert ("ServiceAccount", Settings.model_fields["k8s_service_account"].default) in named
    namespace = named["Namespace", "chimed"]["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    job = named["CronJob", "chimed-leftovers"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert check_manifests.broken(job) == []
    assert "chimed_airflow.leftovers" in job["containers"][0]["command"]


def test_only_workers_reach_model_servers() -> None:
    from chimed.llm import servers
    from chimed_airflow import manifests

    policies = {
        one["metadata"]["name"]: one["spec"] for one in objects("cluster.yaml") if one["kind"] == "NetworkPolicy"
    }
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


RULES = {  # who may do what: account → resource → verbs
    "airflow-worker": {
        "deployments": {"create", "delete", "get", "list", "patch"},
        "services": {"create", "delete", "get", "list", "patch"},
        "events": {"get", "list", "watch"},
    },
    "airflow-triggerer": {
        "pods": {"delete", "get", "list", "patch", "watch"},
        "pods/log": {"get"},
        "events": {"get", "list", "watch"},
    },
    "chimed-leftovers": {"deployments": {"delete", "list"}, "services": {"delete", "list"}, "pods": {"delete", "list"}},
}


def test_each_account_may_do_what_it_does() -> None:
    """The workers' right to make pods is the chart's own (allowPodLaunching)."""
    found = objects("cluster.yaml")
    roles = {one["metadata"]["name"]: one["rules"] for one in found if one["kind"] == "Role"}
    given: dict[str, dict[str, set[str]]] = {}
    for binding in (one for one in found if one["kind"] == "RoleBinding"):
        for subject in binding["subjects"]:
            for rule in roles[binding["roleRef"]["name"]]:
                for resource in rule["resources"]:
                    given.setdefault(subject["name"], {}).setdefault(resource, set()).update(rule["verbs"])
    assert given == RULES
    assert chart_values()["allowPodLaunching"] is True


def test_everything_that_is_pulled_has_the_pull_secret() -> None:
    given = {one["name"]: one["value"] for one in chart_values()["env"]}
    secret = given["CHIMED_K8S_PULL_SECRET"]
    assert chart_values()["registry"] == {"secretName": secret} == {"secretName": "chimed-registry"}
    made = [*objects("cluster.yaml"), *objects("exams.yaml")]
    specs = [spec for one in made for spec in check_manifests.pods(one)]
    assert len(specs) == 2
    for spec in specs:
        assert spec["imagePullSecrets"] == [{"name": secret}]


def test_leftovers_are_looked_for_often() -> None:
    (job,) = [one for one in objects("cluster.yaml") if one["kind"] == "CronJob"]
    assert job["spec"]["schedule"] == "*/5 * * * *"


@pytest.mark.parametrize(("contact", "steps"), [("", 0), ("crawl@example.org", 3)])
def test_no_contact_no_deployment(contact: str, steps: int, tmp_path) -> None:
    for name in ("airflow", "python"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/ran\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "ran").touch()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CHIMED_CONTACT": contact}
    done = subprocess.run(chart_values()["migrateDatabaseJob"]["args"], env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == bool(contact)
    assert ("set it under env in values.yaml" in done.stderr) == (not contact)
    assert len((tmp_path / "ran").read_text().splitlines()) == steps


def test_exams_are_where_workers_and_pods_look() -> None:
    """A claim, mounted at /data by the job that fills it, by the workers and by GPU pods."""
    from chimed_airflow import manifests

    assert check_manifests.wrong((DEPLOY / "exams.yaml").read_text(encoding="utf-8")) == []
    claim, job = objects("exams.yaml")
    name, (spec,) = claim["metadata"]["name"], check_manifests.pods(job)
    given = {one["name"]: one["value"] for one in chart_values()["env"]}
    assert (given["CHIMED_K8S_VOLUME"], given["CHIMED_EXAMS"]) == (name, f"{manifests.DATA}/exams")
    assert given["CHIMED_EXAMS"] in spec["containers"][0]["command"]
    workers = chart_values()["workers"]["kubernetes"]
    pod = manifests.pod(
        ["evaluate", "base"], 1, Settings(data="s3://lake", k8s_volume=name, exams=given["CHIMED_EXAMS"])
    )
    gpu_pod = pod["spec"]
    for volumes, mounts, read_only in (
        (spec["volumes"], spec["containers"][0]["volumeMounts"], False),
        (workers["extraVolumes"], workers["extraVolumeMounts"], True),
        (gpu_pod["volumes"], gpu_pod["containers"][0]["volumeMounts"], True),
    ):
        assert {"name": "data", "persistentVolumeClaim": {"claimName": name}} in volumes
        (mount,) = [one for one in mounts if one["name"] == "data"]
        assert (mount["mountPath"], mount.get("readOnly", False)) == (manifests.DATA, read_only)


@pytest.mark.skipif(not shutil.which("helm"), reason="no helm here")
def test_the_chart_takes_the_values(tmp_path) -> None:
    argv = ["helm", "template", "airflow", "airflow", "--repo", "https://airflow.apache.org", "--version", "1.22.0"]
    values = ["--namespace", "chimed", "--values", str(DEPLOY / "values.yaml")]
    done = subprocess.run([*argv, *values], capture_output=True, text=True, timeout=300)
    if "failed to fetch" in done.stderr or "cannot be reached" in done.stderr or "dial tcp" in done.stderr:
        pytest.skip("the chart's repository is not reached")
    assert done.returncode == 0, done.stderr
    assert check_manifests.wrong(done.stdout) == []
