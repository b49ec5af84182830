"""Typed persistence of market data: one method per named query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mastertrade.domain.market import Instrument, parse_symbol
from mastertrade.market_data_service.binary_rows import decode_rows
from mastertrade.market_data_service.postgres_instruments import instrument_of
from mastertrade.market_data_service.source import CandleBatch, Listing
from mastertrade.quant.bars import Bars
from mastertrade.shared.postgres_manager import Database, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__)
STORE_QUERIES = load_queries(__file__, "candle_store.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What storing candles did: ``new`` ones, and ``revised`` ones that were there with other numbers."""

    new: int
    revised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """``position`` is the open time of the last batch played, or, before the first, of the batch before it."""

    name: str
    source: str
    interval_s: int
    position: datetime
    batches: int

    @property
    def market_time(self) -> datetime:
        """The moment up to which the feed has told everything."""
        return self.position + timedelta(seconds=self.interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinestSeries:
    interval_s: int
    first_open_time: datetime
    last_close_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    rows: int
    first_open_time: datetime
    last_close_time: datetime
    revised_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch without candles, from the first missing open time to the next that is there."""

    start: datetime
    end: datetime
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCandle:
    close: float
    close_time: datetime
    interval_s: int


class MarketDataPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    # --- instruments ---

    async def add_instruments(self, db: Database, listings: Sequence[Listing], *, at: datetime) -> None:
        """Make venues and instruments known; the rules of those that are known already stay."""
        await self.add_venues(db, sorted({listing.venue for listing in listings}), at=at)
        rows = []
        for listing in listings:
            parts = parse_symbol(listing.symbol)
            row: dict[str, Any] = {name: getattr(listing, name) for name in Listing.__slots__}
            named = {"base": parts.base, "quote": parts.quote, "kind": parts.kind.value, "settle": parts.settle}
            rows.append({**row, **named, "at": at})
        await QUERIES.executemany(db, "add_instrument", rows)

    async def add_venues(self, db: Database, venues: Sequence[str], *, at: datetime) -> None:
        """Make venues known."""
        await QUERIES.execute(db, "add_venues", ids=list(venues), at=at)

    async def instruments(self, db: Database, *, venues: Sequence[str] | None = None) -> list[Instrument]:
        return [instrument_of(row) for row in await QUERIES.fetch(db, "instruments", venues=venues)]

    async def instrument_by_legacy_symbol(self, db: Database, symbol: str, *, venue: str) -> Instrument | None:
        row = await QUERIES.fetchrow(db, "instrument_by_legacy_symbol", symbol=symbol, venue=venue)
        return None if row is None else instrument_of(row)

    # --- candles in ---

    async def ensure_partitions(self, db: Database, first: datetime, last: datetime) -> int:
        made: int = await QUERIES.fetchval(db, "ensure_partitions", first=first, last=last)
        return made

    async def store_batch(self, db: Database, batch: CandleBatch, *, at: datetime) -> Stored:
        """Live candles: one that arrives more than two bars after its close is marked with ``at``."""
        candles = batch.candles
        row = await STORE_QUERIES.fetchrow(
            db,
            "store_batch",
            interval_s=batch.interval_s,
            open_time=batch.open_time,
            instrument_ids=[candle.instrument_id for candle in candles],
            open=[candle.open for candle in candles],
            high=[candle.high for candle in candles],
            low=[candle.low for candle in candles],
            close=[candle.close for candle in candles],
            volume=[candle.volume for candle in candles],
            at=at,
        )
        assert row is not None, "an aggregate returns one row"
        return Stored(**row)

    # --- feeds ---

    async def begin_feed(
        self, db: Database, name: str, source: str, interval_s: int, *, position: datetime, at: datetime
    ) -> None:
        """Make the feed if it is new."""
        await QUERIES.execute(
            db, "begin_feed", name=name, source=source, interval_s=interval_s, position=position, at=at
        )

    async def feed(self, db: Database, name: str) -> Feed | None:
        row = await QUERIES.fetchrow(db, "feed", name=name)
        return None if row is None else Feed(**row)

    async def advance_feed(
        self, tx: Transaction, name: str, *, before: datetime, open_time: datetime, at: datetime
    ) -> bool:
        """False when the feed does not stand at ``before``: somebody else has moved it."""
        batches = await QUERIES.fetchval(tx, "advance_feed", name=name, before=before, open_time=open_time, at=at)
        return batches is not None

    # --- candles out ---

    async def series(self, db: Database, *, instrument_id: int | None = None) -> list[Series]:
        return [Series(**row) for row in await QUERIES.fetch(db, "series", instrument_id=instrument_id)]

    async def finest_series(self, db: Database, instrument_id: int, interval_s: int) -> FinestSeries | None:
        row = await QUERIES.fetchrow(db, "finest_series", instrument_id=instrument_id, interval_s=interval_s)
        return None if row is None else FinestSeries(**row)

    async def candle_columns(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime
    ) -> Bars:
        """Stored candles with ``first <= open time < last``. Not more than some 500,000 at once: they are one value."""
        data: bytes | None = await QUERIES.fetchval(
            db, "candle_columns", instrument_id=instrument_id, interval_s=interval_s, first=first, last=last
        )
        return decode_rows(data, interval_s)

    async def gaps(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime, *, limit: int = 10_000
    ) -> list[Gap]:
        rows = await QUERIES.fetch(
            db, "gaps", instrument_id=instrument_id, interval_s=interval_s, first=first, last=last, limit=limit
        )
        return [Gap(start=row["gap_start"], end=row["gap_end"], missing=row["missing"]) for row in rows]

    async def gap_totals(self, db: Database, instrument_id: int, interval_s: int) -> tuple[int, int]:
        """Holes between the first and the last candle, and the candles missing in them."""
        row = await QUERIES.fetchrow(db, "gap_totals", instrument_id=instrument_id, interval_s=interval_s)
        assert row is not None, "an aggregate returns one row"
        return row["gaps"], row["missing"]

    async def last_candle(
        self, db: Database, instrument_id: int, *, as_of: datetime, max_age: timedelta = timedelta(days=7)
    ) -> LastCandle | None:
        row = await QUERIES.fetchrow(db, "last_candle", instrument_id=instrument_id, as_of=as_of, max_age=max_age)
        return None if row is None else LastCandle(**row)
