"""What a check found: a sentence, and whether a build may begin in spite of it. Ours."""

from dataclasses import dataclass

from chimed.errors import UserError


@dataclass(frozen=True)
class Finding:
    """what: the thing that was checked. fine: whether it is right. said: what is there, or what is wrong and how to fix
    it. stops: whether a build must not begin where it is wrong.
    """

    what: str
    fine: bool
    said: str
    stops: bool = True


class Notable(UserError):
    """Something that a person should look at, and that keeps no build from being right."""
