"""A command's result, for a program to read."""

import json


def print_result(value: object) -> None:
    """One JSON line on stdout; progress goes to stderr."""
    print(json.dumps(value, ensure_ascii=False, default=str))
