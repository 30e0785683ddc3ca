"""How a `chimed` command becomes an Airflow task: a process, its lines in the task's log, its result in XCom.

The command is the one an engineer types; how it runs is in `commands`.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from chimed import stages
from chimed.errors import choose
from chimed.settings import settings
from chimed_airflow import notice
from chimed_airflow.commands import SiteLeftAlone, end, follow, start
from chimed_airflow.links import PagesLink

OWNER = "chimed"
BACKFILL = "backfill"  # Airflow's type of a run that a backfill made
NOTE = "note"  # key of the XCom that `notes` makes the run's note
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
    :param note: makes of the result what the run's note says when it has ended.
    """

    template_fields = ("command", "first", "asset_key")
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
        note: Callable[[Any], str] | None = None,
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
        self.note = note
        self._process: subprocess.Popen | None = None

    def execute(self, context: Any) -> Any:
        """Runs the command, and tells those who wait for its outlets."""
        if self.on_retry and context["ti"].try_number > 1:
            self._run(arguments(self.on_retry))
        if self.first:
            self._run(arguments(self.first))
        result = self._run(arguments(self.command, self.shard))
        value = self.returns(result) if self.returns else result
        if self.note:
            text = self.note(result)
            self.log.info("%s", text)
            context["ti"].xcom_push(NOTE, text)
        if self.outlets and context["dag_run"].run_type == BACKFILL:
            self.log.info("a backfill asks for no build of its own; the next build takes these records too")
            self.outlets = []
        for outlet in self.outlets:
            event = context["outlet_events"][outlet]
            event.extra = value if isinstance(value, dict) else {"result": value}
            if self.asset_key:
                event.add_partitions(self.asset_key)
        return value

    def _run(self, argv: list[str]) -> Any:
        self.log.info("python -m chimed %s", " ".join(argv))
        self._process = start([settings().models_python if self.models else sys.executable, "-m", "chimed", *argv])
        try:
            return follow(self._process, self.log.info)
        finally:
            end(self._process)

    def on_kill(self) -> None:
        """Ends the command and all it started, when the task is killed or its time is over."""
        if self._process is not None:
            end(self._process)


class CrawlOperator(ChimedOperator):
    """A `chimed crawl --unattended`. Where the site wants to be left alone the task is rescheduled for the time it
    said, or a day, and a person is told; nothing is asked until then. It is no retry: those are for what breaks."""

    def execute(self, context: Any) -> Any:
        """Runs the command; raises AirflowRescheduleException where the site is to be asked later."""
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


def arguments(command: Sequence[str], shard: int | None = None) -> list[str]:
    """A command's arguments without the empty ones, and with its shard."""
    argv = [str(one) for one in command if str(one).strip()]
    return argv if shard is None else [*argv, "--shard", str(shard)]


def where(needs: str) -> tuple[type[BaseOperator], dict[str, Any]]:
    """The operator and its arguments for work that needs `cpu`, `llm`, `gpu` or `train` (as many as its recipe says).

    The client of a model server only waits for it, so `llm` work needs no GPU of its own.
    """
    if needs == "llm" and settings().serve == "local":
        return ChimedOperator, {"on_retry": ["serve", "up"]}
    if needs in ("cpu", "llm"):
        return ChimedOperator, {}
    if settings().compute == "kubernetes":
        from chimed_airflow import pods  # here, not above: the kubernetes client takes seconds to import

        return pods.ChimedPod, {"gpus": "gpus(params.recipe, task.task_id)" if needs == "train" else 1}
    return ChimedOperator, {"models": True}


def gpus(recipe: str, phase: str) -> int:
    """GPUs of the pod that trains a phase of a recipe; a DAG's macro, as the recipe is known when the run starts."""
    from chimed.train import recipe as recipes  # here: it brings Polars, and a DAG file is read every minute

    return recipes.load(choose("recipe", recipe, recipes.names()), phase)["gpus"]


def stage_doc(name: str) -> str:
    """A stage's docstring, read without importing it: some stages need torch or scrapy."""
    return ast.get_docstring(ast.parse((Path(stages.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))) or ""


# --- what a task passes on --------------------------------------------------------------------------------------


def parts(reports: list[dict]) -> list[int]:
    """The shards that the stages after a corpus stage map over: the parts it wrote."""
    return list(range(reports[-1]["parts"]))


def nothing(result: object) -> None:
    """For a result too large to pass on, that nobody needs."""


def version(opened: dict) -> str:
    """The version of the build that was opened."""
    return opened["version"]


def shard_numbers(total: int) -> list[int]:
    """The numbers to map over, of a number of shards."""
    return list(range(total))


def counts(reports: list[dict]) -> dict[str, int]:
    """A stage's ledger in four numbers: small enough for XCom, whatever the build's size."""
    return {
        "read": sum(report["read"] for report in reports),
        "kept": sum(report["kept"] for report in reports),
        "derived": sum(report["derived"] for report in reports),
        "dropped": sum(sum((report["dropped"] | report["failed"]).values()) for report in reports),
    }


def numbers(result: dict) -> dict[str, Any]:
    """The plain values of a result: names and counts, no tables."""
    return {key: value for key, value in result.items() if isinstance(value, str | int | float | bool)}
