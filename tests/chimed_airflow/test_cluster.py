"""The DAGs on CeleryExecutor with a real PostgreSQL and a real Redis: shared, killed, restarted, run again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from chimed.build import inputs, order
from chimed.build.builds import read_build
from chimed.build.ledger import read_ledger
from chimed.release import read_manifest
from chimed.sources import PAPER
from chimed.storage import lake as lakes
from chimed.storage import store as stores
from chimed.storage.contents import SEAL
from chimed.storage.lake import open_lake
from chimed.storage.store_tables import REVIEW_QUEUE
from support import cluster
from support.cluster import IN_FLIGHT, PART_ROWS, WORKERS, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

BACKFILLED = ["2026-10-05", "2026-10-12"]
WEEK = "2026-10-26"
MOST_XCOM = 10_000  # bytes


@dataclass
class Told:
    """What the one build of this module went through."""

    cluster: Cluster
    run: str = ""
    version: str = ""
    hosts: set[str] = field(default_factory=set)
    killed: list[dict] = field(default_factory=list)
    question: dict = field(default_factory=dict)


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Cluster]:
    with cluster.cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def rows(running: Cluster, query: str) -> list[tuple]:
    """What Airflow's database answers."""
    with psycopg.connect(running.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")) as base:
        return base.execute(query).fetchall()


def test_a_backfill_adds_only_its_own_runs(running) -> None:
    for dag in ("crawl_zydcd", "build_dataset"):
        running.api.patch(f"/dags/{dag}", {"is_paused": False})
    dates = ["--from-date", BACKFILLED[0], "--to-date", "2026-10-18"]
    running.command("-m", "airflow", "backfill", "create", "--dag-id", "crawl_zydcd", *dates)

    def backfilled() -> list[dict]:
        return [run for run in running.runs("crawl_zydcd") if run["run_type"] == "backfill"]

    assert sorted(run["partition_key"] for run in backfilled()) == BACKFILLED
    running.wait("the backfill", lambda: all(run["state"] == "success" for run in backfilled()))
    others = [f"crawl_{source}" for source in PAPER if source != "zydcd"] + ["build_dataset", "train_models"]
    assert [running.runs(dag) for dag in others] == [[]] * len(others)
    waiting = {key for (key,) in rows(running, "select partition_key from asset_partition_dag_run")}
    assert not waiting & set(BACKFILLED)


@pytest.fixture(scope="module")
def told(running) -> Told:
    """Five crawls and the build that they start; a worker and the scheduler are killed while it asks the models."""
    told = Told(running)
    running.kill("dag-processor")  # from here on nothing starts by the clock
    running.start("dag-processor", "-m", "airflow", "dag-processor", CHIMED_SCHEDULES="off")
    crawls = [f"crawl_{source}" for source in PAPER]
    running.wait(
        "the schedules",
        lambda: all(running.api.get(f"/dags/{dag}")["timetable_summary"] == "PartitionedAtRuntime" for dag in crawls),
    )
    asked = {"logical_date": None, "partition_key": WEEK, "conf": {"mode": "full", "max_pages": 60}}
    runs = {}
    for dag in crawls:
        running.api.patch(f"/dags/{dag}", {"is_paused": False})
        runs[dag] = running.api.post(f"/dags/{dag}/dagRuns", asked)["dag_run_id"]
    running.wait("the crawls", lambda: all(running.succeeded(dag, run) for dag, run in runs.items()))
    running.wait("the build", lambda: running.runs("build_dataset"))
    told.run = running.runs("build_dataset")[0]["dag_run_id"]
    broken(told)
    approved(told)
    return told


def broken(told: Told) -> None:
    """Kills a worker that asks the model, and the scheduler; which worker has which shards is chance."""
    running = told.cluster

    def asking() -> list[dict]:
        found = [task for task in running.tasks("build_dataset", told.run) if task["task_id"] == "screen"]
        return [task for task in found if task["state"] == "running"] if running.model.answered else []

    hostname = running.wait("a shard that asks", asking)[0]["hostname"]
    time.sleep(1)
    told.killed = [task for task in asking() if task["hostname"] == hostname]
    running.kill(hostname)
    running.kill("scheduler")
    running.start("scheduler", "-m", "airflow", "scheduler", "--skip-serve-logs")


def approved(told: Told) -> None:
    """Waits for the question, answers it, waits for the build's end."""
    running, dag, run = told.cluster, "build_dataset", told.run

    def question() -> list[dict]:
        running.succeeded(dag, run)
        found = running.api.get(f"/dags/{dag}/dagRuns/{run}/hitlDetails")["hitl_details"]
        return [one for one in found if not one["response_received"]]

    (told.question,) = running.wait("the question", question)
    answer = {"chosen_options": ["Approve"], "params_input": {}}
    running.api.patch(f"/dags/{dag}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", answer)
    running.wait("the build", lambda: running.succeeded(dag, run))
    told.version = running.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/open_build/xcomEntries/return_value")[
        "value"
    ]


