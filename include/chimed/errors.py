"""Define the exceptions that are meant for the user; the command line prints them without a traceback."""

from difflib import get_close_matches

LEFT_ALONE = 3  # exit code of an unattended crawl of a site that wants to be left alone; its result says how long


class UserError(Exception):
    """The user made a mistake. The message is one sentence: what is wrong, and what would be right. Exit code 2."""


class WorkStopped(Exception):
    """The work cannot continue now. Nothing is lost, and running it again continues from here. Exit code 1."""


class CrawlStopped(WorkStopped):
    """A site must not be requested further now (captcha, robots.txt, too many failures); its frontier is kept.

    wait: seconds for which the site is to be left alone; None if the site did not ask for it. times: attempts in a row
    that ended so.
    """

    def __init__(self, why: str, wait: float | None = None, times: int = 0) -> None:
        super().__init__(why)
        self.wait, self.times = wait, times


def choose(kind: str, name: str, valid: "list[str] | tuple[str, ...]") -> str:
    """Return `name` if it is valid; otherwise raise a UserError that lists the valid names."""
    if name not in valid:
        first = "there is none yet; python -m chimed status says what to do first"
        there = f"choose from: {', '.join(valid)}" if valid else first
        near = get_close_matches(name, valid, n=1, cutoff=0.75) if name.replace("_", "").isalpha() else []
        raise UserError(f"unknown {kind} {name!r}; {there}" + (f". Did you mean {near[0]!r}?" if near else ""))
    return name
