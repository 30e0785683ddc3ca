"""How a `chimed` command becomes an Airflow task: a process, its lines in the task's log, its result in XCom.

The command is the one an engineer types; how it runs is in `commands`.
"""

import ast
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

import chimed
from chimed import lists, metrics
from chimed.build.order import Stage, Step
from chimed.errors import UserError
from chimed.settings import settings
from chimed_airflow import lineage, notice
from chimed_airflow.commands import SiteLeftAlone, arguments, end, follow, grace_of, start
from chimed_airflow.links import PagesLink
from chimed_airflow.notice import WHY
from chimed_airflow.pods import ChimedPod
from chimed_airflow.recipe_gpus import slots as slots_of_training
from chimed_airflow.run_states import not_done, states_of
from chimed_airflow.weeks import BACKFILL, refused

OWNER = "chimed"
GPU = Path("/dev/nvidiactl")  # there where a GPU is
GPUS = "gpus"  # the pool whose slots are GPUs
NOTE = "note"  # key of the XCom that `notes` makes the run's note
NAMES = "names"  # key of the XCom with the names of the shards
LONGEST = 120  # characters of such a name
DONE = "done"  # in a task's context when it is done: what came of it
_WHEN_DONE = f"{{% if {DONE} is defined %}}: {{{{ {DONE} }}}}{{% endif %}}"
REASON = 600  # characters of a reason
WAITS = 7  # times in a row that a task waits for a site that refuses; then it fails, and a person has to look
DEFAULTS = {
    "owner": OWNER,
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
}


class ChimedOperator(BaseOperator):
    """Runs `python -m chimed <command>` on this machine. An argument that renders to nothing is left out.

    :param command: the arguments (templated).
    :param shard: adds `--shard N`; what a mapped stage expands over.
    :param first: a command run before it, each time; where that fails the task does.
    :param models: run in the models' environment (torch, vLLM), not in Airflow's.
    :param on_retry: a command run first when the task is tried again, as bringing up what may have died.
    :param returns: makes the XCom of the command's result; by default the result itself.
    :param asset_key: partition key of the outlets' events (templated); their extra is the XCom.
    :param announce: whether those who wait for the outlets are told (templated: True or False).
    :param note: makes of the result what the run's note says when it has ended.
    :param tells: makes of the result another XCom, `names`.
    """

    template_fields = ("command", "first", "asset_key", "announce")
    operator_extra_links = (PagesLink(),)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        command: Sequence[str],
        shard: int | None = None,
        first: Sequence[str] = (),
        models: bool = False,
        on_retry: Sequence[str] = (),
        returns: Callable[[Any], Any] | None = None,
        asset_key: str | None = None,
        announce: str = "True",
        note: Callable[[Any], str] | None = None,
        tells: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.shard = shard
        self.first = first
        self.models = models
        self.on_retry = on_retry
        self.returns = returns
        self.asset_key = asset_key
        self.announce = announce
        self.note = note
        self.tells = tells
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:
        """Run the command and return its result. Where it fails, the reason is pushed for the run's note."""
        try:
            return self._work(context)
        except (AirflowRescheduleException, AirflowSkipException, SiteLeftAlone):
            raise
        except Exception as error:
            context["ti"].xcom_push(WHY, str(error)[-REASON:])
            raise

    def _work(self, context: Any) -> Any:
        if self.on_retry and context["ti"].try_number > 1:
            self._run(arguments(self.on_retry))
        if self.first:
            self._run(arguments(self.first))
        result = self._run(arguments(self.command, self.shard))
        value = self.returns(result) if self.returns else result
        if said := outcome(value):
            context[DONE] = said
        if self.tells:
            context["ti"].xcom_push(NAMES, self.tells(result))
        if self.note:
            text = self.note(result)
            self.log.info("%s", text)
            context["ti"].xcom_push(NOTE, text)
        if self.outlets and context["dag_run"].run_type == BACKFILL:
            self.log.info("a backfill asks for no build of its own; the next build takes these records too")
            self.outlets = []
        if self.outlets and str(self.announce) != "True":
            self.log.info("nothing waits for this: train is switched off in this run")
            self.outlets = []
        for outlet in self.outlets:
            event = context["outlet_events"][outlet]
            event.extra = value if isinstance(value, dict) else {"result": value}
            if self.asset_key:
                event.add_partitions(self.asset_key)
        return value

    def _run(self, argv: list[str]) -> Any:
        self.log.info("python -m chimed %s", " ".join(argv))
        chosen = settings()
        devices = ",".join(lists.words(chosen.train_devices))  # CUDA takes a space for the end of the list
        apart = {"CUDA_VISIBLE_DEVICES": devices} if self.models and devices else None
        self._process = start([chosen.models_python if self.models else sys.executable, "-m", "chimed", *argv], apart)
        began = time.monotonic()
        try:
            return follow(self._process, self._say)
        finally:
            end(self._process, grace_of(argv))
            if self.models and GPU.exists():
                metrics.count("gpu.seconds", (time.monotonic() - began) * self.pool_slots, work=self.task_id)

    def _say(self, line: str) -> None:
        """Log a line of the command, at the level that the command gave it."""
        self.log.log(level_of(line), "%s", line)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what the command read and wrote; the provider of OpenLineage asks."""
        del task_instance
        return lineage.of_command(arguments(self.command, self.shard))

    def on_kill(self) -> None:
        """End the command and its child processes when the task is killed or times out.

        A training has time to write a checkpoint.
        """
        if self._process is not None:
            end(self._process, grace_of(self.command))


class CrawlOperator(ChimedOperator):
    """A `chimed crawl --unattended`. Where the site wants to be left alone the task is rescheduled for the time it
    said, or a day, and a person is told; nothing is asked until then. It is no retry: those are for what breaks."""

    def execute(self, context: Any) -> Any:
        """Run the command.

        Raises AirflowRescheduleException where the site is to be asked later, and AirflowFailException where the run
        asks for something that a crawl cannot do (see `weeks`).
        """
        if why := refused(context["dag_run"], context["params"]):
            context["ti"].xcom_push(WHY, why)
            raise AirflowFailException(why)
        try:
            return super().execute(context)
        except SiteLeftAlone as left:
            why = str(left)
            if left.times > WAITS:
                raise AirflowFailException(f"{left.times} times in a row: {why}") from None
            until = datetime.now(UTC) + timedelta(seconds=left.wait)
            subject, text = notice.left_alone(context, why, until)
            self.log.error("%s\n%s", subject, text)
            context["ti"].xcom_push(NOTE, text)
            try:
                notice.send(subject, text, context)
            except Exception:  # whatever is wrong with the mail: the site is left alone all the same
                self.log.exception("the notice could not be sent")
            raise AirflowRescheduleException(until) from None


class LedgerOperator(ChimedOperator):
    """Prints what every stage read, kept, dropped and why; fails where a row is unaccounted for, or where the run did
    not come to its end. It is the last task, always runs, and alone decides how the run ends: Airflow calls a run that
    a person has marked failed green, if the tasks at its end were skipped."""

    def execute(self, context: Any) -> Any:
        """Print the ledger. Raises AirflowFailException where a task of the run failed, or was skipped unexpectedly."""
        states = states_of(context)
        went_wrong = not_done(states)
        value = None
        if states.get("open_build") == {"success"}:
            value = super().execute(context)
        if went_wrong:
            context["ti"].xcom_push(WHY, went_wrong)
            raise AirflowFailException(went_wrong)
        return value


def level_of(line: str) -> int:
    """Return the log level of a command's line; `chimed: …` is the error it failed with (see `chimed.printing`)."""
    if line.startswith("LOOK "):
        return logging.WARNING
    for level in ("ERROR", "WARNING", "CRITICAL"):
        if line.startswith((f"{level} ", f"{level}:")) or line[9:].startswith(f"{level} "):
            return int(getattr(logging, level))
    return logging.ERROR if line.startswith(("chimed: ", "WRONG ", "Traceback (most recent")) else logging.INFO


