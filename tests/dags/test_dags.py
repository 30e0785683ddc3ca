"""The DAGs as Airflow reads them: no errors, fast, light, documented, and wired by their assets."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from chimed.build import order
from chimed.build.options import Options
from chimed.sources import names as source_names
from chimed_airflow.params import build_options

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "scrapy", "twisted", "polars", "pandas", "pyarrow", "trl", "vllm", "kubernetes")
CRAWLS = tuple(f"crawl_{source}" for source in source_names())

pytestmark = pytest.mark.slow  # importing Airflow takes seconds


@pytest.fixture(scope="module")
def dags():
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(PROJECT / "dags"))
    assert bag.import_errors == {}
    return bag.dags


def test_which_dags_there_are(dags) -> None:
    assert sorted(dags) == sorted([*CRAWLS, "build_dataset", "train_models", "watch_deployment"])


def test_every_task_is_documented_and_bounded(dags) -> None:
    from chimed_airflow.notice import FailureNotice

    for dag in dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.description, dag.dag_id
        assert "chimed" in dag.tags, dag.dag_id
        assert dag.max_active_runs == 1, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        assert isinstance(dag.on_failure_callback, FailureNotice), dag.dag_id
        for task in dag.tasks:
            assert task.doc_md, task.task_id
            assert task.owner == "chimed", task.task_id
            assert task.retries >= 1, task.task_id
            assert task.retry_exponential_backoff, task.task_id
            assert task.execution_timeout, task.task_id


def test_every_param_has_a_valid_default(dags) -> None:
    for dag in dags.values():
        dag.params.validate()
        for name, param in dag.params.items():
            assert dag.params.get_param(name).description, (dag.dag_id, name, param)


def test_the_build_form_is_the_options(dags) -> None:
    params = dags["build_dataset"].params.dump()
    assert params.pop("require_approval") is False
    assert params.pop("train") is True
    assert Options(**params) == Options() == Options(**build_options(params))
    form = dags["build_dataset"].params.get_param("skip").schema
    assert form["items"]["enum"] == [stage.name for stage in order.STAGES if stage.skippable]


def test_forms_show_frequent_choices_first(dags) -> None:
    for dag in dags.values():
        fields = {name: dag.params.get_param(name).schema for name in dag.params}
        for name, schema in fields.items():
            assert schema["title"][0].isupper(), (dag.dag_id, name)
            assert "_" not in schema["title"], (dag.dag_id, name)
        open_ones = [name for name, schema in fields.items() if "section" not in schema]
        assert list(fields)[: len(open_ones)] == open_ones, dag.dag_id
        assert len(open_ones) <= 4, dag.dag_id
    assert not {schema.get("section") for schema in fields.values()} & {"More options"}


def test_a_crawl_takes_only_known_sections(dags) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    sections = dags["crawl_ask39"].params.get_param("sections")
    assert "妇科" in sections.schema["examples"]
    assert sections.resolve(["妇科", "产科"]) == ["妇科", "产科"]
    assert sections.resolve("妇科,产科") == "妇科,产科"  # as before there was a list
    with pytest.raises(ParamValidationError):
        sections.resolve(["nowhere"])
    assert dags["crawl_zydcd"].params.get_param("sections").schema["examples"] != sections.schema["examples"]


def test_the_list_keeps_the_first_order(dags) -> None:
    shown = sorted((dag.dag_display_name, dag.dag_id) for dag in dags.values())
    assert [name.split()[0] for name, _ in shown] == [str(n) for n in range(1, len(shown) + 1)]
    assert shown[0] == ("1 Crawl 39 Ask Doctors", "crawl_ask39")
    assert [name for name, _ in shown[-3:]] == ["6 Build a release", "7 Train and evaluate", "8 Watch the deployment"]


@pytest.mark.parametrize(("name", "wrong"), [("perplexity_cut", 1.5), ("sources", ["nowhere"]), ("max_records", 0)])
def test_a_wrong_param_is_refused(dags, name: str, wrong: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dags["build_dataset"].params.get_param(name).resolve(wrong)


def test_every_pool_is_declared(dags) -> None:
    pools = json.loads((PROJECT / "include" / "chimed_airflow" / "pools.json").read_text())
    used = {task.pool for dag in dags.values() for task in dag.tasks}
    assert used - {"default_pool"} == set(pools)
    for source in source_names():
        assert pools[f"site_{source}"]["slots"] == 1


def test_crawls_share_one_key_a_week(dags) -> None:
    timetables = [dags[name].timetable for name in CRAWLS]
    assert len({timetable.expression for timetable in timetables}) == len(CRAWLS)  # staggered
    for timetable in timetables:
        assert timetable.expression.endswith(" * * 1")
        assert (timetable.run_offset, timetable.key_format) == (-1, "%Y-%m-%d")
        assert str(timetable.timezone) == "Asia/Shanghai"


def test_a_scheduled_run_owns_last_week() -> None:
    from airflow.timetables.trigger import CronPartitionTimetable
    from pendulum import datetime

    timetable = CronPartitionTimetable("0 3 * * 1", timezone="Asia/Shanghai", run_offset=-1, key_format="%Y-%m-%d")
    monday = datetime(2026, 11, 23, 3, tz="Asia/Shanghai")
    assert timetable._get_partition_info(run_date=monday)[1] == "2026-11-16"


def test_assets_order_crawl_build_and_training(dags) -> None:
    def outlets(names) -> set[str]:
        return {outlet.name for name in names for task in dags[name].tasks for outlet in task.outlets}

    def wanted(name: str) -> set[str]:
        condition = dags[name].timetable.asset_condition
        return {asset.name for asset in getattr(condition, "objects", [condition])}

    assert wanted("build_dataset") == outlets(CRAWLS) == {f"records_{source}" for source in source_names()}
    assert wanted("train_models") == outlets(["build_dataset"]) == {"release"}


def test_the_stages_are_tasks_in_their_order(dags) -> None:
    dag = dags["build_dataset"]
    for stage in order.STAGES:
        task = dag.get_task(stage.name)
        assert task.is_mapped == (stage.scope == "shard"), stage.name
        if previous := order.previous_stage(stage.name):
            assert previous.name in task.upstream_task_ids, stage.name
    assert dag.get_task("serve_up").is_setup


def test_the_graph_has_four_groups(dags) -> None:
    dag = dags["build_dataset"]
    groups = [group.group_display_name for group in dag.task_group.topological_sort()]
    assert groups == ["read", "score", "models", "release"]
    seen = [task.task_id for group in dag.task_group.topological_sort() for task in group.topological_sort()]
    assert [name for name in seen if name in order.NAMES] == list(order.NAMES)
    assert all("." not in task.task_id for task in dag.tasks)


def test_mapped_tasks_tell_contents_and_result(dags) -> None:
    from jinja2 import Environment, StrictUndefined

    class Instance:
        def xcom_pull(self, task_ids: str, key: str = "return_value") -> list:
            return ["1 of 2: ask39, crawl 2026-11-16", "2 of 2: zydcd, crawl 2026-11-16"] if key == "names" else [0, 1]

    for task in dags["build_dataset"].tasks:
        if not task.is_mapped:
            continue
        template = Environment(undefined=StrictUndefined).from_string(task.partial_kwargs["map_index_template"])
        known = {"ti": Instance(), "task": SimpleNamespace(shard=1)}
        name = "range 2 of 2" if task.task_id in ("dedup_bucket", "dedup_verify") else "2 of 2: zydcd, crawl 2026-11-16"
        assert template.render(known) == name, task.task_id
        assert template.render(known, done="kept 3, dropped 1") == f"{name}: kept 3, dropped 1"


def test_steps_of_a_stage_are_tasks(dags) -> None:
    dag = dags["build_dataset"]
    for stage in order.STAGES:
        names = [f"{stage.name}_{step.name}" for step in stage.steps]
        chain = [order.previous_stage(stage.name).name, *names, stage.name] if names else []
        for upstream, name in pairwise(chain):
            assert upstream in dag.get_task(name).upstream_task_ids
        for step, name in zip(stage.steps, names, strict=True):
            assert dag.get_task(name).is_mapped == (step.over != "all")
            assert dag.get_task(name).doc_md


def test_approval_comes_right_before_the_release(dags) -> None:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    dag = dags["build_dataset"]
    approve = dag.get_task("approve")
    assert isinstance(approve, ApprovalOperator)
    assert approve.upstream_task_ids == {order.previous_stage("release").name}
    assert approve.downstream_task_ids == {"release"}
    assert approve.response_timeout.days >= 1
    assert approve.notifiers


def test_a_build_ends_as_its_ledger_does(dags) -> None:
    ledger = dags["build_dataset"].get_task("ledger")
    assert ledger.is_teardown
    assert ledger.on_failure_fail_dagrun
    assert ledger.trigger_rule == "all_done_setup_success"
    assert not [task for task in ledger.upstream_list if task.is_setup]


def test_training_goes_phase_by_phase_and_scores_each(dags) -> None:
    dag = dags["train_models"]
    assert dag.get_task("evaluate_base").upstream_task_ids == {"find_release"}
    for before, phase in (("find_release", "cpt"), ("cpt", "sft"), ("sft", "dpo")):
        assert dag.get_task(phase).upstream_task_ids == {before}
        assert dag.get_task(f"evaluate_{phase}").upstream_task_ids == {phase}
    for before, phase in (("sft", "kto"), ("sft", "orpo"), ("dpo", "grpo")):
        assert {before, "further"} <= dag.get_task(phase).upstream_task_ids
        assert dag.get_task(f"evaluate_{phase}").upstream_task_ids == {phase}
    every = ("base", "cpt", "sft", "dpo", "kto", "orpo", "grpo")
    assert dag.get_task("compare").upstream_task_ids == {f"evaluate_{one}" for one in every}
    assert dag.get_task("compare").trigger_rule == "none_failed_min_one_success"


def in_a_process(code: str, **environment: str) -> str:
    """What a program prints; it imports the DAG files as Airflow does."""
    variables = {**os.environ, "PYTHONPATH": str(PROJECT / "include"), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = f"""
