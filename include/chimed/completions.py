"""One chat completion on the wire: what is sent to an OpenAI-compatible server, and what of its answer can be believed.

Paper §3.2, advanced processing. A server says how it wants to be held to an answer by obeying a probe, because some
take a constraint and ignore it without a word. What it does wrong for a moment is `Passing`, what it will never answer
is `Refused`, and everything else is a `Reply`: whole, well-formed, and of this request.
"""

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp

BUSY = (408, 409, 425, 429)  # with 5xx, the statuses that may go away by themselves
WHOLE = ("stop", "length")  # vLLM ends a reply with "abort" when it is shut down in mid-sentence: that is no answer
LONGEST_WAIT = 120.0  # seconds; a server that asks for more patience is down for us
WRAPPED_TOKENS = 24  # what {"answer": "…"} costs around an answer
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server: base URL up to /v1, the model's name there, and the setting that points to it."""

    url: str
    model: str
    key: str
    setting: str


@dataclass(frozen=True)
class Request:
    """One question to a model; `sample` tells equal ones apart.

    constraint: {"choice": […]}, {"regex": …} or {"json": schema}.
    """

    prompt: str
    messages: list[dict[str, str]]
    sampling: dict
    constraint: dict | None = None
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """A model's answer and what it cost.

    seconds: how long the server took; ended: when, in Unix time; tries: how often it was asked until it answered.
    known: it was in the store, and nothing was paid.
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


@dataclass(frozen=True)
class Refused:
    """A request the server would not answer, and why (too long for the model, say)."""

    key: str
    reason: str


@dataclass(frozen=True)
class Planned:
    """A request that would be made; known: its reply is in the store."""

    server: Server
    request: Request
    known: bool


class Passing(Exception):
    """Something that may go right when tried again; `after` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class Dialect:
    """How a server is held to an answer, and whether it takes vLLM's `chat_template_kwargs`."""

    constraint: Literal["structured_outputs", "response_format", "none"]
    template: bool = True


# In the order of the probe: vLLM's own, OpenAI's JSON schema, nothing; then for servers that want no unknown fields.
DIALECTS = (
    Dialect("structured_outputs"),
    Dialect("response_format"),
    Dialect("response_format", template=False),
    Dialect("none"),
    Dialect("none", template=False),
)
_CHOICES = ["甲乙丙", "丁戊己"]
PROBE = Request(
    "probe",
    [{"role": "user", "content": "Say OK."}],
    {"max_tokens": 8, "temperature": 0.0},
    {"choice": _CHOICES},
)


def obeyed(dialect: Dialect, answer: Reply | Refused) -> bool:
    """Whether the answer to `PROBE` shows that the server speaks this dialect."""
    if dialect.constraint == "none":
        return isinstance(answer, Reply)
    return isinstance(answer, Reply) and answer.text in _CHOICES


async def post(
    http: aiohttp.ClientSession, server: Server, dialect: Dialect, key: str, request: Request
) -> Reply | Refused:
    """Asks once. Raises Passing for whatever may go right the next time."""
    began = time.monotonic()
    try:
        async with http.post(f"{server.url}/chat/completions", json=body(request, server.model, dialect)) as response:
            content = await response.read()
            status, headers = response.status, response.headers
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise Passing(f"{type(error).__name__}: {error}") from None
    if status in BUSY or status >= 500:
        raise Passing(f"HTTP {status}", retry_after(headers.get("Retry-After")))
    if status != 200:
        return Refused(key, f"HTTP {status}: {content[:300].decode(errors='replace')}")
    seconds = round(time.monotonic() - began, 4)
    return parse(key, content, seconds, wrapped=_is_wrapped(request, dialect))


def body(request: Request, model: str, dialect: Dialect) -> dict:
    """The JSON of a request. The seed is the sample's number, so that a sample is the same in every run."""
    said: dict = {"model": model, "messages": request.messages, **request.sampling, "seed": request.sample}
    if dialect.template:
        # Qwen3 would think aloud first; the constrained steps want the answer at once. Other templates ignore it.
        said["chat_template_kwargs"] = {"enable_thinking": False}
    if request.constraint and dialect.constraint == "structured_outputs":
        said["structured_outputs"] = request.constraint
    elif request.constraint and dialect.constraint == "response_format":
        said["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema(request.constraint)},
        }
        if _is_wrapped(request, dialect) and "max_tokens" in said:
            said["max_tokens"] += WRAPPED_TOKENS
    return said


def schema(constraint: dict) -> dict:
    """A constraint as JSON schema; a choice or a regex becomes the one field of an object, as OpenAI demands."""
    if "json" in constraint:
        return constraint["json"]
    answer: dict = {"type": "string"}
    if "choice" in constraint:
        answer["enum"] = constraint["choice"]
    else:
        answer["pattern"] = f"^{constraint['regex']}$"
    return {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}


def _is_wrapped(request: Request, dialect: Dialect) -> bool:
    return dialect.constraint == "response_format" and "json" not in (request.constraint or {"json": None})


def parse(key: str, content: bytes, seconds: float, wrapped: bool = False) -> Reply:
    """A completion's body as a Reply. Raises Passing where it is not whole or not well-formed.

    wrapped: the answer is the one field of a JSON object; where it is not, the text stays as it came.
    """
    try:
        value = json.loads(content)
        choice, usage = value["choices"][0], value["usage"]
        text, finish = choice["message"]["content"], choice["finish_reason"]
        if not isinstance(text, str):
            raise TypeError("content is not text")
        prompt_tokens, completion_tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (ValueError, LookupError, TypeError) as error:
        raise Passing(f"malformed body: {type(error).__name__}: {error}") from None
    if finish not in WHOLE:
        raise Passing(f"reply ended by {finish!r}")
    text = _THOUGHT.sub("", text, count=1) if text.lstrip().startswith("<think>") else text
    if wrapped:
        text = _unwrapped(text)
    return Reply(key, text, finish, prompt_tokens, completion_tokens, seconds, ended=time.time())


def _unwrapped(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text  # not as asked: the stage sees the raw text and says that it cannot read it
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer if isinstance(answer, str) else text


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing readable."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(0.0, seconds), LONGEST_WAIT)  # in this order not-a-number becomes 0
