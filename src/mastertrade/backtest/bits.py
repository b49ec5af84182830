"""Compiled steps over masks and over the extremes of 64 bars; see ``quant.masks`` for what a mask is.

Importing this imports numba. Nothing here allocates, checks bounds or holds the lock of the interpreter.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, njit, types, void
from numba.extending import intrinsic

from mastertrade.quant.masks import BITS

BLOCK = BITS
"""Bars of a block: as many as a word of a mask has bits."""


@intrinsic
def trailing_zeros(typing_context: Any, value: Any) -> Any:
    """How many bits are 0 below the lowest that is 1; of a word that is not 0. One instruction, which numba has no name
    for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def next_bit(words: Any, start: int, count: int) -> Any:
    """The first bar from ``start`` on whose bit is set; ``count`` when there is none."""
    place = start >> 6
    if place >= len(words):
        return count
    word = words[place] >> np.uint64(start & 63) << np.uint64(start & 63)
    while word == 0:
        place += 1
        if place >= len(words):
            return count
        word = words[place]
    return (place << 6) + np.int64(trailing_zeros(word))


@njit(void(types.Array(float64, 1, "C", readonly=True), float64[::1], float64[::1]), nogil=True, cache=True)
def extremes(values: Any, least: Any, most: Any) -> None:
    """The lowest and highest value of every block."""
    for block in range(len(least)):
        part = values[block * BLOCK : (block + 1) * BLOCK]
        low = high = part[0]
        for value in part:
            low = value if value < low else low
            high = value if value > high else high
        least[block] = low
        most[block] = high
