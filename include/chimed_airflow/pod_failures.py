"""Why a pod failed, in a sentence, and whether trying it again can help: a retry may cost eight GPUs for hours."""

from dataclasses import dataclass
from typing import Any

USER_ERROR = 2  # exit code of a `chimed` command for a user's mistake
SIGTERM, SIGKILL = 143, 137
NO_SUCH_IMAGE = ("InvalidImageName", "ErrImageNeverPull")
NOT_PULLED = ("ErrImagePull", "ImagePullBackOff")
MISSING = ("CreateContainerConfigError", "CreateContainerError")
TAKEN = (
    "Evicted",
    "Preempting",
    "Terminated",
    "Shutdown",
    "NodeShutdown",
    "NodeLost",
    "NodeAffinity",
    "UnexpectedAdmissionError",
)


@dataclass(frozen=True)
class Failure:
    """What a person reads, and whether the task is to be tried again."""

    sentence: str
    again: bool


def failure(pod: Any, container: str) -> Failure:
    """Why a pod (Kubernetes' V1Pod) did not succeed. container: the one that does the work."""
    name, status = pod.metadata.name, pod.status
    if status.reason in TAKEN:
        said = f": {status.message}" if status.message else ""
        return Failure(f"pod {name} was taken from its node ({status.reason}){said}; it is tried again", True)
    found = next((one for one in status.container_statuses or () if one.name == container), None)
    state = found.state if found else None
    if state and state.waiting:
        return _never_began(name, state.waiting)
    if status.reason == "DeadlineExceeded":
        return Failure(f"pod {name} ran past its time and was ended; it is tried again from where it was", True)
    if state and state.terminated:
        return _ended(name, state.terminated)
    if state and getattr(state, "running", None):
        return Failure(f"pod {name} still ran when its task's time was over; it is tried again from where it was", True)
    return Failure(f"pod {name} did not begin (phase {status.phase}): no node took it in time; it is tried again", True)


def _never_began(name: str, waiting: Any) -> Failure:
    reason, message = waiting.reason or "waiting", waiting.message or "no more is said"
    missing = "not found" in message or "manifest unknown" in message or "does not exist" in message
    if reason in NO_SUCH_IMAGE or (reason in NOT_PULLED and missing):
        return Failure(
            f"pod {name} has no image ({reason}: {message}); set CHIMED_K8S_IMAGE to one that is there", False
        )
    if reason in NOT_PULLED:
        return Failure(f"pod {name} could not pull its image ({reason}: {message}); it is tried again", True)
    if reason in MISSING:
        return Failure(
            f"pod {name} lacks what it is configured with ({reason}: {message}); "
            "make the secret or the claim that it names (CHIMED_K8S_SECRET, CHIMED_K8S_VOLUME)",
            False,
        )
    return Failure(f"pod {name} did not begin ({reason}: {message}); it is tried again", True)


def _ended(name: str, ended: Any) -> Failure:
    if ended.reason == "OOMKilled":
        return Failure(
            f"pod {name} took more of the node's memory than its limit (OOMKilled); it would again: raise "
            "the limit, or lower what it holds at a time",
            False,
        )
    code = ended.exit_code
    if code == USER_ERROR:
        return Failure(
            f"pod {name} failed on a mistake that a retry cannot fix (exit code 2); its log ends with it",
            False,
        )
    if code in (SIGTERM, SIGKILL):
        return Failure(
            f"pod {name} was ended from outside (exit code {code}); it is tried again from where it was", True
        )
    return Failure(f"pod {name} failed with exit code {code}; its log says why, and it is tried again", True)