import json, runpy, sys, time
import airflow.sdk, airflow.sdk.definitions.asset, airflow.sdk.definitions.param, airflow.sdk.definitions.dag
from airflow.sdk import DAG, BaseOperator, PartitionedAssetTimetable, TaskGroup
with DAG("warm"): BaseOperator(task_id="up")
before, took = set(sys.modules), {{}}
for name in ("crawl", "build", "train", "watch"):
    started = time.process_time()
    runpy.run_path("{PROJECT}/dags/" + name + ".py")
    took[name] = time.process_time() - started
print(json.dumps([took, [name for name in {HEAVY!r} if name in set(sys.modules) - before]]))
"""


def test_dag_files_import_nothing_heavy() -> None:
    took, heavy = json.loads(in_a_process(LOAD))
    assert heavy == []
    assert max(took.values()) < 2, took


def test_nothing_starts_by_itself_where_schedules_are_off() -> None:
    code = f"import runpy; print(runpy.run_path('{PROJECT}/dags/crawl.py')['schedule'](1).can_be_scheduled)"
    assert in_a_process(code, CHIMED_SCHEDULES="off").split()[-1] == "False"


def test_a_new_installation_begins_next_monday(dags) -> None:
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction
    from pendulum import now

    read = DagSerialization.from_dict(DagSerialization.to_dict(dags["crawl_ask39"]))
    restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
    info = read.timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    assert info.run_after > now()
    assert read.start_date is None  # before it Airflow would call a run green that ran nothing
    assert all(task.start_date is None for task in read.tasks)


@pytest.mark.parametrize(
    ("serve", "tasks"), [("local", {"serve", "serve_up", "serve_down", "ledger"}), ("external", {"serve_up", "ledger"})]
)
def test_model_servers_are_set_up_and_taken_down(serve: str, tasks: set[str]) -> None:
    code = f"""
import runpy
dag = runpy.run_path('{PROJECT}/dags/build.py')['open_build'].dag
print(*[task.task_id for task in dag.tasks if task.is_setup or task.is_teardown])
"""
    assert set(in_a_process(code, CHIMED_SERVE=serve).splitlines()[-1].split()) == tasks
