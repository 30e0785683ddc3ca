"""Writes what the guides take from the code: every build option and setting (docs/reference.md), the table of stages
(docs/stages.md) and that of the paper's scores (docs/evaluation.md), both between two marks. `make reference` runs it.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chimed.build.options import Options
from chimed.build.order import CRAWL, STAGES
from chimed.evaluate.paper import told
from chimed.settings import PROJECT, Settings

HERE = Path(__file__).parent
BEGIN, END = "<!-- stages: written by make reference; edit include/chimed/build/order.py -->", "<!-- /stages -->"
PAPER, PAPER_END = (
    "<!-- Table 6: written by make reference; edit include/chimed/evaluate/paper.py -->",
    "<!-- /Table 6 -->",
)
TOP = """# Reference

Written by `make reference` from `include/chimed/build/options.py` and `include/chimed/settings.py`; do not edit.

"""
OPTIONS = """## Build options

What a build may change of the paper's method: `python -m chimed build --options '{"perplexity_cut": 0.02}'`, Airflow's
form, or `CHIMED_BUILD_OPTIONS` for every build. They are kept in the build's `build.json`, and the release's card tells
them.

"""
SETTINGS = """## Settings

Where things are and how they run: environment variables, read when a process starts.

"""


def table(model: type[BaseModel], prefix: str = "") -> str:
    """Return a Markdown table of a model's fields: name, values, default, meaning."""
    head = f"| {'variable' if prefix else 'option'} | values | default | meaning |\n|---|---|---|---|\n"
    rows = [
        f"| `{prefix}{name.upper() if prefix else name}` | {cell(values(field.annotation))} | {cell(default(field))} "
        f"| {cell(field.description or '')} |"
        for name, field in model.model_fields.items()
    ]
    return head + "\n".join(rows) + "\n"


def values(kind: Any) -> str:
    """Describe a field's type in a word: `both`, `once`; number; list of text."""
    said = str(kind) if not isinstance(kind, type) else kind.__name__
    if "Literal" in said:
        return ", ".join(f"`{one}`" for one in re.findall("'([^']*)'", said))
    if "tuple" in said:
        return "list of names"
    if "dict" in said:
        return "JSON object"
    for name, word in (("bool", "`true`, `false`"), ("float", "number"), ("int", "whole number")):
        if name in said:
            return word
    return "text"


def default(field: FieldInfo) -> str:
    """Format a field's default as a user would write it; empty where there is none."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == "":
        return ""
    if isinstance(value, SecretStr):
        return "a placeholder"
    if isinstance(value, str):
        return f"`{value.replace(str(PROJECT), '<project>')}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)}`"


def cell(text: str) -> str:
    """Text that is safe in a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def reference() -> str:
    """Return the whole file."""
    return f"{TOP}{OPTIONS}{table(Options)}\n{SETTINGS}{table(Settings, 'CHIMED_')}"


def stages(guide: str) -> str:
    """Insert the table of stages into a guide's text, between its two marks."""
    rows = "".join(f"| `{one.name}` | {cell(one.does)} | {cell(one.paper)} |\n" for one in (CRAWL, *STAGES))
    return between(guide, BEGIN, END, f"| stage | what it does | paper |\n|---|---|---|\n{rows}")


def evaluation(guide: str) -> str:
    """Insert the table of the paper's scores into a guide's text, between its two marks."""
    return between(guide, PAPER, PAPER_END, f"{told()}\n")


def between(guide: str, begin: str, end: str, text: str) -> str:
    """Replace the text between two marks of a guide. Raises ValueError where the guide lacks them."""
    head, _, rest = guide.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"the guide lacks the marks {begin} and {end}")
    return f"{head}{begin}\n\n{text}\n{end}{tail}"


if __name__ == "__main__":
    (HERE / "reference.md").write_text(reference(), encoding="utf-8")
    for name, written in (("stages", stages), ("evaluation", evaluation)):
        guide = HERE / f"{name}.md"
        guide.write_text(written(guide.read_text(encoding="utf-8")), encoding="utf-8")
