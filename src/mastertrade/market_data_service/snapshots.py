"""Snapshots: the candles a result was computed from, pinned for as long as the snapshot stands.

Nothing is copied. A pin holds the number of the last change a series had; reading undoes the later ones. The hash is
over names and numbers alone, so that two machines with the same candles get the same."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.catalogue import Selection, SeriesEntry, catalogue
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import ceil_to_grid, empty_bars, floor_to_grid, join, resample
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import Database, PostgresManager
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id

QUERIES = load_queries(__file__, "snapshots.sql")
ROWS_A_READ = 500_000
"""Candles held at once while hashing: 24 MB, and as much of packed rows."""
ABANDONED_AFTER = timedelta(hours=6)
"""A snapshot that was not finished by then belongs to a process that died."""
_ROW = np.dtype([("time", "<i8"), *((name, "<f8") for name in ("open", "high", "low", "close", "volume"))])

Progress = Callable[[int, int], None]
"""Called with the rows read and those expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """``content_hash`` and ``rows`` are None until all of it was read."""

    id: UUID
    note: str
    starts: datetime
    ends: datetime
    content_hash: str | None
    rows: int | None
    created_at: datetime
    series: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedSeries:
    """The candles with ``starts <= open time < ends`` as they were after the change ``last_revision``."""

    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    starts: datetime
    ends: datetime
    rows: int | None
    content_hash: str | None
    last_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a pinned series holds now, against what it held when it was pinned."""

    series: PinnedSeries
    rows: int
    content_hash: str

    @property
    def is_same(self) -> bool:
        return self.content_hash == self.series.content_hash


class Snapshots:
    """Make, find, verify and remove snapshots."""

    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._candles = CandlesPostgresDatabase()

    async def create(
        self,
        selection: Selection,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        note: str = "",
        progress: Progress | None = None,
    ) -> Snapshot:
        """Pin the selected series between two times, by default all of what they have. The same content again gives the
        snapshot that is there."""
        at = self._clock.now()
        chosen = await catalogue(self._manager, selection)
        starts, ends = _span(chosen, selection, start, end)
        id = new_id(at)
        await QUERIES.execute(self._manager, "remove_unfinished", before=at - ABANDONED_AFTER)
        async with self._manager.transaction() as tx:
            await QUERIES.execute(tx, "begin_snapshot", id=id, note=note, starts=starts, ends=ends, at=at)
            for one in sorted(chosen, key=lambda entry: (entry.instrument_id, entry.interval_s)):
                key = {"instrument_id": one.instrument_id, "interval_s": one.interval_s}
                await self._candles.lock_series(tx, one.instrument_id, one.interval_s, at=at)
                await QUERIES.execute(tx, "pin_series", id=id, **key, starts=starts, ends=ends)
        done, expected = 0, sum(one.rows for one in chosen)
        found: list[Verified] = []
        for pinned in await self.series(id):
            found.append(await content(self._manager, pinned))
            done += found[-1].rows
            if progress is not None:
                progress(done, expected)
        if done == 0:
            await self.remove(id)
            raise UsageError(f"{selection}: no candle between {starts} and {ends}; there is nothing to pin")
        return await self._finish(id, found)

    async def find(self, text: str | None = None) -> list[Snapshot]:
        """All of them, or those whose id or hash begins with ``text``."""
        rows = await QUERIES.fetch(self._manager, "snapshots", prefix=text)
        return [Snapshot(**row) for row in rows]

    async def one(self, text: str) -> Snapshot:
        found = await self.find(text)
        if len(found) != 1:
            told = "no snapshot" if not found else f"{len(found)} snapshots"
            raise NotFound(f"{told} whose id or hash begins with {text!r}: `mastertrade data snapshot list` shows all")
        return found[0]

    async def series(self, id: UUID) -> list[PinnedSeries]:
        return [PinnedSeries(**row) for row in await QUERIES.fetch(self._manager, "snapshot_series", id=id)]

    async def verify(self, id: UUID) -> AsyncIterator[Verified]:
        """Read every pinned series again."""
        for pinned in await self.series(id):
            yield await content(self._manager, pinned)

    async def remove(self, id: UUID) -> None:
        """Unpin. The candles stay until a retention policy takes them."""
        await QUERIES.execute(self._manager, "remove_snapshot", id=id)

    async def _finish(self, id: UUID, found: list[Verified]) -> Snapshot:
        total = snapshot_hash(found)
        same = await QUERIES.fetchval(self._manager, "same_snapshot", id=id, content_hash=total)
        if same is not None:
            await self.remove(id)
            return await self.one(str(same))
        async with self._manager.transaction() as tx:
            for one in found:
                key = {"instrument_id": one.series.instrument_id, "interval_s": one.series.interval_s}
                await QUERIES.execute(tx, "finish_series", id=id, **key, rows=one.rows, content_hash=one.content_hash)
            rows = sum(one.rows for one in found)
            await QUERIES.execute(tx, "finish_snapshot", id=id, rows=rows, content_hash=total)
        return await self.one(str(id))


class SnapshotBars:
    """``BarSource`` over a snapshot: the same numbers whatever became of the candles since. A series that is not pinned
    is not there."""

    def __init__(self, database: Database, series: list[PinnedSeries]) -> None:
        self._db = database
        self._series = series

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> Bars:
        """Closed bars with ``start <= bar start < end`` out of the finest pinned candles; with ``as_of`` none that
        closed later, and nothing that became known later."""
        usable = [
            one for one in self._series if one.instrument_id == instrument_id and interval_s % one.interval_s == 0
        ]
        if not usable:
            return empty_bars(interval_s)
        pinned = min(usable, key=lambda one: one.interval_s)
        first = ceil_to_grid(to_milliseconds(max(start, pinned.starts)), interval_s)
        last = min(
            ceil_to_grid(to_milliseconds(end), interval_s), floor_to_grid(to_milliseconds(pinned.ends), interval_s)
        )
        if as_of is not None:
            last = min(last, floor_to_grid(to_milliseconds(as_of), interval_s))
        parts = empty_bars(interval_s)
        async for candles in _chunks(self._db, pinned, to_datetime(first), to_datetime(last), interval_s, as_of):
            parts = join(parts, resample(candles, interval_s))
        return parts


async def content(db: Database, pinned: PinnedSeries) -> Verified:
    """Rows and hash of a pinned series as it can be read now."""
    digest = hashlib.sha256(f"{pinned.venue} {pinned.symbol} {pinned.interval_s}\n".encode())
    rows = 0
    async for bars in _chunks(db, pinned, pinned.starts, pinned.ends, pinned.interval_s):
        digest.update(encode(bars))
        rows += len(bars)
    return Verified(series=pinned, rows=rows, content_hash=digest.hexdigest())


def encode(bars: Bars) -> bytes:
    """Rows of little-endian numbers: open time in milliseconds, then open, high, low, close, volume."""
    packed = np.empty(len(bars), dtype=_ROW)
    packed["time"] = bars.time
    for name in ("open", "high", "low", "close", "volume"):
        packed[name] = getattr(bars, name) + 0.0  # there are two zeros, and they are the same volume
    return packed.tobytes()


def snapshot_hash(found: list[Verified]) -> str:
    """Over the series' names, rows and hashes in the order of their names; a series without candles does not count."""
    lines = [
        f"{one.series.venue} {one.series.symbol} {one.series.interval_s} {one.rows} {one.content_hash}\n"
        for one in found
        if one.rows
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


async def _chunks(
    db: Database,
    pinned: PinnedSeries,
    first: datetime,
    last: datetime,
    grid_s: int,
    as_of: datetime | None = None,
) -> AsyncIterator[Bars]:
    step_s = max(1, ROWS_A_READ * pinned.interval_s // grid_s) * grid_s
    while first < last:
        until = min(first + timedelta(seconds=step_s), last)
        yield await read_candles(
            db,
            pinned.instrument_id,
            pinned.interval_s,
            first,
            until,
            known_at=as_of,
            last_revision=pinned.last_revision,
        )
        first = until


def _span(
    chosen: list[SeriesEntry], selection: Selection, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    if not chosen:
        raise NotFound(f"no candles of {selection}: `mastertrade data list` shows what there is")
    first = min(one.first for one in chosen)
    last = max(one.last + timedelta(seconds=one.interval_s) for one in chosen)
    starts, ends = max(first, start or first), min(last, end or last)
    if starts >= ends:
        raise UsageError(
            f"{selection} between {start or first} and {end or last}: there are candles from {first} to {last} only"
        )
    return starts, ends
