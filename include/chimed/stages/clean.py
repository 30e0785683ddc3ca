"""Remove tags, styles, URLs, non-text characters, courtesies and boilerplate by regular expressions (paper §3.2).

The rules (`chimed.text.noise`) work on whole columns. Each has a name, a count of the records it changed, and a safety
net (`net`): a row that would lose a number, unit, sign or negation, or end in the middle of a sentence, keeps its text
for that rule and is counted as doubtful. A changed record is cleaned again until no rule applies, so cleaning twice
equals cleaning once. Damaged sentences (mojibake) are removed from a text that is otherwise sound. A record is dropped
if nothing is left, or if it is mostly mojibake.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from chimed import turns
from chimed.build.context import StageContext
from chimed.build.contract import ShardStage
from chimed.build.figures import CleanFigures
from chimed.build.ledger import Outcome
from chimed.schema import left_rows
from chimed.text import control_tokens, identifiers, noise
from chimed.text.encoding import mojibake
from chimed.text.noise import net
from chimed.text.noise.rules import Rule, any_sooner

MAX_ROUNDS = 20  # a text made to change for ever is left as it is after these; real ones need up to three
SAMPLES = 10  # doubtful rows of each rule that the report shows
SAMPLE_CHARACTERS = 200  # characters of a text that the report shows
WORDS = ("title", "text", "question", "answer")
TURNS = "turns"  # the column that a doubt about a turn is shown with
DAMAGED = "damaged text"
CONTROL_TOKEN = "control token in a department"


@dataclass(frozen=True)
class Doubt:
    """A text that a rule would have damaged, and what the rule would have made of it. row: its number in the table."""

    row: int
    column: str
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class Cleaned:
    """The result of cleaning.

    texts: the cleaned columns. turns: row, role and the cleaned text of every turn. changed: rule → rows it changed.
    doubtful: rule → rows that its safety net held back, each once, with samples.
    """

    texts: pl.DataFrame
    turns: pl.DataFrame
    changed: dict[str, int]
    doubtful: dict[str, tuple[int, list[Doubt]]]


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Clean title, text, question, answer and every turn. Rows keep their ids. A turn that was no more than a courtesy
    leaves, and with the last answer the questions behind it.

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
    clean = turns.gathered(mended.with_columns(*done.texts, labels), done.turns)
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
        "rules": done.changed | ({CONTROL_TOKEN: labelled} if labelled else {}),
        "doubtful": {name: _report_doubts(found, records["id"]) for name, found in sorted(doubtful.items())},
        "identifiers": identified,
    }
    kept = clean.filter(~pl.col("id").is_in(list(why)))
    return Outcome(kept, dropped=left_rows(records, why), figures=figures)


def _characters(frame: pl.DataFrame) -> int:
    later = pl.col("turns").list.eval(pl.element().struct.field("text").str.len_chars()).list.sum()
    return int(frame.select(pl.sum_horizontal(pl.col(WORDS).str.len_chars().sum(), later.sum())).item() or 0)


def _labels(departments: pl.Series) -> tuple[pl.Series, int]:
    """Return departments without control tokens (null if nothing is left), and how many changed."""
    places = _places(departments, control_tokens.PATTERN)
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


# --- rules ---------------------------------------------------------------------------------------------------------


@dataclass
class _Notes:
    """What the rules did to texts, which are numbered column by column, the turns last.

    columns: their names. height: texts in each but the turns. later: the row of each turn. unshown: rows that must not
    be samples. changed, held: rule → texts that it changed, and texts that its safety net held back. doubts: samples of
    the latter, rule → by column.
    """

    columns: list[str]
    height: int
    later: pl.Series
    unshown: frozenset[int] = frozenset()
    changed: dict[str, list[pl.Series]] = field(default_factory=lambda: defaultdict(list))
    held: dict[str, list[pl.Series]] = field(default_factory=lambda: defaultdict(list))
    doubts: dict[str, list[list[Doubt]]] = field(default_factory=dict)

    def doubt(self, rule: str, text: int, before: str, after: str, why: str) -> None:
        """Add a sample, unless the rule and column have enough or the text must not be shown."""
        of, row = self.place(text)
        several = self.doubts.setdefault(rule, [[] for _ in self.columns])[of]
        if len(several) < SAMPLES and row not in self.unshown and all(one.row != row for one in several):
            several.append(Doubt(row, self.columns[of], before, after, why))

    @property
    def first_turn(self) -> int:
        """The number of the first turn."""
        return self.height * (len(self.columns) - (len(self.later) > 0))

    def place(self, text: int) -> tuple[int, int]:
        """Return the column and the row of a text."""
        first = self.first_turn
        return divmod(text, self.height) if text < first else (len(self.columns) - 1, self.later[text - first])

    def rows(self, texts: pl.Series) -> pl.Series:
        """Return the rows of texts."""
        first = self.first_turn
        if not len(self.later):
            return texts % self.height
        before, behind = texts.filter(texts < first), texts.filter(texts >= first)
        return pl.concat([before % self.height, self.later.gather(behind - first)])

    def enough(self, rule: str) -> bool:
        """Return whether a rule has enough samples in every column."""
        return rule in self.doubts and all(len(several) == SAMPLES for several in self.doubts[rule])


def clean_texts(
    texts: pl.DataFrame, unshown: frozenset[int] = frozenset(), later: pl.DataFrame | None = None
) -> Cleaned:
    """Clean columns of text, and the turns of their rows, by all rules.

    All columns are cleaned as one, because compiling a rule's pattern takes as long as searching a short column.
    unshown: rows that must not be samples. later: the turns (columns of `turns.spread`).
    """
    later = turns.NONE if later is None else later
    notes = _Notes([*texts.columns, *([TURNS] if len(later) else [])], len(texts), later["row"], unshown)
    every = pl.concat([*texts.iter_columns(), later["text"]])
    clean = _clean_column(every, notes) if len(every) else every
    columns = [clean.slice(n * len(texts), len(texts)).alias(name) for n, name in enumerate(texts.columns)]
    changed, held = (
        {name: rows for name, places in sorted(of.items()) if (rows := notes.rows(pl.concat(places)).n_unique())}
        for of in (notes.changed, notes.held)
    )
    samples = {name: [one for several in of for one in several] for name, of in notes.doubts.items()}
    cleaned = later.with_columns(clean.slice(texts.width * len(texts)).alias("text"))
    return Cleaned(
        pl.DataFrame(columns),
        cleaned,
        changed,
        {name: (rows, samples.get(name, [])[:SAMPLES]) for name, rows in held.items()},
    )


def _clean_column(column: pl.Series, notes: _Notes) -> pl.Series:
    """Clean texts until no rule applies."""
    numbers, texts = pl.arange(len(column), dtype=pl.UInt32, eager=True), column
    for _ in range(MAX_ROUNDS):
        once = _apply_all(texts, numbers, notes)
        moved = (once != texts).fill_null(False).arg_true()
        numbers, texts = numbers.gather(moved), once.gather(moved)
        column = column.scatter(numbers, texts)
        more = _places(texts, noise.ANY)
        if not len(more):
            break
        numbers, texts = numbers.gather(more), texts.gather(more)
    return column


def _apply_all(column: pl.Series, numbers: pl.Series, notes: _Notes) -> pl.Series:
    """Apply every rule once. numbers: the texts' numbers."""
    column = column.clone()  # it is written into
    for group in noise.GROUPS:
        places = _places(column, any_sooner(*group))
        if len(places):
            texts, of = column.gather(places), numbers.gather(places)
            for rule in group:
                _apply(rule, texts, of, notes, _places(texts, rule.sooner))
            column.scatter(places, texts)
    return _apply_word_rules(column, numbers, notes).str.strip_chars()


