"""Set the headers of all answers, and limit a user's searches, because a search reads a release's tables."""

import time
from collections import deque
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Query
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chimed_airflow.web.access import name_of
from chimed_airflow.web.page import HEADERS

SEARCHES, WINDOW = 60, 60.0  # searches of one user in this many seconds, in one process of Airflow's server
USERS = 10_000  # users whose searches are counted
# Airflow shows the pages in a frame of its own origin; browsers that know no frame-ancestors know this
FRAME = {"X-Frame-Options": "SAMEORIGIN", "Cross-Origin-Resource-Policy": "same-origin"}

# words of a filter: no name of a source, department or release is longer
Short = Annotated[str, Query(max_length=200)]
Words = Annotated[str, Query(max_length=1_000)]  # a search uses the first hundred
Held = Annotated[str, Query(max_length=20_000)]  # ids by comma
Share = Annotated[float | None, Query(gt=0, le=99)]  # per cent of the rows
Place = Annotated[int, Query(ge=0, le=2**40)]  # a row's number

_searches: dict[str, deque[float]] = {}


class SafeHeaders:
    """Middleware that sets the strict headers on all answers, also errors, files and redirects.

    Headers that an answer has already are kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, **FRAME}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def few_searches(user: GetUserDep) -> None:
    """Raise 429 if a user sends more searches than a person can read."""
    now, name = time.monotonic(), name_of(user)
    if name not in _searches and len(_searches) >= USERS:
        _searches.pop(next(iter(_searches)))
    own = _searches.setdefault(name, deque())
    while own and own[0] <= now - WINDOW:
        own.popleft()
    if len(own) >= SEARCHES:
        wait = str(round(own[0] + WINDOW - now) + 1)
        raise HTTPException(429, f"{SEARCHES} searches a minute are enough for one person", {"Retry-After": wait})
    own.append(now)


Searching = [Depends(few_searches)]
