"""Turn a table's row into records: a question with its answers, a document, a herb, a conversation (paper §3.1)."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chimed.extraction.corpus_files.columns import NESTED, Plan, printable_name
from chimed.extraction.corpus_files.domain import domain_of_department
from chimed.extraction.corpus_files.lines import MAX_CELL_LENGTH, TOO_LONG
from chimed.extraction.corpus_files.turns import Conversation, read_conversation
from chimed.roles import ASKER, DOCTOR
from chimed.sources.page import Miss
from chimed.sources.parsed import CorpusQA, Document, Turn
from chimed.sources.text import merged, tidy
from chimed.text.exams.options import LEAST, LETTERS, option_pairs, right_letters, write_choice

SURROGATES_REMOVED = "halves of characters (lone surrogates), taken out"
NULS_REMOVED = "NUL characters, taken out"

_SURROGATE = re.compile("[\ud800-\udfff]+")
_THOUGHT = re.compile(r"\A\s{0,40}<think>.*?</think>", re.DOTALL)  # as Qwen3 and DeepSeek R1 write it


def read_row(row: Mapping[str, object], plan: Plan, notes: Counter[str]) -> list[Document | CorpusQA] | Miss:
    """Return the records of a row, or a miss. What cannot be kept is counted in `notes`.

    A language or domain that the row does not state is left as `zh` and the empty string, and decided later.
    """
    cells = {
        role: _cells(row, columns, notes)
        for role, columns in plan.columns.items()
        if role not in ("messages", "history", "options")
    }
    if sum(len(said) for several in cells.values() for said in several) > MAX_CELL_LENGTH:
        return Miss(TOO_LONG)
    match plan.form:
        case "herb":
            return _read_herb(row, cells, notes)
        case "choice":
            return _read_choice(row, plan, cells)
        case "conversation":
            return _read_conversation(row, plan, cells, notes)
        case "document":
            text = "\n".join(filter(None, map(_lines, cells["text"])))
            title = tidy(" ".join(cells.get("title", [])))
            return [Document(title, text, "")] if text else Miss("no text")
    return _read_question(row, plan, cells, notes)


def _read_question(
    row: Mapping[str, Any], plan: Plan, cells: dict[str, list[str]], notes: Counter[str]
) -> list[Document | CorpusQA] | Miss:
    title = tidy(" ".join(cells.get("title", [])[:1]))
    asked = cells.get("question", [])
    answers = [answer for said in cells["answer"] if (answer := _lines(_without_thought(said, notes)))]
    if messages := _messages_in(row, plan):
        return _record_from_conversation(read_conversation(messages, notes), title, cells, notes)
    notes["other wordings of a question, left out"] += max(0, len(asked) - 1)
    question = merged(title, *map(_lines, (*asked[:1], *cells.get("ask", []), *cells.get("text", []))))
    if not question or not answers:
        return Miss("no answer" if question else "no question")
    department = _department(cells)
    title = title or question.split("\n")[0]
    return [
        CorpusQA(title, question, answer, domain_of_department(department), department)
        for answer in dict.fromkeys(answers)
    ]


def _read_choice(row: Mapping[str, Any], plan: Plan, cells: dict[str, list[str]]) -> list[Document | CorpusQA] | Miss:
    """Return an exam's question with its options below it, a line each, and the right ones of these as its answer."""
    columns = plan.columns["options"]
    if len(columns) > 1:
        given = option_pairs({column.rpartition(NESTED)[2].strip().upper(): row.get(column) for column in columns})
    else:
        given = option_pairs(row.get(columns[0]))
    options = [(letter, text.strip()) for letter, text in given if letter in LETTERS and text.strip()]
    stem = tidy(" ".join(cells["question"][:1]))
    right = next(filter(None, (right_letters(key, options) for key in cells["answer"])), "")
    if not stem or len(options) < LEAST:
        return Miss("no question" if not stem else "no options")
    if not right:
        return Miss("no answer")
    question, answer = write_choice(stem, [(letter, tidy(text)) for letter, text in options], right)
    department = _department(cells)
    return [CorpusQA(stem, question, answer, domain_of_department(department), department)]


def _messages_in(row: Mapping[str, Any], plan: Plan) -> list[Any] | None:
    """Return TRL's prompt and completion, or LLaMA-Factory's history and instruction, as messages; else None."""
    prompt, answer = (
        next((row[c] for c in plan.columns.get(role, ()) if row.get(c)), None) for role in ("question", "answer")
    )
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict):
        said = answer if isinstance(answer, list) else [{"role": "assistant", "content": answer}]
        return [*prompt, *said]
    history = next((row[column] for column in plan.columns.get("history", ()) if row.get(column)), None)
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        return None
    detail = next((row[column] for column in plan.columns.get("ask", ()) if isinstance(row.get(column), str)), "")
    asked = merged(str(prompt or ""), detail)
    pairs = [*history, [asked, answer]]
    return [
        {"role": role, "content": said}
        for pair in pairs
        for role, said in zip(("user", "assistant"), pair, strict=True)
    ]


