"""Typed persistence of the documents the older system kept beside candles: one method per named query."""

from datetime import datetime
from typing import Any

from mastertrade.market_data_service.postgres_database import QUERIES
from mastertrade.shared.postgres_manager import Database, Row

DELETE_EXPIRED = (
    "delete_expired_trades",
    "delete_expired_order_books",
    "delete_expired_sentiment",
    "delete_expired_indicator_results",
)
"""The statements that delete documents past the expiry they carry."""


class MarketDocumentsPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def store_candle_document(
        self,
        db: Database,
        instrument_id: int,
        interval_s: int,
        open_time: datetime,
        *,
        quote_volume: float | None,
        trades_count: int | None,
        data: dict[str, Any],
        at: datetime,
    ) -> None:
        await QUERIES.execute(
            db,
            "store_candle_document",
            instrument_id=instrument_id,
            interval_s=interval_s,
            open_time=open_time,
            quote_volume=quote_volume,
            trades_count=trades_count,
            data=data,
            at=at,
        )

    async def legacy_candles(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime, *, limit: int
    ) -> list[Row]:
        return await QUERIES.fetch(
            db,
            "legacy_candles",
            instrument_id=instrument_id,
            interval_s=interval_s,
            first=first,
            last=last,
            limit=limit,
        )

    async def store_trade_document(self, db: Database, **values: Any) -> None:
        """id, symbol, ts, data, expires_at, at."""
        await QUERIES.execute(db, "store_trade_document", **values)

    async def store_order_book_document(self, db: Database, **values: Any) -> None:
        """id, symbol, ts, data, expires_at, at."""
        await QUERIES.execute(db, "store_order_book_document", **values)

    async def delete_expired(self, db: Database, statement: str, *, at: datetime, limit: int) -> int:
        """One batch of one of ``DELETE_EXPIRED``; the number deleted."""
        status = await QUERIES.execute(db, statement, at=at, limit=limit)
        return int(status.rsplit(" ", 1)[-1])

    async def symbol_document(self, db: Database, symbol: str) -> dict[str, Any] | None:
        document: dict[str, Any] | None = await QUERIES.fetchval(db, "symbol_document", symbol=symbol)
        return document

    async def add_tracking(self, db: Database, symbol: str, data: dict[str, Any], *, at: datetime) -> bool:
        return await QUERIES.fetchval(db, "add_tracking", symbol=symbol, data=data, at=at) is not None

    async def update_tracking(self, db: Database, symbol: str, updates: dict[str, Any], *, at: datetime) -> bool:
        return await QUERIES.fetchval(db, "update_tracking", symbol=symbol, updates=updates, at=at) is not None

    async def remove_tracking(self, db: Database, symbol: str) -> bool:
        return await QUERIES.fetchval(db, "remove_tracking", symbol=symbol) is not None

    async def tracking(
        self,
        db: Database,
        *,
        symbol: str | None = None,
        asset_type: str | None = None,
        exchange: str | None = None,
        include_inactive: bool = True,
    ) -> list[dict[str, Any]]:
        rows = await QUERIES.fetch(
            db,
            "tracking",
            symbol=symbol,
            asset_type=asset_type,
            exchange=exchange,
            include_inactive=include_inactive,
        )
        return [row["data"] for row in rows]