def _apply(rule: Rule, column: pl.Series, numbers: pl.Series, notes: _Notes, places: pl.Series) -> None:
    """Apply a rule to a column in place, except where its safety net holds a text back."""
    if not len(places):
        return
    places, before, after = _rewritten(rule, column, places)
    if not len(places):
        return
    held = {place: why for why, found in _harmed(rule, before, after) for place in found}
    if held:
        notes.held[rule.name].append(numbers.gather(places.gather(list(held))))
        for place, why in held.items():
            if notes.enough(rule.name):
                break
            notes.doubt(rule.name, numbers[places[place]], before[place], after[place], why)
        stays = ~pl.arange(len(places), eager=True).is_in(list(held))
        places, after = places.filter(stays), after.filter(stays)
        if not len(places):
            return
    column.scatter(places, after)
    notes.changed[rule.name].append(numbers.gather(places))


def _rewritten(rule: Rule, column: pl.Series, places: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Return which of these places a rule changes, and the texts before and after."""
    before = column.gather(places)
    after = rule.rewritten(before)
    moved = (before != after).arg_true()
    return places.gather(moved), before.gather(moved), after.gather(moved)


def _harmed(rule: Rule, before: pl.Series, after: pl.Series) -> list[tuple[str, pl.Series]]:
    """Return why texts must stay as they were before a rule, and which texts."""
    found: list[tuple[str, pl.Series]] = []
    if rule.net == "kept":
        found.append(("a number, unit, sign or negation would change", net.find_changed(before, after)))
    elif rule.net == "spans":
        found.append(
            (
                "what leaves holds a number, unit or negation",
                net.find_guarded_spans(before, rule.pattern, rule.may_hold),
            )
        )
        found.append(("it would end torn", net.find_torn(before, after)))
    elif rule.net == "raised":
        found.append(("a raised number would change", net.find_changed_form(before, after, rule.pattern)))
    return found


def _apply_word_rules(column: pl.Series, numbers: pl.Series, notes: _Notes) -> pl.Series:
    """Apply the rules that never touch numbers, units, signs or negations, and check that once for all of them.

    One check of the whole column is much faster than one for each rule. Texts that fail it start over, rule by rule.
    """
    start = column.clone()
    uncommon: pl.Series | None = None
    done: list[tuple[str, pl.Series]] = []
    for rule in noise.WORDS:
        if rule.name in noise.OF_UNCOMMON:
            uncommon = _places(column, noise.UNCOMMON) if uncommon is None else uncommon
            places = uncommon.gather(_places(column.gather(uncommon), rule.sooner)) if len(uncommon) else uncommon
        else:
            places = _places(column, rule.sooner)
        if len(places):
            places, _, after = _rewritten(rule, column, places)
            column.scatter(places, after)
            done.append((rule.name, places))
    moved = _changed_places(start, column, [places for _, places in done])
    wrong = moved.gather(net.find_changed(start.gather(moved), column.gather(moved))) if len(moved) else moved
    for name, places in done:
        notes.changed[name].append(
            numbers.gather(places.filter(~places.is_in(wrong.implode())) if len(wrong) else places)
        )
    if len(wrong):
        again, of = start.gather(wrong), numbers.gather(wrong)
        for rule in noise.WORDS:
            _apply(rule, again, of, notes, _places(again, rule.sooner))
        column.scatter(wrong, again)
    return column


def _changed_places(start: pl.Series, column: pl.Series, touched: list[pl.Series]) -> pl.Series:
    """Return the touched places where two columns differ in more than layout."""
    if not touched:
        return pl.Series(dtype=pl.UInt32)
    places = pl.concat(touched).unique().sort()
    return places.filter(net.without_spaces(column.gather(places)) != net.without_spaces(start.gather(places)))


def _places(column: pl.Series, pattern: str) -> pl.Series:
    return column.str.contains(pattern).fill_null(False).arg_true()


STAGE = ShardStage(run)
