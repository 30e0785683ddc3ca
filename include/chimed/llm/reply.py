"""Read a completion's body and decide whether it is usable. Paper §3.2.

The body is untrusted input. The result is a `Reply` that any store accepts: the text without the thinking, which is
kept separately, and a `fault` if no stage can use the text. Errors that may go away (an incomplete body, a server that
shuts down) raise `TransientError` instead.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from chimed.characters import first_invalid_character, storable

STOP_REASONS = (
    "stop",
    "eos",
    "eos_token",
    "stop_sequence",
    "end_turn",
)  # servers' words for a complete reply
ABORT_REASONS = ("abort", "error")  # vLLM's, when it is shut down in the middle of a reply
MAX_TOKENS = 10_000_000  # of a reply or prompt; a larger count is a server's mistake
THINKING_PREFIX = 200  # characters of a reply in which thinking aloud must begin
MAX_FAULTY_CHARACTERS = 2_000  # characters kept of a body that is no completion, for a person to look at

# Thinking in tags, as the families write it: Qwen and DeepSeek, Seed, Kimi, Mistral.
_OPEN = r"<(?:seed:)?think(?:ing)?>|<thought>|<reasoning>|◁think▷|\[THINK\]"
_CLOSE = r"</(?:seed:)?think(?:ing)?>|</thought>|</reasoning>|◁/think▷|\[/THINK\]"
_TAG = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
# Thinking without tags: how the families begin it, in English or Chinese, where the answer should stand. Nothing tells
# where it ends, so such a reply is all thinking.
_ALOUD = re.compile(
    r"\A\s*(?:"
    r"(?:(?:okay|ok|alright|all right|hmm+|wait|well|so|right|first|now|here)\b[,.…:! ]*)*"
    r"(?:the user|the task|the question|the instructions?|the prompt|we (?:need|have|are|must|should)|"
    r"i (?:need|have|must|should|will|'ll|am|think)|i'll|let me|let's|let us|thinking process|"
    r"here's (?:a|my) thinking|my task)\b"
    r"|(?:嗯+|唔+|好的?|那么|首先|现在)?[，,、。…]*(?:首先|现在|那)?[，,]?"
    r"(?:用户(?:让|要求|想|问|给|提供|的(?:问题|要求|请求|需求)|希望|需要|发来|在问)"
    r"|我(?:现在|首先|得|需要|应该|要|来)(?:先|得|需要|要)?(?:把|将|分析|理解|弄清|搞清|翻译|判断|仔细|回忆|考虑|确定|思考|看看?|"
    r"想想?|处理|解决|根据|按照|从文|明确)"
    r"|让我(?:先|来|仔细|们)?(?:想|看|分析|思考|理解|回忆|考虑|逐)|思考过程[:：])"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reply:
    """A model's reply and its cost.

    text: the answer without thinking. reasoning: the thinking. fault: why the text is unusable (None: it is usable).
    prompt_tokens, completion_tokens: 0 if the server does not report them. seconds: how long it took. ended: when, in
    Unix time. tries: how often it was asked. known: it came from the store, and nothing was paid.
    """

    key: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    known: bool = False
    tries: int = 1
    ended: float = 0.0
    reasoning: str | None = None
    fault: str | None = None


class TransientError(Exception):
    """An error that may go away when the request is sent again.

    after: the server's Retry-After in seconds. reply: the unusable reply to keep if the error persists, None if there
    was none. busy: the server cannot answer any request now.
    """

    def __init__(self, reason: str, after: float = 0.0, reply: Reply | None = None, busy: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.reply = reply
        self.busy = busy


def parse_completion(key: str, content: bytes, seconds: float, wrapped: bool = False) -> Reply:
    """Parse a completion's body. Raises TransientError if it is incomplete or no completion.

    wrapped: the answer is the single field of a JSON object; if it is not, the text stays unchanged.
    """
    try:
        value = json.loads(content.decode("utf-8"))
        choice = value["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        said = message.get("content")
        thought = message.get("reasoning") or message.get("reasoning_content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise malformed_body(key, content, seconds, f"{type(error).__name__}: {error}") from None
    if finish in ABORT_REASONS:
        raise TransientError(
            f"reply ended by {finish!r}", reply=make_faulty_reply(key, content, seconds, f"reply ended by {finish}")
        )
    finish = "stop" if finish in STOP_REASONS else finish
    fault = None if finish in ("stop", "length") else f"reply ended by {finish!r}"
    if said is not None and not isinstance(said, str):
        fault = fault or f"the content is no text but a {type(said).__name__}"
        said = json.dumps(said, ensure_ascii=False)[:MAX_FAULTY_CHARACTERS]
    text, aloud = split_thinking(said or "")
    reasoning = "\n".join(part for part in (thought, aloud) if isinstance(part, str) and part.strip()) or None
    text = _unwrap(text) if wrapped else text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        fault = fault or ("thinking and no answer" if reasoning else "empty reply")
    if odd := first_invalid_character(text):
        fault = fault or f"a character that is no text: {odd}"
    prompt_tokens, completion_tokens = _tokens(value, "prompt_tokens"), _tokens(value, "completion_tokens")
    return Reply(
        key,
        storable(text),
        finish if finish in ("stop", "length") else "other",
        prompt_tokens,
        completion_tokens,
        seconds,
        ended=time.time(),
        reasoning=storable(reasoning) if reasoning else None,
        fault=storable(fault[:200]) if fault else None,
    )


def make_faulty_reply(key: str, content: bytes, seconds: float, fault: str) -> Reply:
    """Make a Reply from an unusable body. Its text is the body's beginning, for a person to look at."""
    text = storable(content[: 4 * MAX_FAULTY_CHARACTERS].decode("utf-8", errors="replace"))[:MAX_FAULTY_CHARACTERS]
    return Reply(key, text, "other", 0, 0, seconds, ended=time.time(), fault=storable(fault[:200]))


def malformed_body(key: str, content: bytes, seconds: float, why: str) -> TransientError:
    """Make the error for a body that is no completion, most often an incomplete one."""
    return TransientError(
        f"malformed body: {why[:150]}", reply=make_faulty_reply(key, content, seconds, f"malformed body: {why}")
    )


def split_thinking(said: str) -> tuple[str, str]:
    """Split a model's text into answer and thinking.

    Thinking is everything before a closing tag, with or without an opening one, everything after an unclosed opening
    tag, and all of a text that thinks aloud without tags.
    """
    answer: list[str] = []
    thoughts: list[str] = []
    start, thinking = 0, False
    for tag in _TAG.finditer(said):
        piece = said[start : tag.start()]
        if tag["open"] or thinking:
            (thoughts if thinking else answer).append(piece)
            thinking = bool(tag["open"])
        else:
            thoughts += [*answer, piece]
            answer = []
        start = tag.end()
    (thoughts if thinking else answer).append(said[start:])
    text, thought = "".join(answer), "\n".join(piece.strip() for piece in thoughts if piece.strip())
    if start:
        text = text.strip()
    return ("", f"{thought}\n{text}".strip()) if _ALOUD.match(text[:THINKING_PREFIX]) else (text, thought)


def _tokens(value: dict[str, Any], name: str) -> int:
    """Return a token count of the usage; 0 if the server reports none that is plausible."""
    usage = value.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= MAX_TOKENS:
        return 0  # this comparison is false for NaN, too
    return int(count)


def _unwrap(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text  # not the JSON we asked for: the stage gets the raw text and reports that it cannot read it
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer if isinstance(answer, str) else text
