"""The blocks of code of README and the guides, by section."""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENGLISH, CHINESE = PROJECT / "README.md", PROJECT / "README.zh-CN.md"
EXTEND = PROJECT / "docs" / "extend.md"
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
    """The sections of a guide in order; the first is what stands before the first heading."""
    parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Section(part.split("\n", 1)[0], tuple(BLOCK.findall(part))) for part in parts]


def section(words: str, path: Path = ENGLISH) -> Section:
    """The section of a guide, the English README if none is named, whose heading begins with some words."""
    return next(one for one in sections(path) if one.heading.startswith(words))
