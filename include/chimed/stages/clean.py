"""Remove tags, styles, URLs, non-text characters, courtesies and boilerplate by regular expressions (paper §3.2).

The rules (`chimed.text.noise`) work on whole columns (`clean_rules`). Each has a name, a count of the records it
changed, and a safety net. Damaged sentences (mojibake) are removed from a text that is otherwise sound. A record is
dropped if nothing is left, or if it is mostly mojibake.
"""

from typing import Any

import polars as pl

from chimed import turns
from chimed.build.context import StageContext
from chimed.build.contract import ShardStage
from chimed.build.figures import CleanFigures
from chimed.build.ledger import Outcome
from chimed.schema import left_rows
from chimed.stages.clean_rules import SAMPLES, TURNS, Doubt, clean_texts
from chimed.text import control_tokens, identifiers
from chimed.text.encoding import mojibake

SAMPLE_CHARACTERS = 200  # characters of a text that the report shows
WORDS = ("title", "text", "question", "answer")
DAMAGED = "damaged text"
_POINTS_ELSEWHERE = r"(?i)://|www\.|<|\.(?:jpe?g|png|gif|bmp|webp|mp3|mp4|amr)\b"  # to a picture or another page
CONTROL_TOKEN = "control token in a department"


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Clean title, text, question, answer and every turn. Rows keep their ids. A turn that was no more than a courtesy
    leaves, and with the last answer the questions behind it. Where nothing is left of what answered a question, or of a
    turn that was a link to a picture, the conversation ends before it (`turns.before_lost`).

    A department loses only its control tokens: it is a label, but in a user's own files it may hold any words, and it
    goes into a release. Before the first rule, identifiers of persons are searched in the page's own words and recorded
    in `identifiers` (or redacted, with the option `redact`), because cleaning may remove what tells a phone number from
    a dose.

    The figures count the records that each rule changed (`rules`) and those that a person should look at (`doubtful`:
    rule → rows, samples of id, column, before, after, why). Rows with an identifier are never samples, because many
    people read reports.
    """
    records, identified = identifiers.mark_identifiers(records, work.options.redact)
    unshown = frozenset(records["identifiers"].is_not_null().arg_true())
    later = turns.spread(records)
    mended, later, broken, damage = _remove_mojibake(records, later, unshown)
    done = clean_texts(mended.select(WORDS), unshown, later)
    labels, labelled = _labels(mended["department"])
    whole = turns.before_lost(done.turns, later["text"].str.contains(_POINTS_ELSEWHERE))
    clean = turns.gathered(mended.with_columns(*done.texts, labels), whole)
    body = pl.coalesce("text", "question")
    empty = clean.filter(
        (body.fill_null("") == "") | ((pl.col("kind") == "qa") & (pl.col("answer").fill_null("") == ""))
    )
    why = dict.fromkeys(empty["id"], ("nothing left after cleaning", ""))
    why |= {records["id"][row]: ("mojibake", detail) for row, detail in broken.items()}
    before, after = (_characters(frame) for frame in (records, clean))
    doubtful = done.doubtful | ({DAMAGED: damage} if damage[0] else {})
    figures: CleanFigures = {
        "characters_before": before,
        "characters_after": after,
        "turns_emptied": len(later) - int(clean["turns"].list.len().sum()),
        "conversations_ended": _count_ended(later, whole),
        "rules": done.changed | ({CONTROL_TOKEN: labelled} if labelled else {}),
        "doubtful": {name: _report_doubts(found, records["id"]) for name, found in sorted(doubtful.items())},
        "identifiers": identified,
    }
    kept = clean.filter(~pl.col("id").is_in(list(why)))
    return Outcome(kept, dropped=left_rows(records, why), figures=figures)


def _count_ended(before: pl.DataFrame, whole: pl.DataFrame) -> int:
    """Return how many rows lost turns between two tables of turns."""
    of_row = [one.group_by("row").len() for one in (before, whole)]
    return len(before["row"].unique()) - len(of_row[0].join(of_row[1], on=["row", "len"], how="semi"))


def _characters(frame: pl.DataFrame) -> int:
    later = pl.col("turns").list.eval(pl.element().struct.field("text").str.len_chars()).list.sum()
    return int(frame.select(pl.sum_horizontal(pl.col(WORDS).str.len_chars().sum(), later.sum())).item() or 0)


def _labels(departments: pl.Series) -> tuple[pl.Series, int]:
    """Return departments without control tokens (null if nothing is left), and how many changed."""
    places = departments.str.contains(control_tokens.PATTERN).fill_null(False).arg_true()
    if not len(places):
        return departments, 0
    left = departments.gather(places).str.replace_all(control_tokens.PATTERN, " ").str.strip_chars()
    return departments.clone().scatter(places, left.replace("", None)), len(places)


def _report_doubts(found: tuple[int, list[Doubt]], ids: pl.Series) -> dict[str, Any]:
    """Return a rule's doubtful rows as the report shows them."""
    rows, doubts = found
    samples = [
        {"id": ids[one.row], "column": one.column, **_first_difference(one.before, one.after), "why": one.why}
        for one in doubts
    ]
    return {"rows": rows, "samples": samples}


def _first_difference(before: str, after: str) -> dict[str, str]:
    """Return both texts from shortly before the first difference."""
    same = next((n for n, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), 0)
    start = max(0, same - SAMPLE_CHARACTERS // 4)
    return {"before": before[start : start + SAMPLE_CHARACTERS], "after": after[start : start + SAMPLE_CHARACTERS]}


# --- mojibake ------------------------------------------------------------------------------------------------------


def _remove_mojibake(
    records: pl.DataFrame, later: pl.DataFrame, unshown: frozenset[int]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[int, str], tuple[int, list[Doubt]]]:
    """Remove damaged sentences.

    Returns the records, their turns, the rows that are mostly damaged with the damage, and the rows that lost sentences
    with samples. later: the turns (columns of `turns.spread`). unshown: rows that must not be samples.
    """
    broken: dict[int, str] = {}
    cut: dict[int, None] = {}
    doubts: list[Doubt] = []
    columns = []
    for name, column in (*((name, records[name]) for name in WORDS), (TURNS, later["text"])):
        places = column.str.contains(mojibake.SUSPECT).fill_null(False).arg_true()
        found = {place: mojibake.repair(column[place]) for place in places}
        found = {place: one for place, one in found.items() if one.damage}
        for place, one in found.items():
            row = later["row"][place] if name == TURNS else place
            if name != "title" and mojibake.is_mostly_lost(one):
                broken[row] = f"{name}: {' … '.join(one.damage)[:SAMPLE_CHARACTERS]}"
            elif row not in broken:
                cut[row] = None
                doubts.append(Doubt(row, name, column[place], one.text, "damaged: decoded with a wrong charset"))
        if found:
            column = column.scatter(list(found), [one.text for one in found.values()])
        columns.append(column)
    kept = [row for row in cut if row not in broken]
    samples = [one for one in doubts if one.row not in broken and one.row not in unshown][:SAMPLES]
    texts = columns.pop()
    return records.with_columns(columns), later.with_columns(texts), broken, (len(kept), samples)


STAGE = ShardStage(run)
