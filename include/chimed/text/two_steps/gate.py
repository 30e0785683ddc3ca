"""Check a two-step question and its answer, as a model worded them, against both entries. Ours.

What is asked and what is right is known before (`points`), so the words are held to it: the question names the formula
and not the herb, asks for this property in a known form (`asking`); the answer names this herb and no other of the
formula, has the words of the herb's entry, and every clause of it is either the naming of the herb, which the formula's
entry bears out, or stands in the herb's entry (`answering`). Neither may forbid more or less than that entry does.
"""

import re
from dataclasses import dataclass

from chimed.text import grounding, terms
from chimed.text.graph.fact import AMOUNT
from chimed.text.grounding import questions
from chimed.text.grounding.wording import split_words
from chimed.text.repetition import find_loop
from chimed.text.two_steps.answering import CLAUSE, find_own_words, names_herb
from chimed.text.two_steps.asking import has_known_form, strengths
from chimed.text.two_steps.point import Point
from chimed.text.writing import simplify

NO_FORMULA = "question does not name the formula"
GIVES_AWAY = "question gives the herb away"
ASKS_ELSE = "question asks something else"
OTHER_FORM = "question in no known form"
NO_HERB = "answer does not name the herb"
OTHER_HERB = "answer names another herb"
LEAVES_OUT = "answer leaves out what was asked"
NOT_IN_BOTH = "answer not in both documents"
LONGEST_ANSWER = 400  # characters
_FORBIDS = re.compile(r"不[宜能可得应要]|慎|忌|禁|反|避免|勿")
_TAKES_CARE = re.compile(r"不[宜能可得]|慎|忌|禁|留意|注意|小心|当心|警惕|避免|谨慎|要紧|提防")
_DENIES = re.compile(r"[不非没无未勿莫]|除[了去外]?|以外|之外|最[小少轻低]|(?<!哪)两味|哪几味|哪些药")
_LARGEST = re.compile(
    r"(?:用量|剂量|分量|份量|药量)[^，。？?]{0,4}最[大多重高]|最[大多重高]的?(?:用量|剂量|分量|份量|药量)|用得最多|重用"
)
_RELATION_ASKED = {
    "has_effect": re.compile(r"功效|功用|功能|作用"),
    "enters_channel": re.compile(r"归(?:哪|什么|何|于哪|入哪|属哪)|入(?:哪|什么)|归经"),
    "has_nature": re.compile(r"药性|性质|四气|[寒热]热?温凉|什么性|何性|性如何|性怎"),
}
_WITH = re.compile(r"同用|配伍|合用|并用|一起|同服|一同|相反|同时|反|配合|联用")
_TOGETHER = re.compile(r"不[宜能可](?:与|和|同|跟)○(?:同用|合用|配伍|同服|一起[使服]?用)")
_AMOUNT = re.compile(AMOUNT)


@dataclass(frozen=True)
class Checked:
    """Where the answer stands in the two stretches, and why the pair is rejected (reason is None if it is accepted)."""

    in_formula: tuple[tuple[int, int], ...] = ()
    in_herb: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Entries:
    """The stretches of the two entries that are asked about, and where each begins in its row's text."""

    formula: str
    herb: str
    formula_start: int = 0
    herb_start: int = 0

    def ingredient(self, point: Point) -> str:
        """Return the words of the formula's entry that name the herb."""
        start, end = point.in_formula
        return self.formula[start - self.formula_start : end - self.formula_start]

    def herb_words(self, point: Point) -> str:
        """Return the words of the herb's entry that state the fact."""
        start, end = point.in_herb
        return self.herb[start - self.herb_start : end - self.herb_start]

    def herb_clause(self, point: Point) -> str:
        """Return the clause of the herb's entry in which the fact begins, to the end of the last one it is in."""
        start, end = (place - self.herb_start for place in point.in_herb)
        low = max(self.herb.rfind(mark, 0, start) for mark in "，,。；;：:】\n") + 1
        ends = [at for mark in "，,。；;\n" if (at := self.herb.find(mark, end)) >= 0]
        return self.herb[low : min(ends, default=len(self.herb))].strip()


def check(point: Point, question: str, answer: str, entries: Entries, whole: bool = True) -> Checked:
    """Apply the rules, what is wrong with the question first. whole: the reply is complete."""
    fault = ("cut off", "length") if not whole else _question_fault(point, question, entries)
    if fault:
        return Checked(reason=fault[0], detail=fault[1])
    said = simplify(answer)
    if piece := find_loop(answer):
        return Checked(reason="answer repeats itself", detail=piece)
    if fault := _naming_fault(point, said):
        return Checked(reason=fault[0], detail=fault[1])
    naming, clauses = _split_naming(point, said)
    ingredient = simplify(entries.ingredient(point))
    strange = _amounts("，".join(naming)) - _amounts(ingredient)
    if point.herb not in ingredient or strange:
        return Checked(reason=NOT_IN_BOTH, detail=f"formula: {min(strange, default=point.herb)}")
    degrees = _strengths(point, entries)
    if degrees and any(strengths(clause) - degrees for clause in naming):
        return Checked(reason=NOT_IN_BOTH, detail="forbids in another degree")
    rest = _without_joins(point, clauses)
    if point.relation == "not_given_with" and _TOGETHER.fullmatch(
        rest.replace(point.herb, "").replace(point.says[0], "○")
    ):
        return Checked((point.in_formula,), (point.in_herb,))  # of a list of herbs just the one that was asked about
    if wrong := _strange(point, clauses, entries):
        return Checked(reason=NOT_IN_BOTH, detail=f"herb: {wrong}")
    in_herb = grounding.align(rest, entries.herb, question, point.herb)
    if in_herb.fault:
        return Checked(reason=NOT_IN_BOTH, detail=f"herb: {in_herb.fault}")
    return Checked((point.in_formula,), _shifted(in_herb.evidence, entries.herb_start))


