"""A desk of the executor whose venue is beyond a wire: the real ccxt client, and a venue on this machine that keeps the
truth."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import Side
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.simulated import Fault, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import Keys
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, make_executor, open_desk

START_MS = int(START.timestamp() * 1000)
KEYS = Keys(api_key="a key", secret="a secret")
MONEY = {"USDT": Decimal(1_000_000)}
PLACE = "POST /api/v3/order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A desk whose venue is beyond a wire."""

    desk: Desk
    venue: SimulatedVenue
    client: CcxtVenue

    async def later(self, seconds: float) -> None:
        self.venue.time.advance(seconds)
        self.desk.clock.advance(datetime.fromtimestamp(self.venue.time.now_ms() / 1000, UTC))
        await self.desk.executor.sync()


@asynccontextmanager
async def floor(database: PostgresManager, *faults: Fault, api_key: str = KEYS.api_key) -> AsyncIterator[Floor]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 2 * 86_400_000)
    time = VenueTime(START_MS, speed=0)
    async with SimulatedVenue([market], time=time, faults=FaultScript(faults), money=MONEY, keys=KEYS) as venue:
        desk = await open_desk(database, cash="1000000")
        credentials = Credentials(api_key=api_key, secret=KEYS.secret)
        client = CcxtVenue("binance", credentials, clock=desk.clock, url=venue.url)
        executor = make_executor(database, desk.clock, desk.bus, client, desk.account, desk.lease)  # type: ignore[arg-type]
        desk.executor = executor
        try:
            yield Floor(desk=desk, venue=venue, client=client)
        finally:
            await client.close()


async def bought(on: Floor, quantity: str = "0.5") -> OrderApproved:
    approval = await on.desk.approve(Side.BUY, quantity, reserve="500000")
    await on.desk.hear(approval)
    return approval


async def books_are_the_venues(on: Floor) -> None:
    """Orders, fills and balances, held against what the venue itself knows."""
    account, database = on.venue.account, on.desk.manager
    ours = await database.fetch(
        "SELECT client_order_id, filled_quantity FROM orders "
        "WHERE account_id = $1 AND status NOT IN ('NOT_FOUND', 'REJECTED')",
        on.desk.account.id,
    )
    assert {row["client_order_id"]: row["filled_quantity"] for row in ours} == {
        one.client_id: one.executed for one in account.orders
    }
    assert set(account.asked.values()) <= {1}, "one write an attempt"
    fills = await database.fetch(
        "SELECT exchange_trade_id, quantity, price FROM trades WHERE account_id = $1 ORDER BY exchange_trade_id::int",
        on.desk.account.id,
    )
    assert [tuple(row.values()) for row in fills] == [
        (str(one.id), one.quantity, one.price) for one in account.executions
    ]
    rows = await database.fetch(
        "SELECT asset, free_balance + locked_balance AS total FROM portfolio_balances WHERE account_id = $1",
        on.desk.account.id,
    )
    totals = {asset: one.free + one.locked for asset, one in account.holdings.items() if one.free + one.locked}
    assert {row["asset"]: row["total"] for row in rows if row["total"]} == totals
    assert await on.desk.problems() == []
