"""A web server on loopback for the length of a `with`, in a thread of its own; every server of the tests is one."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from aiohttp import web


@contextmanager
def serving(app: web.Application, port: int = 0) -> Iterator[str]:
    """Serve an aiohttp application, at a free port unless one is given; its URL, where it answers already."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it would log the connections that we cut
    loop, ready, runner = asyncio.new_event_loop(), threading.Event(), web.AppRunner(app, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def answering(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    """Return an application that answers every request, whatever its method and path, by one function."""
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def cut(request: web.Request, response: web.StreamResponse, content: bytes) -> NoReturn:
    """Send the beginning of a response, then cut the connection."""
    await response.prepare(request)
    await response.write(content)
    raise hang_up(request)


def hang_up(request: web.Request) -> ConnectionResetError:
    """Cut the connection without an answer; return what the handler is to raise."""
    if request.transport:
        request.transport.abort()
    return ConnectionResetError()
