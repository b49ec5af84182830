"""Targets: what to hold after each bar, out of things that are true at its close."""

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel

Truths = NDArray[np.bool_]


def held_above(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """1 from the bar where ``fast`` comes above ``slow`` to the one where it no longer is, else 0. What starts above
    has not crossed: the crossing lies before our data, and is not ours to trade."""
    targets = np.empty(len(fast))
    _held_above(np.ascontiguousarray(fast), np.ascontiguousarray(slow), targets)
    return targets


def held_between(enters: Truths, leaves: Truths) -> FloatArray:
    """1 from a bar that enters until one that leaves, else 0. A bar that does both leaves."""
    targets = np.empty(len(enters))
    _held_between(np.ascontiguousarray(enters), np.ascontiguousarray(leaves), targets)
    return targets


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
