"""The exceptions that are for the user's eyes: the command line prints them without a traceback."""

from difflib import get_close_matches

LEFT_ALONE = 3  # exit code of an unattended crawl of a site that wants to be left alone; its result says how long


class UserError(Exception):
    """One clear sentence: what is wrong, and what would be right. Exit code 2."""


class WorkStopped(Exception):
    """The work cannot go on now, and nothing is lost: running it again goes on from here. Exit code 1."""


class CrawlStopped(WorkStopped):
    """A site must not be asked further now (captcha, robots.txt, too many failures); its frontier keeps its place.

    wait: seconds for which the site is to be left alone; None where it is not its will. times: attempts in a row that
    ended so.
    """

    def __init__(self, why: str, wait: float | None = None, times: int = 0) -> None:
        super().__init__(why)
        self.wait, self.times = wait, times


def choose(kind: str, name: str, valid: "list[str] | tuple[str, ...]") -> str:
    """`name`, if it is valid; else a UserError that names the valid ones."""
    if name not in valid:
        first = "there is none yet; python -m chimed status says what to do first"
        there = f"choose from: {', '.join(valid)}" if valid else first
        near = get_close_matches(name, valid, n=1, cutoff=0.75) if name.replace("_", "").isalpha() else []
        raise UserError(f"unknown {kind} {name!r}; {there}" + (f". Did you mean {near[0]!r}?" if near else ""))
    return name
