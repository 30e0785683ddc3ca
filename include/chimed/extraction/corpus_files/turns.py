"""Read a conversation: `messages`, ShareGPT's `conversations`, `history`.

The first question and its answer are the record's, what was said afterwards is its `turns`, as in a consultation of a
site. Files are not always in order; so that a record begins with a question, alternates and ends with an answer:

- messages of a system or a tool are left out, wherever they stand, and empty messages are;
- what one side said in several messages on end is one turn, a line each;
- answers before the first question and a last question without an answer are left out;
- a conversation with a role that nobody knows, without a question, or without an answer is no record.

All of this is counted in the file's notes.
"""

import re
from collections import Counter
from dataclasses import dataclass
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
    """Return what was said in turn; who speaks twice goes on."""
    said: list[tuple[str, list[str]]] = []
    for message in messages:
        turn = _read_turn(message, notes)
        if isinstance(turn, Miss):
            return turn
        if turn is None:
            continue
        if said and said[-1][0] == turn.role:
            notes["messages of one side on end, joined"] += 1
            said[-1][1].append(turn.text)
        else:
            said.append((turn.role, [turn.text]))
    return [Turn(role, "\n".join(several)) for role, several in said]


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


def _read_turn(message: object, notes: Counter[str]) -> Turn | Miss | None:
    """Return what a message says and who; None if it is empty or from a system or tool."""
    if not isinstance(message, dict):
        return Miss("messages that are no messages")
    fields = {str(key).strip().lower(): value for key, value in message.items()}
    role = str(next((fields[name] for name in _ROLE if fields.get(name)), "")).strip().lower()
    said = _message_text(next((fields[name] for name in _SAID if fields.get(name)), ""), notes)
    if role in IGNORED_ROLES:
        notes["messages of a system or a tool, left out"] += 1
        return None
    if role not in QUESTION_ROLES and role not in ANSWER_ROLES:
        return Miss("messages of an unknown role")
    if not said:
        notes["empty messages, left out"] += 1
        return None
    return Turn(ASKER if role in QUESTION_ROLES else DOCTOR, said)


def _message_text(content: object, notes: Counter[str]) -> str:
    """Return a message's text; for a list of parts, the text parts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        notes["parts of messages that are no text, left out"] += sum(not isinstance(one, str) for one in texts)
        content = "\n".join(one for one in texts if isinstance(one, str))
    return content.strip() if isinstance(content, str) else ""
