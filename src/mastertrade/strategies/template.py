"""What a strategy template is: parameters with ranges, and bars turned into target positions. Pure, and blind to the
future."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.shared.errors import UsageError

SIGNAL_FREE = 0.0
"""The confidence at a bar where the target does not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Allowed values of a parameter, both ends included: ``fast: Annotated[int, Range(low=2, high=500)] = 20``."""

    low: float
    high: float

    def nearest(self, value: float) -> float:
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Base of every template's parameters: a value outside its range cannot be made."""

    def __post_init__(self) -> None:
        complaints = [
            complaint
            for name, (kind, allowed) in ranges(type(self)).items()
            if (complaint := _complaint(name, getattr(self, name), kind, allowed))
        ]
        complaints = complaints or self.contradictions()
        if complaints:
            raise UsageError("; ".join(complaints))

    def contradictions(self) -> list[str]:
        """What is wrong between parameters that are each in range."""
        return []


P = TypeVar("P", bound=Parameters)


class Template(Protocol[P]):
    """One idea of when to hold an instrument. ``legacy_type`` is its name in the older system's strategy rows.

    One that looks at the markets beside the instrument says so with ``reads_markets = True`` and finds them in
    ``columns.markets``, by symbol. Their bars need not stand at the same times, and may end before or after: what was
    known at a bar is what ``as_of`` gives."""

    @property
    def name(self) -> str: ...

    @property
    def legacy_type(self) -> str: ...

    @property
    def parameter_type(self) -> type[P]: ...

    def warm_up(self, params: P) -> int:
        """How many bars at the start can never have a position."""
        ...

    def positions(self, columns: Columns, params: P) -> FloatArray:
        """The target after each bar's close: 1 hold, 0 do not. It never looks past its bar, so adding bars changes no
        earlier target."""
        ...

    def evidence(self, columns: Columns, params: P, i: int) -> dict[str, float]:
        """The numbers the decision at bar ``i`` was made of; values not known yet are left out."""
        ...

    def confidence(self, columns: Columns, params: P, i: int) -> float:
        """0..100: how sure the change of target at bar ``i`` is; 0 where it does not change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Built(Generic[P]):
    """A template with its parameters, checked and ready to run."""

    template: Template[P]
    params: P

    @property
    def warm_up(self) -> int:
        return self.template.warm_up(self.params)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value, defaults included, as stored with the strategy."""
        return asdict(self.params)

    def positions(self, bars: Bars) -> FloatArray:
        return self.template.positions(columns_of(bars), self.params)

    def evidence(self, bars: Bars, i: int) -> dict[str, float]:
        return self.template.evidence(columns_of(bars), self.params, i)

    def confidence(self, bars: Bars, i: int) -> float:
        return self.template.confidence(columns_of(bars), self.params, i)


def make(template: Template[P], parameters: Mapping[str, Any]) -> Built[P]:
    """The template with these parameters; the others keep their defaults."""
    prepare = getattr(template, "prepare", None)  # of templates whose parameters can be given in several ways
    known = ranges(template.parameter_type)
    try:
        parameters = parameters if prepare is None else prepare(parameters)
    except UsageError as error:
        raise UsageError(f"{template.name}: {error}") from None
    for name in parameters:
        if name not in known:
            raise UsageError(f"{template.name}: parameter {nearest_name(name, known)}")
    whole = {
        name: int(value) if known[name][0] is int and isinstance(value, float) and value.is_integer() else value
        for name, value in parameters.items()
    }
    try:
        return Built(template=template, params=template.parameter_type(**whole))
    except UsageError as error:
        raise UsageError(f"{template.name}: {error}") from None
    except Exception as error:  # what a user's class compares may not be comparable
        raise UsageError(f"{template.name}: its parameters fail with {type(error).__name__}: {error}") from error


def ranges(parameter_type: type[Parameters]) -> Mapping[str, tuple[type, Range]]:
    """Type and range of every parameter, by name, in the order they were written."""
    return _ranges(parameter_type)  # type: ignore[arg-type] # mypy takes the hash of its objects for that of the class


@lru_cache(maxsize=1024)
def _ranges(parameter_type: type[Parameters]) -> Mapping[str, tuple[type, Range]]:
    hints = get_type_hints(parameter_type, include_extras=True)
    found = {}
    for field in fields(parameter_type):
        if get_origin(hints[field.name]) is not Annotated:
            raise TypeError(f"{parameter_type.__name__}.{field.name} has no Range; write Annotated[type, Range(...)]")
        kind, allowed = get_args(hints[field.name])
        found[field.name] = (kind, allowed)
    return found


def reads_markets(template: Template[Any]) -> bool:
    """Whether the template must be handed the other markets of its strategy."""
    return bool(getattr(template, "reads_markets", False))


def as_of(time: TimeArray, bars: Bars) -> NDArray[np.int64]:
    """At each of these times the place of the last bar of ``bars`` that was closed with a bar of then; -1 before the
    first."""
    return np.searchsorted(bars.time, time, side="right") - 1


def known_values(i: int, series: Mapping[str, FloatArray]) -> dict[str, float]:
    """Every series at bar ``i``, without those that have no value there yet."""
    return {name: float(values[i]) for name, values in series.items() if math.isfinite(values[i])}


def changes_at(targets: FloatArray, i: int) -> bool:
    """Whether the target after bar ``i`` differs from the one before it; before the first bar nothing is held."""
    place = range(len(targets))[i]
    return bool(targets[place] != (targets[place - 1] if place else 0.0))


def nearest_name(name: str, known: Mapping[str, object]) -> str:
    """The words for a name that nobody knows, with the one that was probably meant."""
    if not known:
        return f"{name!r} is unknown; there is none to choose"
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"{name!r} is unknown; the nearest is {nearest!r} (known: {', '.join(known)})"


def _complaint(name: str, value: object, kind: type, allowed: Range) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (kind is int and not isinstance(value, int)):
        return f"{name} must be a {'whole ' if kind is int else ''}number, not {value!r}"
    assert isinstance(value, int | float)
    if allowed.low <= value <= allowed.high:
        return None
    nearest = allowed.nearest(value)
    return f"{name} {value:g} is outside {allowed.low:g}..{allowed.high:g}; the nearest allowed is {nearest:g}"
