"""Reading candles as arrays: sealed months as whole columns, the others as rows, both as they are at one moment."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from mastertrade.market_data_service.binary_rows import MICROSECONDS_TO_2000, decode_rows
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import empty_bars
from mastertrade.shared.postgres_manager import Database, Row
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "reading.sql")
VALUES = ("open", "high", "low", "close", "volume")
FEWEST_ROWS = 2_000
"""From so many candles of one month on, its block is read faster than its rows; shorter months are not sealed."""
MONTHS_A_PASS = 100
"""Sealed by one look for unsealed months."""
SEAL_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 60.0
NEVER = 2**62
EVER = datetime(9999, 1, 1, tzinfo=UTC)


class CandlesLeft(Exception):
    """Retention took candles between the look at the catalogue and the read."""


async def read_candles(
    db: Database,
    instrument_id: int,
    interval_s: int,
    first: datetime,
    last: datetime,
    *,
    known_at: datetime | None = None,
    last_revision: int | None = None,
    is_all_there: bool = False,
) -> Bars:
    """Stored candles with ``first <= open time < last``, in one statement. With ``known_at`` as they were known then:
    without what arrived, changed or went later; ``last_revision`` bounds the same by the number of a change. With
    ``is_all_there`` CandlesLeft is raised where retention took some of that time."""
    key = {"instrument_id": instrument_id, "interval_s": interval_s}
    if first >= last:
        return empty_bars(interval_s)
    span: dict[str, Any] = {**key, "first": first, "last": last}
    pieces = await QUERIES.fetch(db, "candle_pieces", **span, fewest_rows=FEWEST_ROWS)
    gone = pieces[0]["gone"]
    if gone and is_all_there:
        raise CandlesLeft
    bars = _between(_joined([_decoded(piece, interval_s) for piece in pieces], interval_s), first, last)
    if known_at is None and last_revision is None:
        return bars
    changes = await QUERIES.fetch(
        db,
        "changes_since",
        **span,
        gone=gone,
        as_of=known_at or EVER,
        last_revision=NEVER if last_revision is None else last_revision,
    )
    return undo(bars, changes) if changes else bars


async def seal_months(db: Database, *, fewest_rows: int = FEWEST_ROWS) -> int:
    """Seal every closed month that is not sealed; the number of them. Harmless when repeated or interrupted."""
    sealed = 0
    while True:
        months = await QUERIES.fetch(db, "unsealed_months", fewest_rows=fewest_rows, limit=MONTHS_A_PASS)
        for month in months:
            await seal_month(db, month["instrument_id"], month["interval_s"], month["month"])
        sealed += len(months)
        if len(months) < MONTHS_A_PASS:
            return sealed


async def seal_month(db: Database, instrument_id: int, interval_s: int, month: date) -> None:
    """Seal a month, closed or not; any later write to it unseals it."""
    key = {"instrument_id": instrument_id, "interval_s": interval_s}
    await QUERIES.execute(db, "seal_month", **key, month=month, timeout_s=SEAL_TIMEOUT_S)


def undo(bars: Bars, changes: Sequence[Row]) -> Bars:
    """``bars`` with each changed candle as it was before; one without old values was not there."""
    times = np.array([to_milliseconds(row["open_time"]) for row in changes], dtype=np.int64)
    was_there = np.array([row["old_open"] is not None for row in changes], dtype=np.bool_)
    kept = ~np.isin(bars.time, times)
    time = np.concatenate((bars.time[kept], times[was_there]))
    order = np.argsort(time, kind="stable")
    values = {}
    for name in VALUES:
        old = np.array([row[f"old_{name}"] for row in changes if row["old_open"] is not None], dtype=np.float64)
        values[name] = np.concatenate((getattr(bars, name)[kept], old))[order]
    return Bars(interval_s=bars.interval_s, time=time[order], **values)


def _decoded(piece: Row, interval_s: int) -> Bars:
    if piece["rows"] is None:
        return decode_rows(piece["packed"], interval_s)
    if piece["open_times"] is None:
        start = to_milliseconds(piece["first_open_time"])
        time = start + np.arange(piece["rows"], dtype=np.int64) * (interval_s * 1000)
    else:
        time = (np.frombuffer(piece["open_times"], ">i8").astype(np.int64) + MICROSECONDS_TO_2000) // 1000
    # Still big-endian: they are turned while they are copied into the columns of the whole.
    return Bars(interval_s=interval_s, time=time, **{name: np.frombuffer(piece[name], ">f8") for name in VALUES})


def _joined(parts: Sequence[Bars], interval_s: int) -> Bars:
    rows = sum(len(part) for part in parts)
    time = np.empty(rows, dtype=np.int64)
    values = {name: np.empty(rows, dtype=np.float64) for name in VALUES}
    first = 0
    for part in parts:
        last = first + len(part)
        time[first:last] = part.time
        for name, column in values.items():
            column[first:last] = getattr(part, name)
        first = last
    return Bars(interval_s=interval_s, time=time, **values)


def _between(bars: Bars, first: datetime, last: datetime) -> Bars:
    low, high = np.searchsorted(bars.time, (to_milliseconds(first), to_milliseconds(last)))
    return bars if (low, high) == (0, len(bars)) else bars[int(low) : int(high)]
