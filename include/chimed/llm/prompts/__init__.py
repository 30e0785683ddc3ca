"""Load and fill prompts. Each is a YAML file: Table 2 of the paper word for word, and our own where it has none.

A prompt has a system text, a user text, or both; `<name>` in the user text marks a field. Fields are crawled text, so
they are filled in one pass: they are never rendered as a template and never searched for further fields. Control tokens
of chat templates in them, and our own fence, are escaped.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

_FIELD = re.compile(r"<([a-z_0-9]+|输入文本)>")
# <|im_end|> and its like are single tokens to a chat model, wherever they stand
_CONTROL = re.compile(r"<([|｜][^|｜<>]{1,40}[|｜])>|<(/?(?:文本|think|tool_call|tool_response))>", re.IGNORECASE)


@dataclass(frozen=True)
class Prompt:
    """The wording of a prompt. `version`, a record's `prompt` column, is <name>@<8 hex digits of the wording>."""

    name: str
    system: str | None
    user: str

    @property
    def version(self) -> str:
        wording = f"{self.system or ''}\x00{self.user}"
        return f"{self.name}@{hashlib.sha256(wording.encode()).hexdigest()[:8]}"


@lru_cache
def load(name: str) -> Prompt:
    """Load the prompt of that name. Raises FileNotFoundError."""
    content = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    return Prompt(name, content.get("system"), content["user"])


def names() -> list[str]:
    """Return the names of all prompts."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.yaml"))


def versions() -> frozenset[str]:
    """Return `<name>@<hash>` of every prompt in its present wording."""
    return frozenset(load(name).version for name in names())


def build_messages(prompt: Prompt, **fields: str) -> list[dict[str, str]]:
    """Return a prompt's chat messages with its fields filled. Raises KeyError if a field is missing.

    The paper's `<输入文本>` is the field `text`.
    """

    def value(match: re.Match[str]) -> str:
        return escape_control_tokens(fields["text" if match[1] == "输入文本" else match[1]])

    said = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*said, {"role": "user", "content": _FIELD.sub(value, prompt.user)}]


def escape_control_tokens(text: str) -> str:
    """Escape control tokens and our fence in a text: their angle brackets become 〈 and 〉."""
    return _CONTROL.sub(lambda match: f"〈{match[1] or match[2]}〉", text)
