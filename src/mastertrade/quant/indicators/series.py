"""What every indicator shares: checked periods, arrays as the kernels want them, and room for the result."""

import numpy as np
from numpy.typing import ArrayLike

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.memory import room


def checked_period(period: int, least: int = 1) -> int:
    """The period; ValueError names one that is too short."""
    if period < least:
        raise ValueError(f"indicator period {period} is below {least}")
    return int(period)


def contiguous(values: ArrayLike) -> FloatArray:
    """The values as one block of float64; what already is one is not copied."""
    return np.ascontiguousarray(values, dtype=np.float64)


def room_for(values: FloatArray) -> FloatArray:
    return room(len(values))


def typical_price(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", over="ignore"):
        return contiguous((high + low + close) / 3.0)


def same_length(*series: FloatArray) -> list[FloatArray]:
    """Several series of the same bars, ready for a kernel."""
    ready = [contiguous(one) for one in series]
    lengths = {len(one) for one in ready}
    if len(lengths) > 1:
        raise ValueError(f"series of the same bars have {sorted(lengths)} values; they must be equally long")
    return ready
