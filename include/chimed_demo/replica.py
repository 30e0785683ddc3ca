"""Serve the replica: `GET /<host>/<path>?<query>` answers as that host would; loopback only.

`python -m chimed_demo.replica --port 8765`. Detail pages carry ETag and Last-Modified, and a conditional GET is
answered with 304. Clients that request ask.39.net faster than `--captcha-rate` per second are redirected to the slider
page, as on the real site.
"""

import argparse
import hashlib
import re
import socket
import time
from collections import deque
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chimed_demo.pages import Page, all_pages, key_of, render

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CAPTCHA_RATE = 40  # requests a second: far above a demo crawl with a small delay
CAPTCHA_HOST = "ask.39.net"
CAPTCHA_PAGE = "image.39.net", "/verify.html"
UNDATED = date(2026, 1, 5)
DETAIL = re.compile(
    r"/zhongyi/zy\w+/|/guji/\w+/\d+/|/yian/\d+/"
    r"|/(?:name|fangji|jianding|paozhi|yian|yangsheng|zhongchengyao|xw|pianfang)/(?:\w+/)?(?!page_|list_)\w+_\d+\.html"
    r"|/dise/\w+/\d+\.html|/\w+/\d{6}/\d+\.html|/cm/zcy/\w+/\w+\.html"
    r"|/question/\w+\.html?"
)


def find(pages: dict[tuple[str, str], Page], host: str, path: str, query: str) -> Page | None:
    """Return the page of this address; like a static site, ignore an unknown query and accept index.html."""
    bare = path.removesuffix("index.html")
    for wanted in (f"{path}?{query}" if query else path, path, bare):
        if (host, wanted) in pages:
            return pages[host, wanted]
    return None


def unchanged(request: Request, etag: str, modified: datetime) -> bool:
    """Return whether the client's copy is current; If-None-Match takes precedence over If-Modified-Since."""
    if known := request.headers.get("if-none-match"):
        return known.strip() == "*" or etag in [part.strip().removeprefix("W/") for part in known.split(",")]
    if since := request.headers.get("if-modified-since"):
        try:
            return modified <= parsedate_to_datetime(since)
        except (TypeError, ValueError):
            return False
    return False


def answer(request: Request, page: Page) -> Response:
    """Return the page as its site would send it; the header has a charset only if the page says so."""
    headers = {"content-type": page.content_type}
    if page.location:
        return Response(page.body, page.status, {**headers, "location": page.location})
    if page.status != 200 or not DETAIL.fullmatch(key_of(page.url)[1]):
        return Response(page.body, page.status, headers)
    etag = f'"{hashlib.sha256(page.body).hexdigest()[:20]}"'
    day = page.published or UNDATED
    modified = datetime(day.year, day.month, day.day, tzinfo=UTC)
    headers |= {"etag": etag, "last-modified": format_datetime(modified, usegmt=True)}
    if unchanged(request, etag, modified):
        return Response(status_code=304, headers=headers)
    return Response(page.body, 200, headers)


def application(captcha_rate: int = CAPTCHA_RATE) -> Starlette:
    """Return the replica as an ASGI application."""
    pages = all_pages()
    slider = Page(
        f"http://{''.join(CAPTCHA_PAGE)}", render("captcha").encode(), content_type="text/html; charset=utf-8"
    )
    pages[CAPTCHA_PAGE] = slider
    recent: deque[float] = deque()

    def too_fast() -> bool:
        now = time.monotonic()
        recent.append(now)
        while now - recent[0] > 1:
            recent.popleft()
        return len(recent) > captcha_rate

    async def get(request: Request) -> Response:
        host, path, query = (
            request.path_params["host"].lower(),
            request.path_params["path"],
            request.url.query,
        )
        if host == CAPTCHA_HOST and too_fast():
            asked = quote(f"http://{host}{path}" + (f"?{query}" if query else ""), safe="")
            return Response(status_code=302, headers={"location": f"http://{''.join(CAPTCHA_PAGE)}?referer={asked}"})
        page = find(pages, host, path, query)
        if page is None:
            return Response("<html><body><p>404 Not Found</p></body></html>", 404, {"content-type": "text/html"})
        return answer(request, page)

    async def root(request: Request) -> Response:
        request.path_params["path"] = "/"
        return await get(request)

    return Starlette(routes=[Route("/{host}", root), Route("/{host}{path:path}", get)])


def server(captcha_rate: int = CAPTCHA_RATE) -> uvicorn.Server:
    """Return a server to run on the caller's socket."""
    return uvicorn.Server(uvicorn.Config(application(captcha_rate), log_level="warning", access_log=False))


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on the loopback; port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", choices=LOOPBACK, help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one")
    parser.add_argument(
        "--captcha-rate",
        type=int,
        default=CAPTCHA_RATE,
        help=f"requests a second at which {CAPTCHA_HOST} asks for a captcha",
    )
    options = parser.parse_args()
    listening = listen(options.host, options.port)
    serving = server(options.captcha_rate)
    shown = f"[{options.host}]" if ":" in options.host else options.host
    print(f"replica on http://{shown}:{listening.getsockname()[1]}", flush=True)
    serving.run(sockets=[listening])


if __name__ == "__main__":
    main()
