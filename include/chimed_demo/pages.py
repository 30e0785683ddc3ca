"""Define the replica's pages, and collect those of the five sites.

A site module (`sites/<site>.py`) has `pages() -> Iterable[Page]` and builds its HTML with `render`, from the texts in
`texts/*.yaml` (read with `texts`). `Page.url` is the absolute URL on the real host; `all_pages` keys the pages by host
and path with query, so http and https are one page here.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
SITES = ("zydcd", "zhongyoo", "cnkang", "ask39", "ask120")


@dataclass(frozen=True)
class Page:
    """One response of the replica, with what was planted in it and its publication day."""

    url: str
    body: bytes
    status: int = 200
    content_type: str = "text/html"
    location: str | None = None
    plants: tuple[str, ...] = ()
    published: date | None = None


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template_name: str, **values: object) -> str:
    """Render `templates/<template_name>.html`, every value escaped."""
    return _environment().get_template(f"{template_name}.html").render(**values)


@cache
def texts(name: str) -> Any:
    """Return the content of `texts/<name>.yaml`."""
    source = (HERE / "texts" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(source, yaml.CSafeLoader)  # a tenth of the plain loader's time, in every process that reads texts


def key_of(url: str) -> tuple[str, str]:
    """Return host and path with query: the replica's key for this URL."""
    parts = urlsplit(url)
    return parts.netloc.lower(), (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def link_as(url: str, turn: int) -> str:
    """Return one of the forms in which a site links its own page: schemes, no scheme, tracking query, index.html."""
    host, path = key_of(url)
    folder = f"{path}index.html" if path.endswith("/") else f"{path}?from=list"
    forms = (
        path,
        f"http://{host}{path}",
        f"https://{host}{path}",
        f"//{host}{path}",
        f"{path}?from=list",
        folder,
    )
    return forms[turn % len(forms)]


def all_pages() -> dict[tuple[str, str], Page]:
    """Return every page of the five sites by (host, path with query); two pages with one key are an error."""
    found: dict[tuple[str, str], Page] = {}
    for site in SITES:
        for page in import_module(f"chimed_demo.sites.{site}").pages():
            place = key_of(page.url)
            if place in found:
                raise ValueError(f"two pages at {page.url}")
            found[place] = page
    return found
