"""Bar history: the bars of an instrument from the first to the one that just closed, reading only what is new."""

from datetime import UTC, datetime, timedelta

import numpy as np

from mastertrade.quant.bars import Bars, BarSource
from mastertrade.quant.resample import join

HISTORY_START = datetime(2009, 1, 1, tzinfo=UTC)
"""Before the first coin was traded: reading from here reads everything."""
MAX_SERIES = 1000
"""Series kept in memory (a year of 15-minute bars is 1.7 MB); the one loaded longest ago is dropped for another."""


class BarHistory:
    """Whole histories in memory. Bars are appended one by one while each follows the last without a hole; after a hole
    the history is read again, because bars that were missing may have been filled in meanwhile."""

    def __init__(self, source: BarSource) -> None:
        self._source = source
        self._known: dict[tuple[int, int], Bars] = {}

    async def through(self, instrument_id: int, interval_s: int, close: datetime) -> Bars | None:
        """All bars up to the one that closed at ``close`` and none later; None when that bar is incomplete."""
        key, wanted = (instrument_id, interval_s), round(close.timestamp() * 1000) - interval_s * 1000
        known = self._known.get(key)
        if known is None or known.time[-1] < wanted - interval_s * 1000:
            known = await self._source.read(instrument_id, interval_s, HISTORY_START, close, as_of=close)
        elif known.time[-1] < wanted:
            start = close - timedelta(seconds=interval_s)
            known = join(known, await self._source.read(instrument_id, interval_s, start, close, as_of=close))
        if len(known):
            self._remember(key, known)
        prefix = known[: int(np.searchsorted(known.time, wanted, side="right"))]
        return prefix if len(prefix) and prefix.time[-1] == wanted else None

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._known.clear()

    def _remember(self, key: tuple[int, int], bars: Bars) -> None:
        if key not in self._known and len(self._known) >= MAX_SERIES:
            del self._known[next(iter(self._known))]
        self._known[key] = bars
