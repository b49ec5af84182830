"""Columns of numbers packed into one compressed block of text for the page's script.

A column is 4-byte integers (or their differences) with a step and a divisor, or 4- or 8-byte floats; the bytes of a
column are sorted by their place in the number, which compresses prices to about a third. ``assets/data.js`` unpacks it.
"""

import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars, FloatArray, TimeArray

MOST_DECIMALS = 10
INT32 = 2**31 - 1


@dataclass(slots=True)
class Packer:
    """``columns`` tells the script what stands where in ``text()``."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def times(self, name: str, time: TimeArray) -> None:
        """Exact."""
        base = int(time[0]) if len(time) else 0
        offsets = time - base
        step = int(np.gcd.reduce(offsets)) or 1
        self._integers(name, offsets // step, base=base, step=step)

    def integers(self, name: str, values: NDArray[Any]) -> None:
        self._add(name, "i4", values.astype("<i4"))

    def floats(self, name: str, values: FloatArray) -> None:
        """To about seven digits."""
        self._add(name, "f4", values.astype("<f4"))

    def curve(self, name: str, values: FloatArray) -> None:
        """To about nine digits of the largest, for drawing."""
        largest = float(np.abs(values).max()) if len(values) else 0.0
        decimals = max(0, min(MOST_DECIMALS, 8 - int(np.floor(np.log10(largest or 1.0)))))
        scaled = np.round(values * 10.0**decimals)
        if len(values) and np.abs(scaled).max() < INT32:
            self._integers(name, scaled.astype(np.int64), divisor=10**decimals)
        else:
            self._add(name, "f8", values.astype("<f8"))

    def candles(self, name: str, bars: Bars) -> None:
        """Exact: as integers where all prices have few decimals, which prices do, else as they are."""
        self.times(f"{name}.time", bars.time)
        prices = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
        scale = decimal_scale(list(prices.values()))
        if scale is None:
            for key, values in prices.items():
                self._add(f"{name}.{key}", "f8", values.astype("<f8"))
            return
        whole = {key: np.round(values * scale).astype(np.int64) for key, values in prices.items()}
        self._integers(f"{name}.close", whole["close"], divisor=scale)
        for key in ("open", "high", "low"):
            self._add(f"{name}.{key}", "i4", (whole[key] - whole["close"]).astype("<i4"), divisor=scale, to="close")

    def text(self) -> str:
        return b64encode(zlib.compress(b"".join(self._parts), 9)).decode("ascii")

    def _integers(self, name: str, values: NDArray[np.int64], **how: int) -> None:
        steps = np.diff(values, prepend=0)
        if len(steps) and np.abs(steps).max() > INT32:
            exact = how.get("base", 0) + values * (how.get("step", 1) / how.get("divisor", 1))
            self._add(name, "f8", exact.astype("<f8"))
        else:
            self._add(name, "d4", steps.astype("<i4"), **how)

    def _add(self, name: str, kind: str, values: NDArray[Any], **how: int | str) -> None:
        shuffled = values.view(np.uint8).reshape(len(values), -1).T.tobytes() if len(values) else b""
        self.columns[name] = {"kind": kind, "at": self._size, "count": len(values), **how}
        self._parts.append(shuffled)
        self._size += len(shuffled)


def decimal_scale(columns: list[FloatArray]) -> int | None:
    """The smallest power of ten that makes integers of all values, exactly; None when there is none that fits."""
    values = np.concatenate(columns) if columns else np.empty(0)
    for decimals in range(MOST_DECIMALS + 1):
        scale: int = 10**decimals
        whole = np.round(values * scale)
        if len(values) and np.abs(whole).max() > INT32 // 2:
            return None
        if np.array_equal(whole / scale, values):
            return scale
    return None
