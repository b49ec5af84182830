"""Typed persistence of the arbitrage service: one method per named query."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from mastertrade.domain.arbitrage import Opportunity
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
SAME_OPPORTUNITY = timedelta(seconds=10)
"""A difference seen again within this time is the same one."""


class ArbitragePostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def taker_fees(self, db: Database, ids: Sequence[int]) -> dict[int, Decimal]:
        """Fees by instrument, without those that cannot be traded."""
        rows = await QUERIES.fetch(db, "taker_fees", ids=list(ids))
        return {row["id"]: row["taker_fee"] for row in rows}

    async def record_opportunity(self, tx: Transaction, opportunity: Opportunity, metadata: Mapping[str, Any]) -> bool:
        """False when it was seen a moment ago: then that row has the new numbers."""
        pair: dict[str, Any] = {
            "pair": opportunity.symbol,
            "buy_venue": f"cex:{opportunity.buy_venue}",
            "sell_venue": f"cex:{opportunity.sell_venue}",
        }
        numbers: dict[str, Any] = pair | {
            "buy_venue_data": _venue_data(opportunity.buy_venue, opportunity.buy_price),
            "sell_venue_data": _venue_data(opportunity.sell_venue, opportunity.sell_price),
            "buy_price": opportunity.buy_price,
            "sell_price": opportunity.sell_price,
            "profit_percent": float(opportunity.gross_percent),
            "net_profit": opportunity.net_profit,
            "quantity": opportunity.quantity,
            "fees": opportunity.fees,
            "metadata": dict(metadata),
            "found_at": opportunity.found_at,
        }
        await QUERIES.execute(tx, "lock_opportunity", **pair)
        if await QUERIES.fetchval(tx, "refresh_opportunity", window=SAME_OPPORTUNITY, **numbers) is not None:
            return False
        return await self.insert_opportunity(
            tx,
            id=opportunity.id,
            arbitrage_type="cex_cex",
            gas_cost=Decimal(0),
            executed=False,
            execution_id=None,
            **numbers,
        )

    async def insert_opportunity(self, db: Database, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "insert_opportunity", **columns) is not None

    async def profitable_opportunities(self, db: Database, *, min_profit_percent: float, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "profitable_opportunities", min_profit_percent=min_profit_percent, limit=limit)

    async def opportunities_by_type(
        self, db: Database, *, arbitrage_type: str, chain: str | None, limit: int
    ) -> list[Row]:
        return await QUERIES.fetch(db, "opportunities_by_type", arbitrage_type=arbitrage_type, chain=chain, limit=limit)

    async def begin_execution(self, db: Database, *, at: datetime, **columns: Any) -> None:
        await QUERIES.execute(db, "begin_execution", at=at, **columns)

    async def finish_execution(self, tx: Transaction, *, id: UUID, status: str, at: datetime, **columns: Any) -> bool:
        """False when there is no such execution. A success marks its opportunity as executed."""
        row = await QUERIES.fetchrow(tx, "finish_execution", id=id, status=status, at=at, **columns)
        if row is None:
            return False
        if status == "success" and row["opportunity_id"] is not None:
            await QUERIES.execute(tx, "mark_executed", id=row["opportunity_id"], execution_id=id)
        return True

    async def executions(self, db: Database, *, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "executions", limit=limit)

    async def insert_dex_price(self, db: Database, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "insert_dex_price", **columns) is not None

    async def latest_dex_prices(self, db: Database, *, pair: str) -> list[Row]:
        return await QUERIES.fetch(db, "latest_dex_prices", pair=pair)

    async def insert_flash_loan_opportunity(self, db: Database, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "insert_flash_loan_opportunity", **columns) is not None

    async def flash_loan_opportunities(self, db: Database, *, protocol: str | None, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "flash_loan_opportunities", protocol=protocol, limit=limit)

    async def insert_triangular_opportunity(self, db: Database, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "insert_triangular_opportunity", **columns) is not None

    async def triangular_opportunities(self, db: Database, *, exchange: str | None, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "triangular_opportunities", exchange=exchange, limit=limit)

    async def insert_gas_price(self, db: Database, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "insert_gas_price", **columns) is not None

    async def latest_gas_price(self, db: Database, *, chain: str) -> Row | None:
        return await QUERIES.fetchrow(db, "latest_gas_price", chain=chain)

    async def statistics(self, db: Database, *, since: datetime) -> Row:
        row = await QUERIES.fetchrow(db, "statistics", since=since)
        assert row is not None, "an aggregate without groups always has one row"
        return row


def _venue_data(venue: str, price: Decimal) -> dict[str, Any]:
    return {"type": "cex", "exchange": venue, "price": float(price)}


postgres_database = ArbitragePostgresDatabase()
