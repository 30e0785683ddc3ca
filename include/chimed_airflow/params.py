"""What DAGs are made with: trigger forms, from the models that the commands check again, and which pools there are."""

import json
from pathlib import Path
from typing import Any

from airflow.sdk import Param

from chimed import stages
from chimed.options import Options
from chimed.settings import settings
from chimed.sources import NAMES as SOURCES

POOLS = frozenset(json.loads(Path(__file__).with_name("pools.json").read_text(encoding="utf-8")))
CHOICES = {  # what a list may hold; the form offers it
    "sources": SOURCES,
    "skip": tuple(stage.name for stage in stages.STAGES if stage.skippable),
}


def build_params() -> dict[str, Param]:
    """A param for each field of `Options`, with its limits; the settings' build options are the defaults."""
    properties = Options.model_json_schema()["properties"]
    return {name: _param(name, dict(schema)) for name, schema in properties.items()}


def _param(name: str, schema: dict[str, Any]) -> Param:
    default = settings().build_options.get(name, schema.pop("default", None))
    schema.pop("default", None)
    schema["title"] = name
    if "anyOf" in schema:  # an optional field: a number or nothing
        some, nothing = schema.pop("anyOf")
        schema |= some | {"type": [some["type"], nothing["type"]]}
    if name in CHOICES:
        schema["items"] = {"type": "string", "enum": list(CHOICES[name])}
        schema["examples"] = list(CHOICES[name])
        schema["uniqueItems"] = True
    return Param(list(default) if isinstance(default, tuple) else default, **schema)
