"""Loading history: each series in one transaction, any number of times with the same result."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mastertrade.market_data_service.candle_store import LOAD_TIMEOUT_S, CandleWriter
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import RefusedRows, SeriesHistory, Source
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with rows done and rows expected, over the whole load; the second is an estimate until the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLoad:
    """What loading one series did. ``rows`` were offered; ``new`` + ``unchanged`` + ``revised`` of them are stored.
    ``revised`` ones stood there with other numbers. Gaps are those of the stored series between its ends."""

    venue: str
    symbol: str
    interval_s: int
    rows: int
    new: int
    unchanged: int
    revised: int
    refused: RefusedRows
    gaps: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    series: tuple[SeriesLoad, ...]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.series)

    @property
    def gaps(self) -> int:
        return sum(one.gaps for one in self.series)

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.series)

    @property
    def refused(self) -> RefusedRows:
        total = RefusedRows()
        for one in self.series:
            total.add_all(one.refused)
        return total


class HistoryLoader:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._database = MarketDataPostgresDatabase()
        self._candles = CandlesPostgresDatabase()
        self._writer = CandleWriter(manager=manager)

    async def load(
        self,
        source: Source,
        ids: Mapping[tuple[str, str], int],
        *,
        until: datetime,
        progress: Progress | None = None,
    ) -> LoadReport:
        """Store every candle of the source that had closed at ``until``. A broken series raises and leaves nothing of
        itself behind; the series before it are stored."""
        began = self._clock.monotonic()
        histories = list(source.history(until))
        counter = _Counter(expected=sum(history.expected_rows for history in histories), progress=progress)
        loads = [await self._load_series(history, ids[history.listing.key], counter) for history in histories]
        counter.end()
        return LoadReport(series=tuple(loads), seconds=self._clock.monotonic() - began)

    async def _load_series(self, history: SeriesHistory, instrument_id: int, counter: "_Counter") -> SeriesLoad:
        interval_s, at = history.interval_s, self._clock.now()
        rows = new = revised = 0
        async with self._manager.transaction(durable=False, statement_timeout_s=LOAD_TIMEOUT_S) as tx:
            span = await self._candles.lock_series(tx, instrument_id, interval_s, at=at)
            while (bars := await asyncio.to_thread(next, history.chunks, None)) is not None:
                stored = await self._writer.store(tx, instrument_id, bars, span, at=at)
                rows, new, revised = rows + len(bars), new + stored.new, revised + stored.revised
                counter.add(len(bars))
            gaps, missing = await self._database.gap_totals(tx, instrument_id, interval_s)
        load = SeriesLoad(
            venue=history.listing.venue,
            symbol=history.listing.symbol,
            interval_s=interval_s,
            rows=rows,
            new=new,
            unchanged=rows - new - revised,
            revised=revised,
            refused=history.refused,
            gaps=gaps,
            missing=missing,
        )
        _tell(load)
        return load


class _Counter:
    def __init__(self, *, expected: int, progress: Progress | None) -> None:
        self._expected = expected
        self._progress = progress
        self._done = 0

    def add(self, rows: int) -> None:
        self._done += rows
        self._expected = max(self._expected, self._done)
        self._tell()

    def end(self) -> None:
        self._expected = self._done
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._expected)


def _tell(load: SeriesLoad) -> None:
    what = {"venue": load.venue, "symbol": load.symbol, "interval_s": load.interval_s}
    if load.refused.total:
        log.warning("rows were refused", extra={**what, "rows": load.refused.total, "first": str(load.refused.first)})
    if load.revised:
        log.warning("stored candles were revised", extra={**what, "rows": load.revised})
