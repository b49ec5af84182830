"""Masks: one bit a bar, 64 to a word, for what is true at a bar's close. Bit ``i % 64`` of word ``i // 64``, counted
from the lowest, is bar ``i``; the bits after the last bar are 0."""

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.targets import Truths

Words = NDArray[np.uint64]
BITS = 64


def packed(truths: Truths) -> Words:
    octets = np.packbits(truths, bitorder="little")
    padded = np.zeros(-(-len(truths) // BITS) * 8, dtype=np.uint8)
    padded[: len(octets)] = octets
    return padded.view("<u8").astype(np.uint64, copy=False)


def unpacked(words: Words, count: int) -> Truths:
    octets = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    return np.unpackbits(octets, count=count, bitorder="little").view(np.bool_)


def held_above(fast: FloatArray, slow: FloatArray) -> Words:
    """``targets.held_above`` as a mask."""
    held = packed(fast > slow)
    first = int(np.argmax(fast <= slow)) if len(fast) else 0
    if not len(fast) or not fast[first] <= slow[first]:  # it never was at or below
        return np.zeros_like(held)
    return known_from(held, first)


def held_between(enters: Words, leaves: Words, count: int) -> Words:
    """``targets.held_between`` of ``count`` bars as a mask."""
    held = np.empty_like(enters)
    with np.errstate(over="ignore"):  # where nothing is compiled: the sums are meant to overflow
        _held_between(np.ascontiguousarray(enters), np.ascontiguousarray(leaves), held)
    if count % BITS:
        held[-1] &= ~_bits_from(count % BITS)
    return held


def known_from(words: Words, first: int) -> Words:
    """Without the bits of the bars before ``first``."""
    left = words.copy()
    left[: first // BITS] = 0
    if first // BITS < len(left):
        left[first // BITS] &= _bits_from(first % BITS)
    return left


def _bits_from(place: int) -> np.uint64:
    return np.uint64((1 << BITS) - (1 << place))


@kernel("wwm")
def _held_between(enters: Words, leaves: Words, held: Words) -> None:
    """Whether something is held is what an addition carries from bit to bit: an entry makes a carry, a bar that does
    not leave hands one on."""
    carry = np.uint64(0)
    for word in range(len(held)):
        stays = ~leaves[word]
        begins = enters[word] & stays
        part = stays + begins
        whole = part + carry
        carried_in = whole ^ stays ^ begins
        carry = np.uint64(1) if part < stays or whole < part else np.uint64(0)
        held[word] = carried_in >> np.uint64(1) | carry << np.uint64(BITS - 1)
