"""Read a conversation: `messages`, ShareGPT's `conversations`, `history`.

The first question and its answer are the record's, what was said afterwards is its `turns`, as in a consultation of a
site. Files are not always in order; so that a record begins with a question, alternates and ends with an answer:

- messages of a system or a tool are left out, wherever they stand;
- what one side said in several messages on end is one turn, a line each; empty messages among them are left out;
- a conversation ends before a turn without words, and before a message that is only a picture or a recording, for what
  follows answers what nobody can read. Before the first words, empty messages are left out;
- answers before the first question and a last question without an answer are left out;
- a conversation with a role that nobody knows, without a question, or without an answer is no record.

All of this is counted in the file's notes.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from chimed.roles import ASKER, DOCTOR
from chimed.sources.follow_ups import MAX_TURNS
from chimed.sources.page import Miss
from chimed.sources.parsed import Turn

QUESTION_ROLES = ("user", "human", "患者", "病人", "patient", "问", "用户", "usr", "client", "instruction")
ANSWER_ROLES = ("assistant", "gpt", "bot", "model", "医生", "doctor", "答", "chatgpt", "助手", "ai", "system_answer")
IGNORED_ROLES = ("system", "系统", "tool", "function", "observation", "function_call", "developer")

_PAIR = ("user", "assistant")
_LED = re.compile(r"\s{0,20}(\w{1,12})\s{0,20}[:：]\s*")
_ROLE = ("role", "from", "speaker", "角色", "sender")
_SAID = ("content", "value", "text", "内容", "utterance", "sentence")


@dataclass(frozen=True)
class Conversation:
    """The first question and its answer, and what was said afterwards: a question, its answer, and so on."""

    question: str
    answer: str
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class _Message:
    """One message of asker or doctor. is_lost: it has only parts that are no text, such as a picture."""

    role: str
    text: str
    is_lost: bool


def read_conversation(messages: object, notes: Counter[str]) -> Conversation | Miss:
    """Return a list of messages as a conversation; what is no part of it is counted in `notes`."""
    if not isinstance(messages, list) or not messages:
        return Miss("no messages")
    if all(isinstance(one, str) for one in messages):
        messages = _assign_roles(messages)
    elif all(map(_is_pair, messages)):
        messages = _assign_roles([said for pair in messages for said in pair])
    turns = _turns(messages, notes)
    if isinstance(turns, Miss):
        return turns
    if turns and turns[0].role == DOCTOR:
        notes["answers before any question, left out"] += 1
        turns = turns[1:]
    if len(turns) == 1:
        return Miss("no answer")
    if not turns:
        return Miss("no question")
    if len(turns) % 2:
        notes["last questions without an answer, left out"] += 1
        turns = turns[:-1]
    first, answer, *later = turns
    notes[f"turns after the first {MAX_TURNS} that follow an answer, left out"] += max(0, len(later) - MAX_TURNS)
    return Conversation(first.text, answer.text, tuple(later[:MAX_TURNS]))


def _turns(messages: list[Any], notes: Counter[str]) -> list[Turn] | Miss:
    """Return what was said in turn, up to the first turn without words; who speaks twice goes on."""
    read = []
    for message in messages:
        one = _read_message(message, notes)
        if isinstance(one, Miss):
            return one
        if one is not None:
            read.append(one)
    turns: list[Turn] = []
    for role, side in groupby(read, lambda one: one.role):
        several = list(side)
        read_to = next((n for n, one in enumerate(several) if one.is_lost), len(several))
        texts = [one.text for one in several[:read_to] if one.text]
        if texts:
            turns.append(Turn(role, "\n".join(texts)))
            notes["messages of one side on end, joined"] += len(texts) - 1
        if read_to < len(several) or (turns and not texts):
            notes["conversations that end before a turn without words"] += 1
            break
    return turns


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(said, str) for said in value)


def _assign_roles(said: list[str]) -> list[dict[str, Any]]:
    """Return alternating texts as messages, by their prefixes if all have one (HuatuoGPT's 问：).

    Otherwise the first one asks.
    """
    led = [_LED.match(one) for one in said]
    if all(lead and lead[1].lower() in (*QUESTION_ROLES, *ANSWER_ROLES) for lead in led):
        return [{"role": lead[1], "content": one[lead.end() :]} for lead, one in zip(led, said, strict=True) if lead]
    return [{"role": _PAIR[n % 2], "content": one} for n, one in enumerate(said)]


def _read_message(message: object, notes: Counter[str]) -> _Message | Miss | None:
    """Return what a message says and who; None if it is from a system or tool."""
    if not isinstance(message, dict):
        return Miss("messages that are no messages")
    fields = {str(key).strip().lower(): value for key, value in message.items()}
    role = str(next((fields[name] for name in _ROLE if fields.get(name)), "")).strip().lower()
    text, others = _message_text(next((fields[name] for name in _SAID if fields.get(name)), ""))
    notes["parts of messages that are no text, left out"] += others
    if role in IGNORED_ROLES:
        notes["messages of a system or a tool, left out"] += 1
        return None
    if role not in QUESTION_ROLES and role not in ANSWER_ROLES:
        return Miss("messages of an unknown role")
    if not text:
        notes["empty messages, left out"] += 1
    return _Message(ASKER if role in QUESTION_ROLES else DOCTOR, text, is_lost=not text and others > 0)


def _message_text(content: object) -> tuple[str, int]:
    """Return a message's text, and how many of its parts are no text; for a list of parts, the text parts."""
    others = 0
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        others = sum(not isinstance(one, str) for one in texts)
        content = "\n".join(one for one in texts if isinstance(one, str))
    return content.strip() if isinstance(content, str) else "", others
