"""The question before a release: asked only where the run wants it, with the ledger and the diff, bounded."""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow  # importing Airflow takes seconds

STAGE = {"stage": "decontaminate", "read": 9, "kept": 9, "dropped": {}, "failed": {}, "derived": 0,
         "derived_dropped": {}}  # fmt: skip
FOUND = {
    "build": "2026.11.22",
    "stages": [STAGE],
    "rows": {"pretrain": 3, "sft": 5, "preference": 1},
    "changes": {"before": None},
}


@pytest.fixture
def asked(monkeypatch):
    """An approval, and what was run for it and asked of Airflow."""
    from chimed_airflow import approval, commands

    seen = SimpleNamespace(ran=[], asked=[])

    def run(command, say):
        seen.ran.append(command)
        return FOUND

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(approval.ApprovalOperator, "execute", lambda self, context: seen.asked.append(self.body))

    def operator(required: str):
        return approval.ApproveRelease(task_id="approve", build="2026.11.22", required=required)

    return seen, operator


def execute(operator) -> object:
    return type(operator).execute.__wrapped__(operator, {})


def test_approval_can_be_switched_off(asked) -> None:
    seen, operator = asked
    assert execute(operator("False")) is None
    assert (seen.ran, seen.asked) == ([], [])


def test_approval_shows_ledger_rows_and_changes(asked) -> None:
    seen, operator = asked
    execute(operator("True"))
    assert seen.ran == [["preview", "--build", "2026.11.22"]]
    (body,) = seen.asked
    for part in ("pretrain 3, sft 5, preference 1", "| decontaminate | 9 | 9 |", "This would be the first release"):
        assert part in body


def test_the_question_is_bounded() -> None:
    from chimed_airflow.approval import MOST, question

    long = FOUND | {"stages": [STAGE | {"dropped": {"长" * 900: 1}}] * 900}
    said = question(long)
    assert len(said) <= MOST
    assert said.startswith("**2026.11.22** would hold pretrain 3")
    assert "review queue" in said or "too long to be shown here" in said


def test_no_answer_fails_for_good(asked) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    _, operator = asked
    with pytest.raises(AirflowFailException, match="nobody answered within 5 days"):
        operator("True").execute_complete({}, {"error": "late", "error_type": "timeout"})
