"""When an executor looks at its venues."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from mastertrade.domain.orders import OrderStatus
from mastertrade.exchanges.exchange import OrderTicket, VenueOrder
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.service import SOONEST_LOOK_S, OrderExecutor
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import Desk, open_desk

pytestmark = pytest.mark.asyncio


async def test_fills_a_venue_tells_of_as_it_takes_an_order_are_booked_at_once(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)
    place = PaperVenue.place

    async def fills_at_once(self: PaperVenue, ticket: OrderTicket) -> VenueOrder:
        accepted = await place(self, ticket)
        await self.on_prices([desk.candle(100.0)])
        return replace(accepted, status=OrderStatus.FILLED, filled_quantity=ticket.quantity)

    monkeypatch.setattr(PaperVenue, "place", fills_at_once)
    async with running(desk):
        began = time.perf_counter()
        event = await desk.approve(quantity="0.5")
        await desk.hear(event)
        assert await desk.status(event) == "OPEN", "an answer makes no order FILLED"
        await until_filled(database)
        assert time.perf_counter() - began < 30, "the next regular look is minutes away"
        assert await desk.status(event) == "FILLED"


async def test_an_order_that_rests_waits_for_the_next_look(database: PostgresManager) -> None:
    desk = await open_desk(database)
    async with running(desk):
        event = await desk.approve(quantity="0.5")
        await desk.hear(event)
        await desk.venue.on_prices([desk.candle(100.0)])
        await asyncio.sleep(2 * SOONEST_LOOK_S)
        assert await database.fetchval("SELECT count(*) FROM trades") == 0


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[None]:
    """The desk's executor looks every five minutes, and was started."""
    desk.executor = OrderExecutor(
        settings=ExecutorSettings(ORDER_MONITOR_INTERVAL=300), clock=desk.clock, bus=desk.bus,
        manager=desk.manager, venues={desk.account.id: desk.venue}, lease=desk.lease,
    )  # fmt: skip
    await desk.executor.start()
    try:
        yield
    finally:
        await desk.executor.stop()


async def until_filled(database: PostgresManager) -> None:
    while await database.fetchval("SELECT coalesce(sum(quantity), 0) FROM trades") < Decimal("0.5"):
        await asyncio.sleep(0.05)
