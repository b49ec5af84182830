"""Storing live candles as they close, with what is known about the bars that did not come."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from mastertrade.exchanges.market_feed import CandleRow
from mastertrade.market_data_service.candle_store import CandleStore, Loaded, Outcome
from mastertrade.market_data_service.live_candles import ClosedCandles, LiveCandles
from mastertrade.market_data_service.source import to_datetime
from mastertrade.market_data_service.validation import LARGEST
from mastertrade.quant.bars import Bars
from mastertrade.shared.failpoints import Failpoints

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Recorded:
    """What recording has stored so far."""

    candles: int = 0
    revised: int = 0
    unusable: int = 0
    last_ms: int | None = None


class CandleRecorder:
    """Every bar in one transaction with its catalogue; a bar that comes twice changes nothing. Started again, it goes
    on behind the last stored bar, and what closed meanwhile is asked for as pages."""

    def __init__(
        self,
        *,
        live: LiveCandles,
        store: CandleStore,
        ids: Mapping[str, int],
        interval_s: int,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._live = live
        self._store = store
        self._ids = ids
        self._interval_s = interval_s
        self._failpoints = failpoints or Failpoints()
        self.recorded = {symbol: Recorded() for symbol in ids}

    async def run(self, from_ms: Mapping[str, int]) -> None:
        """Until it is cancelled."""
        async with aclosing(self._live.closed(from_ms)) as closed:
            async for told in closed:
                await self.keep(told)

    async def keep(self, told: ClosedCandles) -> None:
        id, count = self._ids[told.symbol], self.recorded[told.symbol]
        rows = [row for row in told.rows if is_usable(row)]
        loaded = Loaded()
        if rows:
            loaded = await self._store.load(id, to_bars(rows, self._interval_s), is_live=True)
            self._failpoints.reach("live.stored")
            count.last_ms = max(count.last_ms or 0, rows[-1].time_ms)
        count.candles += loaded.new
        count.revised += loaded.revised
        count.unusable += len(told.rows) - len(rows)
        for since_ms, until_ms, outcome, error in absences(told, self._interval_s):
            await self._store.record_request(
                id, self._interval_s, to_datetime(since_ms), to_datetime(until_ms), outcome, error=error
            )


def absences(told: ClosedCandles, interval_s: int) -> Iterator[tuple[int, int, Outcome, str | None]]:
    """Stretches of what was told that hold no bar to store, and why."""
    step_ms, cursor = interval_s * 1000, told.since_ms
    if told.refusal:
        yield told.since_ms, told.until_ms, Outcome.FAILED, told.refusal
        return
    for row in told.rows:
        if cursor < row.time_ms:
            yield cursor, row.time_ms, Outcome.FETCHED, None
        if not is_usable(row):
            error = f"the venue's candle cannot be used: {row}"
            log.warning("a candle cannot be used", extra={"symbol": told.symbol, "row": str(row)})
            yield row.time_ms, row.time_ms + step_ms, Outcome.FAILED, error
        cursor = row.time_ms + step_ms
    if cursor < told.until_ms:
        yield cursor, told.until_ms, Outcome.FETCHED if told.rows else Outcome.EMPTY, None


def is_usable(row: CandleRow) -> bool:
    """Finite numbers, prices above zero, low and high around open and close."""
    try:
        open_, high, low, close, volume = (float(getattr(row, name)) for name in _VALUES)
    except ValueError:
        return False
    is_finite = all(math.isfinite(value) for value in (open_, high, low, close, volume))
    return is_finite and 0 < low <= min(open_, close) <= max(open_, close) <= high < LARGEST and 0 <= volume < LARGEST


def to_bars(rows: Sequence[CandleRow], interval_s: int) -> Bars:
    columns = {name: np.array([float(getattr(row, name)) for row in rows]) for name in _VALUES}
    return Bars(interval_s=interval_s, time=np.array([row.time_ms for row in rows], dtype=np.int64), **columns)


_VALUES = ("open", "high", "low", "close", "volume")
