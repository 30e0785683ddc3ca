"""Find code that stands twice: six significant lines in a row, the same in two places. `make check` runs it.

Blank lines, comments, imports, docstrings and lines of brackets alone do not count. Migrations are left out: each keeps
the schema as it was.
"""

import ast
import io
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CODE = ("include", "dags", "plugins", "docs", ".ci")
LINES = 6


def significant(source: str) -> list[tuple[int, str]]:
    """Return the (number, text) of the lines that count, without whitespace at either end, and without comments."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1) if number not in skipped)
    return [(number, line) for number, line in stripped if any(map(str.isalnum, line))]


def copies(files: dict[str, str]) -> Iterator[str]:
    """Yield one sentence for each stretch of code that stands twice; `files` is source text by name."""
    places: dict[tuple[str, ...], list[tuple[str, int, int]]] = defaultdict(list)
    for name, source in files.items():
        lines = significant(source)
        for start in range(len(lines) - LINES + 1):
            window = lines[start : start + LINES]
            places[tuple(line for _, line in window)].append((name, window[0][0], window[-1][0]))
    told: dict[tuple[str, str], int] = {}
    for several in places.values():
        for (name, first, last), (other, again, end) in pairwise(several):
            if told.get((name, other), 0) < first:  # a longer stretch is told once
                yield f"{name}:{first}-{last} stands again in {other}:{again}-{end}"
            told[name, other] = last


def main() -> int:
    """Print every copy; return 1 where there is one."""
    paths = [
        path for folder in CODE for path in sorted((PROJECT / folder).rglob("*.py")) if "versions" not in path.parts
    ]
    found = list(copies({str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8") for path in paths}))
    for sentence in found:
        print(f"{sentence}: write it once", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
