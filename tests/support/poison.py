"""Bad replies of every kind, as whole bodies of a chat completion: what a server or a model may come up with."""

import json
from collections.abc import Callable

from support.model_server import completion

GOOD = "答案"


def body(**changes: object) -> bytes:
    """A good completion with parts of it replaced: choices, choice, message, text, finish, usage."""
    message = changes.get("message", {"role": "assistant", "content": changes.get("text", GOOD)})
    choice = changes.get("choice", {"index": 0, "message": message, "finish_reason": changes.get("finish", "stop")})
    usage = changes.get("usage", {"prompt_tokens": 10, "completion_tokens": 2})
    return json.dumps({"choices": changes.get("choices", [choice]), "usage": usage}).encode()


def raw(usage: str) -> bytes:
    """A good completion with a usage that Python's JSON writer would not write."""
    return body(usage="HERE").replace(b'"HERE"', usage.encode())


Answer = bytes | tuple[int, dict, bytes]

# No use to anyone: each is a named failure. name → body, and a word of the reason.
FAILING: dict[str, tuple[Answer, str]] = {
    "lone high surrogate": (body(text="好\ud835的"), "no text"),
    "lone low surrogate": (body(text="\udc00"), "no text"),
    "surrogates in the wrong order": (body(text="\udc00\ud835好"), "no text"),
    "surrogate as CESU bytes": (completion("X").replace(b"X", b"\xed\xa0\xb5"), "malformed"),
    "U+0000": (body(text="好\x00的"), "no text"),
    "escape": (body(text="\x1b[2J\x1b]0;title\x07好"), "no text"),
    "backspace": (body(text="好\x08坏"), "no text"),
    "C1 control": (body(text="好\x9b31m"), "no text"),
    "lost character": (body(text="好\ufffd的"), "no text"),
    "noncharacter": (body(text="好\uffff"), "no text"),
    "empty": (body(text=""), "empty"),
    "spaces": (body(text=" \n\u3000\t"), "empty"),
    "null": (body(message={"content": None}), "empty"),
    "no content": (body(message={"role": "assistant"}), "empty"),
    "null beside reasoning_content": (body(message={"content": None, "reasoning_content": "想"}), "thinking"),
    "null beside reasoning": (body(message={"content": None, "reasoning": "想"}), "thinking"),
    "empty beside reasoning": (body(message={"content": "", "reasoning": "想" * 9}), "thinking"),
    "unclosed thinking": (body(text="<think>用户想知道", finish="length"), "thinking"),
    "closed thinking and no answer": (body(text="<think>想</think>\n"), "thinking"),
    "thinking without tags": (body(text="Okay, the user wants 答案. Let me think."), "thinking"),
    "thinking in Chinese": (body(text="好的，用户让我回答这个问题，我先想想。"), "thinking"),
    "content is a list": (body(text=[{"type": "text", "text": GOOD}]), "content is no text"),
    "content is a number": (body(text=7), "content is no text"),
    "content is an object": (body(text={"a": GOOD}), "content is no text"),
    "content is true": (body(text=True), "content is no text"),
    "tool call": (body(message={"content": None, "tool_calls": [{}]}, finish="tool_calls"), "ended by"),
    "filtered": (body(finish="content_filter"), "ended by"),
    "no finish_reason": (body(choice={"message": {"content": GOOD}}), "ended by"),
    "finish_reason is a list": (body(finish=["stop"]), "ended by"),
    "finish_reason is long": (body(finish="s" * 9_999), "ended by"),
    "aborted": (body(finish="abort"), "ended by abort"),
    "no choices": (body(choices=[]), "malformed"),
    "choices is null": (body(choices=None), "malformed"),
    "choices is text": (body(choices="x"), "malformed"),
    "choice is null": (body(choice=None), "malformed"),
    "message is null": (body(message=None), "malformed"),
    "message is text": (body(message=GOOD), "malformed"),
    "message is a list": (body(message=[GOOD]), "malformed"),
    "body is empty": (b"", "malformed"),
    "body is null": (b"null", "malformed"),
    "body is a list": (b"[]", "malformed"),
    "body is a page": (b"<html><body>Bad \x1b[31m gateway</body></html>", "malformed"),
    "half a body": (body()[:-30], "malformed"),
    "two bodies": (body() * 2, "malformed"),
    "body is no UTF-8": (b'{"choices": "\xff\xfe\xc3"}', "malformed"),
    "body is GBK": (completion("X").replace(b"X", "好".encode("gbk")), "malformed"),
    "body with a byte order mark": (b"\xef\xbb\xbf" + body(), "malformed"),
    "body is UTF-16": (body().decode().encode("utf-16"), "malformed"),
    "deep list": (b"[" * 200_000, "malformed"),
    "deep object": (b'{"choices":' * 100_000, "malformed"),
    "deep content": (body(text="X").replace(b'"X"', b"[" * 100_000 + b"]" * 100_000), "malformed"),
    "a number of 5,000 digits": (raw('{"prompt_tokens": ' + "9" * 5_000 + "}"), "malformed"),
    "huge": (b" " * (5 * 1024 * 1024) + body(), "more than"),
    "huge text": (body(text="好" * 2_000_000), "more than"),
    "cut": ((200, {"Cut": "yes"}, body()[:40]), "cut off"),
    "cut behind the headers": ((200, {"Cut": "yes"}, b""), "cut off"),
    "refused": ((400, {}, b'{"error": "too long \x1b[31m"}'), "too long"),
    "refused in bytes": ((422, {}, b"\xff\x00\xed\xa0\xb5"), "HTTP 422"),
}

