"""Split a conversation into questions with answers: `messages`, ShareGPT's `conversations`, `history`.

The first question and its answer make a record. Every later exchange makes one too, whose question begins with what was
said before, up to `MAX_CONTEXT_LENGTH`: a later question means little alone, and nothing is lost. All of them have the
same page, so they are never split between training and validation.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from chimed.sources.page import Miss

MAX_CONTEXT_LENGTH = 1_000  # characters of earlier exchanges in a later question; the last one always stands there
QUESTION_ROLES = ("user", "human", "患者", "病人", "patient", "问", "用户", "usr", "client", "instruction")
ANSWER_ROLES = ("assistant", "gpt", "bot", "model", "医生", "doctor", "答", "chatgpt", "助手", "ai", "system_answer")
IGNORED_ROLES = ("system", "系统", "tool", "function", "observation", "function_call", "developer")

_PAIR = ("user", "assistant")
_LED = re.compile(r"\s{0,20}(\w{1,12})\s{0,20}[:：]\s*")
_ROLE = ("role", "from", "speaker", "角色", "sender")
_SAID = ("content", "value", "text", "内容", "utterance", "sentence")


@dataclass(frozen=True)
class Exchange:
    """A question, its answer, and the exchanges before it in the same conversation."""

    question: str
    answer: str
    before: tuple[tuple[str, str], ...] = ()

    def asked(self) -> str:
        """Return the question for a record, preceded by what was said before, if anything."""
        held: list[str] = []
        for question, answer in reversed(self.before):
            said = f"问：{question}\n答：{answer}"
            if held and sum(map(len, held)) + len(said) > MAX_CONTEXT_LENGTH:
                break
            held.insert(0, said)
        return "\n".join([*held, f"问：{self.question}"]) if held else self.question


def split_exchanges(messages: object, notes: Counter[str]) -> list[Exchange] | Miss:
    """Return the exchanges of a list of messages; what is no question and no answer is counted in `notes`."""
    if not isinstance(messages, list) or not messages:
        return Miss("no messages")
    if all(isinstance(one, str) for one in messages):
        messages = _assign_roles(messages)
    elif all(map(_is_pair, messages)):
        messages = _assign_roles([said for pair in messages for said in pair])
    turns = _turns(messages, notes)
    if isinstance(turns, Miss):
        return turns
    if turns and not turns[0][0]:
        notes["answers before any question, left out"] += 1
        turns = turns[1:]
    if len(turns) == 1:
        return Miss("no answer")
    if len(turns) % 2:
        notes["last questions without an answer, left out"] += 1
    pairs = [(asked, said) for (_, asked), (_, said) in zip(turns[::2], turns[1::2], strict=False)]
    if not pairs:
        return Miss("no question")
    return [Exchange(*pair, tuple(pairs[:n])) for n, pair in enumerate(pairs)]


def _turns(messages: list[Any], notes: Counter[str]) -> list[tuple[bool, str]] | Miss:
    """Whether a question, and its words; who speaks twice goes on."""
    turns: list[tuple[bool, str]] = []
    for message in messages:
        turn = _read_turn(message, notes)
        if isinstance(turn, Miss):
            return turn
        if turn is None:
            continue
        if turns and turns[-1][0] == turn[0]:
            turns[-1] = (turn[0], f"{turns[-1][1]}\n{turn[1]}")
        else:
            turns.append(turn)
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


def _read_turn(message: object, notes: Counter[str]) -> tuple[bool, str] | Miss | None:
    """Return (whether it asks, its text) of a message; None if it is empty or from a system or tool."""
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
    return (role in QUESTION_ROLES, said) if said else None


def _message_text(content: object, notes: Counter[str]) -> str:
    """Return a message's text; for a list of parts, the text parts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        notes["parts of messages that are no text, left out"] += sum(not isinstance(one, str) for one in texts)
        content = "\n".join(one for one in texts if isinstance(one, str))
    return content.strip() if isinstance(content, str) else ""
