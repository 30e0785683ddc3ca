"""An OpenAI-speaking server that answers as a test says, or misbehaves."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support import loopback


@dataclass
class Served:
    """A server at `url`; `answer(body)` gives a reply's text, or (status, headers, raw body) to misbehave with;
    with a header `Cut` the connection is cut behind the raw body.

    probed: it obeys the probe by itself; else `answer` sees the probe too. roots: the checkpoint behind every name it
    serves, as vLLM tells it.
    """

    url: str = ""
    probed: bool = True
    roots: dict[str, str] = field(
        default_factory=lambda: {"chimed-generator": "test/generator", "chimed-judge": "test/judge"}
    )
    bodies: list[dict] = field(default_factory=list)
    answer: Callable[[dict], str | tuple[int, dict, bytes]] = lambda body: "否"


def completion(text: str, finish: str = "stop") -> bytes:
    """The body of a good chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": len(text)}}).encode()


@contextmanager
def serving() -> Iterator[Served]:
    """A chat-completions server on loopback that obeys the probe and answers as the test says."""
    state, app = Served(), web.Application()

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        choice = body.get("structured_outputs", {}).get("choice", [])
        if state.probed and choice and choice[0] == "甲乙丙":
            return web.Response(body=completion(choice[0]), content_type="application/json")
        state.bodies.append(body)
        said = state.answer(body)
        if isinstance(said, str):
            return web.Response(body=completion(said), content_type="application/json")
        status, headers, raw = said
        if "Cut" in headers:
            await loopback.cut(request, web.StreamResponse(status=status), raw)  # chunked
        return web.Response(status=status, headers=headers, body=raw)

    async def models(_request: web.Request) -> web.Response:
        said = [{"id": name, "object": "model", "root": root, "parent": None} for name, root in state.roots.items()]
        return web.json_response({"object": "list", "data": said})

    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    with loopback.serving(app) as url:
        state.url = f"{url}/v1"
        yield state
