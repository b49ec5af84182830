"""Masks: one bit a bar, 64 to a word, for what is true at a bar's close. Bit ``i % 64`` of word ``i // 64``, counted
from the lowest, is bar ``i``; the bits after the last bar are 0."""

import numpy as np
from numpy.typing import NDArray

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
