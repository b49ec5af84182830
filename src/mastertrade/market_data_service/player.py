"""Playing a source: the market moves, batch by batch, and everything that follows from a batch is done before the next.

For each batch: the clock stands at its open and the venue learns the prices; then the clock stands at its close, one
transaction stores the candles, moves the feed and publishes that they closed; then everybody acts. So a decision at the
close of a bar can only be filled at the next bar's open.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mastertrade.domain.events import CandlesClosed
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase, Stored
from mastertrade.market_data_service.source import CandleBatch, Source
from mastertrade.messaging.bus import Bus
from mastertrade.shared.clock import MarketClock
from mastertrade.shared.errors import AlreadyRunning, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)

LATEST_CATCHING_UP_S = 5.0
"""A paced replay that is later than this starts its pace anew instead of racing to catch up."""


class Tape(Protocol):
    """What must happen around each batch; the platform hands it in."""

    async def prices(self, batch: CandleBatch) -> None:
        """The prices of the batch reach the venue. The same batch may come again after a crash."""
        ...

    async def settle(self) -> None:
        """Return once everything that follows from the events so far is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayReport:
    """What one run played. ``is_finished``: the source had no more before the asked end; otherwise it was stopped."""

    batches: int
    candles: int
    revised: int
    position: datetime
    seconds: float
    is_finished: bool


class Player:
    """Plays one source as one feed that has begun. The feed's position in the database is its only memory."""

    def __init__(
        self,
        *,
        feed: str,
        source: Source,
        ids: Mapping[tuple[str, str], int],
        clock: MarketClock,
        manager: PostgresManager,
        bus: Bus,
        tape: Tape | None = None,
        speed: float | None = None,
    ) -> None:
        if speed is not None and not 0.0 < speed < math.inf:
            raise UsageError(f"speed {speed} must be above 0: so many market seconds pass in a second")
        self._feed = feed
        self._source = source
        self._ids = ids
        self._clock = clock
        self._manager = manager
        self._bus = bus
        self._tape = tape
        self._speed = speed
        self._database = MarketDataPostgresDatabase()
        self._stopping = asyncio.Event()
        self._months: set[tuple[int, int]] = set()
        self.batches_played = 0

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """End after the batch in hand. Harmless when repeated."""
        self._stopping.set()

    async def run(self, *, end: datetime | None = None) -> PlayReport:
        """Play from where the feed stands. A batch that opens at or after ``end`` is not played."""
        began = self._clock.monotonic()
        feed = await self._database.feed(self._manager, self._feed)
        if feed is None:
            raise UsageError(f"feed {self._feed} has not begun: begin it before playing")
        # What an earlier run left in the bus is done at its own time, before the market moves on.
        self._clock.advance(feed.market_time)
        await self._settle()
        position, is_finished = feed.position, True
        batches = candles = revised = 0
        pace = _Pace(self._speed, self._clock, self._stopping)
        async with aclosing(self._source.batches(self._ids, position)) as coming:
            async for batch in self._until_stopped(coming):
                if end is not None and batch.open_time >= end:
                    break
                await pace.wait_for(batch.close_time)
                if self.is_stopping:
                    is_finished = False
                    break
                stored = await self._play(batch, position)
                position = batch.open_time
                self.batches_played += 1
                batches, candles, revised = batches + 1, candles + len(batch.candles), revised + stored.revised
            else:
                is_finished = not self.is_stopping
        return PlayReport(
            batches=batches,
            candles=candles,
            revised=revised,
            position=position,
            seconds=self._clock.monotonic() - began,
            is_finished=is_finished,
        )

    async def _until_stopped(self, coming: AsyncGenerator[CandleBatch]) -> AsyncGenerator[CandleBatch]:
        """The batches; of a live market the next one may be a minute away, which no stop waits for."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self.is_stopping:
                following = asyncio.ensure_future(anext(coming, None))
                try:
                    await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not following.done():
                        following.cancel()
                        await asyncio.gather(following, return_exceptions=True)
                if following.cancelled() or (batch := following.result()) is None:
                    return
                yield batch
        finally:
            stopping.cancel()

    async def _play(self, batch: CandleBatch, position: datetime) -> Stored:
        await self._settle_between()
        self._clock.advance(batch.open_time)
        if self._tape is not None:
            await self._tape.prices(batch)
            await self._settle_between()
        self._clock.advance(batch.close_time)
        stored = await self._close(batch, position)
        await self._settle()
        return stored

    async def _close(self, batch: CandleBatch, position: datetime) -> Stored:
        """One transaction: the candles, how far the feed has come, and the events that say so."""
        month = (batch.open_time.year, batch.open_time.month)
        if month not in self._months:
            await self._database.ensure_partitions(self._manager, batch.open_time, batch.open_time)
            self._months.add(month)
        now = self._clock.now()
        async with self._manager.transaction(durable=False) as tx:
            stored = await self._database.store_batch(tx, batch, at=now)
            if not await self._database.advance_feed(
                tx, self._feed, before=position, open_time=batch.open_time, at=now
            ):
                raise AlreadyRunning(
                    f"feed {self._feed} no longer stands at {position}: another process plays it; stop that one first"
                )
            event = CandlesClosed(
                id=new_id(now),
                occurred_at=batch.close_time,
                interval_s=batch.interval_s,
                open_time=batch.open_time,
                candles=batch.candles,
            )
            await self._bus.publish(event, within=tx)
        if stored.revised:
            log.warning("a batch revised stored candles", extra={"rows": stored.revised, "at": batch.open_time})
        return stored

    async def _settle_between(self) -> None:
        """What people asked for while a paced market waited is carried out at that time: a step of the clock in the
        midst of it would be longer than an approval is valid."""
        if self._speed is not None:
            await self._settle()

    async def _settle(self) -> None:
        if self._tape is not None:
            await self._tape.settle()


class _Pace:
    """Lets ``speed`` market seconds pass in each second; without a speed it never waits."""

    def __init__(self, speed: float | None, clock: MarketClock, stopping: asyncio.Event) -> None:
        self._speed = speed
        self._clock = clock
        self._stopping = stopping
        self._anchor: tuple[datetime, float] | None = None

    async def wait_for(self, moment: datetime) -> None:
        if self._speed is None:
            return
        now = self._clock.monotonic()
        if self._anchor is None:
            self._anchor = (moment, now)
        market, machine = self._anchor
        wait_s = machine + (moment - market).total_seconds() / self._speed - now
        if wait_s < -LATEST_CATCHING_UP_S:
            self._anchor = (moment, now)
        elif wait_s > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            except TimeoutError:
                return
