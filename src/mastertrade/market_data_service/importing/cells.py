"""Cells of any file as arrays: numbers, and times of any unit in microseconds."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mastertrade.quant.bars import TimeArray

BoolArray = NDArray[np.bool_]

EXACT_DIGITS = 15
"""Significant decimal digits that a float64 gives back as they were."""
_TICKS_OF_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# Between 2009 and 5138 a number of seconds, milliseconds, microseconds and nanoseconds never look alike.
_UNIT_LIMITS = (("s", 10**11), ("ms", 10**14), ("us", 10**17), ("ns", 10**20))
_TEXT_FORMATS = (
    "%Y%m%d %H:%M",
    "%Y%m%d %H:%M:%S",
    "%Y-%m-%d %I-%p",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y-%m-%d %H:%M:%S UTC",
)


class Times:
    """Reads the time column of one file, and remembers which units and notations it met."""

    def __init__(self) -> None:
        self.units: set[str] = set()
        self.is_naive_text = False

    def microseconds(self, column: Any) -> tuple[TimeArray, BoolArray]:
        """Epoch microseconds rounded down, and where there is a time at all."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        if pa.types.is_date(kind):
            column, kind = pc.cast(column, pa.timestamp("ms")), pa.timestamp("ms")
        if pa.types.is_timestamp(kind):
            return _of_ticks(column, kind.unit)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            column = pc.cast(column, pa.string()) if not pa.types.is_integer(kind) else column
            return self._numbers(column)
        return self._numbers(pc.cast(column, pa.string()))

    def _numbers(self, column: Any) -> tuple[TimeArray, BoolArray]:
        try:
            whole = pc.cast(column, pa.int64())
        except pa.ArrowException:
            return self._text(column)
        valid = pc.is_valid(whole).to_numpy(zero_copy_only=False).astype(np.bool_)
        numbers = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        return self._scaled(numbers, valid), valid

    def _scaled(self, numbers: TimeArray, valid: BoolArray) -> TimeArray:
        size = np.abs(numbers)
        out = np.zeros(len(numbers), dtype=np.int64)
        below = 10**6  # a handful of ticks since 1970 is a broken clock in any unit
        for unit, limit in _UNIT_LIMITS:
            hits = (size >= below) & (size < min(limit, 2**63 - 1))
            if hits.any():
                ticks = _TICKS_OF_A_SECOND[unit]
                out[hits] = numbers[hits] * (1_000_000 // ticks) if ticks <= 1_000_000 else numbers[hits] // 1000
                if (hits & valid).any():
                    self.units.add(unit)
            below = limit
        return out

    def _text(self, column: Any) -> tuple[TimeArray, BoolArray]:
        try:
            return self._iso(column)
        except pa.ArrowInvalid:
            parsed = [self._cell(cell) for cell in column.to_pylist()]
        valid = np.array([value is not None for value in parsed], dtype=np.bool_)
        return np.array([value or 0 for value in parsed], dtype=np.int64), valid

    def _iso(self, column: Any) -> tuple[TimeArray, BoolArray]:
        try:
            times = pc.cast(column, pa.timestamp("us"))
            self.is_naive_text = True
        except pa.ArrowInvalid:
            times = pc.cast(column, pa.timestamp("us", "UTC"))
        return _of_ticks(times, "us")

    def _cell(self, cell: str | None) -> int | None:
        text = (cell or "").strip()
        try:
            number = float(text)
            if math.isfinite(number) and len(text) != 8:
                return self._number(text, number)
        except ValueError:
            pass
        moment = _moment(text)
        if moment is None:
            return None
        if moment.tzinfo is None:
            self.is_naive_text = True
            moment = moment.replace(tzinfo=UTC)
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds

    def _number(self, text: str, number: float) -> int | None:
        """Seconds with a fraction, or a number of any unit that a float holds."""
        size = abs(number)
        unit = next((unit for unit, limit in _UNIT_LIMITS if size < limit), None)
        if unit is None or size < 10**6:
            return None if unit is None else 0
        self.units.add(unit)
        whole, _, fraction = text.partition(".")
        if unit == "s" and fraction.isdigit() and whole.lstrip("-").isdigit():
            return int(whole) * 1_000_000 + int(f"{fraction:<06}"[:6])
        return round(number * 1_000_000 / _TICKS_OF_A_SECOND[unit])


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for pattern in _TEXT_FORMATS:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - the caller says that it is UTC
        except ValueError:
            continue
    return None


def _of_ticks(column: Any, unit: str) -> tuple[TimeArray, BoolArray]:
    ticks = pc.cast(column, pa.int64())
    valid = pc.is_valid(ticks).to_numpy(zero_copy_only=False).astype(np.bool_)
    numbers = pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    per_second = _TICKS_OF_A_SECOND[unit]
    scaled = numbers * (1_000_000 // per_second) if per_second <= 1_000_000 else numbers // 1000
    return scaled, valid


def digits_beyond(column: Any) -> int:
    """How many cells of a text column hold more significant digits than a float64 gives back."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return 0
    is_long = pc.greater(pc.utf8_length(column), pa.scalar(EXACT_DIGITS, pa.int32()))
    long = pc.filter(column, pc.fill_null(is_long, False))
    return sum(1 for cell in long.to_pylist() if significant_digits(cell) > EXACT_DIGITS)


def significant_digits(text: str) -> int:
    """``0.0012300`` has three."""
    number = text.strip().lower().partition("e")[0].lstrip("+-")
    whole, point, fraction = number.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits.isdigit():
        return 0
    return len(digits.rstrip("0")) if point else len(digits.rstrip("0")) or 1
