"""What a command says: its result for a program to read, its progress for a person."""

import json
import logging
import sys


def print_result(value: object) -> None:
    """One JSON line on stdout; progress goes to stderr."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def log_to_stderr() -> None:
    """Progress as lines with the time; Alembic only where something is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
