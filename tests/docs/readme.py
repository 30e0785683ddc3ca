"""README's blocks of code, by section."""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENGLISH, CHINESE = PROJECT / "README.md", PROJECT / "README.zh-CN.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A second-level section: its heading, and its blocks of code as (language, code)."""

    heading: str
    blocks: tuple[tuple[str, str], ...]

    def code(self, language: str) -> str:
        """Its blocks of one language, one after the other."""
        return "\n".join(code for said, code in self.blocks if said == language)


def sections(path: Path) -> list[Section]:
    """The sections of a README in order; the first is what stands before the first heading."""
    parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Section(part.split("\n", 1)[0], tuple(BLOCK.findall(part))) for part in parts]


def section(word: str) -> Section:
    """The section of the English README whose heading begins with a word."""
    return next(one for one in sections(ENGLISH) if one.heading.startswith(word))
