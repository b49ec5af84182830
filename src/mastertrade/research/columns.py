"""Columns that somebody brings along, made into bars; what is wrong with them is said with its row."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.shared.errors import BadData

PRICES: Final = ("open", "high", "low", "close")
COLUMNS: Final = (*PRICES, "volume")
TIMES: Final = ("timestamp_ms", "time", "timestamp", "date", "datetime", "open_time")
"""Names of the column that holds the start of each bar, the first found is taken."""
EARLIEST_MS: Final = 1_230_768_000_000
"""2009-01-01: the first block of Bitcoin."""
_MILLISECONDS_OF_UNIT: Final = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_LARGEST_OF_UNIT: Final = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", 1e20))
"""Epoch numbers below this are in that unit: seconds of the year 5138, milliseconds of it, and so on."""


def bars_of_columns(columns: Mapping[str, Any], *, where: str, interval_s: int | None = None) -> Bars:
    """Bars of a time column and open, high, low, close and volume, in any spelling of case. Without ``interval_s`` the
    smallest step in the times is the interval."""
    by_name = {str(name).strip().lower(): values for name, values in columns.items()}
    time = _milliseconds(by_name[_time_name(by_name, where)], where)
    prices = {name: _numbers(_column(by_name, name, where), name, where) for name in COLUMNS}
    short = {name: len(values) for name, values in prices.items() if len(values) != len(time)}
    if short:
        raise BadData(f"{where}: {len(time)} times, but {_listed(short)}; every column needs one value a bar")
    if len(time) < 2 and interval_s is None:
        raise BadData(f"{where}: {len(time)} bars do not tell their interval; name it, such as interval='1m'")
    _check_order(time, where)
    step_ms = int(np.diff(time).min()) if interval_s is None else interval_s * 1000
    if step_ms % 1000 or step_ms <= 0:
        raise BadData(f"{where}: bars stand {step_ms} ms apart; the interval must be whole seconds")
    _check_grid(time, step_ms, where)
    _check_prices(prices, where)
    return Bars(interval_s=step_ms // 1000, time=time, **prices)


def bars_of_rows(rows: Sequence[Sequence[float]] | NDArray[Any], *, where: str, interval_s: int | None) -> Bars:
    """Rows of time, open, high, low, close, volume, the way exchanges answer."""
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadData(f"{where}: not a table of numbers ({error}); give rows of time, {', '.join(COLUMNS)}") from error
    if table.ndim != 2 or table.shape[1] != len(COLUMNS) + 1:
        raise BadData(f"{where}: shape {table.shape}; give rows of six numbers: time, {', '.join(COLUMNS)}")
    columns = {"time": table[:, 0], **{name: table[:, place + 1] for place, name in enumerate(COLUMNS)}}
    return bars_of_columns(columns, where=where, interval_s=interval_s)


def _time_name(columns: Mapping[str, Any], where: str) -> str:
    found = next((name for name in TIMES if name in columns), None)
    if found is None:
        raise BadData(f"{where}: no column of times among {_listed(columns)}; name it one of {', '.join(TIMES)}")
    return found


def _column(columns: Mapping[str, Any], name: str, where: str) -> Any:
    if name in columns:
        return columns[name]
    close = get_close_matches(name, columns, n=1, cutoff=0.6)
    hint = f"; is {close[0]!r} meant? rename it" if close else ""
    raise BadData(f"{where}: has no column {name!r} among {_listed(columns)}{hint}")


def _numbers(values: Any, name: str, where: str) -> FloatArray:
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadData(f"{where}: column {name} holds something that is no number: {error}") from error


def _milliseconds(values: Any, where: str) -> TimeArray:
    """Epoch numbers of any unit, datetimes with or without a zone (UTC then), or ISO text."""
    raw: NDArray[Any] = np.asarray(values)
    if raw.dtype.kind in "iuf":
        if not np.isfinite(raw).all():
            raise BadData(f"{where}: row {int(np.argmin(np.isfinite(raw))) + 1} has no time")
        largest = float(np.abs(raw).max()) if len(raw) else 0.0
        unit = next((unit for unit, limit in _LARGEST_OF_UNIT if largest < limit), None)
        if unit is None:
            raise BadData(f"{where}: the time {largest:g} is no epoch number of seconds, ms, us or ns")
        if unit == "ms":
            return np.ascontiguousarray(raw, dtype=np.int64)
        return np.asarray(np.round(raw * _MILLISECONDS_OF_UNIT[unit]), dtype=np.int64)
    if raw.dtype.kind != "M":
        raw = _parsed(raw, where)
    if np.isnat(raw).any():
        raise BadData(f"{where}: row {int(np.argmax(np.isnat(raw))) + 1} has no time")
    return raw.astype("datetime64[ms]").astype(np.int64)


def _parsed(raw: NDArray[Any], where: str) -> NDArray[Any]:
    """Python datetimes and ISO text, which numpy would read with its zone lost."""
    from datetime import UTC, datetime

    found = np.empty(len(raw), dtype="datetime64[ms]")
    for place, value in enumerate(raw.tolist()):
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise BadData(f"{where}: row {place + 1}: {value!r} is no time; write 2024-01-31T23:59:00Z") from None
        found[place] = np.datetime64(at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at, "ms")
    return found


def _check_order(time: TimeArray, where: str) -> None:
    if len(time) and time[0] < EARLIEST_MS:
        raise BadData(
            f"{where}: the first time is {np.datetime64(int(time[0]), 'ms')}, before there was a coin to trade; a row "
            f"number is no time: name the column of times one of {', '.join(TIMES)}"
        )
    steps = np.diff(time)
    if len(steps) and (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        what = "repeats the time of the row before" if steps[row - 1] == 0 else "is earlier than the row before"
        count = int((steps <= 0).sum())
        raise BadData(f"{where}: row {row + 1} {what} ({count} such rows); sort by time and drop what stands twice")


def _check_grid(time: TimeArray, step_ms: int, where: str) -> None:
    off = time % step_ms != 0
    if off.any():
        row = int(np.argmax(off))
        raise BadData(
            f"{where}: row {row + 1}: the time {np.datetime64(int(time[row]), 'ms')} is not on the grid of "
            f"{step_ms // 1000} s bars ({int(off.sum())} such rows); give the interval, or times of bar starts in UTC"
        )


def _check_prices(prices: Mapping[str, FloatArray], where: str) -> None:
    for name, values in prices.items():
        least = 0.0 if name == "volume" else np.nextafter(0.0, 1.0)
        bad = ~(np.isfinite(values) & (values >= least))
        if bad.any():
            row = int(np.argmax(bad))
            limit = "finite and not negative" if name == "volume" else "finite and above 0"
            raise BadData(
                f"{where}: row {row + 1}: {name} {float(values[row])!r} must be {limit} ({int(bad.sum())} such rows); "
                "drop these rows: a missing bar is allowed, a wrong one is not"
            )
    low, high = np.minimum(prices["open"], prices["close"]), np.maximum(prices["open"], prices["close"])
    bad = (prices["low"] > low) | (prices["high"] < high)
    if bad.any():
        row = int(np.argmax(bad))
        shown = ", ".join(f"{name} {prices[name][row]:g}" for name in PRICES)
        raise BadData(
            f"{where}: row {row + 1}: low and high must contain open and close: {shown} ({int(bad.sum())} such rows)"
        )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" if isinstance(value, int) else str(name) for name, value in names.items())
