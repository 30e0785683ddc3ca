"""How long work waits for a model server that is away, and what is said when it does not come back. Ours.

A server that was preempted, or whose pod is made anew, comes back by itself once its model is loaded; failing a task
for that would cost a retry, or the build. So requests wait and are sent again, for as long as a server may take to
start. Only one that is away for longer than that is gone.
"""

from chimed.settings import Settings

LOADING = 3600.0  # seconds that a server of the cluster may take to be scheduled and to load; its startup probe's too
RESTART = 600.0  # seconds that a server which somebody else runs may take to come back


def patience(chosen: Settings, before_any_answer: bool = False) -> float:
    """Return the seconds that work waits for a server that is away, beyond the tries of a request.

    before_any_answer: the server has not answered this process yet. Then a wrong address is as likely, and only a
    server of the cluster is waited for. One of this machine is never waited for: a retry starts it again.
    """
    if chosen.llm_patience is not None:
        return chosen.llm_patience
    if chosen.serve == "kubernetes":
        return LOADING
    return RESTART if chosen.serve == "external" and not before_any_answer else 0.0


def describe(seconds: float) -> str:
    """Return a length of time as a person says it: `40 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
