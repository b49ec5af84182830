"""Targets: what to hold after each bar, out of things that are true at its close."""

from math import nan

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.memory import room

Truths = NDArray[np.bool_]


def held_above(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """1 from the bar where ``fast`` comes above ``slow`` to the one where it no longer is, else 0. What starts above
    has not crossed: the crossing lies before our data, and is not ours to trade."""
    targets = room(len(fast))
    _held_above(np.ascontiguousarray(fast), np.ascontiguousarray(slow), targets)
    return targets


def held_between(enters: Truths, leaves: Truths) -> FloatArray:
    """1 from a bar that enters until one that leaves, else 0. A bar that does both leaves."""
    targets = room(len(enters))
    _held_between(np.ascontiguousarray(enters), np.ascontiguousarray(leaves), targets)
    return targets


def held_on_sides(long_enters: Truths, long_leaves: Truths, short_enters: Truths, short_leaves: Truths) -> FloatArray:
    """1 while long, -1 while short, else 0. A bar that enters one side turns a position of the other round; one that
    enters both, or leaves the side it enters, enters neither."""
    targets = room(len(long_enters))
    given = (long_enters, long_leaves, short_enters, short_leaves)
    _held_on_sides(*(np.ascontiguousarray(one) for one in given), targets)
    return targets


def bars_since(truths: Truths) -> FloatArray:
    """How many bars ago it was last true, 0 where it is; NaN before it was true at all."""
    counts = room(len(truths))
    _bars_since(np.ascontiguousarray(truths), counts)
    return counts


@kernel("vvo")
def _held_above(fast: FloatArray, slow: FloatArray, targets: FloatArray) -> None:
    count = len(targets)
    first = 0
    while first < count and not fast[first] <= slow[first]:
        targets[first] = 0.0
        first += 1
    for i in range(first, count):
        targets[i] = 1.0 if fast[i] > slow[i] else 0.0


@kernel("bbo")
def _held_between(enters: Truths, leaves: Truths, targets: FloatArray) -> None:
    held = 0.0
    for i in range(len(targets)):
        if leaves[i]:
            held = 0.0
        elif enters[i]:
            held = 1.0
        targets[i] = held


@kernel("bbbbo")
def _held_on_sides(
    long_enters: Truths, long_leaves: Truths, short_enters: Truths, short_leaves: Truths, targets: FloatArray
) -> None:
    held = 0.0
    for i in range(len(targets)):
        if (held > 0.0 and long_leaves[i]) or (held < 0.0 and short_leaves[i]):
            held = 0.0
        goes_long = long_enters[i] and not long_leaves[i]
        goes_short = short_enters[i] and not short_leaves[i]
        if goes_long and not goes_short:
            held = 1.0
        elif goes_short and not goes_long:
            held = -1.0
        targets[i] = held


@kernel("bo")
def _bars_since(truths: Truths, counts: FloatArray) -> None:
    passed = nan
    for i in range(len(counts)):
        passed = 0.0 if truths[i] else passed + 1.0
        counts[i] = passed
