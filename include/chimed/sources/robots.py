"""What an answer to robots.txt means for us (paper §3.1): stricter than the rule where a site says nothing clear."""

from dataclasses import dataclass

from protego import Protego

ROBOT = "chimed"
LONGEST_DELAY = 60.0  # a site that wants more seconds than this between two requests cannot be refreshed by the week


@dataclass(frozen=True)
class Policy:
    """said: for the report. refusal: why the site is not crawled at all. rules: None where everything is allowed."""

    said: str
    refusal: str | None = None
    rules: Protego | None = None
    delay: float = 0.0


def policy(status: int, text: str) -> Policy:
    """404 and the like: no rules. 401, 403: refused. 429, 5xx and endless redirects: not known, so not crawled."""
    if status in (401, 403):
        return Policy("refused", f"robots.txt answers {status}, which refuses crawlers")
    if status >= 500 or status == 429 or 300 <= status < 400:
        return Policy("unreadable", f"robots.txt answers {status}, so its rules are not known")
    if status != 200:
        return Policy(f"none ({status})")
    rules = Protego.parse(text)
    delay = float(rules.crawl_delay(ROBOT) or 0)
    if delay > LONGEST_DELAY:
        return Policy("read", f"it asks for {delay:g} seconds between two requests; agree on a pace with its owner")
    return Policy("read", None, rules, delay)
