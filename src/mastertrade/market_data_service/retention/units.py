"""What leaves and comes back at once: a month of candles or funding rates, a day of trades, books or tickers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.exporting import rows as stored
from mastertrade.market_data_service.exporting.exporter import candle_content
from mastertrade.market_data_service.importing.naming import Kind, Understood
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.retention.policies import ANY, DataKind
from mastertrade.shared.postgres_manager import Database

MONTHLY = (DataKind.CANDLES, DataKind.FUNDING)
FIELDS = {
    DataKind.CANDLES: stored.CANDLES,
    DataKind.TRADES: stored.TRADES,
    DataKind.FUNDING: stored.FUNDING,
    DataKind.BOOK: stored.BOOK,
    DataKind.TICKERS: stored.TICKERS,
}
TABLES = {DataKind.TRADES: "market_trades", DataKind.BOOK: "book_updates", DataKind.TICKERS: "market_tickers"}
"""Those with partitions of their own months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """``rows`` as they stand in a file: of a book a row a level. ``obstacle`` keeps it from leaving."""

    kind: DataKind
    venue: str
    symbol: str
    instrument_id: int | None
    interval_s: int
    starts: datetime
    rows: int
    version: str | None = None
    obstacle: str | None = None
    snapshot: str | None = None

    @property
    def ends(self) -> datetime:
        if self.kind in MONTHLY:
            return (self.starts + timedelta(days=31)).replace(day=1)
        return self.starts + timedelta(days=1)

    @property
    def timeframe(self) -> str:
        return interval_name(self.interval_s) if self.interval_s else ANY

    @property
    def key(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value, "venue": self.venue, "symbol": self.symbol, "interval_s": self.interval_s,
            "starts": self.starts,
        }  # fmt: skip

    @property
    def head(self) -> str:
        """The first line of what is hashed."""
        return f"{self.kind} {self.venue} {self.symbol} {self.interval_s}"

    @property
    def content(self) -> Understood:
        """What an import has to know about its file."""
        if self.kind is DataKind.CANDLES:
            return candle_content(self.venue, self.symbol, self.interval_s)
        if self.kind is DataKind.TICKERS:
            return Understood(kind=Kind.TICKERS, venue=self.venue)
        return Understood(kind=Kind(self.kind.value), venue=self.venue, symbol=self.symbol)

    def __str__(self) -> str:
        length = f" {self.timeframe}" if self.interval_s else ""
        when = f"{self.starts:%Y-%m}" if self.kind in MONTHLY else f"{self.starts:%Y-%m-%d}"
        return f"{self.kind} of {self.venue} {self.symbol}{length}, {when}"

    def path(self, folder: Path, number: int) -> Path:
        """``candles/binance/BTC-USDT-1m/2024-05.parquet``; a second file of the same unit is ``2024-05.2.parquet``."""
        market = _file_name(self.symbol) + (f"-{self.timeframe}" if self.interval_s else "")
        when = f"{self.starts:%Y-%m}" if self.kind in MONTHLY else f"{self.starts:%Y-%m-%d}"
        part = f".{number}" if number > 1 else ""
        return folder / self.kind.value / quote(self.venue, safe="") / market / f"{when}{part}.parquet"

    def batches(self, db: Database) -> AsyncIterator[list[Any]]:
        """Its rows as they are stored now, in columns."""
        first, last = self.starts, self.ends
        if self.kind is DataKind.TICKERS:
            return stored.tickers(db, self.venue, [self.symbol], first, last)
        assert self.instrument_id is not None, "only tickers are known without an instrument"
        if self.kind is DataKind.CANDLES:
            return stored.candles(db, self.instrument_id, self.interval_s, first, last, without=())
        read = {DataKind.TRADES: stored.trades, DataKind.FUNDING: stored.funding, DataKind.BOOK: stored.books}
        return read[self.kind](db, self.instrument_id, first, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A row of ``retirements``: without a file its rows were dropped for good."""

    id: UUID
    kind: DataKind
    venue: str
    symbol: str
    interval_s: int
    starts: datetime
    ends: datetime
    rows: int
    content_hash: str | None
    file: str | None
    bytes: int | None
    version: str | None
    state: str
    reason: str
    written_at: datetime
    retired_at: datetime | None
    restored_at: datetime | None

    def unit(self, instrument_id: int | None) -> Unit:
        return Unit(
            kind=self.kind, venue=self.venue, symbol=self.symbol, instrument_id=instrument_id,
            interval_s=self.interval_s, starts=self.starts, rows=self.rows,
        )  # fmt: skip


def retired(row: Any) -> Retired:
    values = dict(row)
    return Retired(**{**values, "kind": DataKind(values["kind"])})


def _file_name(symbol: str) -> str:
    try:
        parts = parse_symbol(symbol)
    except ValueError:
        return quote(symbol, safe=" ")
    return f"{parts.base}-{parts.quote}" + (f"_{parts.settle}" if parts.settle else "")