def test_kills_cost_only_what_was_in_flight(told) -> None:
    running = told.cluster
    assert told.killed
    screened = [task for task in running.tasks("build_dataset", told.run) if task["task_id"] == "screen"]
    again = {task["map_index"] for task in screened if task["try_number"] > 1}
    assert again == {task["map_index"] for task in told.killed}
    lake = open_lake(running.environment["CHIMED_DATA"])
    entries = read_ledger(lake, told.version)  # raises where it does not close
    assert [entry["stage"] for entry in entries] == list(order.NAMES)
    assert read_manifest(lake, told.version)["version"] == told.version
    twice = {body: count - 1 for body, count in running.model.answered.items() if count > 1}
    assert sum(twice.values()) <= IN_FLIGHT * len(told.killed)


def test_both_workers_had_shards_of_the_stages(told) -> None:
    tasks = told.cluster.tasks("build_dataset", told.run)
    shared = {task["hostname"] for task in tasks if task["map_index"] >= 0}
    assert shared == set(WORKERS)


def test_one_build_follows_a_backfill(told) -> None:
    assert len(told.cluster.runs("build_dataset")) == 1
    shards = read_build(open_lake(told.cluster.environment["CHIMED_DATA"]), told.version)["shards"]
    crawls = {crawl for shard in shards for crawl in shard}
    assert {f"zydcd/{key}" for key in BACKFILLED} < crawls
    assert {crawl.split("/")[0] for crawl in crawls} == set(PAPER)


def test_approval_shows_the_ledger_and_notes_the_run(told) -> None:
    assert told.version in told.question["subject"]
    assert "| decontaminate |" in told.question["body"]
    assert "This would be the first release" in told.question["body"]
    note = told.cluster.api.get(f"/dags/build_dataset/dagRuns/{told.run}")["note"]
    assert note.startswith(f"build {told.version}")
    assert "| release |" in note


def test_screened_records_wait_in_the_review_queue(told) -> None:
    store = stores.open_store(told.cluster.environment["CHIMED_STORE"])
    with store.engine.connect() as connection:
        queued = connection.execute(REVIEW_QUEUE.select()).all()
    assert {row.build for row in queued} == {told.version}
    assert "passed" in {row.kind for row in queued}


def test_events_carry_only_counts(told) -> None:
    events = told.cluster.api.get("/assets/events", limit=100)["asset_events"]
    extra = {event["name"]: event["extra"] for event in events}
    assert extra["release"]["kept"] > 0
    for source in PAPER:
        assert {"pages", "records"} <= set(extra[f"records_{source}"])
    assert extra["records_ask39"]["records"] > 0
    sizes = rows(told.cluster, "select max(length(value::text)) from xcom")
    assert sizes[0][0] < MOST_XCOM


def test_running_again_changes_nothing(told) -> None:
    running, before = told.cluster, told.cluster.digests()
    paid = running.model.answered.total()
    for dag in ("crawl_zydcd", "build_dataset"):
        run = running.runs(dag)[-1]["dag_run_id"]
        asked = {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True}
        running.api.post(f"/dags/{dag}/clearTaskInstances", asked)
        if dag == "crawl_zydcd":
            running.wait("the crawl again", lambda: running.succeeded(dag, run))  # noqa: B023
    approved(told)
    assert running.digests() == before
    assert running.model.answered.total() == paid


def test_one_process_leaves_the_same_release(told) -> None:
    """What two workers made in parts, one process makes in parts of another size, of the same crawls and replies."""
    running, lake = told.cluster, open_lake(told.cluster.environment["CHIMED_DATA"])
    paid, version = running.model.answered.total(), "one-process"
    made = {name: value for name, value in read_build(lake, told.version).items() if name != SEAL}
    sizes = {crawl: inputs.size_of(lake, crawl) for crawl in inputs.list_crawls(made["shards"])}
    made |= {"version": version, "number": made["number"] + 1, "shards": inputs.packed(sizes, PART_ROWS // 3, 1.0)}
    lakes.write_json(lake, f"builds/{version}/build.json", made)
    running.command("-m", "chimed", "run", "all", "--build", version)
    one, two = (read_manifest(lake, release)["files"] for release in (told.version, version))
    parts = [len(read_build(lake, build)["shards"]) for build in (told.version, version)]
    assert parts[1] > parts[0] > 2
    # Their names, and which came first. And their ledgers: a page fetched again unchanged leaves in extract where both
    # fetches lie in one part, else in dedup.
    tell_of_the_build = {"README.md", "changes.json", "figures/flow.png", "figures/flow.svg"}
    assert {name for name in one if one[name] != two[name]} <= tell_of_the_build
    assert one.keys() == two.keys()
    assert running.model.answered.total() == paid


def test_a_failed_run_is_told_of(told) -> None:
    running = told.cluster
    asked = {"logical_date": None, "partition_key": WEEK, "conf": {"sections": "no-such-list"}}
    run = running.api.post("/dags/crawl_zydcd/dagRuns", asked)["dag_run_id"]
    running.wait("the failure", lambda: running.api.get(f"/dags/crawl_zydcd/dagRuns/{run}")["state"] == "failed")
    logs = running.folder / "airflow" / "logs" / "dag_processor"

    def notice() -> list[str]:
        return [
            line for log in logs.rglob("*.log") for line in log.read_text().splitlines() if f"failed: {run}" in line
        ]

    (line,) = running.wait("the notice", notice)
    assert "crawl_zydcd" in line
    assert "task: crawl, attempt 1" in line
    note = running.api.get(f"/dags/crawl_zydcd/dagRuns/{run}")["note"].replace("\\", "")
    assert note.startswith("**Failed in crawl**: unknown section 'no-such-list'")
