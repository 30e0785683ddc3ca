"""How several GPUs share a model: the accelerate configuration that a recipe names (`accelerate_config`). Ours."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from chimed.errors import UserError


def config_file(name: str) -> Path:
    """Return the file of an accelerate configuration: one of TRL's by name (fsdp2, zero3, ...), or a path.

    Raises UserError where there is none.
    """
    folder = Path(str(importlib.import_module("trl").__file__)).parent / "accelerate_configs"
    file = folder / f"{name}.yaml" if (folder / f"{name}.yaml").is_file() else Path(name).expanduser()
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise UserError(f"there is no accelerate_config {name}; name a YAML file, or one of {known}")
    return file


def check_installed(name: str) -> None:
    """Raise UserError where a configuration is of DeepSpeed and that is not installed."""
    if read_config(name).get("distributed_type") == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise UserError(f"accelerate_config {name} needs the package deepspeed; install it, or use fsdp2")


def shards_weights(name: str | None) -> bool:
    """Return whether a configuration shares weights and optimizer out among the GPUs: FSDP, or DeepSpeed's ZeRO-3."""
    return name is not None and (read_config(name).get("distributed_type") == "FSDP" or is_zero3(name))


def is_zero3(name: str) -> bool:
    """Return whether a configuration is of DeepSpeed's ZeRO-3."""
    fields = read_config(name)
    inner = fields.get("deepspeed_config")
    return fields.get("distributed_type") == "DEEPSPEED" and isinstance(inner, dict) and inner.get("zero_stage") == 3


def read_config(name: str) -> dict[str, Any]:
    """Return the fields of a configuration. Raises UserError for a file that is no YAML of fields."""
    file = config_file(name)
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"accelerate_config {name} is no configuration of accelerate: {file} has no fields in YAML")
    return found
