"""Orders in any state and fills of them, written as orders.sql is called."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from mastertrade.domain.market import Candle
from mastertrade.domain.orders import Fill, OrderStatus, Side
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Book, FillOutcome
from mastertrade.shared.postgres_manager import Database, PostgresManager
from tests.postgres.executor_seed import START, Desk

S = OrderStatus
LATER = START + timedelta(seconds=5)
SENT = (S.SUBMITTING,)
OPEN = (*SENT, S.OPEN)
PATHS: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    S.NEW: (),
    S.SUBMITTING: SENT,
    S.OPEN: OPEN,
    S.UNKNOWN: (*SENT, S.UNKNOWN),
    S.NOT_FOUND: (*SENT, S.UNKNOWN, S.NOT_FOUND),
    S.PENDING_CANCEL: (*OPEN, S.PENDING_CANCEL),
    S.PENDING_REPLACE: (*OPEN, S.PENDING_REPLACE),
} | {status: (*OPEN, status) for status in (S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED)}
"""A legal way from NEW to each state."""


@dataclass(frozen=True)
class Orders:
    """An open desk, and orders.sql as calls."""

    desk: Desk
    numbers: "count[int]" = field(default_factory=count)

    @property
    def db(self) -> PostgresManager:
        return self.desk.manager

    async def new(self, side: str = "BUY", quantity: Any = 1, *, strategy: bool = True, reserve: Any = None) -> UUID:
        """An order in NEW, with a reservation when asked for."""
        id, reservation = uuid4(), uuid4() if reserve else None
        asset = "USDT" if side == "BUY" else "BTC"
        if reserve:
            call = "SELECT reserve_balance($1, $2, $3, $4, $5)"
            assert await self.db.fetchval(call, reservation, self.desk.account.id, asset, reserve, START)
        await self.db.execute(
            "INSERT INTO orders (id, client_order_id, symbol, order_type, account_id, instrument_id, strategy_id,"
            " reservation_id, side, quantity, order_time)"
            " VALUES ($1, $1::uuid::text, 'BTC/USDT', 'MARKET', $2, $3, $4, $5, $6, $7, $8)",
            id, self.desk.account.id, self.desk.instrument.id, self.desk.strategy_id if strategy else None, reservation,
            side, quantity, START,
        )  # fmt: skip
        return id

    async def bring(self, id: UUID, to: OrderStatus) -> None:
        for step in PATHS[to]:
            await set_status(self.db, id, step)

    async def fill(self, order: UUID, quantity: Any, price: Any = 100, **changes: Any) -> FillOutcome:
        side = await self.db.fetchval("SELECT side FROM orders WHERE id = $1", order)
        told: dict[str, Any] = {
            "client_order_id": str(order), "exchange_order_id": f"ex-{order}",
            "exchange_trade_id": f"t{next(self.numbers)}",
            "symbol": self.desk.instrument.symbol, "side": Side(side or "BUY"),
            "quantity": Decimal(quantity), "price": Decimal(price),
            "commission": Decimal(0), "commission_asset": "USDT", "is_maker": False, "trade_time": LATER,
        }  # fmt: skip
        async with self.db.transaction() as tx:
            step = Book(account_id=self.desk.account.id, fill=Fill(**told | changes), fill_id=uuid4(), at=LATER)
            return (await ExecutorPostgresDatabase().apply_fills(tx, [step]))[0]

    async def trades_at(self, symbol: str, close: float) -> None:
        """Another market, whose last minute closed there."""
        market, venue = MarketDataPostgresDatabase(), self.desk.instrument.venue
        await market.add_instruments(self.db, [listing(venue, symbol)], at=START)
        id = await self.db.fetchval("SELECT id FROM instruments WHERE venue = $1 AND symbol = $2", venue, symbol)
        opened = START - timedelta(minutes=1)
        candle = Candle(
            instrument_id=id, venue=venue, symbol=symbol, interval_s=60, open_time=opened, open=close, high=close,
            low=close, close=close, volume=1.0,
        )  # fmt: skip
        await market.ensure_partitions(self.db, opened, opened)
        async with self.db.transaction() as tx:
            await market.store_batch(tx, CandleBatch(interval_s=60, open_time=opened, candles=(candle,)), at=START)

    async def row(self, order: UUID) -> Any:
        return await self.db.fetchrow("SELECT * FROM orders WHERE id = $1", order)

    async def balances(self) -> Any:
        """Free and reserved, by asset."""
        rows = await self.db.fetch("SELECT asset, free_balance, locked_balance FROM portfolio_balances")
        return {row["asset"]: (row["free_balance"], row["locked_balance"]) for row in rows}

    async def position(self) -> Any:
        """The open one: quantity, cost, entry price."""
        row = await self.db.fetchrow("SELECT quantity, cost, entry_price FROM strategy_positions WHERE status = 'open'")
        return row and tuple(row.values())


async def set_status(db: Database, id: UUID, to: OrderStatus) -> None:
    filled = ", filled_quantity = quantity" if to is S.FILLED else ""
    await db.execute(f"UPDATE orders SET status = $2, update_time = $3{filled} WHERE id = $1", id, to.value, LATER)
