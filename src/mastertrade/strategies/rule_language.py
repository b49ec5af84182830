"""What a rule can say: conditions over prices, indicators and numbers, as values that can be compared and hashed.

``normal`` brings a condition into the one form all its spellings share: ``not`` is pushed down to the comparisons,
which all point one way, and the parts of ``all`` and ``any`` are flat, sorted and each there once. So rules that mean
the same by these laws have the same canonical JSON, and share what is computed for them. A comparison with a value that
is not known is false, and so is its negation.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from mastertrade.quant.indicators.catalogue import CATALOGUE

COMPARISONS: Final = {
    "above": "is above",
    "below": "is below",
    "at_least": "is at least",
    "at_most": "is at most",
    "crosses_above": "crosses above",
    "crosses_below": "crosses below",
}
"""The comparisons of two operands, in words."""
ARITHMETIC: Final = {"add": "+", "subtract": "-", "multiply": "×", "divide": "/"}
_TURNED: Final = {"below": "above", "at_most": "at_least", "crosses_below": "crosses_above"}
_COMMUTATIVE: Final = ("add", "multiply")


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """A price or the volume, ``ago`` bars before."""

    name: str
    ago: int = 0


@dataclass(frozen=True, slots=True)
class IndicatorValue:
    """One output of an indicator of the catalogue, with every argument, ``ago`` bars before."""

    name: str
    arguments: tuple[tuple[str, Any], ...]
    output: str
    ago: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    kind: str
    left: "Operand"
    right: "Operand"


@dataclass(frozen=True, slots=True)
class BarsSince:
    """How many bars ago the condition was last true: 0 at such a bar, not known before the first."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Comparison:
    kind: str
    left: "Operand"
    right: "Operand"


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends belong to it."""

    value: "Operand"
    low: "Operand"
    high: "Operand"


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"


Operand: TypeAlias = Number | Column | IndicatorValue | Arithmetic | BarsSince
Condition: TypeAlias = Comparison | Between | Every | Some | Not


@lru_cache(maxsize=4096)
def normal(condition: Condition, is_negated: bool = False) -> Condition:
    """The condition, or its negation, in the form all its spellings share."""
    if isinstance(condition, Not):
        return normal(condition.part, not is_negated)
    if isinstance(condition, Between):
        inside = Every(
            (
                Comparison("at_least", condition.value, condition.low),
                Comparison("at_least", condition.high, condition.value),
            )
        )
        return normal(inside, is_negated)
    if isinstance(condition, Comparison):
        return _normal_comparison(condition, is_negated)
    return _joined(condition, is_negated)


def _normal_comparison(condition: Comparison, is_negated: bool) -> Condition:
    kind, left, right = condition.kind, _normal_operand(condition.left), _normal_operand(condition.right)
    if kind in _TURNED:
        kind, left, right = _TURNED[kind], right, left
    if is_negated and kind == "crosses_above":
        return Not(Comparison(kind, left, right))
    if is_negated:
        kind, left, right = "at_least" if kind == "above" else "above", right, left
    return Comparison(kind, left, right)


def _joined(condition: Every | Some, is_negated: bool) -> Condition:
    kind = Every if isinstance(condition, Every) != is_negated else Some
    found: dict[str, Condition] = {}
    for part in condition.parts:
        one = normal(part, is_negated)
        for inner in one.parts if isinstance(one, kind) else (one,):
            found[key_of(inner)] = inner
    parts = tuple(found[key] for key in sorted(found))
    return parts[0] if len(parts) == 1 else kind(parts)


def _normal_operand(operand: Operand) -> Operand:
    if isinstance(operand, BarsSince):
        return BarsSince(normal(operand.condition))
    if isinstance(operand, Arithmetic):
        left, right = _normal_operand(operand.left), _normal_operand(operand.right)
        if operand.kind in _COMMUTATIVE and key_of(right) < key_of(left):
            left, right = right, left
        return Arithmetic(operand.kind, left, right)
    return operand


def calculated(kind: str, left: Any, right: Any) -> Any:
    """The sum, difference, product or quotient, of numbers or of columns."""
    if kind == "add":
        return left + right
    if kind == "subtract":
        return left - right
    return left * right if kind == "multiply" else left / right


@lru_cache(maxsize=16_384)
def key_of(node: Operand | Condition) -> str:
    """Its JSON on one line, with the same text for equal values."""
    return json.dumps(to_data(node), sort_keys=True, separators=(",", ":"))


def to_data(node: Operand | Condition) -> Any:
    """As JSON data, in the form that is read."""
    match node:
        case Number(value):
            return shortest(value)
        case Column(name, ago):
            return {"price": name, "ago": ago} if ago else name
        case IndicatorValue(name, arguments, output, ago):
            data = {"indicator": name} | {name: shortest(value) for name, value in arguments}
            if len(CATALOGUE[name].outputs) > 1:
                data["output"] = output
            return data | {"ago": ago} if ago else data
        case Arithmetic(kind, left, right) | Comparison(kind, left, right):
            return {kind: [to_data(left), to_data(right)]}
        case BarsSince(condition):
            return {"bars_since": to_data(condition)}
        case Between(value, low, high):
            return {"between": [to_data(value), to_data(low), to_data(high)]}
        case Every(parts):
            return {"all": [to_data(part) for part in parts]}
        case Some(parts):
            return {"any": [to_data(part) for part in parts]}
        case Not(part):
            return {"not": to_data(part)}


def shortest(value: Any) -> Any:
    """A whole number without its point, so that 30 and 30.0 are one."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def operands_of(node: Operand | Condition) -> Iterator[Operand]:
    """Every price and indicator in it, in the order of writing."""
    match node:
        case Column() | IndicatorValue():
            yield node
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            yield from operands_of(left)
            yield from operands_of(right)
        case Between(value, low, high):
            for part in (value, low, high):
                yield from operands_of(part)
        case Every(parts) | Some(parts):
            for one in parts:
                yield from operands_of(one)
        case Not(inner) | BarsSince(inner):
            yield from operands_of(inner)
        case Number():
            return


def warm_up_of(node: Operand | Condition) -> int:
    """The bar from which on everything in it is known, where the bars have no holes in what it reads."""
    match node:
        case Number():
            return 0
        case Column(_, ago):
            return ago
        case IndicatorValue(name, arguments, _, ago):
            return CATALOGUE[name].warm_up(dict(arguments)) + ago
        case Comparison(kind, left, right):
            return max(warm_up_of(left), warm_up_of(right)) + (1 if kind.startswith("crosses") else 0)
        case Arithmetic(_, left, right):
            return max(warm_up_of(left), warm_up_of(right))
        case Between(value, low, high):
            return max(map(warm_up_of, (value, low, high)))
        case Every(parts) | Some(parts):
            return max(map(warm_up_of, parts))
        case Not(inner) | BarsSince(inner):
            return warm_up_of(inner)
