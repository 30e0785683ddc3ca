"""What DAGs are made with: trigger forms, from the models that the commands check again, and which pools there are."""

import json
from collections.abc import Mapping
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
    """A param for each field of `Options`, with its limits; the settings' build options are the defaults.

    And `require_approval`, which says nothing of how a build is made and is not among its options.
    """
    properties = Options.model_json_schema()["properties"]
    approval = Param(
        settings().require_approval,
        type="boolean",
        description="wait for a person's word before the release, with the ledger and the changes to the last one",
    )
    return {name: _param(name, dict(schema)) for name, schema in properties.items()} | {"require_approval": approval}


def build_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's params are options of its build."""
    return {name: params[name] for name in Options.model_fields}


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
