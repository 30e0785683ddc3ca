"""Decide which words of a document an answer may combine. Used by `grounding`.

A clause is read word by word, keeping all the places where the words so far may be (a breadth-first search). If the
next word does not follow in the document, `stretches.may_join` says whether the answer may leave out what is between.
"""

import re
from dataclasses import dataclass

from chimed.text import terms
from chimed.text.grounding.stretches import SUBJECT, State, may_join
from chimed.text.grounding.wording import (
    NEGATING,
    Words,
    endings,
    heads,
    implicit,
    leads,
    prohibiting,
    scope,
    templates,
)
from chimed.text.writing import simplify

SHORT = 6  # words: a shorter piece must end where the document ends a phrase
MOST_STATES = 40  # places followed at a time

_OFTEN = frozenset("症常见多易可每一般约主用治疗法后时")  # letters of a lead that say nothing of whom it speaks
_CONDITION = re.compile(
    r"\A[\s。；]*(?:[但而]是?)?(?:如果|如(?=[有伴合患出发见遇无果])|若|倘若|假如|只有|除非|一旦|当(?=[^归地年时前天]))([^，]{2,24})"
)
_SMALL = frozenset("的了是在有和与及或时者后前出现发生患者病人伴有合并")
_NAMES = ("herbs", "formulas", "drugs", "acupoints")


@dataclass(frozen=True)
class Found:
    """The result for a clause. pieces: first and last word in the document, in answer order. fault: why it fails."""

    pieces: list[tuple[int, int]]
    fault: str | None = None