def _read_conversation(
    row: Mapping[str, Any], plan: Plan, cells: dict[str, list[str]], notes: Counter[str]
) -> list[Document | CorpusQA] | Miss:
    messages = next((row[column] for column in plan.columns["messages"] if row.get(column)), None)
    title = tidy(" ".join(cells.get("title", [])[:1]))
    return _record_from_conversation(read_conversation(messages, notes), title, cells, notes)


def _without_thought(answer: str, notes: Counter[str]) -> str:
    """Return an answer without what a model thought before it: that is no part of what is said to the asker."""
    said, count = _THOUGHT.subn("", answer, count=1)
    notes["thoughts before an answer, left out"] += count
    return said


def _record_from_conversation(
    found: Conversation | Miss, title: str, cells: dict[str, Any], notes: Counter[str]
) -> list[Document | CorpusQA] | Miss:
    """Return a conversation as one record. A turn of which nothing is left ends it before the question it answers."""
    if isinstance(found, Miss):
        return found
    if len(found.question) + len(found.answer) + sum(len(turn.text) for turn in found.turns) > MAX_CELL_LENGTH:
        return Miss(TOO_LONG)
    question = _lines(_clean(found.question, notes))
    answer = _lines(_clean(_without_thought(found.answer, notes), notes))
    if not question or not answer:
        return Miss("no answer" if question else "no question")
    turns: list[Turn] = []
    for asked, said in zip(found.turns[::2], found.turns[1::2], strict=True):
        words = [_lines(_clean(text, notes)) for text in (asked.text, _without_thought(said.text, notes))]
        if not all(words):
            notes["turns after one that says nothing, left out"] += len(found.turns) - len(turns)
            break
        turns += [Turn(ASKER, words[0]), Turn(DOCTOR, words[1])]
    department = _department(cells)
    domain = domain_of_department(department)
    title = title or question.split("\n")[0]
    return [CorpusQA(title, question, answer, domain, department, turns=tuple(turns))]


def _read_herb(
    row: Mapping[str, object], cells: dict[str, list[str]], notes: Counter[str]
) -> list[Document | CorpusQA] | Miss:
    name = next((tidy(said) for said in cells["herb"] if tidy(said)), "")
    if not name:
        return Miss("no herb's name")
    labels = {_clean(str(label), notes).strip(): "、".join(_cells(row, (label,), notes)) for label in row}
    text = "\n".join(f"【{label}】{tidy(said)}" for label, said in labels.items() if tidy(said))
    return [Document(name, text, "tcm")] if len(text) <= MAX_CELL_LENGTH else Miss(TOO_LONG)


def _department(cells: dict[str, list[str]]) -> tuple[str, ...]:
    said = tidy(" ".join(cells.get("department", [])[:1]))
    return (said,) if said else ()


# --- cells -------------------------------------------------------------------------------------------------------


def _cells(row: Mapping[str, object], columns: tuple[str, ...], notes: Counter[str]) -> list[str]:
    """Return the texts in some columns of a row; a list gives several.

    Numbers become text, nested columns are counted.
    """
    said: list[str] = []
    for column in columns:
        value = row.get(column)
        for one in _flatten(value):
            if isinstance(one, bool) or one is None:
                continue
            if isinstance(one, str | int | float):
                if one == one and (words := _clean(str(one), notes).strip()):  # NaN is not equal to itself
                    said.append(words)
            else:
                notes[f"nested values of {printable_name(column)}, left out"] += 1
    return said


def _flatten(value: object) -> list[Any]:
    """Return a list's members, including those of inner lists; else the value alone."""
    if not isinstance(value, list):
        return [value]
    return [inner for one in value for inner in (one if isinstance(one, list) else [one])]


def _clean(text: str, notes: Counter[str]) -> str:
    """Return the text without NULs and lone surrogates; a pair of surrogates becomes its character."""
    if "\0" in text:
        notes[NULS_REMOVED] += text.count("\0")
        text = text.replace("\0", "")
    if _SURROGATE.search(text):
        paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
        notes[SURROGATES_REMOVED] += len(paired) - len(whole)
        text = whole
    return text


def _lines(text: str) -> str:
    return "\n".join(filter(None, map(tidy, text.splitlines())))
