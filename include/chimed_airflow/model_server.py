"""vLLM's life in a DAG run: up before the LLM stages, down after them, also when one of them fails.

external: somebody else runs the servers; we only look at them. local: processes of this machine.
kubernetes: a Deployment and a Service for each, named after the host in the server's URL. They belong to the run that
made them and have a time to live, which every running stage renews; the run deletes them at its end, and where no
Airflow is left to do so, the cluster's own job does (`leftovers`).
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, TaskGroup

from chimed.llm import servers
from chimed.settings import settings
from chimed_airflow import manifests
from chimed_airflow.tasks import GPU, GPUS, ChimedOperator, nothing, with_models

LOADING = timedelta(seconds=manifests.LOADING)
LIVE = timedelta(hours=1)  # that servers are kept after the last renewal: longer than between a stage and its retry
RENEW = 300.0  # seconds between two looks of a running stage at its servers


def model_servers(build: str = "") -> tuple[list[BaseOperator], list[BaseOperator]]:
    """Return the setups and the teardowns of the servers; no teardowns where others run them.

    build: its version (templated): once they are up, servers are checked for its options.
    """
    if settings().serve == "kubernetes":
        return _in_cluster(build)
    up = _up(build, servers.start_servers.__doc__ if settings().serve == "local" else servers.wait_for_servers.__doc__)
    if settings().serve == "external":
        return [up], []
    wanted = _wanted()
    wanted >> up
    down = ChimedOperator(
        task_id="serve_down",
        command=["serve", "down"],
        execution_timeout=timedelta(minutes=5),
        doc_md=servers.stop_servers.__doc__,
        **with_models(),
    ).as_teardown(setups=[wanted, up])
    return [wanted, up], [down]


def serves_on_gpus() -> bool:
    """Return whether the run's servers are elsewhere or hold GPUs: not those that this machine's processor runs."""
    chosen = settings()
    return chosen.serve != "local" or (chosen.gpus > 0 and ("gpus" in chosen.model_fields_set or GPU.exists()))


def _where() -> dict[str, Any]:
    """Return where servers are brought up. On one machine's GPUs only when no training has them: their lock would make
    the servers wait, here they wait in the pool, which shows it."""
    chosen = settings()
    if chosen.serve != "local":
        return {}
    slots = {"pool": GPUS, "pool_slots": chosen.gpus} if "gpus" in chosen.model_fields_set and chosen.gpus else {}
    return {**slots, **with_models()}


def _wanted() -> BaseOperator:
    """Return a setup task that always succeeds.

    Airflow skips a teardown whose setups all failed; a setup that is stopped, or that times out, would then leave
    half-started servers behind.
    """
    return EmptyOperator(
        task_id="serve",
        execution_timeout=timedelta(minutes=1),
        doc_md="Does nothing itself. With it the servers are taken down also where bringing them up failed or was "
        "stopped.",
    ).as_setup()


def _up(build: str, doc: str | None) -> BaseOperator:
    """Servers are up, who they are is known, and they obey."""
    return StageOnServers(
        task_id="serve_up",
        first=["serve", "up", f"--timeout={int(LOADING.total_seconds())}"],
        command=["check", "--only-servers", f"--build={build}"],
        returns=nothing,
        execution_timeout=LOADING + timedelta(minutes=10),
        doc_md=f"{doc}\n\nThen looks at who they are, and that they obey.",
        **_where(),
    ).as_setup()


def _in_cluster(build: str) -> tuple[list[BaseOperator], list[BaseOperator]]:
    ready, wanted = _up(build, servers.wait_for_servers.__doc__), _wanted()
    with TaskGroup("servers", tooltip="vLLM in the cluster"):
        made = CreateServers(
            task_id="create", doc_md=CreateServers.__doc__, execution_timeout=timedelta(minutes=10)
        ).as_setup()
        gone = DeleteServers(
            task_id="delete", doc_md=DeleteServers.__doc__, execution_timeout=timedelta(minutes=10)
        ).as_teardown(setups=[wanted, made])
    wanted >> made >> ready
    return [wanted, made, ready], [gone]


class CreateServers(BaseOperator):
    """Makes the Deployment and the Service of both model servers, or brings those that are there to what they should
    be. They belong to the run from then on."""

    def execute(self, context: Any) -> None:
        """Apply the manifests; safe to run again."""
        from chimed_airflow import cluster_servers  # here: the Kubernetes client takes seconds to import

        cluster_servers.apply(objects(owner(context)))


class DeleteServers(BaseOperator):
    """Deletes both model servers, half-started ones too; one that another run has taken over stays."""

    def execute(self, context: Any) -> None:
        """Delete what belongs to this run; safe to run again."""
        from chimed_airflow import cluster_servers  # here: the Kubernetes client takes seconds to import

        cluster_servers.delete(objects(owner(context)), owner(context))


class StageOnServers(ChimedOperator):
    """A stage that asks the model servers. Where they are the cluster's, it brings back any that are gone, before it
    begins and while it runs, and renews their time to live. Its requests wait while a server is away (see
    `chimed.llm.patience`), so that a preempted one costs time and no retry."""

    def execute(self, context: Any) -> Any:
        """Run the command; see `ChimedOperator`."""
        if settings().serve != "kubernetes":
            return super().execute(context)
        from chimed_airflow import cluster_servers  # here: the Kubernetes client takes seconds to import

        cluster_servers.ensure(objects(owner(context)))
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(owner(context), done), daemon=True)
        renewing.start()
        try:
            return super().execute(context)
        finally:
            done.set()
            renewing.join(5)

    def _renew(self, whose: str, done: threading.Event) -> None:
        from chimed_airflow import cluster_servers

        while not done.wait(RENEW):
            try:
                cluster_servers.ensure(objects(whose))
            except Exception as error:  # the next one may succeed; the time to live is twelve times as long
                self.log.warning("the model servers' time to live was not renewed: %s", error)


def owner(context: Any) -> str:
    """Return what a server has in its annotation: the DAG and the run."""
    return f"{context['ti'].dag_id}/{context['run_id']}"


def objects(whose: str) -> list[manifests.Manifest]:
    """Return what both servers consist of, with a time to live that begins now."""
    until = datetime.now(UTC) + LIVE
    return [found for one in servers.configured_servers() for found in manifests.server(one, settings(), whose, until)]
