"""Send one chat completion to an OpenAI-compatible server and read the answer. Paper §3.2, advanced processing.

How a server can be held to a set of answers is found by a probe, because some servers accept a constraint and silently
ignore it. An error that may go away raises `TransientError`, a request that will never be answered returns `Refused`,
and everything else returns a `Reply` (`chimed.llm.reply` decides whether it is usable).
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from chimed.characters import short
from chimed.llm.reply import Reply, TransientError, make_faulty_reply, malformed_body, parse_completion
from chimed.retry_after import retry_after

BUSY_STATUSES = (408, 409, 425, 429)  # with 5xx, the errors that may go away by themselves
MAX_RETRY_AFTER = 120.0  # seconds; a server that asks for more counts as down
WRAPPER_TOKENS = 24  # tokens of {"answer": "…"} around an answer
MAX_BODY_BYTES = 4 * 1024 * 1024  # the longest answer with its thinking is a hundredth of this


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server: base URL up to /v1, the model's name there, and the setting that points to it.

    named: what a setting says the model is. identity: which model really answers under that name
    (`chimed.llm.identity`); replies are stored under it.
    """

    url: str
    model: str
    key: str
    setting: str
    named: str | None = None
    identity: str = ""

    @property
    def who(self) -> str:
        """Return the model's name for keys, rows and reports."""
        return self.identity or self.model

    def setting_of(self, what: Literal["MODEL", "IDENTITY"]) -> str:
        """Return where the model's name at the server, or what it really is, is set."""
        if self.setting.endswith("_URL"):
            return self.setting.removesuffix("URL") + what
        return f"the {'second' if what == 'MODEL' else 'third'} word of its entry in {self.setting}"


@dataclass(frozen=True)
class Request:
    """One request to a model. sample: tells equal requests apart.

    constraint: {"choice": […]}, {"regex": …} or {"json": schema}.
    """

    prompt: str
    messages: list[dict[str, str]]
    sampling: dict[str, Any]
    constraint: dict[str, Any] | None = None
    sample: int = 0


@dataclass(frozen=True)
class Refused:
    """A request that the server will not answer, and why (for example, too long for the model)."""

    key: str
    reason: str


@dataclass(frozen=True)
class Dialect:
    """How a server can be held to a set of answers, and whether it accepts vLLM's `chat_template_kwargs`."""

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
    {"max_tokens": 32, "temperature": 0.0},  # a small vocabulary needs several tokens for a rare character
    {"choice": _CHOICES},
)


def follows_dialect(dialect: Dialect, answer: Reply | Refused) -> bool:
    """Return whether the answer to `PROBE` shows that the server supports this dialect."""
    if dialect.constraint == "none":
        return isinstance(answer, Reply)
    return isinstance(answer, Reply) and answer.text in _CHOICES


async def post(
    http: aiohttp.ClientSession, server: Server, dialect: Dialect, key: str, request: Request
) -> Reply | Refused:
    """Send a request once. Raises TransientError for errors that may go away."""
    began, status, content = time.monotonic(), 0, bytearray()
    try:
        # redirects are not followed: another server has other models, and must not get the key
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
        return Refused(key, f"HTTP {status}: it redirects to {there}; set {server.setting} to the model's own address")
    if status != 200:
        return Refused(key, f"HTTP {status}: {_excerpt(content, 300)}")
    seconds = round(time.monotonic() - began, 4)
    if len(content) > MAX_BODY_BYTES:
        return make_faulty_reply(key, bytes(content), seconds, f"a body of more than {MAX_BODY_BYTES} bytes")
    return parse_completion(key, bytes(content), seconds, wrapped=_is_wrapped(request, dialect))


def _describe_timeout(seconds: float | None) -> str:
    return f"no complete answer within {seconds or 0:g} s (CHIMED_LLM_TIMEOUT)"


def _excerpt(content: bytearray, most: int) -> str:
    return short(content[: 4 * most].decode(errors="replace"), most)


def request_body(request: Request, model: str, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON body of a request. The seed is the sample's number, so a sample is the same in every run."""
    said: dict[str, Any] = {"model": model, "messages": request.messages, **request.sampling, "seed": request.sample}
    if dialect.template:
        # Qwen3 would think aloud first, but constrained replies must be the answer. Other templates ignore this.
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


def json_schema(constraint: dict[str, Any]) -> dict[str, Any]:
    """Return a constraint as JSON schema.

    A choice or a regex is wrapped in an object with one field, as OpenAI requires.
    """
    if "json" in constraint:
        return constraint["json"]
    answer: dict[str, Any] = {"type": "string"}
    if "choice" in constraint:
        answer["enum"] = constraint["choice"]
    else:
        answer["pattern"] = f"^{constraint['regex']}$"
    return {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}


def _is_wrapped(request: Request, dialect: Dialect) -> bool:
    return dialect.constraint == "response_format" and "json" not in (request.constraint or {"json": None})
