"""The older system's arbitrage database: its names, arguments and answers, over the PostgreSQL layer. Holds no SQL.

A neutral answer (None, [], False) means "not found"; when the database fails, every method raises.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mastertrade.arbitrage_service import legacy
from mastertrade.arbitrage_service.legacy import optional_decimal
from mastertrade.arbitrage_service.models import (
    ArbitrageOpportunity,
    DEXPrice,
    FlashLoanOpportunity,
    GasPrice,
    TriangularArbitrageOpportunity,
)
from mastertrade.arbitrage_service.postgres_database import ArbitragePostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.owned_database import OwnedDatabase
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import decimal_of, ensure_uuid, get_attr, new_id, parse_datetime, to_serializable

MAX_OPPORTUNITIES = 100
"""As many as the older system returned."""
OPPORTUNITIES, EXECUTIONS = "arbitrage_opportunities", "arbitrage_executions"


class Database(OwnedDatabase):
    """The arbitrage service's tables for people and programs that know the older system's API."""

    application_name = "arbitrage_service"

    def __init__(self, manager: PostgresManager | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(manager, clock=clock)
        self._postgres = ArbitragePostgresDatabase()

    # --- opportunities ---

    async def insert_arbitrage_opportunity(self, opportunity: ArbitrageOpportunity) -> bool:
        """Gives the opportunity an id when it has none. False when that id is already stored."""
        if not opportunity.id:
            opportunity.id = str(new_id(self._clock.now()))
        kind, chain = legacy.split_type(opportunity.arbitrage_type)
        return await self._postgres.insert_opportunity(
            self._db,
            id=ensure_uuid(opportunity.id, OPPORTUNITIES),
            pair=opportunity.pair,
            buy_venue=legacy.venue_key(opportunity.buy_venue),
            sell_venue=legacy.venue_key(opportunity.sell_venue),
            buy_venue_data=to_serializable(opportunity.buy_venue),
            sell_venue_data=to_serializable(opportunity.sell_venue),
            buy_price=decimal_of(opportunity.buy_price),
            sell_price=decimal_of(opportunity.sell_price),
            profit_percent=opportunity.profit_percent,
            net_profit=decimal_of(opportunity.estimated_profit_usd),
            quantity=decimal_of(opportunity.trade_amount),
            gas_cost=decimal_of(opportunity.gas_cost),
            fees=Decimal(0),
            arbitrage_type=kind,
            executed=opportunity.executed,
            execution_id=ensure_uuid(opportunity.execution_id, EXECUTIONS) if opportunity.execution_id else None,
            metadata={"chain": chain} if chain else {},
            found_at=parse_datetime(opportunity.timestamp),
        )

    async def get_profitable_opportunities(self, min_profit_percent: float = 0.1) -> list[dict[str, Any]]:
        """Not executed, the highest profit first, at most 100."""
        rows = await self._postgres.profitable_opportunities(
            self._db, min_profit_percent=min_profit_percent, limit=MAX_OPPORTUNITIES
        )
        return [legacy.opportunity_dict(row) for row in rows]

    async def get_opportunities_by_type(self, arbitrage_type: str) -> list[dict[str, Any]]:
        """Newest first, executed ones included; ``intra_chain`` means every chain."""
        kind, chain = legacy.split_type(arbitrage_type)
        rows = await self._postgres.opportunities_by_type(
            self._db, arbitrage_type=kind, chain=chain, limit=MAX_OPPORTUNITIES
        )
        return [legacy.opportunity_dict(row) for row in rows]

    # --- executions ---

    async def create_arbitrage_execution(self, opportunity: ArbitrageOpportunity | Mapping[str, Any]) -> str:
        """The id of a new pending execution."""
        now = self._clock.now()
        id, reference = new_id(now), get_attr(opportunity, "id")
        await self._postgres.begin_execution(
            self._db,
            id=id,
            opportunity_id=ensure_uuid(reference, OPPORTUNITIES) if reference else None,
            execution_type=str(get_attr(opportunity, "arbitrage_type", "unknown")),
            metadata={"opportunity_id": str(reference)} if reference else {},
            at=now,
        )
        return str(id)

    async def update_arbitrage_execution(self, execution_id: str, result: dict[str, Any]) -> bool:
        """How the execution ended. A success marks its opportunity as executed, in the same transaction."""
        profit = result.get("actual_profit_usd", result.get("actual_profit"))
        transactions = result.get("transactions")
        async with self._db.transaction() as tx:
            return await self._postgres.finish_execution(
                tx,
                id=ensure_uuid(execution_id, EXECUTIONS),
                status=legacy.status_of(result),
                at=self._clock.now(),
                transactions=None if transactions is None else to_serializable(transactions),
                actual_profit_usd=optional_decimal(profit),
                gas_used=optional_decimal(result.get("gas_used")),
                error_message=result.get("error_message", result.get("error")),
            )

    async def get_execution_history(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest start first."""
        return [legacy.plain_dict(row) for row in await self._postgres.executions(self._db, limit=max(0, limit))]

    # --- prices, loans, cycles, gas ---

    async def insert_dex_price(self, price: DEXPrice) -> bool:
        return await self._postgres.insert_dex_price(
            self._db,
            id=new_id(self._clock.now()),
            pair=price.pair,
            dex=price.dex,
            chain=price.chain,
            price=decimal_of(price.price),
            liquidity=decimal_of(price.liquidity),
            reserve0=optional_decimal(price.reserve0),
            reserve1=optional_decimal(price.reserve1),
            at=parse_datetime(price.timestamp),
        )

    async def get_latest_dex_prices(self, pair: str) -> list[dict[str, Any]]:
        """The latest of each chain and venue."""
        return [legacy.plain_dict(row) for row in await self._postgres.latest_dex_prices(self._db, pair=pair)]

    async def insert_flash_loan_opportunity(self, opportunity: FlashLoanOpportunity) -> bool:
        amount = decimal_of(opportunity.amount)
        return await self._postgres.insert_flash_loan_opportunity(
            self._db,
            id=ensure_uuid(opportunity.id, "flash_loan_opportunities") if opportunity.id else new_id(self._clock.now()),
            protocol=opportunity.protocol,
            token=opportunity.token,
            amount=amount,
            fee_percent=opportunity.fee_percent,
            arbitrage_path=to_serializable(opportunity.arbitrage_path),
            gas_estimate=Decimal(opportunity.gas_estimate),
            estimated_profit=decimal_of(opportunity.estimated_profit),
            capital_required=amount,
            at=parse_datetime(opportunity.timestamp),
        )

    async def get_flash_loan_opportunities(self, protocol: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        rows = await self._postgres.flash_loan_opportunities(self._db, protocol=protocol, limit=max(0, limit))
        return [legacy.plain_dict(row) for row in rows]

    async def insert_triangular_opportunity(self, opportunity: TriangularArbitrageOpportunity) -> bool:
        return await self._postgres.insert_triangular_opportunity(
            self._db,
            id=ensure_uuid(opportunity.id, "triangular_arbitrage") if opportunity.id else new_id(self._clock.now()),
            exchange=opportunity.exchange,
            chain=opportunity.chain,
            route=to_serializable({"path": opportunity.path, "prices": opportunity.prices}),
            base_amount=decimal_of(opportunity.base_amount),
            profit_percent=opportunity.profit_percent,
            estimated_profit_usd=decimal_of(opportunity.estimated_profit_usd),
            at=parse_datetime(opportunity.timestamp),
        )

    async def get_triangular_opportunities(self, exchange: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        rows = await self._postgres.triangular_opportunities(self._db, exchange=exchange, limit=max(0, limit))
        return [legacy.triangular_dict(row) for row in rows]

    async def insert_gas_price(self, gas_price: GasPrice) -> bool:
        return await self._postgres.insert_gas_price(
            self._db,
            id=new_id(self._clock.now()),
            chain=gas_price.chain,
            standard_gwei=gas_price.standard_gwei,
            fast_gwei=gas_price.fast_gwei,
            instant_gwei=gas_price.instant_gwei,
            at=parse_datetime(gas_price.timestamp),
        )

    async def get_latest_gas_price(self, chain: str) -> dict[str, Any] | None:
        row = await self._postgres.latest_gas_price(self._db, chain=chain)
        return legacy.plain_dict(row) if row else None

    async def get_arbitrage_stats(self, hours_back: int = 24) -> dict[str, Any]:
        """Counts and sums of the window; profitable means net above 0, ``success_rate`` is of finished executions."""
        now = self._clock.now()
        counted = legacy.plain_dict(await self._postgres.statistics(self._db, since=now - timedelta(hours=hours_back)))
        finished = counted.pop("finished_executions")
        counted["success_rate"] = counted["successful_executions"] / finished if finished else 0.0
        return counted | {"period_hours": hours_back, "timestamp": now.isoformat()}


database = Database()
"""For callers of the older module; not connected until it is used, and no service imports it."""