def where(needs: str) -> tuple[type[BaseOperator], dict[str, Any]]:
    """Return the operator and its arguments for work that needs `cpu`, `llm`, `gpu`, `evaluate` or `train`.

    The client of a model server only waits for it, so `llm` work needs no GPU of its own. A pod takes as many slots of
    the pool `gpus` as GPUs; one that trains takes as many as the largest recipe, and the run's own recipe says how many
    GPUs it gets. On one machine training and evaluation have all its GPUs for themselves.
    """
    chosen = settings()
    if needs == "cpu":
        return ChimedOperator, {}
    if needs == "llm":
        from chimed_airflow.model_server import StageOnServers  # here: it imports this module

        local = {"on_retry": ["serve", "up"], **with_models()} if chosen.serve == "local" else {}
        return StageOnServers, {"pool": "llm", **local}
    if chosen.compute == "kubernetes":
        if needs != "train":
            several = {"shards": chosen.k8s_pod_shards} if needs == "gpu" else {}
            return ChimedPod, {"gpus": 1, "pool": GPUS, **several}
        wanted = "{{ gpus(recipe(params), task.task_id, task.pool_slots) }}"
        return ChimedPod, {"gpus": wanted, "pool": GPUS, "pool_slots": slots_of_training()}
    # where nobody said how many GPUs there are, it is a laptop, whose memory holds two at a time
    alone = needs in ("train", "evaluate") and "gpus" in chosen.model_fields_set
    slots = max(1, chosen.gpus if alone else chosen.gpus // 2)
    return ChimedOperator, {"models": True, "pool": GPUS, "pool_slots": slots, **with_models()}


def with_models() -> dict[str, Any]:
    """Return the argument by which a task runs where the models' environment is; none where every worker has it."""
    return {"queue": settings().models_queue} if settings().models_queue else {}


def recipe(params: Mapping[str, Any]) -> str:
    """Return the name of the recipe that a run trains, with its settings; a macro of the DAG.

    Raises UserError where the recipe does not exist or a setting is wrong.
    """
    from chimed.train import recipe as recipes  # here: it brings Polars, and a DAG file is read every minute

    return recipes.named_with(params["recipe"], params.get("settings") or [])


def gpus(recipe: str, phase: str, slots: int) -> int:
    """Return the GPUs of the pod that trains a phase of a recipe; a macro, as the recipe is known when the run starts.

    slots: what the task takes of the pool `gpus`. Raises UserError where the GPUs are more, or more than `CHIMED_GPUS`.
    """
    from chimed.train import needs
    from chimed.train import recipe as recipes

    wanted = recipes.load(recipes.known(recipe), phase)["gpus"]
    if wrong := needs.fault(recipe, phase, settings()):
        raise UserError(wrong)
    if wanted > slots:
        raise UserError(
            f"{phase} of {recipe} trains on {wanted} GPUs, and its task takes {slots} slots of the pool gpus, as the "
            "largest recipe does; make it a recipe of your own in CHIMED_RECIPES, whose GPUs are known beforehand"
        )
    return wanted


def stage_doc(stage: Stage) -> str:
    """Return the Markdown that Airflow shows for a stage: both titles, what it does, paper section, command."""
    return (
        f"**{stage.title}** · {stage.title_zh}\n\n{stage.does[0].upper()}{stage.does[1:]}.\n\n"
        f"Paper: {stage.paper}. Command: `python -m chimed run {stage.name} --build <version>`."
    )


def step_doc(stage: Stage, step: Step) -> str:
    """Return the text that Airflow shows for a step: its module's docstring, read without importing the module."""
    code = (Path(chimed.__file__).parent / "stages" / f"{stage.name}_{step.name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(code)) or ""


# --- what a task passes on --------------------------------------------------------------------------------------


def ranges(reports: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the ranges over which the next steps are mapped."""
    return list(range(reports[-1]["ranges"]))


def nothing(result: object) -> None:
    """For a result too large to pass on, that nobody needs."""


def version(opened: dict[str, Any]) -> str:
    """Return the version of the build that was opened."""
    return opened["version"]


def shard_numbers(names: list[str]) -> list[int]:
    """Return the numbers of the shards, to map over."""
    return list(range(len(names)))


def first_shards(shards: list[int], each: int) -> list[int]:
    """Return the first shard of each group of so many, to map over."""
    return shards[::each]


def shard_names(names: list[str]) -> list[str]:
    """Return the names of the shards, each with its number, shortened to fit a list of tasks."""
    told = (f"{n} of {len(names)}: {name}" for n, name in enumerate(names, 1))
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in told]


def part_name(among: str) -> str:
    """Return a template for a mapped task's name: its shard (`shard_names`), and its result once it is done."""
    return f"{{{{ ti.xcom_pull(task_ids='{among}', key='{NAMES}')[task.shard] }}}}{_WHEN_DONE}"


def group_name(among: str, each: int) -> str:
    """As `part_name`, of a task that works on so many shards from its own on."""
    names = f"ti.xcom_pull(task_ids='{among}', key='{NAMES}')"
    more = f"[{names} | length - task.shard, {each}] | min - 1"
    return f"{{{{ {names}[task.shard] }}}}{{% if {more} %}} and {{{{ {more} }}}} more{{% endif %}}{_WHEN_DONE}"


def range_name(among: str) -> str:
    """As `part_name`, of a step's task that works on a range. among: the task whose result is mapped over."""
    return f"range {{{{ task.shard + 1 }}}} of {{{{ ti.xcom_pull(task_ids='{among}') | length }}}}{_WHEN_DONE}"


def outcome(value: Any) -> str:
    """Return a task's result for its name: its counts, in words."""
    if not isinstance(value, dict):
        return ""
    wanted = ("kept", "dropped", "derived") if "kept" in value else value
    return ", ".join(f"{name} {value[name]:,}" for name in wanted if isinstance(value[name], int) and value[name])


def counts(reports: list[dict[str, Any]]) -> dict[str, int]:
    """Return a stage's ledger as four numbers, small enough for XCom however large the build is."""
    return {
        "read": sum(report["read"] for report in reports),
        "kept": sum(report["kept"] for report in reports),
        "derived": sum(report["derived"] for report in reports),
        "dropped": sum(sum((report["dropped"] | report["failed"]).values()) for report in reports),
    }


def figures(reports: list[dict[str, Any]]) -> dict[str, int]:
    """Return the counts that a step's task reported."""
    return {name: value for name, value in reports[-1]["figures"].items() if isinstance(value, int)}


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return the scalar values of a result, without its tables."""
    return {key: value for key, value in result.items() if isinstance(value, str | int | float | bool)}
