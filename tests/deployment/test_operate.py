"""What docs/operate.md tells an operator to type fits the files that it is typed against."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from chimed.settings import PROJECT
from support.deployment import AIRFLOWS, COMPOSE, DEPLOY, EXAMPLE, FIELDS, SERVICES, chart_values, objects

TEXT = (PROJECT / "docs" / "operate.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^( *)```bash\n(.*?)^ *```", TEXT, flags=re.MULTILINE | re.DOTALL)
TYPED = [re.sub(rf"^{indent}", "", script, flags=re.MULTILINE) for indent, script in SCRIPTS]


def test_every_name_it_uses_is_there() -> None:
    variables = set(re.findall(r"\b(CHIMED_[A-Z0-9_]+[A-Z0-9])\b", TEXT))
    # an ellipsis may follow; images, and what the image itself sets
    known = FIELDS | set(re.findall(r"^(\w+)=", EXAMPLE, flags=re.MULTILINE)) | {"CHIMED_RETENTION"}
    assert variables <= known, variables - known
    for service in re.findall(r"docker compose (?:exec|logs|stop|start)(?: -T)? ((?:[a-z][a-z-]+ ?)+)", TEXT):
        assert set(service.split()) - {"sh", "python"} <= set(SERVICES), service
    for file in re.findall(r"([\w.-]+\.yaml)", TEXT):
        assert (DEPLOY / file).exists() or (PROJECT / file).exists(), file


@pytest.mark.parametrize("script", TYPED)
def test_what_is_typed_is_a_shells(script: str, tmp_path) -> None:
    (tmp_path / "script").write_text(script)
    done = subprocess.run(["bash", "-n", str(tmp_path / "script")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_chart_is_installed_as_the_values_say() -> None:
    (typed,) = [line for script in TYPED for line in script.splitlines() if line.startswith("helm upgrade")]
    assert typed in (DEPLOY / "values.yaml").read_text(encoding="utf-8").replace("#   ", "")
    assert f"--version {re.search(r'--version (1[0-9.]+)', typed)[1]}" in (
        PROJECT / ".github" / "workflows" / "deployment.yml"
    ).read_text(encoding="utf-8")
    assert "--wait" not in typed  # the migration job is a hook, which runs after that


def keys_made(secret: str) -> set[str]:
    """The keys with which the page has a secret made."""
    joined = [script.replace("\\\n", " ") for script in TYPED]
    (line,) = [line for script in joined for line in script.splitlines() if f"generic {secret} " in line]
    return {word.removeprefix("--from-literal=").split("=")[0] for word in shlex.split(line) if "literal" in word}


def test_secrets_are_made_with_the_keys_that_are_read() -> None:
    values = chart_values()
    parts = [values[name].get("env", []) for name in ("apiServer", "dagProcessor", "triggerer", "migrateDatabaseJob")]
    given = [one for part in [*parts, values["workers"]["kubernetes"]["env"]] for one in part]
    refs = [one["valueFrom"]["secretKeyRef"] for one in given]
    needed = {one["key"] for one in refs if not one.get("optional")}
    wanted = {one["key"] for one in refs if one.get("optional")}
    assert keys_made("chimed") == needed
    plain = " ".join(TEXT.split())
    said = plain[plain.index("Further keys of") :].split(". A public registry")[0]
    assert set(re.findall(r"`([A-Z_]+)`", said)) == wanted
    assert keys_made("chimed-airflow") == {"connection", "fernet-key", "api-secret-key", "jwt-secret"}


def test_a_second_team_has_a_namespace_of_its_own(tmp_path) -> None:
    for file in ("cluster.yaml", "exams.yaml", "values.yaml"):
        shutil.copy(DEPLOY / file, tmp_path / file)
    (script,) = [script for script in TYPED if "team-b" in script]
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)
    for file in ("cluster.yaml", "exams.yaml"):
        for one in yaml.safe_load_all((tmp_path / file).read_text(encoding="utf-8")):
            where = one["metadata"].get("namespace", one["metadata"]["name"])
            assert where == "team-b" or one["kind"] == "PriorityClass", one["metadata"]
            for subject in one.get("subjects", ()):
                assert subject["namespace"] == "team-b"
    accounts = {one["metadata"]["name"] for one in objects("cluster.yaml") if one["kind"] == "ServiceAccount"}
    made = yaml.safe_load_all((tmp_path / "cluster.yaml").read_text(encoding="utf-8"))
    assert {one["metadata"]["name"] for one in made if one["kind"] == "ServiceAccount"} == accounts
    given = {one["name"]: one["value"] for one in yaml.safe_load((tmp_path / "values.yaml").read_text("utf-8"))["env"]}
    assert given["CHIMED_K8S_NAMESPACE"] == "team-b"
    assert "chimed-generator.team-b.svc" in given["CHIMED_LLM_URL"]
    text = (tmp_path / "cluster.yaml").read_text(encoding="utf-8")
    assert "{name: CHIMED_K8S_NAMESPACE, value: team-b}" in text


def test_a_backup_has_all_that_cannot_be_made_again() -> None:
    backup, restore = (next(script for script in TYPED if word in script) for word in ("pg_dumpall", "gunzip"))
    assert set(COMPOSE["volumes"]) - {"models", "exams", "airflow-logs", "prometheus", "alertmanager"} == {
        "postgres",
        "minio",
    }
    stopped = re.search(r"docker compose stop (.*)", backup)[1].split()
    writing = {name for name in AIRFLOWS if "worker" in name or "scheduler" in name}
    assert set(stopped) == writing
    assert f"docker compose start {' '.join(stopped)}" in backup
    for script in (backup, restore):
        assert "mc mirror" in script
        assert "MINIO_ROOT_PASSWORD" in script
