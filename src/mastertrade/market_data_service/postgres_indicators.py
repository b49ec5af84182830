"""Typed persistence of the older system's sentiment and indicator documents: one method per query of
``documents.sql``."""

from datetime import datetime
from typing import Any

from mastertrade.shared.postgres_manager import Database, Row
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "documents.sql")


class IndicatorsPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def store_sentiment(self, db: Database, **values: Any) -> None:
        """id, source, ts, data, expires_at, at."""
        await QUERIES.execute(db, "store_sentiment", **values)

    async def sentiment(
        self,
        db: Database,
        *,
        first: datetime,
        limit: int,
        source: str | None = None,
        type: str | None = None,
        symbol: str | None = None,
    ) -> list[dict[str, Any]]:
        filters: dict[str, Any] = {"source": source, "type": type, "symbol": symbol}
        return _documents(await QUERIES.fetch(db, "sentiment", first=first, limit=limit, **filters))

    async def sentiment_summary(self, db: Database, *, first: datetime) -> list[Row]:
        return await QUERIES.fetch(db, "sentiment_summary", first=first)

    async def add_indicator(
        self, db: Database, id: str, strategy_id: str, data: dict[str, Any], *, at: datetime
    ) -> bool:
        """False when the strategy has one of that id already."""
        key: dict[str, Any] = {"id": id, "strategy_id": strategy_id}
        return await QUERIES.fetchval(db, "add_indicator", **key, data=data, at=at) is not None

    async def update_indicator(
        self, db: Database, id: str, strategy_id: str, updates: dict[str, Any], *, at: datetime
    ) -> bool:
        key: dict[str, Any] = {"id": id, "strategy_id": strategy_id}
        return await QUERIES.fetchval(db, "update_indicator", **key, updates=updates, at=at) is not None

    async def remove_indicator(self, db: Database, id: str, strategy_id: str) -> bool:
        return await QUERIES.fetchval(db, "remove_indicator", id=id, strategy_id=strategy_id) is not None

    async def indicators(
        self,
        db: Database,
        *,
        id: str | None = None,
        strategy_id: str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        only_active: bool = False,
    ) -> list[dict[str, Any]]:
        filters: dict[str, Any] = {"id": id, "strategy_id": strategy_id, "symbol": symbol, "interval": interval}
        return _documents(await QUERIES.fetch(db, "indicators", **filters, only_active=only_active))

    async def indicators_due(self, db: Database, *, before: datetime) -> list[dict[str, Any]]:
        return _documents(await QUERIES.fetch(db, "indicators_due", before=before))

    async def count_calculation(
        self, db: Database, id: str, strategy_id: str, *, took_ms: float, success: bool, error: str, at: datetime
    ) -> bool:
        found = await QUERIES.fetchval(
            db,
            "count_calculation",
            id=id,
            strategy_id=strategy_id,
            took_ms=took_ms,
            success=success,
            error=error,
            at=at,
            at_text=at.isoformat(),
        )
        return found is not None

    async def store_indicator_result(self, db: Database, **values: Any) -> None:
        """id, configuration_id, symbol, ts, data, expires_at, at."""
        await QUERIES.execute(db, "store_indicator_result", **values)

    async def indicator_results(
        self, db: Database, configuration_id: str, symbol: str, *, first: datetime, limit: int
    ) -> list[dict[str, Any]]:
        key: dict[str, Any] = {"configuration_id": configuration_id, "symbol": symbol}
        return _documents(await QUERIES.fetch(db, "indicator_results", **key, first=first, limit=limit))

    async def remove_indicator_results(self, db: Database, *, before: datetime, limit: int) -> int:
        """One batch; the number deleted."""
        status = await QUERIES.execute(db, "remove_indicator_results", before=before, limit=limit)
        return int(status.rsplit(" ", 1)[-1])


def _documents(rows: list[Row]) -> list[dict[str, Any]]:
    return [row["data"] for row in rows]
