"""A conversation in the terminal with a model: a recipe's base or phase, any checkpoint, or a server's. Ours.

What a person types is text: control tokens are taken out. What a model writes is text, too: nothing of it reaches the
terminal that a terminal would obey. Both sides are bounded: a question by its length, a reply by its tokens, and the
oldest turns are left out when the conversation no longer fits the model.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TextIO

import httpx

from chimed.characters import one_line, printable, short, storable
from chimed.errors import UserError
from chimed.llm import identity
from chimed.text.control_tokens import without_control_tokens

Messages = list[dict[str, str]]
Say = Callable[[str], None]

LONGEST = 20_000  # characters of a question
MOST_BYTES = 4 << 20  # of a reply from a server
HELP = "/reset begins a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops a reply"
NOTICE = "For research; nothing it says is medical advice."


class Backend(Protocol):
    """A model that answers."""

    @property
    def name(self) -> str:
        """What the user is told he talks with."""
        ...

    def reply(self, messages: Messages, say: Say) -> str:
        """Return the reply to a conversation; `say` hears each piece as it comes.

        Raises TooLong where the conversation does not fit, and UserError for what else the user can mend.
        """
        ...


class TooLong(Exception):
    """The conversation, with the reply, does not fit the model."""


@dataclass
class Conversation:
    """The turns so far. system: what the model is told first, or nothing."""

    system: str | None
    turns: Messages = field(default_factory=list)

    def messages(self) -> Messages:
        """Return what is sent."""
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.turns]


def talk(backend: Backend, system: str | None, lines: Iterator[str | None], out: TextIO, told: TextIO) -> int:
    """Hold a conversation until its lines end; return how many questions were left without a reply.

    lines: what the user types; None for Ctrl-C at the prompt, of which a second one in a row leaves. out: where replies
    go. told: where everything else goes.
    """
    print(f"{backend.name}. {NOTICE}\n{HELP}", file=told, flush=True)
    conversation, unanswered, left = Conversation(_clean(system) if system else None), 0, False
    for line in lines:
        if line is None:
            if left:
                break
            left = True
            print("\nCtrl-C again, Ctrl-D or /exit leaves", file=told, flush=True)
            continue
        left = False
        command = line.strip()
        if command == "/exit":
            break
        if command == "/reset":
            conversation.turns.clear()
            print("a new conversation begins", file=told, flush=True)
        elif command.startswith("/"):
            print(f"{one_line(command[:40])} is no command: {HELP}", file=told, flush=True)
        elif len(line) > LONGEST:
            unanswered += 1
            print(f"that has {len(line):,} characters; ask in at most {LONGEST:,}", file=told, flush=True)
        elif question := _clean(line):
            unanswered += not _turn(backend, conversation, question, out, told)
    return unanswered


def _turn(backend: Backend, conversation: Conversation, question: str, out: TextIO, told: TextIO) -> bool:
    """Ask and print the reply; return whether one came. A question without a reply is taken back."""
    pieces: list[str] = []
    failed: UserError | None = None

    def say(piece: str) -> None:
        pieces.append(piece)
        out.write(printable(storable(piece)))
        out.flush()

    conversation.turns.append({"role": "user", "content": question})
    try:
        text = _fitting(backend, conversation, say, told)
    except KeyboardInterrupt:
        text = "".join(pieces)
        print("\nstopped", file=told, flush=True)
    except UserError as error:
        failed = error
        print(f"chimed: {one_line(str(error))}", file=told, flush=True)
        text = ""
    if pieces:
        out.write("\n")
        out.flush()
    if not text.strip():
        conversation.turns.pop()
        if not pieces and failed is None:
            print("no reply", file=told, flush=True)
        return False
    conversation.turns.append({"role": "assistant", "content": _clean(text)})
    return True


def _fitting(backend: Backend, conversation: Conversation, say: Say, told: TextIO) -> str:
    """Return the reply, with the oldest turns left out as far as the model's length asks for it."""
    while True:
        try:
            return backend.reply(conversation.messages(), say)
        except TooLong:
            if len(conversation.turns) < 3:
                raise UserError("the question is too long for this model; ask a shorter one") from None
            del conversation.turns[:2]
            print("the oldest turn is left out: the model's length is reached", file=told, flush=True)


