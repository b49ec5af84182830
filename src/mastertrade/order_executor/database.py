"""The older system's order database: its names, arguments and answers, over the PostgreSQL layer. Holds no SQL.

Orders recorded here have no approval and are never sent; what their callers report back is booked like any fill. A
neutral answer (None, [], False, {}) means "not found" or "nothing changed"; when the database fails, methods raise.
"""

from typing import Any
from uuid import UUID

from mastertrade.messaging.bus import Bus
from mastertrade.order_executor import legacy, legacy_reports
from mastertrade.order_executor.legacy_orders import HALT_TIMEOUT_S, QUERIES, LegacyOrders, order_uuid
from mastertrade.order_executor.models import Order, OrderRequest, StrategyId, Trade
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.owned_database import OwnedDatabase
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import get_attr, to_serializable

OrderId = str | UUID
MAX_ROWS = 10_000


class Database(OwnedDatabase):
    """Orders, fills and balances for people and programs that know the older system's API. With a bus, the fills booked
    here are published as the executor's own are."""

    application_name = "order_executor"

    def __init__(
        self, manager: PostgresManager | None = None, *, clock: Clock | None = None, bus: Bus | None = None
    ) -> None:
        super().__init__(manager, clock=clock)
        self._legacy = LegacyOrders(self._clock, bus, lambda: self._db)

    # --- orders ---

    async def create_order(self, order_request: OrderRequest) -> Order | None:
        """The order as recorded; for a ``client_order_id`` that is known, the order it names. It belongs to the
        strategy's account in the request's environment, else to the oldest there; NotFound when there is none."""
        client_order_id = legacy.text_of(order_request.client_order_id)
        rows = await self._orders(client_order_id=client_order_id)
        if not rows:
            async with self._db.transaction() as tx:
                await self._legacy.record(tx, order_request)
            rows = await self._orders(client_order_id=client_order_id)
        return legacy.order_model(rows[0])

    async def update_order_exchange_info(self, order_id: OrderId, exchange_order_id: str) -> bool:
        """False when there is no such order, or it has another id at its exchange."""
        return await self._legacy.set_exchange_order_id(self._db, order_id, exchange_order_id)

    async def update_order_status(self, order_id: OrderId, status: str) -> bool:
        """True when the order moved. A move that is not legal leaves it where it is, and so does a fill without its
        trade."""
        wanted = legacy.status_of(status)
        async with self._db.transaction() as tx:
            order = await self._legacy.lock(tx, order_id)
            return order is not None and await self._legacy.move(tx, order, wanted)

    async def update_order_from_exchange(self, order_id: OrderId, exchange_order: dict[str, Any]) -> bool:
        """Takes over what the exchange says; True when that changed anything. What it says was filled beyond the booked
        fills is booked as one fill; only an approved order waits for the venue's own list of fills."""
        report = legacy_reports.report_of(exchange_order)
        async with self._db.transaction() as tx:
            return await self._legacy.take_over(tx, order_id, report)

    async def get_active_orders(self) -> list[Order]:
        """Orders that may still trade, newest first."""
        return [legacy.order_model(row) for row in await self._orders(active=True)]

    async def get_recent_orders(self, limit: int = 100) -> list[dict[str, Any]]:
        return [legacy.order_dict(row) for row in await self._orders(limit=limit)]

    async def get_order(self, id: OrderId) -> dict[str, Any] | None:
        rows = await self._orders(id=order_uuid(id))
        return legacy.order_dict(rows[0]) if rows else None

    async def get_orders(
        self,
        *,
        status: str | None = None,
        symbol: str | None = None,
        strategy_id: StrategyId | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """``status`` is one an older reader sees: NEW finds every order on its way or resting."""
        filters: dict[str, Any] = {}
        if status is not None:
            filters["seen_status"] = legacy.seen_status_of(status)
        if symbol is not None:
            filters["symbol"] = legacy.symbol_of(symbol)
        if strategy_id is not None:
            filters["strategy_ref"] = legacy.text_of(strategy_id)
            filters["strategy_id"] = await self._legacy.find_strategy(self._db, filters["strategy_ref"])
        return [legacy.order_dict(row) for row in await self._orders(limit=limit, **filters)]

    async def update_order(self, id: OrderId, updates: dict[str, Any]) -> dict[str, Any]:
        """Changes what is given of status, exchange_order_id, metadata (merged) and, while an order without approval is
        new, price and stop_price; other keys are ignored. The order after it; {} when there is none."""
        wanted = None if updates.get("status") is None else legacy.status_of(updates["status"])
        async with self._db.transaction() as tx:
            order = await self._legacy.lock(tx, id)
            if order is None:
                return {}
            await self._legacy.edit(tx, order["id"], updates)
            if updates.get("exchange_order_id"):
                await self._legacy.set_exchange_order_id(tx, order["id"], updates["exchange_order_id"])
            if wanted is not None:
                await self._legacy.move(tx, order, wanted)
        return await self.get_order(id) or {}

    # --- fills, balances, positions ---

    async def insert_trade(self, trade: Trade) -> bool:
        """Books an execution, once: also when it was told within an order's total before, or is told so later."""
        async with self._db.transaction() as tx:
            return await self._legacy.book_trade(tx, trade)

    async def get_recent_trades(self, limit: int = 100) -> list[dict[str, Any]]:
        return await self.get_trades(limit=limit)

    async def get_trades(self, order_id: OrderId | None = None, limit: int = 100) -> list[dict[str, Any]]:
        id = None if order_id is None else order_uuid(order_id)
        rows = await QUERIES.fetch(self._db, "seen_trades", order_id=id, limit=max(0, limit))
        return [legacy.plain_dict(row) for row in rows]

    async def update_portfolio_from_trade(self, order: Order, exchange_order: dict[str, Any]) -> bool:
        """Books what the exchange says was filled beyond the fills booked so far: order, ledger, balances, position."""
        report = legacy_reports.report_of(exchange_order)
        async with self._db.transaction() as tx:
            row = await self._legacy.lock(tx, get_attr(order, "id"))
            return row is not None and await self._legacy.book_total(tx, row, report)

    async def get_portfolio_balance(self, environment: str | None = None) -> list[dict[str, Any]]:
        """By asset, the sum over the accounts of an environment; paper when none is named."""
        wanted = legacy.environment_of(environment).value
        rows = await QUERIES.fetch(self._db, "balances_of_environment", environment=wanted)
        return [legacy.plain_dict(row) for row in rows]

    async def get_positions(
        self, strategy_id: StrategyId | None = None, is_open: bool | None = None
    ) -> list[dict[str, Any]]:
        id = None
        if strategy_id is not None:
            id = await self._legacy.find_strategy(self._db, legacy.text_of(strategy_id))
            if id is None:
                return []
        rows = await QUERIES.fetch(self._db, "seen_positions", strategy_id=id, is_open=is_open, limit=MAX_ROWS)
        return [legacy.plain_dict(row) for row in rows]

    # --- the switch and the environments ---

    async def is_trading_enabled(self) -> bool:
        return bool(await QUERIES.fetchval(self._db, "trading_enabled"))

    async def toggle_trading_enabled(self) -> bool:
        """The new value: a flip halts everything, or ends that halt."""
        async with self._db.transaction(statement_timeout_s=HALT_TIMEOUT_S) as tx:
            await QUERIES.execute(tx, "lock_trading_switch")
            return bool(await QUERIES.fetchval(tx, "flip_trading_switch", at=self._clock.now()))

    async def get_position_size_for_strategy(self, strategy_id: StrategyId, symbol: str) -> float:
        """Base units: the strategy's own limit, which is the same for all its symbols, else 0.1."""
        config = await self.get_strategy_environment_config(strategy_id) or {}
        size = config.get("max_position_size")
        return legacy.DEFAULT_POSITION_SIZE if size is None else float(size)

    async def upsert_strategy_environment_config(
        self,
        *,
        strategy_id: StrategyId,
        environment: str,
        max_position_size: float | None = None,
        max_daily_trades: int | None = None,
        risk_multiplier: float = 1.0,
        enabled: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The config as stored; what is left out is set to its default. NotFound when there is no such strategy."""
        wanted = legacy.environment_of(environment).value
        id = await self._legacy.find_strategy(self._db, legacy.text_of(strategy_id))
        if id is None:
            raise NotFound(f"there is no strategy {strategy_id} to configure: create it first")
        await QUERIES.execute(
            self._db,
            "configure_strategy",
            strategy_id=id,
            environment=wanted,
            max_position_size=legacy_reports.optional_amount(max_position_size),
            max_daily_trades=max_daily_trades,
            risk_multiplier=risk_multiplier,
            enabled=enabled,
            metadata=to_serializable(metadata or {}),
            at=self._clock.now(),
        )
        return await self.get_strategy_environment_config(id) or {}

    async def get_strategy_environment_config(self, strategy_id: StrategyId) -> dict[str, Any] | None:
        id = await self._legacy.find_strategy(self._db, legacy.text_of(strategy_id))
        rows = await self._configs(id) if id else []
        return rows[0] if rows else None

    async def get_all_strategy_environment_configs(self) -> list[dict[str, Any]]:
        return await self._configs(None)

    async def _configs(self, strategy_id: UUID | None) -> list[dict[str, Any]]:
        rows = await QUERIES.fetch(self._db, "environment_configs", strategy_id=strategy_id)
        return [legacy.plain_dict(row) for row in rows]

    async def _orders(self, *, active: bool = False, limit: int = MAX_ROWS, **filters: Any) -> list[Row]:
        names = ("id", "client_order_id", "seen_status", "symbol", "strategy_id", "strategy_ref")
        values = {name: filters.get(name) for name in names}
        return await QUERIES.fetch(self._db, "seen_orders", active=active, limit=max(0, limit), **values)


database = Database()
"""For callers of the older module; not connected until it is used, and no service imports it."""
