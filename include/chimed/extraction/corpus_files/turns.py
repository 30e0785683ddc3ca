"""A conversation of several turns as questions with their answers: `messages`, ShareGPT's `conversations`, `history`.

The first question and its answer make a record. Every later exchange makes one too, whose question begins with what
was said before it, as far as `CONTEXT` goes: a later question means little alone, and nothing of it is lost. All of
them stand on one page, so they are never divided between training and validation.
"""

import re
from collections import Counter
from dataclasses import dataclass

from chimed.sources.page import Miss

CONTEXT = 1_000  # characters of earlier exchanges before a later question; the one just before it always stands there
ASKS = ("user", "human", "患者", "病人", "patient", "问", "用户", "usr", "client", "instruction")
ANSWERS = ("assistant", "gpt", "bot", "model", "医生", "doctor", "答", "chatgpt", "助手", "ai", "system_answer")
SILENT = ("system", "系统", "tool", "function", "observation", "function_call", "developer")

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
        """The question as a record holds it: behind what was said before, if there was something."""
        held: list[str] = []
        for question, answer in reversed(self.before):
            said = f"问：{question}\n答：{answer}"
            if held and sum(map(len, held)) + len(said) > CONTEXT:
                break
            held.insert(0, said)
        return "\n".join([*held, f"问：{self.question}"]) if held else self.question


def exchanges(messages: object, notes: Counter) -> list[Exchange] | Miss:
    """Return the exchanges of a list of messages; what is no question and no answer is counted in `notes`."""
    if not isinstance(messages, list) or not messages:
        return Miss("no messages")
    if all(isinstance(one, str) for one in messages):
        messages = _in_turn(messages)
    elif all(map(_is_pair, messages)):
        messages = _in_turn([said for pair in messages for said in pair])
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


def _turns(messages: list, notes: Counter) -> list[tuple[bool, str]] | Miss:
    """Whether a question, and its words; who speaks twice goes on."""
    turns: list[tuple[bool, str]] = []
    for message in messages:
        turn = _turn(message, notes)
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


def _in_turn(said: list[str]) -> list[dict]:
    """What is said in turn as messages: by whom where all begin with that (HuatuoGPT's 问：), else the first asks."""
    led = [_LED.match(one) for one in said]
    if all(lead and lead[1].lower() in (*ASKS, *ANSWERS) for lead in led):
        return [{"role": lead[1], "content": one[lead.end() :]} for lead, one in zip(led, said, strict=True) if lead]
    return [{"role": _PAIR[n % 2], "content": one} for n, one in enumerate(said)]


def _turn(message: object, notes: Counter) -> tuple[bool, str] | Miss | None:
    """(whether it asks, what it says) of a message; None where it says nothing to anyone."""
    if not isinstance(message, dict):
        return Miss("messages that are no messages")
    fields = {str(key).strip().lower(): value for key, value in message.items()}
    role = str(next((fields[name] for name in _ROLE if fields.get(name)), "")).strip().lower()
    said = _said(next((fields[name] for name in _SAID if fields.get(name)), ""), notes)
    if role in SILENT:
        notes["messages of a system or a tool, left out"] += 1
        return None
    if role not in ASKS and role not in ANSWERS:
        return Miss("messages of an unknown role")
    return (role in ASKS, said) if said else None


def _said(content: object, notes: Counter) -> str:
    """A message's words; of a list of parts the texts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        notes["parts of messages that are no text, left out"] += sum(not isinstance(one, str) for one in texts)
        content = "\n".join(one for one in texts if isinstance(one, str))
    return content.strip() if isinstance(content, str) else ""
