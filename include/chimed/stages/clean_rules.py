"""Apply the rules of `clean` to whole columns, each with its safety net (paper §3.2; the net is ours).

A row that would lose a number, unit, sign or negation, or end in the middle of a sentence, keeps its text for that rule
and is counted as doubtful. A changed text is cleaned again until no rule applies, so cleaning twice equals cleaning
once.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import polars as pl

from chimed import turns
from chimed.text import noise
from chimed.text.noise import net
from chimed.text.noise.rules import Rule, any_sooner

MAX_ROUNDS = 20  # a text made to change for ever is left as it is after these; real ones need up to three
SAMPLES = 10  # doubtful rows of each rule that the report shows
TURNS = "turns"  # the column that a doubt about a turn is shown with


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
