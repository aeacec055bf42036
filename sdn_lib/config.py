"""Settings: frozen dataclasses whose values are checked, and read from JSON key by key."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple, get_args, get_type_hints

from sdn_lib.errors import SDNError, near


class Rule(NamedTuple):
    """What the value of a setting must be beside its type: in words, as a test, or as choices."""

    says: str
    holds: Callable[[Any], bool]
    choices: tuple = ()


def in_range(least: float, most: float = math.inf) -> Rule:
    """Return the rule of a number from `least` to `most`, both included."""
    reach = f"{least} or more" if most == math.inf else f"from {least} to {most}"
    return Rule(reach, lambda value: least <= value <= most)


def one_of(*choices: Any) -> Rule:
    """Return the rule of a value that is one of a few."""
    says = "one of " + ", ".join(map(repr, choices))
    return Rule(says, lambda value: value in choices, choices)


LARGEST = sys.float_info.max

_TYPES: dict[type, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    float: (
        "a finite number",
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST,
    ),
    str: ("text", lambda v: isinstance(v, str)),
    bool: ("True or False", lambda v: isinstance(v, bool)),
    tuple: (
        "a list of whole numbers",
        lambda v: isinstance(v, tuple | list) and all(_TYPES[int][1](item) for item in v),
    ),
}


def _settings(kind: type) -> tuple[str, Callable[[Any], bool]]:
    return "settings by name", lambda v: isinstance(v, kind)


def setting(rule: Rule, default: Any = dataclasses.MISSING) -> Any:
    """Return a dataclass field whose value `check` holds against a Rule."""
    return field(default=default, metadata={"rule": rule})


def check(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Raise SDNError unless every value has the type of its field in `cls` and keeps its Rule.

    A float may be written as a whole number; True and False are no numbers. `where` stands before
    the name of the setting.
    """
    hints = get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if f.name not in values:
            continue
        value, hint = values[f.name], hints[f.name]
        kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
        if value is None and type(None) in kinds:
            continue
        kind, rule = kinds[0], f.metadata.get("rule")
        kind = getattr(kind, "__origin__", kind)
        says, holds = _TYPES.get(kind) or _settings(kind)
        if not holds(value) or (rule and not rule.holds(value)):
            if rule and rule.choices and kind is str and isinstance(value, str):
                hint = near(value, map(str, rule.choices))
                raise SDNError(f"{where} has the unknown {f.name} {value!r}: {hint}")
            wants = f"{says}, {rule.says}" if rule else says
            raise SDNError(f"{where}.{f.name} is {_brief(value)}: it takes {wants}")


class Config:
    """A frozen dataclass of settings, checked whenever one is made."""

    def __post_init__(self) -> None:
        """Raise SDNError for a value that its setting does not take."""
        check(type(self), vars(self), type(self).__name__)


def parse(text: str, where: str) -> Any:
    """Return what JSON text holds; SDNError for text that is none, or a key that comes twice."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, where))
    except SDNError:
        raise
    except ValueError as error:  # among them numbers of thousands of digits
        raise SDNError(f"{where} is not JSON ({error})") from None
    except RecursionError:
        raise SDNError(f"{where} is nested too deeply to be a profile") from None


def _once(pairs: Sequence[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Return a dict of JSON's pairs; SDNError for a key that comes twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SDNError(f"{where} has the setting {twice!r} twice: keep one")
    return values


def from_dict(cls: type, values: Mapping[str, Any], where: str = "profile") -> Any:
    """Build a config dataclass from nested dicts.

    Raises SDNError for unknown keys, with the near matches, for one that is missing, and for a
    value that its setting does not take.
    """
    if not isinstance(values, Mapping):
        raise SDNError(f"{where} is {_brief(values)}: it takes settings by name, {{...}}")
    fields, hints = {f.name: f for f in dataclasses.fields(cls)}, get_type_hints(cls)
    kwargs = {}
    for key, value in values.items():
        if key not in fields:
            raise SDNError(f"{where} has no setting {key!r}: {near(str(key), fields)}")
        if dataclasses.is_dataclass(hints[key]) and not isinstance(value, hints[key]):
            value = from_dict(hints[key], value, f"{where}.{key}")
        kwargs[key] = tuple(value) if isinstance(value, list) else value
    needed = [name for name, f in fields.items() if f.default is f.default_factory]
    lacking = [name for name in needed if name not in kwargs]
    if lacking:
        raise SDNError(f"{where} is incomplete: it has no {lacking[0]!r}")
    check(cls, kwargs, where)
    return cls(**kwargs)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
