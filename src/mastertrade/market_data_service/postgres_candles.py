"""Typed persistence of the candle store's doors: one method per named query of ``candle_store.sql``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.binary_rows import COPY_COLUMNS, encode_copy
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "candle_store.sql")
VALUES = ("open", "high", "low", "close", "volume")
Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What the catalogue says about a series; the times are None while it is empty, or nothing of it pinned."""

    first_open_time: datetime | None
    last_close_time: datetime | None
    pinned_from: datetime | None = None
    pinned_to: datetime | None = None
    has_synthetic: bool = False

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Whether the time between the two may hold candles of the series."""
        if self.first_open_time is None or self.last_close_time is None:
            return False
        return first < self.last_close_time and last > self.first_open_time


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedGap:
    """``is_confirmed``: a venue said twice that it has nothing there, or said that it halted or delisted the market."""

    venue: str
    symbol: str
    interval_s: int
    starts: datetime
    ends: datetime
    missing: int
    reason: str
    is_confirmed: bool


class CandlesPostgresDatabase:
    """Stateless. What takes a ``Transaction`` is one part of it: see ``CandleWriter`` for the order."""

    async def lock_series(self, tx: Transaction, instrument_id: int, interval_s: int, *, at: datetime) -> Span:
        row = await QUERIES.fetchrow(tx, "lock_series", instrument_id=instrument_id, interval_s=interval_s, at=at)
        assert row is not None, "an upsert returns its row"
        return Span(**row)

    async def copy_candles(self, tx: Transaction, instrument_id: int, bars: Bars) -> None:
        """Store bars of which none is there yet, and open the door for it."""
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]))
        await QUERIES.execute(
            tx, "open_candles", instrument_id=instrument_id, interval_s=bars.interval_s, first=first, last=last
        )
        # Closed at once: the driver's objects refer to one another, and would hold its megabytes until then.
        with BytesIO(encode_copy(instrument_id, bars)) as stream:
            await tx.copy_to_table("candles", source=stream, columns=COPY_COLUMNS)

    async def revise_candles(self, tx: Transaction, instrument_id: int, bars: Bars, *, at: datetime) -> int:
        revised: int = await QUERIES.fetchval(
            tx, "revise_candles", instrument_id=instrument_id, interval_s=bars.interval_s, **_columns(bars), at=at
        )
        return revised

    async def record_arrivals(self, tx: Transaction, instrument_id: int, bars: Bars, *, at: datetime) -> None:
        await QUERIES.execute(
            tx, "record_arrivals", instrument_id=instrument_id, interval_s=bars.interval_s, **_columns(bars), at=at
        )

    async def book_candles(
        self,
        tx: Transaction,
        instrument_id: int,
        changed: Bars,
        *,
        is_new: NDArray[np.bool_],
        stretches: Sequence[Stretch],
        at: datetime,
    ) -> None:
        """``changed`` bars were copied (``is_new``) or revised; ``stretches`` are what they cover, oldest first."""
        months = changed.time.astype("datetime64[ms]").astype("datetime64[M]")
        names, first, place = np.unique(months, return_index=True, return_inverse=True)
        await QUERIES.execute(
            tx,
            "book_candles",
            instrument_id=instrument_id,
            interval_s=changed.interval_s,
            starts=[start for start, _ in stretches],
            ends=[end for _, end in stretches],
            months=names.astype("datetime64[D]").tolist(),
            month_rows=np.bincount(place, weights=is_new, minlength=len(names)).astype(int).tolist(),
            month_changed=[to_datetime(time) for time in changed.time[first].tolist()],
            new_rows=int(is_new.sum()),
            revised_rows=int((~is_new).sum()),
            last_close=float(changed.close[-1]),
            at=at,
        )

    async def mark_synthetic(
        self, tx: Transaction, instrument_id: int, interval_s: int, stretches: Sequence[Stretch], *, at: datetime
    ) -> None:
        await QUERIES.execute(tx, "mark_synthetic", **_stretches(instrument_id, interval_s, stretches), at=at)

    async def unmark_synthetic(
        self, tx: Transaction, instrument_id: int, interval_s: int, stretches: Sequence[Stretch], *, at: datetime
    ) -> None:
        await QUERIES.execute(tx, "unmark_synthetic", **_stretches(instrument_id, interval_s, stretches), at=at)

    async def synthetic_stretches(
        self, db: Database, instrument_id: int, interval_s: int, *, limit: int = 100_000
    ) -> list[Stretch]:
        key = {"instrument_id": instrument_id, "interval_s": interval_s}
        rows = await QUERIES.fetch(db, "synthetic_stretches", **key, limit=limit)
        return [(row["starts"], row["ends"]) for row in rows]

    async def remove_candles(
        self,
        db: Database,
        instrument_id: int,
        interval_s: int,
        first: datetime,
        last: datetime,
        *,
        is_recorded: bool = True,
        at: datetime,
    ) -> int:
        """Delete candles with ``first <= open time < last``; the number deleted."""
        key = {"instrument_id": instrument_id, "interval_s": interval_s}
        removed: int = await QUERIES.fetchval(
            db, "remove_candles", **key, first=first, last=last, is_recorded=is_recorded, at=at
        )
        return removed

    async def record_request(
        self,
        db: Database,
        instrument_id: int,
        interval_s: int,
        first: datetime,
        last: datetime,
        *,
        outcome: str,
        error: str | None = None,
        at: datetime,
    ) -> None:
        key = {"instrument_id": instrument_id, "interval_s": interval_s}
        await QUERIES.execute(db, "record_request", **key, first=first, last=last, outcome=outcome, error=error, at=at)

    async def claim_download(
        self,
        db: Database,
        id: UUID,
        instrument_id: int,
        interval_s: int,
        first: datetime,
        last: datetime,
        *,
        kind: str,
        at: datetime,
        until: datetime,
    ) -> bool:
        held: bool = await QUERIES.fetchval(
            db,
            "claim_download",
            id=id,
            instrument_id=instrument_id,
            interval_s=interval_s,
            kind=kind,
            first=first,
            last=last,
            at=at,
            until=until,
        )
        return held

    async def release_download(self, db: Database, id: UUID) -> None:
        await QUERIES.execute(db, "release_download", id=id)

    async def recorded_gaps(
        self, db: Database, *, instrument_id: int | None = None, interval_s: int | None = None, limit: int = 100_000
    ) -> list[RecordedGap]:
        rows = await QUERIES.fetch(db, "recorded_gaps", instrument_id=instrument_id, interval_s=interval_s, limit=limit)
        return [RecordedGap(**row) for row in rows]

    async def missing_of_requests(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime, *, limit: int = 10_000
    ) -> list[Stretch]:
        """The stretches between two times for which no venue ever answered, oldest first."""
        key = {"instrument_id": instrument_id, "interval_s": interval_s}
        rows = await QUERIES.fetch(db, "missing_of_requests", **key, first=first, last=last, limit=limit)
        return [(row["starts"], row["ends"]) for row in rows]

    async def coverage_of_requests(self, db: Database, instrument_id: int, interval_s: int) -> Row | None:
        """The raw multiranges, for people who look closely."""
        return await QUERIES.fetchrow(db, "coverage_of_requests", instrument_id=instrument_id, interval_s=interval_s)


def _columns(bars: Bars) -> dict[str, Any]:
    values = {name: getattr(bars, name).tolist() for name in VALUES}
    return {"open_times": [to_datetime(time) for time in bars.time.tolist()], **values}


def _stretches(instrument_id: int, interval_s: int, stretches: Sequence[Stretch]) -> dict[str, Any]:
    return {
        "instrument_id": instrument_id,
        "interval_s": interval_s,
        "starts": [start for start, _ in stretches],
        "ends": [end for _, end in stretches],
    }