def _clean(text: str) -> str:
    """Return a text without control tokens and without what is no character."""
    return without_control_tokens(storable(text)).strip()


def typed(source: TextIO, prompt: str = "› ") -> Iterator[str | None]:
    """Yield what is typed, line by line; None for Ctrl-C. At a terminal with a prompt, and lines can be edited."""
    at_terminal = source.isatty() and sys.stdout.isatty()
    if at_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (input() edits lines with it)
    while True:
        try:
            if at_terminal:
                yield input(prompt)
                continue
            line = source.readline()
            if not line:
                return
            yield line.rstrip("\n")
        except EOFError:
            return
        except KeyboardInterrupt:
            yield None


# --- a model at a server -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A model of an OpenAI-compatible server. url: up to /v1."""

    url: str
    model: str
    key: str
    tokens: int
    temperature: float
    seed: int
    timeout: float

    @property
    def name(self) -> str:
        """What the user is told he talks with."""
        return one_line(f"{self.model} at {self.url}")

    def reply(self, messages: Messages, say: Say) -> str:
        """Return the reply, streamed. Raises TooLong, UserError."""
        body = {
            "model": self.model, "messages": messages, "max_tokens": self.tokens, "temperature": self.temperature,
            "seed": self.seed, "stream": True,
        }  # fmt: skip
        for more in ({"chat_template_kwargs": {"enable_thinking": False}}, {}):  # some servers take no unknown fields
            status, text = self._post(body | more, say)
            if status == 200:
                return text
            if status not in (400, 422):
                break
        if "context length" in text or "context_length" in text or "too long" in text:
            raise TooLong
        raise UserError(f"{self.url} refuses the request (HTTP {status}): {short(text, 200) or 'it does not say why'}")

    def _post(self, body: dict[str, object], say: Say) -> tuple[int, str]:
        """Return a status, and the reply or what the server says instead."""
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            with (
                httpx.Client(trust_env=False, timeout=httpx.Timeout(self.timeout, connect=30)) as client,
                client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as response,
            ):
                if response.status_code != 200:
                    return response.status_code, next(response.iter_bytes(2_000), b"").decode(errors="replace")
                return 200, "".join(_pieces(response, say))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            said = str(error) or type(error).__name__
            raise UserError(f"{self.url} gave no whole answer ({short(said, 200)}); is the server up?") from None


def _pieces(response: httpx.Response, say: Say) -> Iterator[str]:
    """Yield the pieces of a streamed completion, and hand each to `say`. Stops at `MOST_BYTES`."""
    read = 0
    for line in response.iter_lines():
        read += len(line)
        if read > MOST_BYTES:
            raise ValueError(f"a reply of more than {MOST_BYTES >> 20} MB")
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        try:
            choices = json.loads(data)["choices"]
            piece = choices[0]["delta"].get("content") if choices else None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError("what it streams is no chat completion") from None
        if isinstance(piece, str) and piece:
            say(piece)
            yield piece


def find_server(url: str, model: str | None, key: str, tokens: int, temperature: float, seed: int | None,
                timeout: float) -> Server:  # fmt: skip
    """Return a server's model, by default the first that it lists. Raises UserError where none is found."""
    url = url.rstrip("/")
    try:
        known = [one["id"] for one in identity.list_models(url, key)]
    except identity.Unreachable as error:
        raise UserError(f"no model server answers at {url} ({error}); start it, or correct --url") from None
    if model is None and not known:
        raise UserError(f"{url} does not list its models; name one with --model")
    if model is not None and known and model not in known:
        raise UserError(f"{url} serves {one_line(', '.join(known)[:300])}, not {one_line(model)}")
    chosen = model or known[0]
    return Server(url, chosen, key, tokens, temperature, time.time_ns() % 2**31 if seed is None else seed, timeout)
