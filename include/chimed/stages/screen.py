"""Drop private and inappropriate texts: rules with checksums first, then the paper's prompt, then §3.2's attributes.

Paper §3.2, sensitive content cleaning. Each reason is its own; a rule's detail is the kind and the span, never the
number. Rules cost nothing, so what they flag is not put to a model. With the option `redact` what a rule finds is
replaced and the record goes on. A sample of what was flagged and of what passed is put up for people to look at.
"""

from datetime import UTC, datetime

import polars as pl

from chimed import llm, prompts
from chimed import store as stores
from chimed.build import Work
from chimed.cost import cost
from chimed.ledger import Outcome
from chimed.records import left_rows, words
from chimed.stages import identifiers

SAMPLING = {"max_tokens": 4, "temperature": 0.0}
YES_NO = {"choice": ["是", "否"]}
MOST = 6_000  # characters of one text that are put to the model; longer ones go in pieces, and one 是 flags the record
REVIEWED = 200  # records of a build put up for review, of the flagged and of the passed ones each
SHOWN = 2_000  # characters of a record that a reviewer sees


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps what neither rules nor the two prompts flag; what a model does not answer with 是 or 否 fails."""
    redacted: dict[str, int] = {}
    if work.options.redact:  # cleaning did so already; what only stands in the words as they are now is left
        records, redacted = identifiers.looked_for(records, redact=True)
    by_rule = rule_flags(records)
    rest = records.filter(~pl.col("id").is_in(list(by_rule)))
    toxic, failed, first = _asked(rest, "screen", "toxic or personal, by the paper's prompt", work)
    rest = rest.filter(~pl.col("id").is_in([*toxic, *failed]))
    attributes, also_failed, second = _asked(rest, "sensitive", "sensitive attribute or misleading claim", work)
    why, broken = by_rule | toxic | attributes, failed | also_failed
    outcome = Outcome(
        kept=rest.filter(~pl.col("id").is_in([*attributes, *also_failed])),
        dropped=pl.concat([left_rows(records, why), left_rows(records, broken, "failed")]),
        figures={"by rule": len(by_rule), "redacted": redacted, "screen": first, "sensitive": second},
    )
    if work.planned is None:
        _put_up_for_review(records, why, outcome.kept["id"].to_list(), work)
    return outcome


def rule_flags(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Records in which a rule finds an identifier or a name: id → reason by kind, and the kinds with their spans.

    What was found before cleaning (the column `identifiers`) comes first: its spans are those of the page's words. Then
    the words are looked at as they are now, the title with them.
    """
    now, _ = identifiers.looked_for(records)
    both = records.select("id", before="identifiers").with_columns(now=now["identifiers"])
    flags = {}
    for id, before, after in both.filter(pl.any_horizontal(pl.col("before", "now").list.len() > 0)).iter_rows():
        entries = [*(before or []), *(after or [])]
        detail = "; ".join(dict.fromkeys([*(f"{entry} before cleaning" for entry in before or []), *(after or [])]))
        flags[id] = (identifiers.reason_of(entries[0]), detail)
    return flags


def _asked(records: pl.DataFrame, name: str, reason: str, work: Work) -> tuple[dict, dict, dict]:
    """Puts every record to a yes-no prompt: flagged and failed (id → reason, detail), and the cost."""
    prompt = prompts.load(name)
    pieces = _pieces(records)
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
    spent = cost(replies, [len(text) for _, text in pieces], work)
    return flagged, {id: why for id, why in failed.items() if id not in flagged}, spent


def _pieces(records: pl.DataFrame) -> list[tuple[str, str]]:
    return [
        (id, text[start : start + MOST])
        for id, text in records.select("id", with_title()).iter_rows()
        for start in range(0, max(len(text), 1), MOST)
    ]


def with_title() -> pl.Expr:
    """A record's title and words in one string: a title is released with them."""
    return pl.concat_str([pl.col("title"), words().alias("words")], separator="\n", ignore_nulls=True)


def yes_no(text: str) -> bool | None:
    """是 or 否 at the beginning of a reply; None where it says neither."""
    said = text.strip().lstrip("“‘\"'")
    return True if said.startswith("是") else False if said.startswith("否") else None


def _put_up_for_review(records: pl.DataFrame, flagged: dict, passed: list[str], work: Work) -> None:
    """The records with the smallest ids, which are hashes: the same ones whenever the build is run again."""
    chosen = [(id, "flagged", flagged[id][0]) for id in sorted(flagged)[:REVIEWED]]
    chosen += [(id, "passed", "") for id in sorted(passed)[:REVIEWED]]
    shown = records.filter(pl.col("id").is_in([id for id, *_ in chosen])).select("id", with_title())
    texts = dict(shown.iter_rows())
    now = datetime.now(UTC)
    rows = [
        {
            "record": id,
            "stage": "screen",
            "build": work.build,
            "kind": kind,
            "reason": reason,
            "text": _shown(texts[id]),
            "sampled": now,
        }
        for id, kind, reason in chosen
    ]
    stores.queue_for_review(work.store, rows, REVIEWED)


def _shown(text: str) -> str:
    """What a reviewer sees of a long text: around the first identifier, where it has one."""
    found = identifiers.find(text, tuple(identifiers.FAMILIES))
    start = max(0, found[0].start - SHOWN // 2) if found else 0
    return text[start : start + SHOWN]
