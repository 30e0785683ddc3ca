"""One chat completion on the wire: what is sent to an OpenAI-compatible server, and what comes back.

Paper §3.2, advanced processing. A server says how it wants to be held to an answer by obeying a probe, because some
take a constraint and ignore it without a word. What it does wrong for a moment is `Passing`, what it will never answer
is `Refused`, and everything else is a `Reply` (`reply` says what of it can be believed).
"""

import time
from dataclasses import dataclass
from typing import Literal

import aiohttp

from chimed.characters import short
from chimed.llm.reply import Reply, TransientError, make_faulty_reply, malformed_body, parse_completion
from chimed.retry_after import retry_after

BUSY_STATUSES = (408, 409, 425, 429)  # with 5xx, the statuses that may go away by themselves
MAX_RETRY_AFTER = 120.0  # seconds; a server that asks for more patience is down for us
WRAPPER_TOKENS = 24  # what {"answer": "…"} costs around an answer
MAX_BODY_BYTES = 4 * 1024 * 1024  # of a body: the longest answer with its thinking is a hundredth of it


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server: base URL up to /v1, the model's name there, and the setting that points to it.

    named: what a setting says that the model is. identity: who really answers under the model's name there
    (`chimed.llm.identity`); what replies are kept under.
    """

    url: str
    model: str
    key: str
    setting: str
    named: str | None = None
    identity: str = ""

    @property
    def who(self) -> str:
        """What a reply's key, a row and a report say of the model."""
        return self.identity or self.model


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
class Refused:
    """A request the server would not answer, and why (too long for the model, say)."""

    key: str
    reason: str


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
    {"max_tokens": 32, "temperature": 0.0},  # a small vocabulary takes several tokens for a rare character
    {"choice": _CHOICES},
)


def follows_dialect(dialect: Dialect, answer: Reply | Refused) -> bool:
    """Whether the answer to `PROBE` shows that the server speaks this dialect."""
    if dialect.constraint == "none":
        return isinstance(answer, Reply)
    return isinstance(answer, Reply) and answer.text in _CHOICES


async def post(
    http: aiohttp.ClientSession, server: Server, dialect: Dialect, key: str, request: Request
) -> Reply | Refused:
    """Asks once. Raises Passing for whatever may go right the next time."""
    began, status, content = time.monotonic(), 0, bytearray()
    try:
        # not where it redirects to: another server has other models, and no claim to the key
        async with http.post(
            f"{server.url}/chat/completions", json=request_body(request, server.model, dialect), allow_redirects=False
        ) as response:
            status, headers = response.status, response.headers
            async for piece in response.content.iter_any():
                content.extend(piece)
                if len(content) > MAX_BODY_BYTES:
                    break  # the connection is closed, whatever would follow
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        why = short(f"{type(error).__name__}: {error}", 200) if str(error) else _describe_timeout(http.timeout.total)
        if status == 200:
            raise malformed_body(key, bytes(content), time.monotonic() - began, f"cut off by {why}") from None
        raise TransientError(why) from None
    if status in BUSY_STATUSES or status >= 500:
        after = min(retry_after(headers.get("Retry-After")) or 0.0, MAX_RETRY_AFTER)
        raise TransientError(f"HTTP {status}: {_excerpt(content, 150)}", after, busy=status != 500)
    if 300 <= status < 400:
        there = short(headers.get("Location", "nowhere"), 200)
        return Refused(key, f"HTTP {status}: it redirects to {there}; {server.setting} must name where the model is")
    if status != 200:
        return Refused(key, f"HTTP {status}: {_excerpt(content, 300)}")
    seconds = round(time.monotonic() - began, 4)
    if len(content) > MAX_BODY_BYTES:
        return make_faulty_reply(key, bytes(content), seconds, f"a body of more than {MAX_BODY_BYTES} bytes")
    return parse_completion(key, bytes(content), seconds, wrapped=_is_wrapped(request, dialect))


def _describe_timeout(seconds: float | None) -> str:
    return f"no whole answer within {seconds or 0:g} s (CHIMED_LLM_TIMEOUT)"


def _excerpt(content: bytearray, most: int) -> str:
    return short(content[: 4 * most].decode(errors="replace"), most)


def request_body(request: Request, model: str, dialect: Dialect) -> dict:
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
            "json_schema": {"name": "answer", "strict": True, "schema": json_schema(request.constraint)},
        }
        if _is_wrapped(request, dialect) and "max_tokens" in said:
            said["max_tokens"] += WRAPPER_TOKENS
    return said


def json_schema(constraint: dict) -> dict:
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
