"""What the DAGs are called in Airflow's list: numbered in the order in which a newcomer runs them."""

from functools import cache
from pathlib import Path

import yaml

import chimed
from chimed.sources import names as source_names

DATED = ("ask39", "ask120")  # sites whose pages have a day come first: their weeks are what a backfill is for
BUILD, TRAIN, WATCH = "Build a release", "Train and evaluate", "Watch the deployment"


@cache
def _known() -> dict[str, dict[str, str]]:
    text = (Path(chimed.__file__).parent / "release" / "sources.yaml").read_text(encoding="utf-8")
    return yaml.load(text, yaml.CSafeLoader)


def site(source: str) -> str:
    """Return a site's name in the paper; for a site that the paper does not have, the name of its file."""
    return _known().get(source, {}).get("paper", source)


def host(source: str) -> str:
    """Return a site's host name; the source's name where the host is not known."""
    return _known().get(source, {}).get("host", source)


def crawl(source: str) -> str:
    """1 Crawl 39 Ask Doctors."""
    return _numbered(_order().index(source) + 1, f"Crawl {site(source)}")


def build() -> str:
    """6 Build a release."""
    return _numbered(len(_order()) + 1, BUILD)


def train() -> str:
    """7 Train and evaluate."""
    return _numbered(len(_order()) + 2, TRAIN)


@cache
def _order() -> tuple[str, ...]:
    return (*DATED, *(name for name in source_names() if name not in DATED))


def watch() -> str:
    """8 Watch the deployment."""
    return _numbered(len(_order()) + 3, WATCH)


def _numbered(place: int, name: str) -> str:
    """Prefix a name with its position, padded with zeros, because Airflow sorts DAGs as text."""
    return f"{place:0{len(str(len(_order()) + 3))}d} {name}"
