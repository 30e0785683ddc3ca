"""Why a pod failed: each kind has its own sentence and its own rule of whether it is tried again."""

from types import SimpleNamespace as Some

import pytest

from chimed_airflow.pod_failures import failure


def pod(waiting=None, terminated=None, reason=None, phase="Failed", message=None, running=None) -> Some:
    state = Some(waiting=waiting, terminated=terminated, running=running)
    held = [Some(name="sidecar", state=Some(waiting=None, terminated=Some(reason="Completed", exit_code=0)))]
    held += [Some(name="base", state=state)] if waiting or terminated or running else []
    status = Some(reason=reason, message=message, phase=phase, container_statuses=held)
    spec = Some(containers=[Some(resources=Some(limits={"nvidia.com/gpu": "8"}))])
    return Some(metadata=Some(name="chimed-cpt"), status=status, spec=spec)


def ended(code: int, reason: str = "Error") -> Some:
    return Some(reason=reason, exit_code=code, started_at=None)


def waits(reason: str, message: str | None = None) -> Some:
    return Some(reason=reason, message=message)


@pytest.mark.parametrize(
    ("found", "says", "again"),
    [
        (pod(terminated=ended(2)), "failed on a mistake that a retry cannot fix", False),
        (pod(terminated=ended(1)), "failed with exit code 1", True),
        (pod(terminated=ended(139)), "failed with exit code 139", True),
        (pod(terminated=ended(143)), "was ended from outside", True),
        (pod(terminated=ended(137)), "was ended from outside", True),
        (pod(terminated=ended(137, "OOMKilled")), "than its limit (OOMKilled)", False),
        (pod(reason="Evicted", message="low on ephemeral-storage"), "(Evicted): low on ephemeral-storage", True),
        (pod(reason="Preempting"), "was taken from its node", True),
        (pod(waiting=waits("ImagePullBackOff", "manifest unknown")), "set CHIMED_K8S_IMAGE", False),
        (pod(waiting=waits("ErrImagePull", "chimed-gpu:new: not found")), "set CHIMED_K8S_IMAGE", False),
        (pod(waiting=waits("InvalidImageName")), "set CHIMED_K8S_IMAGE", False),
        (pod(waiting=waits("ImagePullBackOff", "i/o timeout")), "could not pull its image", True),
        (pod(waiting=waits("CreateContainerConfigError", 'secret "chimed" is missing')), "CHIMED_K8S_SECRET", False),
        (pod(waiting=waits("ContainerCreating")), "did not begin (ContainerCreating", True),
        (pod(phase="Pending"), "no node took it in time", True),
        (pod(running=Some(started_at=None)), "still ran when its task's time was over", True),
        (pod(reason="DeadlineExceeded", terminated=ended(143)), "ran past its time", True),
    ],
)
def test_each_has_its_own_sentence_and_rule(found: Some, says: str, again: bool) -> None:
    why = failure(found, "base")
    assert says in why.sentence
    assert why.again is again


@pytest.mark.slow  # the kubernetes client takes seconds to import
def test_a_users_mistake_ends_the_task_for_good(monkeypatch) -> None:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from chimed_airflow.pod_run import PodRun
    from chimed_airflow.pods import ChimedPod

    def failed(*_: object, **__: object) -> None:
        raise AirflowException("Pod chimed-cpt returned a failure.")

    monkeypatch.setattr(KubernetesPodOperator, "cleanup", failed)
    monkeypatch.setattr(PodRun, "_delete_active", lambda *_: None)  # test_kubernetes looks at that
    manifest = ChimedPod(task_id="cpt", command=["train", "cpt"], gpus=8).manifest()
    task = PodRun(manifest=manifest, task_id="cpt")
    with pytest.raises(AirflowFailException, match="a retry cannot fix"):
        task.cleanup(None, pod(terminated=ended(2)))
    with pytest.raises(AirflowException, match="exit code 1") as raised:
        task.cleanup(None, pod(terminated=ended(1)))
    assert not isinstance(raised.value, AirflowFailException)