@dataclass(frozen=True)
class Search:
    """The document's words, the place of each, and the question."""

    text: Words
    places: dict[str, list[int]]
    asked: frozenset[str]
    asked_words: tuple[str, ...]
    question: str
    document: str
    subjects: tuple[str, ...]
    listed: bool = True  # whether items of one list may come from several sentences

    def clause(self, spoken: Words, low: int, high: int, asked: Words) -> Found:
        """Find a clause; else try again without its first words if they are from the question or a template."""
        found = self._found(spoken, low, high, ())
        if found.fault is None:
            return found
        return (
            self._without_first_words(spoken, low, high, asked) or self._without_last_words(spoken, low, high) or found
        )

    def _without_first_words(self, spoken: Words, low: int, high: int, asked: Words) -> Found | None:
        """Return the clause without first words from the question or a template; None if that is not found."""
        told = self._restated(spoken, low, high, asked)
        for start in range(low + told, low, -1):
            if start == high:
                if spoken.clause[high - 1] != spoken.clause[-1] or low > 0:
                    return Found([])  # a clause that only leads in: 九香虫的功效如下：
                continue
            if all(value in heads() for value in spoken.value[start:high]):
                continue  # 孕妇可用: what is left tells nothing
            shorter = self._found(spoken, start, high, spoken.value[low:start])
            if shorter.fault is None:
                return shorter
        return None

    def _without_last_words(self, spoken: Words, low: int, high: int) -> Found | None:
        """Return the clause without last words from the question (孕妇禁用银翘散); None if that is not found."""
        for end in range(high - 1, low + 1, -1):
            run = spoken.value[end:high]
            if not self._asked_of(run):
                break
            if spoken.value[end - 1] in heads() and end - low > 1:
                shorter = self._found(spoken, low, end, run)
                if shorter.fault is None:
                    return shorter
        return None

    def _asked_of(self, run: tuple[str, ...]) -> bool:
        """Return whether these words are a name that both question and document have in a row."""
        if any(value in scope() | NEGATING | heads() or value[0] == "#" for value in run):
            return False
        said = "".join(run)
        return said in "".join(self.asked_words) and said in simplify(self.document)

    def _restated(self, spoken: Words, low: int, high: int, asked: Words) -> int:
        """Return how many words at the clause's beginning repeat the question or a template."""
        together = "\x00".join(("", *asked.value, ""))
        most = 0
        for n in range(low + 1, high + 1):
            run = spoken.value[low:n]
            if any(value in scope() | NEGATING or (value[0] == "#" and not self._year(value)) for value in run):
                break
            if all(value in templates() for value in run) or "\x00".join(("", *run, "")) in together:
                most = n - low
        return most

    def _year(self, value: str) -> bool:
        """Return whether this is a year that the question names and the document has."""
        return value.endswith("年") and value in self.asked and value in self.places

    def _found(self, spoken: Words, low: int, high: int, told: tuple[str, ...]) -> Found:
        states, reached = self._read(spoken, low, high)
        if not states:
            end = max(reached, low + 1)
            return Found([], f"not found from {''.join(spoken.value[end - 1 : end + 3])}")
        fault = None
        for last, state in states.items():
            pieces = [*state.before, (state.first, last)]
            wrong = self._torn(pieces, told) or self._left_out(pieces, spoken)
            wrong = wrong or self._unconditional(pieces, spoken, told) or self._of_another(pieces, spoken, told)
            if wrong is None:
                return Found(pieces)
            fault = fault or wrong
        return Found([], fault)

    def _read(self, spoken: Words, low: int, high: int) -> tuple[dict[int, State], int]:
        """Return the places of the clause's last word at which all of it can be read, and how far reading came."""
        text, places = self.text, self.places
        states = {place: State(place) for place in places.get(spoken.value[low], ())}
        for n in range(low + 1, high):
            value, boundary = spoken.value[n], spoken.before[n]
            following: dict[int, State] = {}
            for last, state in states.items():
                after = last + 1
                if after < len(text.value) and text.value[after] == value:
                    following[after] = state
            if len(following) < MOST_STATES:
                for place in places.get(value, ()):
                    if place in following:
                        continue
                    for last, state in states.items():
                        if may_join(text, state, last, place, boundary, self.listed):
                            following[place] = State(place, (*state.before, (state.first, last)))
                            break
            if not following:
                return {}, n
            states = following
        return states, high

    def _torn(self, pieces: list[tuple[int, int]], told: tuple[str, ...]) -> str | None:
        """Return a fault if a piece begins or ends within a phrase, or is repeated."""
        text, letters = self.text, set("".join(self.asked | set(told)))
        ended = -1
        for first, last in sorted(pieces):
            if first <= ended:
                return f"said twice: {text.value[first]}"
            ended = last
            if first and not text.before[first] and text.end[first - 1] == text.start[first]:
                lead = text.value[first - 1]
                known = set(lead) <= letters and lead not in scope() | NEGATING
                if not (known or lead in heads() or lead in leads() or text.value[first][0] == "#"):
                    return f"torn from {lead}"
                if lead in leads() and told and lead not in told:
                    return f"said of {lead}"
            after = last + 1
            if last - first < SHORT and after < len(text.value) and not text.before[after]:
                follows = text.value[after]
                if text.end[last] == text.start[after] and not (
                    follows in heads() or follows in letters or follows in endings() or text.value[last] in heads()
                ):
                    return f"torn from {follows}"
        return None

    def _left_out(self, pieces: list[tuple[int, int]], spoken: Words) -> str | None:
        """Return a qualifier of the pieces in the document that is neither in them nor in the question."""
        taken = {n for first, last in pieces for n in range(first, last + 1)}
        for first, last in pieces:
            value = self._left_out_before(first, taken) or self._left_out_behind(first, last, taken, spoken)
            if value:
                return f"left out {value}"
        return None

    def _left_out_before(self, first: int, taken: set[int]) -> str | None:
        """Return a scope or a negation before a piece, in its clause; or None."""
        text = self.text
        for n in range(first - 1, -1, -1):
            if text.clause[n] != text.clause[first]:
                break
            value = text.value[n]
            if n in taken or value in self.asked:
                continue
            if value in scope() or (value in NEGATING and text.item[n] == text.item[first]):
                return value
        return None

    def _left_out_behind(self, first: int, last: int, taken: set[int], spoken: Words) -> str | None:
        """Return a scope or a negation after a piece, in its clause or as the whole of the next; or None."""
        text = self.text
        headed = any(text.value[n] in heads() for n in range(first, last + 1)) or any(
            text.value[n] in heads() for n in taken if text.clause[n] == text.clause[first]
        )
        for n in range(last + 1, len(text.value)):
            value = text.value[n]
            if n in taken or value in self.asked:
                continue
            if text.clause[n] != text.clause[last]:
                follows = text.sentence[n] == text.sentence[last] and text.clause[n] == text.clause[last] + 1
                if follows and value in prohibiting() and not headed and value not in spoken.value and _ends(text, n):
                    return value
                break
            if (value in scope() and not headed) or (value in NEGATING and n == last + 1 and text.before[n] == 0):
                return value
        return None

    def _unconditional(self, pieces: list[tuple[int, int]], spoken: Words, told: tuple[str, ...]) -> str | None:
        """Return a condition of the words in the document that neither answer nor question states."""
        text = self.text
        known = set("".join((*self.asked, *spoken.value, *told)) + simplify(self.question))
        for first, _ in pieces:
            opening = first
            while opening and text.sentence[opening - 1] == text.sentence[first]:
                opening -= 1
            before = simplify(self.document[text.end[opening - 1] if opening else 0 : text.start[first]])
            for clause in re.split("[，,：:]", before)[:-1]:
                if match := _CONDITION.match(clause):
                    content = set(match[1]) - _SMALL
                    if len(content & known) < len(content) / 2:
                        return f"left out the condition {clause.strip()[:20]}"
        return None

    def _of_another(self, pieces: list[tuple[int, int]], spoken: Words, told: tuple[str, ...]) -> str | None:
        """Return a fault if the document says the words about another thing than answer and question."""
        text, first = self.text, pieces[0][0]
        letters = set("".join(self.asked | set(told))) | _OFTEN
        lead = [text.value[n] for n in range(max(0, first - SUBJECT), first) if text.clause[n] == text.clause[first]]
        mid = text.before[first] == 0 and bool(lead)
        if mid and text.value[first][0] == "#" and not any(set(value) & (letters - _OFTEN) for value in lead[-4:]):
            return f"said of {''.join(lead[-4:])}"
        strange = [value for value in lead if not set(value) <= letters and value not in heads()]
        own = [value for value in told if value not in templates() and value[0] != "#"]
        if mid and own and strange:
            return f"said of {''.join(lead)}"
        opening = first
        while opening and text.sentence[opening - 1] == text.sentence[first]:
            opening -= 1
        if own and not self._speaks_of(own, opening, first):
            return f"not said of {''.join(own)}"
        running = self._running(opening)
        if running and not (opening < first and self._names_subject(first)):
            told_all = self.question + "".join(spoken.value)
            if not any(name in told_all for name in {running, *terms.other_names(running)}):
                named = terms.find_names(told_all, *_NAMES)
                here = self.document[text.end[first - 1] if first else 0 : text.end[pieces[0][1]]]
                return f"said of {running}" if named and not any(name in here for name in named) else None
        return None

    def _running(self, opening: int) -> str | None:
        """Return the name that this sentence begins with, or, if it has none, that of the sentence before."""
        text, n = self.text, opening
        while True:
            if self._names_subject(n):
                return None
            start = self.document[text.start[n] : text.start[n] + 12]
            labelled = self.document[: text.start[n]].rstrip()[-1:] in (*":：】",) if text.start[n] else False
            if not labelled and (match := terms.names_pattern(*_NAMES).match(simplify(start))):
                return match[0]
            if n == 0 or not (text.value[n] in implicit() or text.value[n][0] == "#"):
                return None
            n -= 1
            while n and text.sentence[n - 1] == text.sentence[n]:
                n -= 1

    def _first_of(self, opening: int) -> int:
        """Return where the next sentence begins."""
        text, n = self.text, opening
        while n < len(text.value) and text.sentence[n] == text.sentence[opening]:
            n += 1
        return n

    def _names_subject(self, first: int) -> bool:
        """Return whether the document's subject is between this word and the one before it."""
        between = self.document[self.text.end[first - 1] if first else 0 : self.text.start[first]]
        return any(name in between for name in self.subjects)

    def _speaks_of(self, own: list[str], opening: int, first: int) -> bool:
        """Return whether words of the document are about these, by their sentence or the document's subject."""
        everywhere = "".join(self.text.value)
        here = "".join(self.text.value[opening : first + 1])
        for end in range(len(own), 0, -1):
            name = "".join(own[:end])
            if len(name) > 1 and name in everywhere:
                running = self._running(opening)
                if running and (name.startswith(running) or running.startswith(name)):
                    return True
                if name in here:
                    return True
                text = self.text
                sentence = self.document[text.start[opening] : text.end[max(opening, self._first_of(opening) - 1)]]
                others = [one for one in terms.find_names(simplify(sentence), *_NAMES) if one not in self.question]
                opens = self._first_of(0)
                about = everywhere.startswith(name) or (
                    "?" in simplify(self.document[: text.end[opens - 1] + 2]) and name in "".join(text.value[:opens])
                )
                return about and not running and not others
        return True


def _ends(text: Words, n: int) -> bool:
    """Return whether a clause has only this word, and at most one more."""
    return n + 2 >= len(text.value) or text.clause[n + 2] != text.clause[n]
