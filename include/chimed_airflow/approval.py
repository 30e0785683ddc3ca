"""Manual approval of a release: Airflow's approval, with the ledger and the changes to the release before.

Where `require_approval` is on, the run waits here, up to five days. Who waits for it is told: by the notice, which goes
by mail to `CHIMED_NOTIFY` with a link, on ChiMed's overview, and under Required Actions.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

from chimed.release.markdown import quoted
from chimed_airflow import commands, summaries
from chimed_airflow.notice import ApprovalNotice

ANSWER = timedelta(days=5)  # then the run fails: it must not hold up the next week's
MOST = 9_000  # characters of the question


class ApproveRelease(ApprovalOperator):
    """Asks whether a build may become a release, where the run's `require_approval` says so; else passes at once.

    Rejected, the release is skipped and the run ends without one. Unanswered for `ANSWER`, the task fails.

    :param build: the build's version (templated).
    :param required: the run's `require_approval` (templated: True or False).
    """

    template_fields = (*ApprovalOperator.template_fields, "build", "required")

    def __init__(self, *, build: str, required: str, **kwargs: Any) -> None:
        super().__init__(
            subject="Approve the release of this build?",
            body="",
            response_timeout=ANSWER,
            notifiers=[ApprovalNotice()],
            **kwargs,
        )
        self.build = build
        self.required = required

    def execute(self, context: Any) -> Any:
        """Asks, or does not; the answer comes to `execute_complete`."""
        if self.required != "True":
            self.log.info("require_approval is off: no approval needed")
            return None
        found = commands.run(["preview", "--build", self.build], self.log.info)
        self.subject = f"Approve the release of build {found['build']}?"
        self.body = question(found)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Goes by the answer. Raises AirflowFailException where there was none in time: nobody is asked twice."""
        try:
            return super().execute_complete(context, event)
        except HITLTimeoutError:
            raise AirflowFailException(
                f"nobody answered within {ANSWER.days} days; clear the task to ask again"
            ) from None


def question(found: dict[str, Any]) -> str:
    """Return the question to the approver, as Markdown, from what `chimed preview` found."""
    rows = ", ".join(f"{subset} {count:,}" for subset, count in found["rows"].items())
    said = [
        f"**{quoted(found['build'], summaries.CELL)}** would hold {rows} rows.",
        summaries.ledger_table(found["stages"]),
        summaries.changes_table(found["changes"]),
        "The review queue on the ChiMed pages shows a sample of what was screened.",
    ]
    cut = "The rest is too long to show here; see the build's page in ChiMed."
    while len(text := "\n\n".join(said)) > MOST:  # whole parts leave, so that no number is cut
        said = [*(said[:-2] if said[-1] == cut else said[:-1]), cut]
    return text
