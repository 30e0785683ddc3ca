"""Whether a recipe's fields are ones that TRL or we know, and their values of the type that they say."""

import enum
import types
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from chimed.errors import UserError


def check_fields(fields: dict[str, Any], configs: Sequence[type], ours: dict[str, object], where: str) -> None:
    """Raise UserError for a field that no configuration has, or a value of another type than the field's."""
    known: dict[str, object] = dict(ours)
    for config in configs:
        known |= get_type_hints(config)
    for name, value in fields.items():
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else f"; {configs[0].__name__} of TRL does not have it"
            raise UserError(f"{where}: there is no field {name}{hint}")
        if not fits(value, known[name]):
            raise UserError(f"{where}: {name} is {value!r}, and that is not {told(known[name])}")


def with_lists(fields: dict[str, Any], configs: Sequence[type]) -> dict[str, Any]:
    """Return the fields, where one value alone stands for a list that list; TRL's parser takes it as it is."""
    known: dict[str, object] = {}
    for config in configs:
        known |= get_type_hints(config)
    return {
        name: [value] if isinstance(value, str) and _only_a_list(known.get(name)) else value
        for name, value in fields.items()
    }


def _only_a_list(kind: object) -> bool:
    kinds = [one for one in get_args(kind) or (kind,) if one is not type(None)]
    if get_origin(kind) is list:
        return True
    return bool(kinds) and all(get_origin(one) is list for one in kinds)


def fits(value: object, kind: object) -> bool:
    """Tell whether a value from YAML can be one of this type; 1 counts as a float, true does not count as a number."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if origin is list or kind is list:
        inner = get_args(kind)
        many = value if isinstance(value, list) else [value]  # one alone, as on a command line
        return not inner or all(fits(one, inner[0]) for one in many)
    if origin is dict or kind is dict:
        return isinstance(value, dict)
    if kind is Any or kind is object:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return isinstance(value, str)  # the parser knows which
    return not isinstance(kind, type) or isinstance(value, kind)


def told(kind: object) -> str:
    """Return a type in words."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(told(one) for one in get_args(kind)))
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if origin is list or kind is list:
        return "a list"
    if origin is dict or kind is dict:
        return "a mapping"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"one of {', '.join(str(one.value) for one in kind)}"
    return names.get(kind, str(kind))  # type: ignore[call-overload]
