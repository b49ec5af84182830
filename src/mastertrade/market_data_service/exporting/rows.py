"""Stored rows of every kind as batches of columns, page by page in the order of time."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.postgres_candles import Stretch
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.postgres_manager import Database, Row
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "exporting.sql")
CANDLES_A_BATCH = 100_000
ROWS_A_PAGE = 20_000
BOOKS_A_PAGE = 100
"""A snapshot may hold ten thousand levels."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

MILLISECONDS, MICROSECONDS = pa.timestamp("ms", tz="UTC"), pa.timestamp("us", tz="UTC")
Fields = Sequence[tuple[str, Any]]
VALUES = ("open", "high", "low", "close", "volume")
CANDLES: Fields = [("timestamp", MILLISECONDS), *((name, pa.float64()) for name in VALUES)]
TRADES: Fields = [
    ("timestamp", MICROSECONDS), ("id", pa.string()), ("price", pa.float64()), ("amount", pa.float64()),
    ("side", pa.string()),
]  # fmt: skip
FUNDING: Fields = [("timestamp", MICROSECONDS), ("rate", pa.float64())]
BOOK: Fields = [
    ("timestamp", MICROSECONDS), ("update_id", pa.int64()), ("first_update_id", pa.int64()),
    ("is_snapshot", pa.bool_()), ("side", pa.string()), ("price", pa.float64()), ("amount", pa.float64()),
]  # fmt: skip
TICKERS: Fields = [
    ("timestamp", MICROSECONDS), ("symbol", pa.string()), ("update_id", pa.int64()),
    *((name, pa.float64()) for name in ("bid", "bid_amount", "ask", "ask_amount", "last", "volume")),
]  # fmt: skip
INSTRUMENT_NAMES = (
    "venue", "symbol", "base", "quote", "kind", "settle", "contract_size", "tick_size", "lot_size", "min_notional",
    "maker_fee", "taker_fee", "status", "rules_source",
)  # fmt: skip
INSTRUMENTS: Fields = [
    *((name, pa.string()) for name in INSTRUMENT_NAMES), ("valid_from", pa.string()), ("valid_to", pa.string()),
]  # fmt: skip


def schema_of(fields: Fields, *, is_text: bool) -> pa.Schema:
    """In text files times are numbers: ``timestamp_ms`` or ``timestamp_us``."""
    plain = [_as_text(name, kind) if is_text else (name, kind) for name, kind in fields]
    return pa.schema([pa.field(name, kind) for name, kind in plain])


def _as_text(name: str, kind: Any) -> tuple[str, Any]:
    return (f"{name}_{kind.unit}", pa.int64()) if pa.types.is_timestamp(kind) else (name, kind)


def batch_of(columns: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: Any, kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.array(column, pa.int64()).cast(kind)
    return pa.array(column, kind)


async def candles(
    db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime, *, without: Sequence[Stretch]
) -> AsyncIterator[list[Any]]:
    """Stored candles with ``first <= open time < last``, except those of some stretches (fills are no data)."""
    step = timedelta(seconds=CANDLES_A_BATCH * interval_s)
    at = first
    while at < last:
        until = min(at + step, last)
        bars = await read_candles(db, instrument_id, interval_s, at, until)
        kept = np.ones(len(bars), dtype=np.bool_)
        for start, end in without:
            kept &= (bars.time < to_milliseconds(start)) | (bars.time >= to_milliseconds(end))
        if kept.any():
            yield [bars.time[kept], *(getattr(bars, name)[kept] for name in VALUES)]
        at = until


async def trades(db: Database, instrument_id: int, first: datetime, last: datetime) -> AsyncIterator[list[Any]]:
    place: dict[str, Any] = {"time": first, "trade_id": ""}
    side = {True: "buy", False: "sell", None: None}
    async for rows in _pages(db, "trades_after", place, ROWS_A_PAGE, instrument_id=instrument_id, last=last):
        names = ("trade_id", "price", "amount")
        yield [_times(rows), *_columns(rows, names), [side[row["is_buy"]] for row in rows]]


async def funding(db: Database, instrument_id: int, first: datetime, last: datetime) -> AsyncIterator[list[Any]]:
    place: dict[str, Any] = {"time": first - timedelta(microseconds=1)}
    async for rows in _pages(db, "funding_after", place, ROWS_A_PAGE, instrument_id=instrument_id, last=last):
        yield [_times(rows), *_columns(rows, ("rate",))]


async def books(db: Database, instrument_id: int, first: datetime, last: datetime) -> AsyncIterator[list[Any]]:
    """A row a level, bids before asks; an update without levels is one row without a side."""
    place: dict[str, Any] = {"time": first, "sequence": -1, "is_snapshot": False}
    async for rows in _pages(db, "books_after", place, BOOKS_A_PAGE, instrument_id=instrument_id, last=last):
        counts = np.array([len(row["bid_prices"]) + len(row["ask_prices"]) or 1 for row in rows])
        columns: list[Any] = [np.repeat(np.array(_times(rows)), counts)]
        for name in ("sequence", "first_sequence", "is_snapshot"):
            columns.append([row[name] for row, count in zip(rows, counts.tolist(), strict=True) for _ in range(count)])
        columns += [[], [], []]
        for row in rows:
            bids, asks = len(row["bid_prices"]), len(row["ask_prices"])
            is_empty = not bids and not asks
            columns[4] += [None] if is_empty else ["bid"] * bids + ["ask"] * asks
            columns[5] += [None] if is_empty else [*row["bid_prices"], *row["ask_prices"]]
            columns[6] += [None] if is_empty else [*row["bid_amounts"], *row["ask_amounts"]]
        yield columns


async def tickers(
    db: Database, venue: str, symbols: Sequence[str], first: datetime, last: datetime
) -> AsyncIterator[list[Any]]:
    """One market after the other."""
    names = ("bid", "bid_amount", "ask", "ask_amount", "last", "volume")
    waiting: list[Row] = []
    for symbol in symbols:
        place: dict[str, Any] = {"time": first, "sequence": -1}
        async for rows in _pages(db, "tickers_after", place, ROWS_A_PAGE, venue=venue, symbol=symbol, last=last):
            waiting += rows
            if len(waiting) >= ROWS_A_PAGE:
                yield [_times(waiting), *_columns(waiting, ("symbol", "sequence", *names))]
                waiting = []
    if waiting:
        yield [_times(waiting), *_columns(waiting, ("symbol", "sequence", *names))]


async def instruments(db: Database, venue: str, symbols: Sequence[str] | None) -> AsyncIterator[list[Any]]:
    place: dict[str, Any] = {"valid_from": BEGINNING, "symbol": ""}
    wanted = list(symbols) if symbols else None
    async for rows in _pages(db, "instrument_lines", place, ROWS_A_PAGE, venue=venue, symbols=wanted):
        times = [[row[name].isoformat() if row[name] else None for row in rows] for name in ("valid_from", "valid_to")]
        yield [*_columns(rows, INSTRUMENT_NAMES), *times]


async def _pages(db: Database, name: str, place: dict[str, Any], limit: int, **values: Any) -> AsyncIterator[list[Row]]:
    """Pages that follow each other; ``place`` holds the key of the last row, and where to begin."""
    while True:
        rows = await QUERIES.fetch(db, name, **values, **place, limit=limit)
        if rows:
            place.update({key: rows[-1][key] for key in place})
            yield rows
        if len(rows) < limit:
            return


def _times(rows: Sequence[Row]) -> list[int]:
    return [(row["time"] - BEGINNING) // timedelta(microseconds=1) for row in rows]


def _columns(rows: Sequence[Row], names: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in names]
