"""Copied code is found wherever it stands, and what is no code does not count."""

import runpy
from pathlib import Path

import pytest

COPIES = runpy.run_path(str(Path(__file__).resolve().parents[1] / ".ci" / "copies.py"))
BODY = [f"    value_{n} = compute(value, {n})" for n in range(6)]
FIRST = "\n".join(["def one(value):", *BODY, "    return value_5"])


def copies(other: str) -> list[str]:
    return list(COPIES["copies"]({"first.py": FIRST, "other.py": other}))


@pytest.mark.parametrize(
    "other",
    [
        "\n".join(["def two(value):", *BODY, "    return value_0"]),
        "\n".join(["class Two:", "    def two(self, value):", *(f"    {line}" for line in BODY)]),
        "\n\n".join(["def two(value):", *BODY]),
        "\n".join(["def two(value):", *(f"{line}  # comment {n}" for n, line in enumerate(BODY))]),
        "\n".join(["def two(value):", *BODY[:3], '    """Words."""', "    import os", *BODY[3:]]),
    ],
    ids=["other name", "other depth", "blank lines", "comments", "docstring and import"],
)
def test_six_copied_lines_are_found(other: str) -> None:
    assert copies(other) == [f"first.py:2-7 stands again in other.py:{place(other)}"]


def place(source: str) -> str:
    """The first and last line of the copy."""
    numbers = [n for n, line in enumerate(source.splitlines(), 1) if "compute(" in line]
    return f"{numbers[0]}-{numbers[-1]}"


@pytest.mark.parametrize(
    "other",
    ["\n".join(["def two(value):", *BODY[:5]]), "\n".join(["def two(value):", *BODY[:3], "    stop()", *BODY[3:]]), ""],
    ids=["five lines", "one more between", "empty"],
)
def test_fewer_lines_are_no_copy(other: str) -> None:
    assert copies(other) == []


def test_a_copy_within_a_file_is_found() -> None:
    (found,) = COPIES["copies"]({"one.py": FIRST + "\n\n\n" + FIRST.replace("one", "two")})
    assert found.startswith("one.py:2-7 stands again in one.py:")


def test_no_product_code_stands_twice() -> None:
    assert COPIES["main"]() == 0
