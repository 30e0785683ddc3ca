"""Wording is data: one YAML file a prompt. The paper's Table 2 word for word, and our own where it has none.

A prompt is a system text, a user text, or both; `<name>` in the user text is where a field goes. Fields are crawled
text, so they are filled in one pass (never rendered as a template, never searched for further `<name>`s), and what
could pass for a chat template's control tokens or for our own fence is defused.
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
    """One prompt's wording. `version`, a record's `prompt` column, is <name>@<8 hex digits of the wording>."""

    name: str
    system: str | None
    user: str

    @property
    def version(self) -> str:
        wording = f"{self.system or ''}\x00{self.user}"
        return f"{self.name}@{hashlib.sha256(wording.encode()).hexdigest()[:8]}"


@lru_cache
def load(name: str) -> Prompt:
    """The prompt of that name. Raises FileNotFoundError."""
    content = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    return Prompt(name, content.get("system"), content["user"])


def names() -> list[str]:
    """The names of all prompts."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.yaml"))


def versions() -> frozenset[str]:
    """`<name>@<hash>` of every prompt as it is worded today."""
    return frozenset(load(name).version for name in names())


def build_messages(prompt: Prompt, **fields: str) -> list[dict[str, str]]:
    """The chat messages of a prompt with its fields filled. Raises KeyError where a field is missing.

    The paper's `<输入文本>` is the field `text`.
    """

    def value(match: re.Match) -> str:
        return escape_control_tokens(fields["text" if match[1] == "输入文本" else match[1]])

    said = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*said, {"role": "user", "content": _FIELD.sub(value, prompt.user)}]


def escape_control_tokens(text: str) -> str:
    """Text in which nothing reads as a control token or closes our fence: their angle brackets become 〈 and 〉."""
    return _CONTROL.sub(lambda match: f"〈{match[1] or match[2]}〉", text)
