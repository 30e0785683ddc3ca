"""Share code between the two question sites: their questions, the noise of their pages, their dated lists."""

import random
from collections.abc import Iterator
from datetime import date
from typing import Any

from chimed_demo.pages import Page, render, texts

HTML = "text/html; charset=utf-8"
GREETING, WISHES = "您好，很高兴为您解答您的问题。", "希望我的回答对您有所帮助，祝您早日康复！"
EMPTY_ANSWER: dict[str, Any] = {"followups": (), "advert": False, "audio": False, "netizen": False}


def noise() -> dict[str, Any]:
    """Return `menu` (departments and their diseases) and `hot` (lines of the sidebar), for every page."""
    return texts("question_noise")


def questions(site: str) -> list[dict[str, Any]]:
    """Return the questions of a site, newest first."""
    return sorted(texts(f"questions_{site}"), key=lambda question: question["published"], reverse=True)


def day(question: dict[str, Any]) -> date:
    """Return the day a question was asked."""
    return date.fromisoformat(question["published"][:10])


def mojibake(text: str) -> str:
    """Return UTF-8 read as GBK, as a broken database connection stores it."""
    return text.encode("utf-8").decode("gb18030", errors="replace")


def greeted(answer: str) -> str:
    """Return an answer between a polite doctor's opening and closing phrases."""
    return f"{GREETING}{answer}{WISHES}"


def dice(seed: str) -> random.Random:
    """Return a random generator that gives the same results on every start of the replica."""
    return random.Random(seed)


def list_pages(entries: list[dict[str, Any]], size: int) -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
    """Yield a topic's list in pages of `size`: number, count of pages, entries; newest first."""
    ordered = sorted(entries, key=lambda entry: entry["published"], reverse=True)
    count = max(1, -(-len(ordered) // size))
    for number in range(1, count + 1):
        yield number, count, ordered[(number - 1) * size : number * size]


def gone(url: str, entry: dict[str, Any], home: str, site_name: str) -> Page:
    """Return the page of a question that no longer exists: the home page with status 200, or a 404."""
    if entry["plant"] == "soft_404":
        return Page(url, home.encode(), 200, HTML, plants=("soft_404",), published=day(entry))
    body = render("ask_missing", site_name=site_name).encode()
    return Page(url, body, 404, HTML, plants=("hard_404",), published=day(entry))
