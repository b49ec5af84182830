"""The wire between the executor and a venue falls silent, trickles, breaks: an order without an answer is unknown until
the venue has said what became of it, nothing is sent twice, and nobody else waits. The client is ccxt's, unmodified."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import Environment, Side
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.exchanges.simulated import SimulatedVenue, VenueTime, simulated_market
from mastertrade.order_executor.cancels import Cancels
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.quant.costs import Costs
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.chaos_proxy import ChaosProxy, Moment, chaos_proxy
from tests.postgres.executor_seed import START, Desk, open_desk
from tests.postgres.venue_floor import KEYS, MONEY, START_MS, Floor, books_are_the_venues

ANSWER_S = 0.4
"""How long the executor waits for an answer."""
LONGEST_S = 10.0
"""Nothing may take longer, however busy the machine is."""
HELD = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL"""
PLACE, CANCEL, ASK = b"POST /api/v3/order", b"DELETE /api/v3/order", b"GET /api/v3/order?"
FILLS, RESTING, BALANCES = b"GET /api/v3/myTrades", b"GET /api/v3/openOrders", b"GET /api/v3/account"

pytestmark = pytest.mark.filterwarnings("ignore")  # ccxt's client is stopped in the middle of its requests


@dataclass(frozen=True, slots=True, kw_only=True)
class FarFloor(Floor):
    """Its venue is behind a proxy; a second account trades at a venue next door."""

    proxy: ChaosProxy
    next_door: Desk

    async def bought(self, quantity: str = "0.5", **terms: Any) -> OrderApproved:
        approval = await self.desk.approve(Side.BUY, quantity, reserve="100000", **terms)
        await self.bounded(self.desk.hear(approval))
        return approval

    async def bounded(self, work: Awaitable[object]) -> None:
        async with asyncio.timeout(LONGEST_S):
            await work

    async def trades_next_door(self) -> None:
        approval = await self.next_door.approve()
        await self.bounded(self.next_door.hear(approval))
        await self.next_door.venue.on_prices([self.next_door.candle(100.0)])
        await self.bounded(self.desk.executor.sync())
        assert await self.next_door.status(approval) == "FILLED"

    async def holds_nothing_while(self, work: Callable[[], Awaitable[object]]) -> None:
        """At some moment of its waiting for the venue it held no row."""
        task = asyncio.ensure_future(work())
        await self.bounded(self.proxy.is_silent.wait())
        held = 1
        while held and not task.done():
            held = await self.desk.manager.fetchval(HELD)
        waited = not task.done()
        await self.bounded(task)
        assert waited, "it held rows all the while"

    async def until(self, approval: OrderApproved, *statuses: str, steps: int = 12, seconds: float = 40) -> None:
        for _ in range(steps):
            if await self.desk.status(approval) in statuses:
                return
            await self.bounded(self.later(seconds))
        assert await self.desk.status(approval) in statuses

    async def is_clean(self) -> None:
        await self.bounded(self.later(61))
        held = "SELECT count(*) FROM reservations WHERE released_at IS NULL AND account_id = $1"
        assert await self.desk.manager.fetchval(held, self.desk.account.id) == 0
        states = await self.desk.manager.fetch("SELECT state FROM account_states")
        assert {row["state"] for row in states} == {"live"}
        assert (
            await self.desk.manager.fetchval("SELECT count(*) FROM reconciliation_breaks WHERE closed_at IS NULL") == 0
        )
        assert set(self.venue.account.asked.values()) <= {1}, "one write an attempt"
        assert await self.desk.problems() == []


@asynccontextmanager
async def far_floor(database: PostgresManager, *, answer_s: float = ANSWER_S) -> AsyncIterator[FarFloor]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 2 * 86_400_000)
    time = VenueTime(START_MS, speed=0)
    async with (
        SimulatedVenue([market], time=time, money=MONEY, keys=KEYS) as venue,
        chaos_proxy(venue.url) as (proxy, address),
    ):
        desk = await open_desk(database, cash="1000000")
        next_door = await opened_next_door(desk)
        client = CcxtVenue(
            "binance", Credentials(api_key=KEYS.api_key, secret=KEYS.secret), clock=desk.clock, url=address
        )
        desk.executor = next_door.executor = OrderExecutor(
            settings=ExecutorSettings(venue_timeout_s=answer_s, _env_file=None),
            clock=desk.clock,
            bus=desk.bus,
            manager=database,
            venues={desk.account.id: client, next_door.account.id: next_door.venue},
            lease=desk.lease,
        )
        await client.now()
        await desk.executor.sync()
        try:
            yield FarFloor(desk=desk, venue=venue, client=client, proxy=proxy, next_door=next_door)
        finally:
            proxy.heal()
            await client.close()


