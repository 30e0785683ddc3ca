"""How the tasks of a run ended, and whether that is the end of the run."""

from typing import Any


def states_of(context: Any) -> dict[str, set[str]]:
    """Return task → the states that its instances in this run have (one that has none: "none"), without teardowns."""
    ti = context["ti"]
    found: dict[str, set[str]] = {}
    told = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    for name, state in told.get(ti.run_id, {}).items():
        # a mapped task's instances are <task>_<number>
        task, _, number = name.rpartition("_")
        known = task if number.isdigit() and name not in context["dag"].task_dict else name
        found.setdefault(known, set()).add(str(state or "none"))
    # those that tidy up, this one among them, say nothing of how the run went
    return {name: some for name, some in found.items() if not context["dag"].task_dict[name].is_teardown}


def not_done(states: dict[str, set[str]]) -> str | None:
    """Return what became of a run's tasks, where it did not come to its end; None where it did.

    A release that a person rejected is skipped, and that is an end; what a person stopped leaves `approve` skipped too.
    """
    failed = sorted(task for task, some in states.items() if "failed" in some)
    if failed:
        return f"the run did not come to its end: {', '.join(failed)} failed"
    waiting = sorted(task for task, some in states.items() if "upstream_failed" in some)
    if waiting:
        return f"the run did not come to its end: {', '.join(waiting)} could not run"
    if "skipped" in states.get("approve", set()):
        return "the run was stopped before its end"
    return None
