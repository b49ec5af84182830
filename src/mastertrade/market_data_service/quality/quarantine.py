"""Candles that look like bad prints: what waits, what a second source says, and the decision of a person."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np

from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection
from mastertrade.market_data_service.quality.postgres_quality import VALUES, HeldCandle, QualityPostgresDatabase
from mastertrade.market_data_service.quality.rules import APART
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager

WAITING, ACCEPTED, DROPPED = "waiting", "accepted", "dropped"


def confirming(held: HeldCandle) -> list[str]:
    """The venues that closed where the candle did."""
    return [venue for venue, close in zip(held.other_venues, held.other_closes, strict=True) if _agrees(held, close)]


def contradicting(held: HeldCandle) -> list[str]:
    return [venue for venue in held.other_venues if venue not in confirming(held)]


class Quarantine:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._database = QualityPostgresDatabase()
        self._store = CandleStore(manager=manager, clock=clock)

    async def held(
        self, selection: Selection = EVERYTHING, *, times: Sequence[datetime] | None = None, is_all: bool = False
    ) -> list[HeldCandle]:
        """What waits, or with ``is_all`` also what was decided."""
        return await self._database.held_candles(
            self._manager, selection, statuses=None if is_all else (WAITING,), times=times
        )

    async def release(
        self,
        selection: Selection = EVERYTHING,
        *,
        times: Sequence[datetime] | None = None,
        is_confirmed: bool = False,
    ) -> list[HeldCandle]:
        """Store what waits: it was no bad print. ``is_confirmed``: only what another venue saw too, and none denies."""
        wanted = (lambda one: bool(confirming(one)) and not contradicting(one)) if is_confirmed else (lambda one: True)
        chosen = await self._chosen(selection, times, wanted)
        for (instrument_id, interval_s), group in groupby(chosen, key=lambda one: (one.instrument_id, one.interval_s)):
            # Stored first: whoever dies in between finds them waiting, and stores them again to no effect.
            await self._store.load(instrument_id, _bars(interval_s, list(group)))
        await self._decide(chosen, ACCEPTED)
        return chosen

    async def drop(
        self, selection: Selection = EVERYTHING, *, times: Sequence[datetime] | None = None
    ) -> list[HeldCandle]:
        """Keep what waits out for good; importing it again holds it back again."""
        chosen = await self._chosen(selection, times, lambda one: True)
        await self._decide(chosen, DROPPED)
        return chosen

    async def _chosen(
        self, selection: Selection, times: Sequence[datetime] | None, wanted: Callable[[HeldCandle], bool]
    ) -> list[HeldCandle]:
        waiting = await self.held(selection, times=times)
        if not waiting and (selection != EVERYTHING or times):
            raise NotFound(f"nothing of {selection} waits then: `mastertrade data quarantine list` shows what does")
        return [one for one in waiting if wanted(one)]

    async def _decide(self, chosen: Sequence[HeldCandle], status: str) -> None:
        at = self._clock.now()
        for (instrument_id, interval_s), group in groupby(chosen, key=lambda one: (one.instrument_id, one.interval_s)):
            times = [one.open_time for one in group]
            await self._database.decide_candles(self._manager, instrument_id, interval_s, times, status=status, at=at)


def _agrees(held: HeldCandle, close: float) -> bool:
    return abs(close / held.close - 1) <= APART


def _bars(interval_s: int, held: Sequence[HeldCandle]) -> Bars:
    time = np.array([to_milliseconds(one.open_time) for one in held], dtype=np.int64)
    values = {name: np.array([getattr(one, name) for one in held], dtype=np.float64) for name in VALUES}
    return Bars(interval_s=interval_s, time=time, **values)