def _shifted(spans: tuple[tuple[int, int], ...], by: int) -> tuple[tuple[int, int], ...]:
    return tuple((start + by, end + by) for start, end in spans)


# --- the question --------------------------------------------------------------------------------------------------


def _question_fault(point: Point, question: str, entries: Entries) -> tuple[str, str] | None:
    asked = simplify(question)
    if piece := find_loop(question):
        return "question repeats itself", piece
    if point.formula not in asked:
        return NO_FORMULA, point.formula
    bare = asked.replace(point.formula, "○")
    if given := [name for name in (point.herb, *terms.other_names(point.herb)) if name in bare]:
        return GIVES_AWAY, given[0]
    unlabelled = entries.herb.replace("【", "").replace("】", "：")
    if wrong := questions.find_question_fault(question, f"{entries.formula}\n{unlabelled}", point.formula):
        return "question cannot stand alone", wrong
    if wrong := _asks_else(point, bare):
        return ASKS_ELSE, wrong
    if not has_known_form(point, bare):
        return OTHER_FORM, "no known form"
    if strengths(bare) - _strengths(point, entries):
        return ASKS_ELSE, "forbids in another degree"
    return None


def _strengths(point: Point, entries: Entries) -> set[int]:
    """Return how strongly the herb's entry forbids; of what forbids nothing, an empty set."""
    if point.relation not in ("has_taboo", "not_given_with"):
        return set()
    return strengths(
        simplify(entries.herb_words(point) if point.relation == "has_taboo" else entries.herb_clause(point))
    )


def _asks_else(point: Point, bare: str) -> str | None:
    """Return what is missing of what the point asks, or what turns it round; or None."""
    if point.asks == "largest":
        if not _LARGEST.search(bare):
            return "not the largest dose"
        if not _RELATION_ASKED[point.relation].search(bare):
            return f"not {point.relation}"
        return _denied(_RELATION_ASKED[point.relation].sub("", bare))
    said = point.about or ""
    if said not in bare:
        return f"not {said}"
    if not re.search(r"哪|什么药|何药|什么", bare):
        return "not which"
    rest = bare.replace(said, "○")
    if point.relation == "has_taboo":
        return None if _TAKES_CARE.search(rest) else "not who must take care"
    if point.relation == "not_given_with":
        return None if _FORBIDS.search(rest) and _WITH.search(rest) else "not what it must not be given with"
    form = {"has_nature": r"性[^○]{0,3}○|○性", "enters_channel": r"[归入走][^，。○]{0,3}○|○经"}.get(point.relation)
    if form and not re.search(form, rest):
        return f"not {point.relation}"
    return _denied(rest)


def _denied(text: str) -> str | None:
    match = _DENIES.search(text)
    return f"turned round: {match[0]}" if match else None


# --- the answer ----------------------------------------------------------------------------------------------------


def _naming_fault(point: Point, said: str) -> tuple[str, str] | None:
    if len(said) > LONGEST_ANSWER:
        return NOT_IN_BOTH, "too long"
    bare = said.replace(point.formula, "○")
    if point.herb not in bare:
        return NO_HERB, point.herb
    rest = bare.replace(point.herb, "○")
    allowed = {*point.says, *terms.other_names(point.herb)}
    others = {name for other in point.others for name in (other, *terms.other_names(other))} - {point.herb}
    named = [name for name in sorted(others) if len(name) > 1 and name in rest]
    if point.relation != "not_given_with":
        named += [name for name in terms.find_names(rest, "herbs") if name not in allowed]
    if named:
        return OTHER_HERB, named[0]
    plain = grounding.strip_marks(rest)
    lacking = [word for word in point.says if grounding.strip_marks(word) not in plain]
    if point.relation in ("has_taboo", "not_given_with") and not _FORBIDS.search(rest):
        lacking.append("that it is forbidden")
    return (LEAVES_OUT, lacking[0]) if lacking else None


def _amounts(text: str) -> set[str]:
    """Return the amounts of a text in one spelling: 九克 is 9克."""
    return {value for match in _AMOUNT.finditer(text) for value in split_words(match[0], ()).value}


def _split_naming(point: Point, said: str) -> tuple[list[str], list[str]]:
    """Return the clauses that only name the herb in the formula, and the rest, which must stand in its entry."""
    naming: list[str] = []
    rest: list[str] = []
    for match in CLAUSE.finditer(said):
        (naming if names_herb(point, match[0]) else rest).append(match[0])
    return naming, rest


def _strange(point: Point, clauses: list[str], entries: Entries) -> str | None:
    """Return what stands in these clauses and not in the herb's entry, or forbids in another degree; or None."""
    entry, degrees = simplify(entries.herb), _strengths(point, entries)
    for clause in clauses:
        if word := find_own_words(point, clause, entry):
            return word
        if clause.strip() not in entry and degrees and strengths(clause) - degrees:
            return f"forbids in another degree: {clause}"
    return None


def _without_joins(point: Point, clauses: list[str]) -> str:
    """Return the clauses as one text, without the words at their heads that only join them."""
    heads = rf"^(?:因为|由于|这是因为|其中的?|方中的?|{re.escape(point.formula)}(?:中|里)?的?)+"
    return "，".join(re.sub(heads, "", clause) for clause in clauses)
