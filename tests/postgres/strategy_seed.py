"""What strategy and arbitrage tests need: instruments, an account, bars out of arrays, and a bus that remembers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from mastertrade.domain.events import CandlesClosed, Event
from mastertrade.domain.market import Candle
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.quant.bars import Bars
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id

START = datetime(2021, 9, 18, tzinfo=UTC)


@dataclass
class RecordingBus:
    """Keeps what was published by committed transactions; delivers nothing."""

    events: list[Event] = field(default_factory=list)

    async def publish(self, *events: Event, within: Transaction) -> None:
        async def keep() -> None:
            self.events += events

        within.on_commit(keep)

    async def declare(self, subscriptions: Sequence[Subscription]) -> None: ...

    async def start(self, subscriptions: Sequence[Subscription]) -> None: ...

    async def stop(self) -> None: ...

    async def drain(self, *, timeout_s: float) -> None: ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return []


class ArraySource:
    """Bars of any interval out of one-minute bars in memory; a bar with a missing minute is left out."""

    def __init__(self, minutes: dict[int, Bars]) -> None:
        self.minutes = minutes
        self.reads: list[tuple[datetime, datetime]] = []
        self._coarser: dict[tuple[int, int, int], Bars] = {}

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime
    ) -> Bars:
        self.reads.append((start, end))
        minutes = self.minutes[instrument_id]
        key = (instrument_id, interval_s, id(minutes))
        if key not in self._coarser:
            self._coarser[key] = coarser(minutes, interval_s)
        whole = self._coarser[key]
        first, last = start.timestamp() * 1000, min(end.timestamp(), as_of.timestamp() - interval_s + 1) * 1000
        return whole[int(np.searchsorted(whole.time, first)) : int(np.searchsorted(whole.time, last))]


def coarser(minutes: Bars, interval_s: int) -> Bars:
    """Complete bars of ``interval_s``, built the slow and obvious way."""
    groups: dict[int, list[int]] = {}
    for place, time in enumerate(minutes.time.tolist()):
        groups.setdefault(time - time % (interval_s * 1000), []).append(place)
    kept = {start: places for start, places in groups.items() if len(places) == interval_s // 60}
    return Bars(
        interval_s=interval_s,
        time=np.array(list(kept), dtype=np.int64),
        open=np.array([minutes.open[places[0]] for places in kept.values()]),
        high=np.array([minutes.high[places].max() for places in kept.values()]),
        low=np.array([minutes.low[places].min() for places in kept.values()]),
        close=np.array([minutes.close[places[-1]] for places in kept.values()]),
        volume=np.array([minutes.volume[places].sum() for places in kept.values()]),
    )


def minute_bars(closes: Sequence[float], start: datetime = START) -> Bars:
    """Flat one-minute bars of these closes."""
    values = np.array(closes, dtype=np.float64)
    return Bars(
        interval_s=60,
        time=round(start.timestamp() * 1000) + 60_000 * np.arange(len(values)),
        open=values,
        high=values,
        low=values,
        close=values,
        volume=np.ones(len(values)),
    )


def batch(
    venue: str, bars: dict[int, tuple[str, Bars]], open_time: datetime, volume: float | None = None
) -> CandlesClosed:
    """The event of one minute: every instrument that has a bar then."""
    candles = []
    for instrument_id, (symbol, minutes) in bars.items():
        place = int(np.searchsorted(minutes.time, open_time.timestamp() * 1000))
        if place < len(minutes) and minutes.time[place] == open_time.timestamp() * 1000:
            candles.append(
                Candle(
                    instrument_id=instrument_id,
                    venue=venue,
                    symbol=symbol,
                    interval_s=60,
                    open_time=open_time,
                    open=float(minutes.open[place]),
                    high=float(minutes.high[place]),
                    low=float(minutes.low[place]),
                    close=float(minutes.close[place]),
                    volume=float(minutes.volume[place]) if volume is None else volume,
                )
            )
    close_time = open_time + timedelta(minutes=1)
    return CandlesClosed(
        id=new_id(close_time),
        occurred_at=close_time,
        interval_s=60,
        open_time=open_time,
        candles=tuple(candles),
    )


async def add_instrument(
    manager: PostgresManager, venue: str, symbol: str, *, taker_fee: str = "0.001", status: str = "tradable"
) -> int:
    base, _, quote = symbol.partition("/")
    await manager.execute("INSERT INTO venues (id) VALUES ($1) ON CONFLICT DO NOTHING", venue)
    number: int = await manager.fetchval(
        "INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee,"
        " status) VALUES ($1, $2, $3, $4, 0.01, 0.0001, 10, $5, $5, $6) RETURNING id",
        venue, symbol, base, quote, taker_fee, status,
    )  # fmt: skip
    return number


async def add_account(manager: PostgresManager, venue: str, name: str = "desk", environment: str = "paper") -> UUID:
    account: UUID = await manager.fetchval(
        "INSERT INTO accounts (id, name, venue, environment) VALUES ($1, $2, $3, $4) RETURNING id",
        new_id(START), name, venue, environment,
    )  # fmt: skip
    return account


async def count(manager: PostgresManager, table: str) -> Any:
    return await manager.fetchval(f"SELECT count(*) FROM {table}")
