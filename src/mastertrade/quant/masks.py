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
    held = np.empty(-(-len(fast) // BITS), np.uint64)
    _held_above(np.ascontiguousarray(fast), np.ascontiguousarray(slow), held)
    return held


def all_or_nothing(targets: FloatArray) -> Words | None:
    """Targets as a mask; None where they are not only 0 and 1."""
    held, others = np.empty(-(-len(targets) // BITS), np.uint64), np.zeros(1)
    _all_or_nothing(np.ascontiguousarray(targets), held, others)
    return None if others[0] else held


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


@kernel("vvm")
def _held_above(fast: FloatArray, slow: FloatArray, held: Words) -> None:
    count = len(fast)
    first = 0
    while first < count and not fast[first] <= slow[first]:
        first += 1
    for word in range(len(held)):
        start = word * BITS
        end = min(start + BITS, count)
        bits = np.uint64(0)
        if start >= first and end == start + BITS:  # of a known length: several bars at a time
            quick, lazy = fast[start:end], slow[start:end]
            for bar in range(BITS):
                bits |= np.uint64(quick[bar] > lazy[bar]) << np.uint64(bar)
        else:
            for bar in range(max(start, first), end):
                bits |= np.uint64(fast[bar] > slow[bar]) << np.uint64(bar - start)
        held[word] = bits


@kernel("vmo")
def _all_or_nothing(targets: FloatArray, held: Words, others: FloatArray) -> None:
    count = len(targets)
    for word in range(len(held)):
        start = word * BITS
        end = min(start + BITS, count)
        bits, flat = np.uint64(0), np.uint64(0)
        if end == start + BITS:
            part = targets[start:end]
            for bar in range(BITS):
                bits |= np.uint64(part[bar] == 1.0) << np.uint64(bar)
                flat |= np.uint64(part[bar] == 0.0) << np.uint64(bar)
        else:
            for bar in range(start, end):
                bits |= np.uint64(targets[bar] == 1.0) << np.uint64(bar - start)
                flat |= np.uint64(targets[bar] == 0.0) << np.uint64(bar - start)
            flat |= ~np.uint64(0) << np.uint64(end - start)
        held[word] = bits
        if ~(bits | flat) != np.uint64(0):
            others[0] = 1.0


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
