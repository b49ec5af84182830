"""Checking stored series by every rule: bounded memory, one span of candles after the other."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection, SeriesEntry, catalogue
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.quality.postgres_quality import (
    OtherVenue,
    QualityPostgresDatabase,
    SeriesQuality,
)
from mastertrade.market_data_service.quality.rules import (
    APART_FROM_OTHERS,
    GAP,
    HELD_BACK,
    LATE,
    NOT_ITS_TRADES,
    REVISED,
    SYNTHETIC,
    Checks,
    Found,
    Rule,
    apart,
    score,
)
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager

ROWS_A_READ = 200_000
"""Candles held at once: 10 MB, and as much of another venue's."""
SAME_VOLUME = 1e-6
"""Trades are all there when they add up to the volume of the candle as exactly as that."""

Progress = Callable[[int, int], None]
"""Called with the candles that were looked at, and how many there are."""


class QualityChecker:
    """Reads candles and writes what it found about them; changes no candle."""

    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._database = QualityPostgresDatabase()
        self._candles = CandlesPostgresDatabase()

    async def check(
        self,
        selection: Selection = EVERYTHING,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        progress: Progress | None = None,
    ) -> AsyncIterator[SeriesQuality]:
        """Each selected series with what was found, which is stored as its last check."""
        entries = await catalogue(self._manager, selection)
        done, expected = 0, sum(entry.rows for entry in entries)
        for entry in entries:
            first = entry.first if start is None else max(entry.first, start)
            last = _after(entry) if end is None else min(_after(entry), end)
            if first < last:
                yield await self._check_series(entry, first, last)
            done += entry.rows
            if progress is not None:
                progress(done, expected)

    async def _check_series(self, entry: SeriesEntry, first: datetime, last: datetime) -> SeriesQuality:
        checks = Checks(entry.interval_s, has_volume="." not in entry.venue)
        others = await self._database.second_sources(self._manager, entry.instrument_id, entry.interval_s, first, last)
        distance = 0.0
        far = Found(rule=APART_FROM_OTHERS)
        wrong = Found(rule=NOT_ITS_TRADES)
        trades = await self._database.span_of_trades(self._manager, entry.instrument_id)
        step = timedelta(seconds=ROWS_A_READ * entry.interval_s)
        at = first
        while at < last:
            until = min(at + step, last)
            bars = await self._read(entry.instrument_id, entry.interval_s, at, until)
            checks.look(bars)
            distance = max(distance, await self._compare(bars, others, far))
            if trades is not None:
                await self._compare_trades(entry, bars, trades, wrong)
            at = until
        found = [*checks.end(), *(one for one in (far, wrong) if one.rows)]
        if far.rows:
            names = ", ".join(other.venue for other in others)
            far.detail = f"by {distance:.1%} at most; compared with {names}"
        found += await self._known(entry, first, last)
        return await self._save(entry, found, first, last, checks.rows)

    async def _read(self, instrument_id: int, interval_s: int, first: datetime, last: datetime) -> Bars:
        return await read_candles(self._manager, instrument_id, interval_s, first, last)

    async def _compare(self, bars: Bars, others: Sequence[OtherVenue], far: Found) -> float:
        if len(bars) == 0 or not others:
            return 0.0
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]) + 1)
        theirs = [await self._read(other.instrument_id, bars.interval_s, first, last) for other in others]
        found, distance = apart(bars, theirs)
        for begins, ends, rows in found:
            far.add(begins, ends, rows=rows)
        return distance

    async def _compare_trades(
        self, entry: SeriesEntry, bars: Bars, trades: tuple[datetime, datetime, float], wrong: Found
    ) -> None:
        """Only bars of which all trades are there can be judged: those whose volume they add up to."""
        begins, ends, tick = trades
        places = np.flatnonzero(
            (bars.time >= to_milliseconds(begins) - bars.interval_s * 1000) & (bars.time <= to_milliseconds(ends))
        )
        if len(places) == 0:
            return
        mine = bars[int(places[0]) : int(places[-1]) + 1]
        first, last = to_datetime(int(mine.time[0])), to_datetime(int(mine.time[-1]) + bars.interval_s * 1000)
        made = await self._database.bars_of_trades(self._manager, entry.instrument_id, entry.interval_s, first, last)
        times, its, theirs = np.intersect1d(mine.time, made.time, assume_unique=True, return_indices=True)
        is_whole = np.abs(mine.volume[its] - made.volume[theirs]) <= SAME_VOLUME * mine.volume[its]
        differs = np.zeros(len(times), dtype=np.bool_)
        for name in ("open", "high", "low", "close"):
            differs |= np.abs(getattr(mine, name)[its] - getattr(made, name)[theirs]) > tick * 1.000001
        for time in times[is_whole & differs].tolist():
            wrong.add(time, time, rows=1)

    async def _known(self, entry: SeriesEntry, first: datetime, last: datetime) -> list[Found]:
        """What the catalogue says without a look at candles."""
        row = await self._database.counts_of_series(self._manager, entry.instrument_id, entry.interval_s, first, last)
        stretches = await self._candles.synthetic_stretches(self._manager, entry.instrument_id, entry.interval_s)
        filled = [(max(a, first), min(b, last)) for a, b in stretches if a < last and b > first]
        step = timedelta(seconds=entry.interval_s)
        rows = [
            _found(GAP, row["missing"], row["first_hole"], row["last_hole"], places=row["holes"]),
            _found(HELD_BACK, row["held"], row["first_held"], row["last_held"]),
            _found(REVISED, row["revised"], row["first_revised"], row["last_revised"]),
            _found(LATE, row["late"], row["first_late"], row["last_late"]),
            _found(
                SYNTHETIC,
                sum((b - a) // step for a, b in filled),
                min((a for a, _ in filled), default=None),
                max((b for _, b in filled), default=None),
                places=len(filled),
            ),
        ]
        return [one for one in rows if one is not None]

    async def _save(
        self, entry: SeriesEntry, found: list[Found], first: datetime, last: datetime, rows: int
    ) -> SeriesQuality:
        async with self._manager.transaction() as tx:
            await self._database.save_report(
                tx, entry, found, first=first, last=last, rows=rows, score=score(rows, found), at=self._clock.now()
            )
        one = Selection(venues=(entry.venue,), symbols=(entry.symbol,), intervals_s=(entry.interval_s,))
        return (await self._database.quality_reports(self._manager, one))[0]

    async def last(self, selection: Selection = EVERYTHING) -> list[SeriesQuality]:
        """What the last check of each series found, the worst first. NotFound when none of them was ever checked."""
        found = await self._database.quality_reports(self._manager, selection)
        if not found and selection != EVERYTHING:
            raise NotFound(f"no check of {selection} is stored: `mastertrade data quality {selection}` makes one")
        return found


def _after(entry: SeriesEntry) -> datetime:
    return entry.last + timedelta(seconds=entry.interval_s)


def _found(
    rule: Rule, rows: int, first: datetime | None, last: datetime | None, *, places: int | None = None
) -> Found | None:
    if not rows or first is None or last is None:
        return None
    return Found(
        rule=rule,
        rows=rows,
        places=places or rows,
        first_ms=to_milliseconds(first),
        last_ms=to_milliseconds(last),
    )
