"""Parameters that a rule names instead of writing numbers: ``"parameters": {"fast": {"default": 10, "low": 2, "high":
50}}`` at the top, and ``{"parameter": "fast"}`` where a number may stand."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Final

from mastertrade.strategies.rule_reading import BadRule, read
from mastertrade.strategies.template import Parameters, Range, nearest_name

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
REFERENCE: Final = "parameter"
MOST_PARAMETERS: Final = 32
_LIMITS: Final = ("default", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A whole number where all three are written as such."""

    default: float
    low: float
    high: float

    @property
    def kind(self) -> type:
        return int if all(isinstance(value, int) for value in (self.default, self.low, self.high)) else float


def named_parameters(document: Mapping[str, Any]) -> dict[str, Named]:
    """What the rule names, by name; every one must be used, and the rule be right at both ends of each."""
    given = document.get("parameters", {})
    if not isinstance(given, Mapping) or len(given) > MOST_PARAMETERS:
        raise BadRule(f"parameters: must be an object of at most {MOST_PARAMETERS} names, not {given!r:.60}")
    named = {name: _named(name, data) for name, data in given.items()}
    used = set(_references(document))
    for name in named:
        if name not in used:
            raise BadRule(f'parameters.{name}: is used nowhere; write {{"parameter": "{name}"}} where it belongs')
    defaults = {name: one.default for name, one in named.items()}
    read(bound(document, defaults))
    for name, one in named.items():
        for end in ("low", "high"):
            try:
                read(bound(document, defaults | {name: getattr(one, end)}))
            except BadRule as error:
                raise BadRule(f"parameters.{name}.{end}: {error}") from None
    return named


def bound(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The document with these values where it names parameters, and its own defaults for the others."""
    given = document.get("parameters", {})
    known = {name: data["default"] for name, data in given.items()} | dict(values)
    return {key: _bound(part, known, key) for key, part in document.items() if key != "parameters"}


def parameter_type_of(name: str, named: Mapping[str, Named]) -> type[Parameters]:
    """A parameter class with these fields, checked like every other."""
    fields = [
        (
            key,
            Annotated[one.kind, Range(low=one.low, high=one.high)],
            field(default=float(one.default) if one.kind is float else one.default),
        )
        for key, one in named.items()
    ]
    return make_dataclass(f"{name}_parameters", fields, bases=(Parameters,), frozen=True, kw_only=True)


def _named(name: str, data: Any) -> Named:
    path = f"parameters.{name}"
    if not NAME.fullmatch(name):
        raise BadRule(f"{path}: a name is small letters, digits and _, and begins with a letter")
    if not isinstance(data, Mapping):
        raise BadRule(f"{path}: must be an object with default, low and high, not {data!r:.60}")
    for key in data:
        if key not in _LIMITS:
            raise BadRule(f"{path}: key {nearest_name(str(key), dict.fromkeys(_LIMITS))}")
    for key in _LIMITS:
        value = data.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadRule(f"{path}.{key}: must be a number, not {value!r:.60}")
    one = Named(**data)
    if not one.low <= one.default <= one.high:
        raise BadRule(f"{path}.default: {one.default:g} is outside {one.low:g}..{one.high:g}")
    return one


def _references(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        if set(data) == {REFERENCE} and isinstance(data[REFERENCE], str):
            yield data[REFERENCE]
        for inner in data.values():
            yield from _references(inner)
    elif isinstance(data, list | tuple):
        for inner in data:
            yield from _references(inner)


def _bound(data: Any, values: Mapping[str, Any], path: str) -> Any:
    if isinstance(data, Mapping):
        if set(data) == {REFERENCE}:
            name = data[REFERENCE]
            if not isinstance(name, str) or name not in values:
                raise BadRule(f"{path}: parameter {nearest_name(str(name), values)}")
            return values[name]
        return {key: _bound(inner, values, f"{path}.{key}") for key, inner in data.items()}
    if isinstance(data, list | tuple):
        return [_bound(inner, values, f"{path}[{place}]") for place, inner in enumerate(data)]
    return data