# The answer is right, whatever stands around it.
RIGHT: dict[str, Callable[[str], bytes]] = {
    "usage missing": lambda text: body(text=text).replace(b'"usage"', b'"used"'),
    "usage is null": lambda text: body(text=text, usage=None),
    "usage is a list": lambda text: body(text=text, usage=[]),
    "usage in words": lambda text: body(text=text, usage={"prompt_tokens": "ten", "completion_tokens": None}),
    "usage is true": lambda text: body(text=text, usage={"prompt_tokens": True, "completion_tokens": False}),
    "usage is negative": lambda text: body(text=text, usage={"prompt_tokens": -1, "completion_tokens": -(10**30)}),
    "usage of 30 digits": lambda text: body(text=text, usage={"prompt_tokens": 10**30, "completion_tokens": 10**30}),
    "usage NaN": lambda text: raw('{"prompt_tokens": NaN, "completion_tokens": -NaN}').replace(b"-NaN", b"NaN"),
    "usage infinite": lambda text: raw('{"prompt_tokens": Infinity, "completion_tokens": -Infinity}'),
    "usage 1e999": lambda text: raw('{"prompt_tokens": 1e999, "completion_tokens": 1e-999}'),
    "thinking in tags": lambda text: body(text=f"<think>\n要不要？\n</think>\n\n{text}"),
    "thinking twice": lambda text: body(text=f"<think>一</think>\n<think>二</think>{text}"),
    "thinking in thinking": lambda text: body(text=f"<think>写<think>二</think>三</think>{text}"),
    "thinking without its opener": lambda text: body(text=f"要不要？\n</think>\n{text}"),
    "thinking without its opener, poisoned": lambda text: body(text=f"\x00\ud835</think>{text}"),
    "thinking behind": lambda text: body(text=f"{text}<think>这样对吗"),
    "thinking beside": lambda text: body(message={"content": text, "reasoning_content": "想"}),
    "thinking beside, poisoned": lambda text: body(message={"content": text, "reasoning": "\x00\udc00"}),
    "thinking beside, no text": lambda text: body(message={"content": text, "reasoning": {"a": [1]}}),
    "Seed's thinking": lambda text: body(text=f"<seed:think>想</seed:think>{text}"),
    "Kimi's thinking": lambda text: body(text=f"◁think▷想◁/think▷{text}"),
    "Mistral's thinking": lambda text: body(text=f"[THINK]想[/THINK]{text}"),
    "capital thinking": lambda text: body(text=f"<THINK>想</Think>{text}"),
    "ended by eos": lambda text: body(text=text, finish="eos_token"),
    "carriage returns": lambda text: body(text=f"{text}\r\n"),
    "another choice": lambda text: body(choices=[json.loads(body(text=text))["choices"][0], None, 7]),
    "unknown fields": lambda text: body(text=text)[:-1] + b', "error": {"a": [1e400]}}',
}
