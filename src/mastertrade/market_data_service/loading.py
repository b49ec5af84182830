"""Loading history: each series in one transaction, any number of times with the same result."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase, Span, Stored
from mastertrade.market_data_service.source import RefusedRows, SeriesHistory, Source, to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 120.0
"""For one statement or pause of a load; a chunk of 50,000 rows takes a fraction of a second."""
VALUES = ("open", "high", "low", "close", "volume")

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


class CandleWriter:
    """Writes bars of one series after another. What is there unchanged is not written again, and what is not offered
    stays: nothing stored is ever lost."""

    def __init__(self, *, manager: PostgresManager) -> None:
        self._manager = manager
        self._database = MarketDataPostgresDatabase()
        self._months: set[tuple[int, int]] = set()

    async def store(self, tx: Transaction, instrument_id: int, bars: Bars, span: Span, *, at: datetime) -> Stored:
        """Write what is new or different. ``span`` is what the locked series covered before ``tx`` wrote to it."""
        if len(bars) == 0:
            return Stored(new=0, revised=0)
        await self._ensure_partitions(bars)
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]) + bars.interval_s * 1000)
        known = None
        if span.overlaps(first, last):
            known = await self._database.candle_columns(tx, instrument_id, bars.interval_s, first, last)
        fresh, differing = compare(bars, known)
        stored = Stored(new=int(fresh.sum()), revised=int(differing.sum()))
        if not (stored.new or stored.revised):
            return stored
        if stored.revised:
            times = [to_datetime(time) for time in bars.time[differing].tolist()]
            await self._database.delete_candles(tx, instrument_id, bars.interval_s, times)
        chosen = _select(bars, fresh | differing)
        await self._database.copy_candles(tx, instrument_id, chosen)
        await self._database.extend_series(
            tx,
            instrument_id,
            bars.interval_s,
            ranges=list(covered_ranges(chosen)),
            last_close=float(chosen.close[-1]),
            stored=stored,
            at=at,
        )
        return stored

    async def _ensure_partitions(self, bars: Bars) -> None:
        """Outside of the caller's transaction, which would keep other loaders from making theirs."""
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]))
        ends = {(first.year, first.month), (last.year, last.month)}
        if not ends <= self._months:
            await self._database.ensure_partitions(self._manager, first, last)
            self._months |= ends


class HistoryLoader:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._database = MarketDataPostgresDatabase()
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
            span = await self._database.lock_series(tx, instrument_id, interval_s, at=at)
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


def compare(bars: Bars, known: Bars | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which bars are not among the known ones, and which are there with other numbers."""
    nothing = np.zeros(len(bars), dtype=np.bool_)
    if known is None or len(known) == 0:
        return ~nothing, nothing
    places = np.minimum(np.searchsorted(known.time, bars.time), len(known) - 1)
    is_known = known.time[places] == bars.time
    same = np.ones(len(bars), dtype=np.bool_)
    for name in VALUES:
        same &= getattr(known, name)[places] == getattr(bars, name)
    return ~is_known, is_known & ~same


def covered_ranges(bars: Bars) -> Iterator[tuple[datetime, datetime]]:
    """The unbroken stretches of the bars, from open to close."""
    if len(bars) == 0:
        return
    step_ms = bars.interval_s * 1000
    breaks = np.flatnonzero(np.diff(bars.time) != step_ms) + 1
    for first, last in zip((0, *breaks.tolist()), (*breaks.tolist(), len(bars)), strict=True):
        yield to_datetime(int(bars.time[first])), to_datetime(int(bars.time[last - 1]) + step_ms)


def _select(bars: Bars, chosen: NDArray[np.bool_]) -> Bars:
    values = {name: getattr(bars, name)[chosen] for name in VALUES}
    return Bars(interval_s=bars.interval_s, time=bars.time[chosen], **values)


def _tell(load: SeriesLoad) -> None:
    what = {"venue": load.venue, "symbol": load.symbol, "interval_s": load.interval_s}
    if load.refused.total:
        log.warning("rows were refused", extra={**what, "rows": load.refused.total, "first": str(load.refused.first)})
    if load.revised:
        log.warning("stored candles were revised", extra={**what, "rows": load.revised})
