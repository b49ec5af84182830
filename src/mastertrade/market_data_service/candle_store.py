"""The door for whoever brings candles: downloads, files, streams. The same bars twice change nothing, a differing bar
is a recorded revision, and every hole knows why it is there."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.postgres_candles import (
    VALUES,
    CandlesPostgresDatabase,
    RecordedGap,
    Span,
    Stretch,
)
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase, Stored
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 120.0
"""For one statement or pause of a load; a chunk of 50,000 rows takes a fraction of a second."""
ROWS_A_CHUNK = 50_000
"""Bars of one transaction of ``load``: some 4 MB on the wire, and the series locked for an eighth of a second."""
LATE_BARS = 2
"""A live bar that comes later than so many bars after its close carries the moment it became known."""
CLAIM_S = 60.0
"""A worker that died keeps others from its span for at most so long; a living one renews its claim."""

BoolArray = NDArray[np.bool_]


class Outcome(StrEnum):
    """What became of a request. ``FETCHED`` and ``EMPTY``: the venue answered for the whole span, so a bar that is not
    stored does not exist there; said twice, that is confirmed."""

    FETCHED = "fetched"
    EMPTY = "empty"
    FAILED = "failed"
    HALTED = "halted"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """``rows`` were offered, and each is ``new``, ``unchanged`` or ``revised``; of a synthetic fill, bars that were
    there already count as unchanged, since a fill never replaces anything."""

    rows: int = 0
    new: int = 0
    unchanged: int = 0
    revised: int = 0

    def __add__(self, other: "Loaded") -> "Loaded":
        return Loaded(
            rows=self.rows + other.rows,
            new=self.new + other.new,
            unchanged=self.unchanged + other.unchanged,
            revised=self.revised + other.revised,
        )


class CandleStore:
    """What brings candles in needs no more than this; ``instrument_id`` must be known (``add_instruments``)."""

    def __init__(self, *, manager: PostgresManager, clock: Clock, failpoints: Failpoints | None = None) -> None:
        self._manager = manager
        self._clock = clock
        self._database = CandlesPostgresDatabase()
        self._writer = CandleWriter(manager=manager, failpoints=failpoints)

    async def load(
        self,
        instrument_id: int,
        bars: Bars | Iterable[Bars],
        *,
        is_live: bool = False,
        is_synthetic: bool = False,
        durable: bool = False,
    ) -> Loaded:
        """Store bars of one series, each chunk of ``ROWS_A_CHUNK`` in a transaction of its own: whatever happens, whole
        chunks are stored with their catalogue, and the same call again completes them.

        ``is_live``: bars more than two bars late are marked with the moment they became known. ``is_synthetic``: the
        bars are a fill somebody asked for; they are stored only where nothing is, and marked."""
        total = Loaded()
        for chunk in _chunks(bars):
            at = self._clock.now()
            async with self._manager.transaction(durable=durable, statement_timeout_s=LOAD_TIMEOUT_S) as tx:
                span = await self._database.lock_series(tx, instrument_id, chunk.interval_s, at=at)
                stored = await self._writer.store(
                    tx, instrument_id, chunk, span, at=at, is_live=is_live, is_synthetic=is_synthetic
                )
            total += Loaded(
                rows=len(chunk),
                new=stored.new,
                unchanged=len(chunk) - stored.new - stored.revised,
                revised=stored.revised,
            )
        if total.revised:
            what = {"instrument_id": instrument_id, "rows": total.revised}
            log.warning("stored candles were revised", extra=what)
        return total

    async def remove(self, instrument_id: int, interval_s: int, start: datetime, end: datetime) -> int:
        """Delete candles that are known to be wrong; what they were stays known. The number deleted."""
        at = self._clock.now()
        return await self._database.remove_candles(self._manager, instrument_id, interval_s, start, end, at=at)

    async def record_request(
        self,
        instrument_id: int,
        interval_s: int,
        start: datetime,
        end: datetime,
        outcome: Outcome,
        *,
        error: str | None = None,
    ) -> None:
        """Say what a venue answered for ``start <= bar start < end``, after the bars it gave are stored."""
        await self._database.record_request(
            self._manager, instrument_id, interval_s, start, end, outcome=outcome, error=error, at=self._clock.now()
        )

    async def unanswered(self, instrument_id: int, interval_s: int, start: datetime, end: datetime) -> list[Stretch]:
        """What of a span no venue has answered yet, oldest first: what a resumed download still has to ask for."""
        return await self._database.missing_of_requests(self._manager, instrument_id, interval_s, start, end)

    async def gaps(self, instrument_id: int | None = None, interval_s: int | None = None) -> list[RecordedGap]:
        """Every hole with its reason, of one series or of all."""
        return await self._database.recorded_gaps(self._manager, instrument_id=instrument_id, interval_s=interval_s)

    async def claim(
        self,
        instrument_id: int,
        interval_s: int,
        start: datetime,
        end: datetime,
        *,
        kind: str = "candles",
        claim_id: UUID | None = None,
        for_s: float = CLAIM_S,
    ) -> UUID | None:
        """Take a span for this worker alone; None while another holds a part of it. With ``claim_id`` the claim is
        renewed, which fails only after it had expired and somebody else took the span."""
        at = self._clock.now()
        id = claim_id or new_id(at)
        held = await self._database.claim_download(
            self._manager,
            id,
            instrument_id,
            interval_s,
            start,
            end,
            kind=kind,
            at=at,
            until=at + timedelta(seconds=for_s),
        )
        return id if held else None

    async def release(self, claim_id: UUID) -> None:
        """Give a span back. Harmless when repeated."""
        await self._database.release_download(self._manager, claim_id)


class CandleWriter:
    """Writes bars of one series after another. What is there unchanged is not written again, and what is not offered
    stays: nothing stored is ever lost."""

    def __init__(self, *, manager: PostgresManager, failpoints: Failpoints | None = None) -> None:
        self._manager = manager
        self._market = MarketDataPostgresDatabase()
        self._database = CandlesPostgresDatabase()
        self._failpoints = failpoints or Failpoints()

    async def store(
        self,
        tx: Transaction,
        instrument_id: int,
        bars: Bars,
        span: Span,
        *,
        at: datetime,
        is_live: bool = False,
        is_synthetic: bool = False,
    ) -> Stored:
        """Write what is new or different. ``span`` is what the locked series covered before ``tx`` wrote to it."""
        if len(bars) == 0:
            return Stored(new=0, revised=0)
        await self._ensure_partitions(bars)
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]) + bars.interval_s * 1000)
        known = None
        if span.overlaps(first, last):
            known = await self._market.candle_columns(tx, instrument_id, bars.interval_s, first, last)
        is_fresh, is_revised = compare(bars, known)
        if is_synthetic:
            is_revised[:] = False
        elif span.has_synthetic:
            await self._database.unmark_synthetic(tx, instrument_id, bars.interval_s, _stretches(bars), at=at)
        if is_revised.any():
            await self._database.revise_candles(tx, instrument_id, select(bars, is_revised), at=at)
        if is_fresh.any():
            fresh = select(bars, is_fresh)
            await self._database.copy_candles(tx, instrument_id, fresh)
            self._failpoints.reach("load.copied")
            arrivals = fresh if is_synthetic else _arrivals(fresh, span, at, is_live)
            if len(arrivals):
                await self._database.record_arrivals(tx, instrument_id, arrivals, at=at)
            if is_synthetic:
                await self._database.mark_synthetic(tx, instrument_id, bars.interval_s, _stretches(fresh), at=at)
        is_changed = is_fresh | is_revised
        if is_changed.any():
            changed = select(bars, is_changed)
            await self._database.book_candles(
                tx, instrument_id, changed, is_new=is_fresh[is_changed], stretches=_stretches(changed), at=at
            )
            self._failpoints.reach("load.booked")
        return Stored(new=int(is_fresh.sum()), revised=int(is_revised.sum()))

    async def _ensure_partitions(self, bars: Bars) -> None:
        """Outside of the caller's transaction, which would keep other loaders from making theirs. Not remembered:
        retention drops partitions of which nothing is left."""
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]))
        await self._market.ensure_partitions(self._manager, first, last)


def compare(bars: Bars, known: Bars | None) -> tuple[BoolArray, BoolArray]:
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


def covered_ranges(bars: Bars) -> Iterator[Stretch]:
    """The unbroken stretches of the bars, from open to close."""
    if len(bars) == 0:
        return
    step_ms = bars.interval_s * 1000
    breaks = np.flatnonzero(np.diff(bars.time) != step_ms) + 1
    for first, last in zip((0, *breaks.tolist()), (*breaks.tolist(), len(bars)), strict=True):
        yield to_datetime(int(bars.time[first])), to_datetime(int(bars.time[last - 1]) + step_ms)


def select(bars: Bars, chosen: BoolArray) -> Bars:
    if chosen.all():
        return bars
    values = {name: getattr(bars, name)[chosen] for name in VALUES}
    return Bars(interval_s=bars.interval_s, time=bars.time[chosen], **values)


def _stretches(bars: Bars) -> list[Stretch]:
    return list(covered_ranges(bars))


def _arrivals(fresh: Bars, span: Span, at: datetime, is_live: bool) -> Bars:
    """The new bars of which it must stay known since when they are there: live ones that came late, and those that
    somebody's snapshot did not hold."""
    marked = np.zeros(len(fresh), dtype=np.bool_)
    step_ms = fresh.interval_s * 1000
    if is_live:
        marked |= fresh.time + (1 + LATE_BARS) * step_ms < to_milliseconds(at)
    if span.pinned_from is not None and span.pinned_to is not None:
        marked |= (fresh.time >= to_milliseconds(span.pinned_from)) & (fresh.time < to_milliseconds(span.pinned_to))
    return select(fresh, marked)


def _chunks(bars: Bars | Iterable[Bars]) -> Iterator[Bars]:
    for part in (bars,) if isinstance(bars, Bars) else bars:
        if len(part) and np.any(np.diff(part.time) <= 0):
            place = int(np.argmax(np.diff(part.time) <= 0)) + 1
            raise UsageError(
                f"bar {place} of {len(part)} opens at {to_datetime(int(part.time[place]))}, not after the one before: "
                "sort the bars and drop duplicates before loading"
            )
        for first in range(0, len(part), ROWS_A_CHUNK):
            yield part[first : first + ROWS_A_CHUNK]
