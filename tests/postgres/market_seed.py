"""Small markets for tests: candle files, sources in memory, and a bus that only remembers."""

import gzip
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from mastertrade.domain.events import Event
from mastertrade.domain.market import Candle
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.service import MarketDataService
from mastertrade.market_data_service.source import (
    CandleBatch,
    Listing,
    RefusedRows,
    SeriesHistory,
    to_datetime,
    to_milliseconds,
)
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock, ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HEADER = "timestamp_ms,open,high,low,close,volume"
BTC = ("binance", "BTC/USDT")


def minutes(count: int, *, start: datetime = NOON, price: float = 100.0, without: Iterable[int] = ()) -> Bars:
    """One-minute bars that rise by one a minute, with holes where asked."""
    numbers = np.setdiff1d(np.arange(count, dtype=np.int64), np.fromiter(without, np.int64))
    close = price + numbers.astype(np.float64)
    return Bars(
        interval_s=60,
        time=to_milliseconds(start) + numbers * 60_000,
        open=close - 0.5,
        high=close + 1.0,
        low=close - 1.0,
        close=close,
        volume=numbers.astype(np.float64) + 1.0,
    )


def csv_rows(bars: Bars) -> list[str]:
    columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [",".join(map(str, row)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def write_csv(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows, ""]).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


class SmallMarket:
    """A source over bars in memory, by (venue, symbol)."""

    interval_s = 60

    def __init__(self, bars: Mapping[tuple[str, str], Bars], name: str = "small") -> None:
        self.bars = dict(bars)
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def instruments(self) -> tuple[Listing, ...]:
        return tuple(listing(venue, symbol) for venue, symbol in self.bars)

    def refused(self) -> RefusedRows:
        return RefusedRows()

    def history(self, until: datetime) -> Iterable[SeriesHistory]:
        for (venue, symbol), bars in self.bars.items():
            closed = bars[: int(np.searchsorted(bars.time, to_milliseconds(until) - 60_000, side="right"))]
            yield SeriesHistory(
                listing=listing(venue, symbol), interval_s=60, expected_rows=len(closed), chunks=iter([closed])
            )

    async def batches(
        self, ids: Mapping[tuple[str, str], int], after: datetime | None
    ) -> AsyncGenerator[CandleBatch, None]:
        times = sorted({time for bars in self.bars.values() for time in bars.time.tolist()})
        for time in times:
            if after is not None and to_datetime(time) <= after:
                continue
            found = [
                (key, bars, bars.time.tolist().index(time)) for key, bars in self.bars.items() if time in bars.time
            ]
            yield CandleBatch(
                interval_s=60,
                open_time=to_datetime(time),
                candles=tuple(candle_at(bars, place, ids[key], key) for key, bars, place in found),
            )


def candle_at(bars: Bars, place: int, instrument_id: int, key: tuple[str, str]) -> Candle:
    return Candle(
        instrument_id=instrument_id,
        venue=key[0],
        symbol=key[1],
        interval_s=60,
        open_time=to_datetime(int(bars.time[place])),
        open=float(bars.open[place]),
        high=float(bars.high[place]),
        low=float(bars.low[place]),
        close=float(bars.close[place]),
        volume=float(bars.volume[place]),
    )


class RecordingBus:
    """Remembers what was published in transactions that committed, and can be told to fail once."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fails_at: datetime | None = None

    async def publish(self, *events: Event, within: Transaction) -> None:
        if any(event.occurred_at == self.fails_at for event in events):
            self.fails_at = None
            raise RuntimeError("the bus broke")

        async def remember() -> None:
            self.events += events

        within.on_commit(remember)

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        return

    async def start(self, subscriptions: Sequence[Subscription]) -> None:
        return

    async def stop(self) -> None:
        return

    async def drain(self, *, timeout_s: float) -> None:
        return

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return []


def service(
    manager: PostgresManager, *, clock: Clock | None = None, bus: RecordingBus | None = None
) -> MarketDataService:
    return MarketDataService(
        settings=MarketDataSettings(), clock=clock or ReplayClock(NOON), bus=bus or RecordingBus(), manager=manager
    )


async def rows_of(manager: PostgresManager, symbol: str = "BTC/USDT") -> list[tuple[datetime, float]]:
    """(open time, close) of every stored candle of a symbol."""
    rows = await manager.fetch(
        "SELECT c.open_time, c.close FROM candles c JOIN instruments i ON i.id = c.instrument_id"
        " WHERE i.symbol = $1 ORDER BY i.venue, c.open_time",
        symbol,
    )
    return [(row["open_time"], row["close"]) for row in rows]
