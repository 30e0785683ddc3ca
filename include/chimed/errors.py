"""The one exception that is for the user's eyes: the command line prints it without a traceback and exits 2."""


class UserError(Exception):
    """One clear sentence: what is wrong, and what would be right."""


def choose(kind: str, name: str, valid: "list[str] | tuple[str, ...]") -> str:
    """`name`, if it is valid; else a UserError that names the valid ones."""
    if name not in valid:
        raise UserError(f"unknown {kind} {name!r}; there is: {', '.join(valid) or 'none yet'}")
    return name
