"""Typed persistence of trades, funding rates, books and tickers: one method per named query of ``kinds.sql``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mastertrade.market_data_service.kind_rows import Book, Funding, Ticker, Trade, moment
from mastertrade.shared.postgres_manager import Database, Row
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "kinds.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Of the rows offered, from 0: which are new, and which are there with other numbers. The rest was there."""

    new: tuple[int, ...]
    other: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSeries:
    kind: str
    venue: str
    symbol: str
    rows: int
    first_time: datetime
    last_time: datetime


class KindsPostgresDatabase:
    """Stateless. Rows of one call must have a time, and no two the same key."""

    async def ensure_month_partitions(self, db: Database, table: str, first: datetime, last: datetime) -> int:
        made: int = await QUERIES.fetchval(db, "ensure_month_partitions", table=table, first=first, last=last)
        return made

    async def store_trades(self, db: Database, instrument_id: int, trades: Sequence[Trade], *, at: datetime) -> Places:
        return await _store(
            db,
            "store_trades",
            instrument_id=instrument_id,
            times=[moment(one.time_us or 0) for one in trades],
            ids=[one.id for one in trades],
            prices=[one.price for one in trades],
            amounts=[one.amount for one in trades],
            is_buy=[one.is_buy for one in trades],
            at=at,
        )

    async def store_funding(
        self, db: Database, instrument_id: int, rates: Sequence[Funding], *, at: datetime
    ) -> Places:
        return await _store(
            db,
            "store_funding",
            instrument_id=instrument_id,
            times=[moment(one.time_us or 0) for one in rates],
            rates=[one.rate for one in rates],
            at=at,
        )

    async def store_books(self, db: Database, instrument_id: int, books: Sequence[Book], *, at: datetime) -> Places:
        bids = [level for one in books for level in one.bids]
        asks = [level for one in books for level in one.asks]
        return await _store(
            db,
            "store_books",
            instrument_id=instrument_id,
            times=[moment(one.time_us or 0) for one in books],
            sequences=[one.sequence for one in books],
            is_snapshot=[one.is_snapshot for one in books],
            first_sequences=[one.first_sequence for one in books],
            bid_counts=[len(one.bids) for one in books],
            ask_counts=[len(one.asks) for one in books],
            bid_prices=[price for price, _ in bids],
            bid_amounts=[amount for _, amount in bids],
            ask_prices=[price for price, _ in asks],
            ask_amounts=[amount for _, amount in asks],
            at=at,
        )

    async def store_tickers(self, db: Database, venue: str, tickers: Sequence[Ticker], *, at: datetime) -> Places:
        return await _store(
            db,
            "store_tickers",
            venue=venue,
            symbols=[one.symbol for one in tickers],
            times=[moment(one.time_us or 0) for one in tickers],
            sequences=[one.sequence for one in tickers],
            bids=[one.bid for one in tickers],
            bid_amounts=[one.bid_amount for one in tickers],
            asks=[one.ask for one in tickers],
            ask_amounts=[one.ask_amount for one in tickers],
            lasts=[one.last for one in tickers],
            volumes=[one.volume for one in tickers],
            at=at,
        )

    async def unanswered_kind(
        self, db: Database, instrument_id: int, kind: str, first: datetime, last: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Oldest first; nothing where ``first`` is not before ``last``."""
        if first >= last:
            return []
        rows = await QUERIES.fetch(
            db, "unanswered_kind", instrument_id=instrument_id, kind=kind, first=first, last=last
        )
        return [(row["starts"], row["ends"]) for row in rows]

    async def answer_kind(
        self, db: Database, instrument_id: int, kind: str, first: datetime, last: datetime, *, at: datetime
    ) -> None:
        await QUERIES.execute(db, "answer_kind", instrument_id=instrument_id, kind=kind, first=first, last=last, at=at)

    async def kind_series(
        self, db: Database, *, kind: str | None = None, venue: str | None = None, limit: int = 100_000
    ) -> list[KindSeries]:
        rows = await QUERIES.fetch(db, "kind_series", kind=kind, venue=venue, limit=limit)
        return [KindSeries(**row) for row in rows]

    async def funding_rates(
        self, db: Database, instrument_id: int, first: datetime, last: datetime, *, limit: int = 1_000_000
    ) -> list[Row]:
        """``time`` and ``rate``, with ``first <= time < last``."""
        return await QUERIES.fetch(
            db, "funding_rates", instrument_id=instrument_id, first=first, last=last, limit=limit
        )

    async def market_trades(
        self, db: Database, instrument_id: int, first: datetime, last: datetime, *, limit: int = 1_000_000
    ) -> list[Row]:
        return await QUERIES.fetch(
            db, "market_trades", instrument_id=instrument_id, first=first, last=last, limit=limit
        )


async def _store(db: Database, name: str, **columns: Any) -> Places:
    row = await QUERIES.fetchrow(db, name, **columns)
    assert row is not None, "a function with OUT parameters returns one row"
    return Places(
        new=tuple(place - 1 for place in row["new_places"] or ()),
        other=tuple(place - 1 for place in row["other_places"] or ()),
    )
