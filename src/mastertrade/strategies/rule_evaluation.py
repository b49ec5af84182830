"""Rules on bars: a comparison is a bit mask that the columns remember, and masks are joined 64 bars at a time."""

from functools import reduce

import numpy as np

from mastertrade.quant import masks
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators.catalogue import CATALOGUE
from mastertrade.quant.masks import Words, unpacked
from mastertrade.quant.targets import Truths, bars_since, held_between, held_on_sides
from mastertrade.strategies.rule_language import (
    Arithmetic,
    BarsSince,
    Column,
    Comparison,
    Condition,
    Every,
    IndicatorValue,
    Not,
    Number,
    Operand,
    Some,
    calculated,
    key_of,
    normal,
)
from mastertrade.strategies.rule_value import Rule, Side


def targets_of(columns: Columns, rule: Rule) -> FloatArray:
    """What to hold after each bar: 1 long, -1 short. Nothing is entered before everything is known once."""
    if rule.short is None:
        assert rule.long is not None, "a rule has a side"
        return held_between(*_truths(columns, rule.long, rule.warm_up))
    if rule.long is None:
        return -held_between(*_truths(columns, rule.short, rule.warm_up))
    return held_on_sides(*_truths(columns, rule.long, rule.warm_up), *_truths(columns, rule.short, rule.warm_up))


def held(columns: Columns, rule: Rule) -> Words | None:
    """``targets_of`` a rule that only buys, as a mask."""
    if rule.long is None or rule.short is not None:
        return None
    enters, leaves = mask_of(columns, rule.long.enter), mask_of(columns, rule.long.exit)
    return masks.held_between(masks.known_from(enters, rule.warm_up), leaves, len(columns))


def mask_of(columns: Columns, condition: Condition) -> Words:
    """The bars at whose close the condition is true."""
    return _mask(columns, normal(condition))


def values_of(columns: Columns, operand: Operand) -> FloatArray | float:
    match operand:
        case Number(value):
            return value
        case Column(name, ago):
            return _earlier(columns.series(name), ago)
        case IndicatorValue(name, arguments, output, ago):
            return _earlier(CATALOGUE[name].compute(columns, dict(arguments))[output], ago)
        case Arithmetic(kind, left, right):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                made: FloatArray = calculated(kind, values_of(columns, left), values_of(columns, right))
            return np.where(np.isfinite(made), made, np.nan)
        case BarsSince(condition):
            return bars_since(unpacked(mask_of(columns, condition), len(columns)))


def _truths(columns: Columns, side: Side, warm_up: int) -> tuple[Truths, Truths]:
    enters = unpacked(mask_of(columns, side.enter), len(columns))
    enters[:warm_up] = False
    return enters, unpacked(mask_of(columns, side.exit), len(columns))


def _mask(columns: Columns, condition: Condition) -> Words:
    if isinstance(condition, Every):
        return reduce(np.bitwise_and, (_mask(columns, part) for part in condition.parts))
    if isinstance(condition, Some):
        return reduce(np.bitwise_or, (_mask(columns, part) for part in condition.parts))
    if isinstance(condition, Not):
        assert isinstance(condition.part, Comparison), "a negation stands at a crossing only"
        crossing = condition.part
        return columns.mask(("rule", key_of(condition)), lambda: _compared(columns, crossing, is_negated=True))
    assert isinstance(condition, Comparison), "conditions are brought into their normal form first"
    compared = condition
    return columns.mask(("rule", key_of(condition)), lambda: _compared(columns, compared, is_negated=False))


def _compared(columns: Columns, condition: Comparison, *, is_negated: bool) -> Truths:
    left, right = values_of(columns, condition.left), values_of(columns, condition.right)
    if condition.kind == "above":
        return np.asarray(left > right)
    if condition.kind == "at_least":
        return np.asarray(left >= right)
    above, not_above = np.asarray(left > right), np.asarray(left <= right)
    crosses = _and_before(above, not_above)
    if not is_negated:
        return crosses
    known = above | not_above
    return _and_before(known, known) & ~crosses


def _and_before(now: Truths, before: Truths) -> Truths:
    """Where ``now`` holds at a bar and ``before`` at the one before it."""
    both = np.zeros(len(now), dtype=np.bool_)
    both[1:] = now[1:] & before[:-1]
    return both


def _earlier(values: FloatArray, bars: int) -> FloatArray:
    if bars == 0:
        return values
    moved = np.full(len(values), np.nan)
    moved[bars:] = values[:-bars]
    return moved