async def opened_next_door(desk: Desk) -> Desk:
    manager, books, money = desk.manager, ExecutorPostgresDatabase(), Decimal(10_000)
    account = await books.create_account(
        manager, name="next door", venue="simulated", environment=Environment.PAPER, quote_asset="USDT"
    )
    await books.deposit(manager, account.id, asset="USDT", amount=money, source_key="next door", at=START)
    venue = PaperVenue(
        name="simulated", account="next door", manager=manager, instruments={"BTC/USDT": desk.instrument},
        costs=Costs(), clock=desk.clock,
    )  # fmt: skip
    await venue.deposit(key="next door", asset="USDT", amount=money)
    return replace(desk, account=account, venue=venue)


@pytest.mark.parametrize("moment", list(Moment), ids=str)
async def test_an_order_that_is_not_answered_is_unknown_until_the_venue_has_told(
    moment: Moment, database: PostgresManager
) -> None:
    async with far_floor(database) as on:
        on.proxy.go_silent_at(PLACE, moment=moment)
        approval = await on.desk.approve(Side.BUY, "0.5", reserve="100000")
        await on.holds_nothing_while(lambda: on.desk.hear(approval))
        assert await on.desk.status(approval) == "UNKNOWN"
        await on.trades_next_door()
        assert await on.desk.status(approval) == "UNKNOWN"
        on.proxy.heal()
        await on.until(approval, "FILLED", "NOT_FOUND")
        await on.is_clean()
        if moment in (Moment.AFTER, Moment.WITHIN):
            assert await on.desk.status(approval) == "FILLED"
            await books_are_the_venues(on)


async def test_an_order_that_arrives_after_it_was_given_up_is_found(database: PostgresManager) -> None:
    """It lay on the wire while its sender stopped waiting, and reaches the venue within its time."""
    async with far_floor(database) as on:
        on.proxy.go_silent_at(PLACE, moment=Moment.BEFORE)
        approval = await on.bought()
        assert (await on.desk.status(approval), on.venue.account.orders) == ("UNKNOWN", [])
        on.proxy.heal()
        async with asyncio.timeout(LONGEST_S):
            while not on.venue.account.orders:
                await asyncio.sleep(0.01)
        await on.until(approval, "FILLED", seconds=1)
        await books_are_the_venues(on)
        await on.is_clean()


async def test_an_order_that_arrives_after_its_time_is_refused_by_the_venue_and_is_none(
    database: PostgresManager,
) -> None:
    async with far_floor(database) as on:
        on.proxy.go_silent_at(PLACE, moment=Moment.BEFORE)
        approval = await on.bought()
        on.venue.time.advance(6)
        on.proxy.heal()
        await on.until(approval, "NOT_FOUND")
        assert on.venue.account.orders == []
        await on.is_clean()


@pytest.mark.parametrize("question", [FILLS, RESTING, ASK, BALANCES, CANCEL], ids=bytes.decode)
async def test_a_question_without_an_answer_is_asked_again_and_changes_nothing(
    question: bytes, database: PostgresManager
) -> None:
    async with far_floor(database) as on:
        low = str(round(Decimal(on.venue.markets["BTCUSDT"].price(START_MS)) * Decimal("0.9"), 2))
        resting = await on.bought(limit=low)
        filled = await on.bought("0.1")
        await on.bounded(on.later(1))
        if question == CANCEL:
            await Cancels(manager=database, clock=on.desk.clock).want(
                account_id=on.desk.account.id, reason="a test", actor="ann"
            )
        elif question == ASK:  # it is gone from the list of those that rest: what became of it?
            await on.client.cancel(on.venue.account.orders[0].client_id, "BTC/USDT")
        on.proxy.go_silent_at(question, moment=Moment.AFTER)
        await on.holds_nothing_while(lambda: on.later(61))
        await on.trades_next_door()
        on.proxy.heal()
        await Cancels(manager=database, clock=on.desk.clock).want(order_id=None, reason="the end", actor="ann")
        await on.until(resting, "CANCELED")
        await on.until(filled, "FILLED")
        await books_are_the_venues(on)
        await on.is_clean()


async def test_a_wire_that_trickles_is_a_slow_one(database: PostgresManager) -> None:
    async with far_floor(database, answer_s=10.0) as on:
        on.proxy.slice_bytes = 1
        approval = await on.bought()
        await on.until(approval, "FILLED", seconds=1)
        events = await database.fetch("SELECT to_status FROM order_events")
        assert "UNKNOWN" not in {row["to_status"] for row in events}
        await books_are_the_venues(on)
        await on.is_clean()


async def test_connections_that_break_and_are_made_anew_all_the_time_lose_nothing(database: PostgresManager) -> None:
    async with far_floor(database, answer_s=2.0) as on:
        storm = asyncio.create_task(on.proxy.storm(times=40, every_s=0.02))
        approvals = [await on.bought("0.1") for _ in range(5)]
        for _ in range(3):
            await on.bounded(on.later(1))
        await storm
        for approval in approvals:
            await on.until(approval, "FILLED", "NOT_FOUND")
        await books_are_the_venues(on)
        await on.is_clean()
        assert on.proxy.connections > 3
