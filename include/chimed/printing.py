"""What a command says: its result for a program to read, its progress for a person."""

import json
import logging
import sys

from chimed.characters import printable


def print_result(value: object) -> None:
    """One JSON line on stdout; progress goes to stderr."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_error(error: Exception) -> None:
    """A sentence for the user on stderr."""
    print(f"chimed: {printable(str(error))}", file=sys.stderr)


class _Lines(logging.Formatter):
    """Lines that a terminal may show, whatever is put into them; warnings and errors are marked."""

    def format(self, record: logging.LogRecord) -> str:
        record.shown_level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Progress as lines with the time; Alembic only where something is wrong."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(_Lines("%(asctime)s %(shown_level)s%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[shown])
    logging.getLogger("alembic").setLevel(logging.WARNING)
