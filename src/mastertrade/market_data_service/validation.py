"""The edge: which rows of a file are candles. What passes here passes the database's constraints too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.source import RefusedExample, RefusedRows
from mastertrade.quant.bars import Bars, FloatArray, TimeArray

BoolArray = NDArray[np.bool_]
PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")
EARLIEST_MS = 1_230_768_000_000
"""2009-01-01: the first block of Bitcoin; an older candle is a broken clock."""

LARGEST = 1e18
"""A price or volume from here on, or a price below its inverse, is no market's: some exponent went wrong."""

NO_TIME = "the time cannot be read"
TOO_OLD = "the time lies before 2009"
OFF_GRID = "the time is not a multiple of the interval"
FUTURE = "the candle has not closed yet"
NOT_FINITE = "not a finite number"
NOT_POSITIVE = "a price must be above zero"
ABSURD = "a number beyond 1e18, or a price below 1e-18"
NEGATIVE_VOLUME = "a volume must not be below zero"
NOT_CONTAINED = "low and high must contain open and close"
DUPLICATE = "a row of this time came before"
BACKWARD = "the time runs backward"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRows:
    """Rows as a file holds them. A cell that is no number is NaN here; ``text(column, index)`` shows what stood there,
    with ``time`` as the name of the time column, and ``row(index)`` its number in the file, the first being 1."""

    row: Callable[[int], int]
    time: TimeArray
    has_time: BoolArray
    columns: dict[str, FloatArray]
    text: Callable[[str, int], str]

    def __len__(self) -> int:
        return len(self.time)


def accept_rows(
    raw: RawRows, *, where: str, interval_s: int, after_ms: int | None, now_ms: int, refused: RefusedRows
) -> Bars:
    """The rows that are candles, later than ``after_ms``; the others are counted in ``refused``."""
    bad = np.zeros(len(raw), dtype=np.bool_)

    def refuse(hits: BoolArray, rule: str, shown: tuple[str, ...]) -> None:
        index = int(np.argmax(hits))
        value = " ".join(f"{name} {raw.text(name, index)}" for name in shown)
        refused.add(int(hits.sum()), RefusedExample(where=where, row=raw.row(index), value=value, rule=rule))

    for mask, rule, shown in broken_rules(raw, interval_s, now_ms):
        hits = mask & ~bad
        if hits.any():
            refuse(hits, rule, shown)
            bad |= hits
    for mask, rule in _out_of_order(raw.time, ~bad, after_ms):
        if mask.any():
            refuse(mask, rule, ("time",))
            bad |= mask
    good = ~bad
    return Bars(interval_s=interval_s, time=raw.time[good], **{name: raw.columns[name][good] for name in COLUMNS})


def broken_rules(raw: RawRows, interval_s: int, now_ms: int) -> Iterator[tuple[BoolArray, str, tuple[str, ...]]]:
    """Each rule a single row can break, with the cells that show it; a row counts for the first it breaks."""
    step_ms = interval_s * 1000
    yield ~raw.has_time, NO_TIME, ("time",)
    yield raw.time < EARLIEST_MS, TOO_OLD, ("time",)
    yield raw.time % step_ms != 0, OFF_GRID, ("time",)
    yield raw.time + step_ms > now_ms, FUTURE, ("time",)
    for name in COLUMNS:
        yield ~np.isfinite(raw.columns[name]), NOT_FINITE, (name,)
    for name in PRICES:
        yield raw.columns[name] <= 0.0, NOT_POSITIVE, (name,)
    yield raw.columns["volume"] < 0.0, NEGATIVE_VOLUME, ("volume",)
    for name in COLUMNS:
        yield raw.columns[name] >= LARGEST, ABSURD, (name,)
    for name in PRICES:
        yield raw.columns[name] <= 1 / LARGEST, ABSURD, (name,)
    open_, high, low, close = (raw.columns[name] for name in PRICES)
    yield (low > np.minimum(open_, close)) | (high < np.maximum(open_, close)), NOT_CONTAINED, PRICES


def _out_of_order(time: TimeArray, usable: BoolArray, after_ms: int | None) -> Iterator[tuple[BoolArray, str]]:
    """Usable rows that do not come after every usable row before them."""
    places = np.flatnonzero(usable)
    if len(places) == 0:
        return
    times = time[places]
    floor = times[0] - 1 if after_ms is None else after_ms
    latest_before = np.maximum.accumulate(np.concatenate(([floor], times)))[:-1]
    late = times <= latest_before
    if not late.any():
        return
    known = np.isin(times, times[~late]) | (times == floor)
    for rule, hits in ((DUPLICATE, late & known), (BACKWARD, late & ~known)):
        mask = np.zeros(len(time), dtype=np.bool_)
        mask[places[hits]] = True
        yield mask, rule
