"""Model servers that hold GPUs and never come up, as the cluster's job sees them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow  # the kubernetes client takes seconds to import

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def pod(app: str, reason: str | None, restarts: int = 0, minutes: int = 5):
    """A model server's pod with one container that waits for this reason, or runs."""
    from kubernetes import client

    waiting = client.V1ContainerStateWaiting(reason=reason, message="CUDA out of memory") if reason else None
    ended = client.V1ContainerState(terminated=client.V1ContainerStateTerminated(exit_code=1))
    one = client.V1ContainerStatus(
        name="vllm",
        image="i",
        image_id="i",
        ready=reason is None,
        restart_count=restarts,
        state=client.V1ContainerState(waiting=waiting),
        last_state=ended if restarts else None,
    )
    status = client.V1PodStatus(phase="Running", container_statuses=[one], start_time=NOW - timedelta(minutes=minutes))
    return client.V1Pod(metadata=client.V1ObjectMeta(name=f"{app}-1", labels={"app": app}), status=status)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (("judge", "CrashLoopBackOff", 3), True),
        (("judge", "CrashLoopBackOff", 2), False),  # it may yet come up
        (("judge", None, 9), False),  # it crashed, and runs
        (("judge", "ImagePullBackOff", 0, 16), True),
        (("judge", "ImagePullBackOff", 0, 14), False),  # a big image from a slow registry
        (("judge", "ContainerCreating", 0, 120), False),  # weights are downloaded
        (("judge", "CreateContainerConfigError", 0, 16), True),
    ],
)
def test_which_servers_are_given_up(one, expected: bool) -> None:
    from chimed_airflow import leftovers

    assert leftovers.hopeless(pod(*one), NOW) is expected


def test_only_the_broken_servers_objects_are_deleted(monkeypatch, caplog) -> None:
    from kubernetes import client

    from chimed_airflow import leftovers
    from chimed_airflow.manifests import KEEP_UNTIL

    gone: list[str] = []

    def named(app: str):
        about = client.V1ObjectMeta(
            name=app, namespace="chimed", labels={"app": app}, annotations={KEEP_UNTIL: "2026-11-26T00:30:00+00:00"}
        )
        return SimpleNamespace(metadata=about)

    both = SimpleNamespace(items=[named("generator"), named("judge")])
    apps = SimpleNamespace(
        list_namespaced_deployment=lambda *_, **__: both,
        delete_namespaced_deployment=lambda name, _: gone.append(f"deployment {name}"),
    )
    servers = [pod("generator", None), pod("judge", "CrashLoopBackOff", 4)]
    core = SimpleNamespace(
        list_namespaced_service=lambda *_, **__: both,
        delete_namespaced_service=lambda name, _: gone.append(f"service {name}"),
        list_namespaced_pod=lambda _, label_selector: SimpleNamespace(
            items=servers if "model-server" in label_selector else []
        ),
    )
    monkeypatch.setattr(leftovers.clients, "AppsV1Api", lambda _: apps)
    monkeypatch.setattr(leftovers.clients, "CoreV1Api", lambda _: core)
    assert leftovers.delete_expired(None, "chimed", NOW) == ["judge", "judge"]
    assert gone == ["deployment judge", "service judge"]
    assert "judge-1: CrashLoopBackOff, 4 restarts, exit code 1: CUDA out of memory" in caplog.text
