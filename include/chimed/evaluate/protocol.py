"""How models are asked: part of every score, of the key it is kept under, and of what `compare` demands to be equal.

The paper says only "the same template" (§4.1) and follows lm-eval's defaults as far as one can tell; with Qwen3 the
template alone moves scores by tens of points. Without a setting there is no template and no example.
"""

from typing import Any

from chimed.errors import UserError, choose
from chimed.evaluate.tasks import Exams
from chimed.settings import settings

BATCH_SIZE = 16
SEED = 1234
TEMPLATES = ("none", "chat")  # the exam's plain text, or the model's own chat template around it
WRITTEN = (
    "where an exam has several right letters, answers are generated greedily, 16 tokens at most; an answer is right "
    "if it has exactly the right letters"
)
CHAT = "the model's own, thinking off, one turn for each example"
# keys that an earlier version did not write: they repeat what `exams` says as a whole
IMPLIED = ("exam_revisions",)


def known_template(template: str | None) -> str:
    """Return the name of a template, by default `CHIMED_EVALUATE_TEMPLATE`. Raises UserError for an unknown one."""
    return choose("template", template or settings().evaluate_template, TEMPLATES)


def protocol_of(exams: Exams, backend: str, shots: int | None, template: str) -> dict[str, Any]:
    """Return the protocol of an evaluation, without the versions and the dtype of the machine.

    shots: None takes the setting. Raises UserError for more shots than an exam has examples.
    """
    shots = settings().evaluate_shots if shots is None else shots
    if shots and shots > exams.examples:
        raise UserError(
            f"{shots} shots need as many examples for each exam, and one has {exams.examples} in dev/; lower --shots "
            "(CHIMED_EVALUATE_SHOTS), or add dev/<subject>.csv"
        )
    protocol = {
        "chat_template": CHAT if template == "chat" else None,
        "shots": shots,
        "thinking": "off: the four letters are scored by log-likelihood, nothing is generated",
        "metric": "acc",
        "batch_size": BATCH_SIZE,
        "seed": SEED,
        "exams": exams.content,
        "exam_revisions": exams.revisions,
        "backend": backend,
    }
    return protocol | ({"several": WRITTEN} if exams.several else {})


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name the parts in which two protocols differ; of different exams, name which.

    A protocol of an earlier version has no revisions of single exams: its exams are the same if they are as a whole.
    """
    differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if "exams" in differ and (named := _exams(one, other)):
        differ[differ.index("exams")] = f"exams ({', '.join(named)})"
    return [name for name in differ if name not in IMPLIED]


def _exams(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    mine, theirs = (protocol.get("exam_revisions") or {} for protocol in (one, other))
    if not mine or not theirs:
        return []
    return sorted(task for task in mine.keys() | theirs.keys() if mine.get(task) != theirs.get(task))
