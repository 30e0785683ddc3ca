"""Drop private and inappropriate texts: rules with checksums first, then the paper's prompt, then §3.2's attributes.

Paper §3.2, sensitive content cleaning. Each reason is its own; a rule's detail is the kind and the span, never the
number. Rules cost nothing, so what they flag is not put to a model. With the option `redact` what a rule finds is
replaced and the record goes on. A sample of what was flagged and of what passed is put up for people to look at.
"""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.llm.asking import YES_NO, YES_NO_SAMPLING, Brings, Failed, Question, Round, Rounds, Said, Unusable, put
from chimed.schema import left_rows, words
from chimed.storage import store as stores
from chimed.storage.takedowns import takedowns
from chimed.text import identifiers

PROMPTS = {
    "screen": "toxic or personal, by the paper's prompt",
    "sensitive": "sensitive attribute or misleading claim",
}
MOST = 6_000  # characters of one text that are put to the model; longer ones go in pieces, and one 是 flags the record
REVIEWED = 200  # records of a build put up for review, of the flagged and of the passed ones each
SHOWN = 2_000  # characters of a record that a reviewer sees


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps what neither rules nor the two prompts flag; what a model does not answer with 是 or 否 fails."""
    found = asking.outcome("screen", rounds(records, work.options), work)
    if work.planned is None:
        _put_up_for_review(found, work)
    return found


def rounds(records: pl.DataFrame, options: Options) -> Rounds:
    """Two rounds: the paper's prompt to all that no rule flags, then §3.2's attributes to all that it passes.

    No round where the option `screen_model` is off: then only the rules look.
    """
    redacted: dict[str, int] = {}
    if options.redact:  # cleaning did so already; what only stands in the words as they are now is left
        records, redacted = identifiers.looked_for(records, redact=True)
    by_rule = rule_flags(records)
    rest = records.filter(~pl.col("id").is_in(list(by_rule)))
    flagged: dict[str, tuple[str, str]] = dict(by_rule)
    failed: dict[str, tuple[str, str]] = {}
    for name, reason in PROMPTS.items() if options.screen_model else ():
        pieces = _pieces(rest)
        questions = [question(name, text) for _, text in pieces]
        second = prompts.load("sensitive")
        brings = (Brings(second.version, "generator", tokens=1, more=len(second.user)),) if name == "screen" else ()
        answers = yield from put(Round(name, "generator", questions, yes_no, brings))
        yes, broken = accept([id for id, _ in pieces], answers, reason)
        flagged, failed = flagged | yes, failed | broken
        rest = rest.filter(~pl.col("id").is_in([*yes, *broken]))
    return Outcome(
        kept=rest,
        dropped=pl.concat([left_rows(records, flagged), left_rows(records, failed, "failed")]),
        figures={"by rule": len(by_rule), "redacted": redacted},
    )


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


def question(name: str, text: str) -> Question:
    """One of `PROMPTS` about a text."""
    return asking.question(prompts.load(name), text, YES_NO_SAMPLING, YES_NO, text=text)


def yes_no(text: str) -> bool:
    """是 or 否 at the beginning of a reply. Raises Unusable where it says neither."""
    said = text.strip().lstrip("“‘\"'*")
    if not said.startswith(("是", "否")):
        raise Unusable("unparsed reply: neither 是 nor 否")
    return said.startswith("是")


def accept(ids: list[str], answers: list[Said[bool] | Failed], reason: str) -> tuple[dict, dict]:
    """Which records a round flags and which fail (id → reason, detail): one 是 about a piece flags the record."""
    flagged: dict[str, tuple[str, str]] = {}
    failed: dict[str, tuple[str, str]] = {}
    for id, answer in zip(ids, answers, strict=True):
        if isinstance(answer, Failed):
            failed[id] = (answer.reason, answer.detail)
        elif answer.value:
            flagged[id] = (reason, f"reply {answer.key}")
    return flagged, {id: why for id, why in failed.items() if id not in flagged}


def _pieces(records: pl.DataFrame) -> list[tuple[str, str]]:
    return [
        (id, text[start : start + MOST])
        for id, text in records.select("id", with_title()).iter_rows()
        for start in range(0, max(len(text), 1), MOST)
    ]


def with_title() -> pl.Expr:
    """A record's title and words in one string: a title is released with them."""
    return pl.concat_str([pl.col("title"), words().alias("words")], separator="\n", ignore_nulls=True)


def _put_up_for_review(found: Outcome, work: Work) -> None:
    """The records with the smallest ids, which are hashes: the same ones whenever the build is run again."""
    gone = takedowns(work.store).rows()  # since extract
    found = replace(found, kept=found.kept.filter(~gone), dropped=found.dropped.filter(~gone))
    flagged = dict(found.dropped.filter(pl.col("fate") == "dropped").select("id", "reason").iter_rows())
    chosen = [(id, "flagged", flagged[id]) for id in sorted(flagged)[:REVIEWED]]
    chosen += [(id, "passed", "") for id in sorted(found.kept["id"])[:REVIEWED]]
    ids = [id for id, *_ in chosen]
    both = pl.concat([frame.select("id", "url", text=with_title()) for frame in (found.kept, found.dropped)])
    texts = {id: (url, text) for id, url, text in both.filter(pl.col("id").is_in(ids)).iter_rows()}
    now = datetime.now(UTC)
    rows = [
        {
            "record": id,
            "stage": "screen",
            "build": work.build,
            "kind": kind,
            "reason": reason,
            "text": _shown(texts[id][1]),
            "sampled": now,
            "url": texts[id][0],
        }
        for id, kind, reason in chosen
    ]
    stores.queue_for_review(work.store, rows, REVIEWED)


def _shown(text: str) -> str:
    """What a reviewer sees of a long text: around the first identifier, where it has one."""
    found = identifiers.find(text)
    start = max(0, found[0].start - SHOWN // 2) if found else 0
    return text[start : start + SHOWN]
