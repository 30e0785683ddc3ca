"""Drop private and inappropriate texts: rules with checksums first, then the paper's prompt, then §3.2's attributes.

Paper §3.2, sensitive content cleaning. Each reason is its own; a rule's detail is the kind and the span, never the
number. Rules cost nothing, so what they flag is not put to a model.
"""

import polars as pl

from chimed import llm, prompts
from chimed.build import Outcome, Work
from chimed.records import left_rows, words
from chimed.stages import identifiers

SAMPLING = {"max_tokens": 4, "temperature": 0.0}
YES_NO = {"choice": ["是", "否"]}
MOST = 6_000  # characters of one text that are put to the model; longer ones go in pieces, and one 是 flags the record


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps what neither rules nor the two prompts flag; what a model does not answer with 是 or 否 fails."""
    by_rule = rule_flags(records)
    rest = records.filter(~pl.col("id").is_in(list(by_rule)))
    toxic, failed, first = _asked(rest, "screen", "toxic or personal, by the paper's prompt", work)
    rest = rest.filter(~pl.col("id").is_in([*toxic, *failed]))
    attributes, also_failed, second = _asked(rest, "sensitive", "sensitive attribute or misleading claim", work)
    why, broken = by_rule | toxic | attributes, failed | also_failed
    return Outcome(
        kept=rest.filter(~pl.col("id").is_in([*attributes, *also_failed])),
        dropped=pl.concat([left_rows(records, why), left_rows(records, broken, "failed")]),
        figures={"by rule": len(by_rule), "screen": llm.cost(first), "sensitive": llm.cost(second)},
    )


def rule_flags(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Records in which a rule finds an identifier: id → reason by kind, and the kinds with their spans."""
    flags = {}
    for id, text in records.select("id", words()).iter_rows():
        if found := identifiers.find(text):
            flags[id] = (
                f"identifier: {found[0].kind}",
                "; ".join(f"{one.kind} [{one.start}:{one.end}]" for one in found),
            )
    return flags


def _asked(records: pl.DataFrame, name: str, reason: str, work: Work) -> tuple[dict, dict, list]:
    """Puts every record to a yes-no prompt: flagged and failed (id → reason, detail), and the replies."""
    prompt = prompts.load(name)
    pieces = [
        (id, text[start : start + MOST])
        for id, text in records.select("id", words()).iter_rows()
        for start in range(0, max(len(text), 1), MOST)
    ]
    requests = [
        llm.Request(prompt.version, prompts.messages(prompt, text=text), SAMPLING, YES_NO) for _, text in pieces
    ]
    replies = llm.ask(requests, llm.generator(work), work)
    flagged: dict[str, tuple[str, str]] = {}
    failed: dict[str, tuple[str, str]] = {}
    for (id, _), reply in zip(pieces, replies, strict=True):
        verdict = yes_no(reply.text) if isinstance(reply, llm.Reply) else None
        if verdict is None:
            failed[id] = llm.fault(reply, "neither 是 nor 否")
        elif verdict:
            flagged[id] = (reason, f"reply {reply.key}")
    return flagged, {id: why for id, why in failed.items() if id not in flagged}, replies


def yes_no(text: str) -> bool | None:
    """是 or 否 at the beginning of a reply; None where it says neither."""
    said = text.strip().lstrip("“‘\"'")
    return True if said.startswith("是") else False if said.startswith("否") else None
