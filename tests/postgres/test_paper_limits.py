"""Limit orders at the paper venue: no better than a market order where they take, their own price where they rest."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.orders import Fill, OrderType, Side
from mastertrade.exchanges.exchange import OrderTicket
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import Desk, open_desk


async def filled(desk: Desk, side: Side, limit: str | None, *, opens: float, low: float, high: float) -> Fill | None:
    """Placed now, and a bar later."""
    now = desk.clock.now()
    await desk.venue.deposit(key=f"{now}", asset="BTC", amount=Decimal(10))
    ticket = OrderTicket(
        client_order_id=f"mt{now:%H%M}",
        symbol="BTC/USDT",
        side=side,
        type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=Decimal("0.5"),
        limit_price=None if limit is None else Decimal(limit),
        signed_at=now,
        send_by=now + timedelta(seconds=5),
    )
    await desk.venue.place(ticket)
    await desk.venue.on_prices([replace(desk.candle(opens), low=low, high=high)])
    page = await desk.venue.fills("", ["BTC/USDT"])
    desk.clock.advance(now + timedelta(minutes=1))
    return next((fill for fill in page.fills if fill.client_order_id == ticket.client_order_id), None)


@pytest.mark.parametrize(("side", "far"), [(Side.BUY, "100000"), (Side.SELL, "0.01")])
async def test_a_limit_the_market_is_beyond_pays_what_a_market_order_pays(
    database: PostgresManager, side: Side, far: str
) -> None:
    desk = await open_desk(database)
    at_market = await filled(desk, side, None, opens=100, low=99, high=101)
    limited = await filled(desk, side, far, opens=100, low=99, high=101)
    assert at_market is not None
    assert limited is not None
    assert (limited.price, limited.commission, limited.is_maker) == (at_market.price, at_market.commission, False)
    assert limited.price > 100 if side is Side.BUY else limited.price < 100


@pytest.mark.parametrize(
    ("side", "limit", "low", "high", "fills"),
    [
        (Side.BUY, "99", 99, 101, True),
        (Side.BUY, "98.99", 99, 101, False),
        (Side.BUY, "100", 100, 101, True),  # the open, but not the open and the spread
        (Side.SELL, "101", 99, 101, True),
        (Side.SELL, "101.01", 99, 101, False),
    ],
)
async def test_a_resting_limit_fills_at_its_own_price_when_a_bar_touches_it(
    database: PostgresManager, side: Side, limit: str, low: float, high: float, fills: bool
) -> None:
    desk = await open_desk(database)
    fill = await filled(desk, side, limit, opens=100, low=low, high=high)
    assert (fill is not None) is fills
    if fill is not None:
        assert (fill.price, fill.is_maker) == (Decimal(limit), True)


@pytest.mark.parametrize("poison", ["NaN", "Infinity", "-Infinity", "1e24", "-1", "0"])
async def test_the_paper_venue_takes_no_number_that_is_none(poison: str, database: PostgresManager) -> None:
    deposit = "SELECT paper_venue.deposit('a', 'k', 'USDT', $1::text::numeric)"
    with pytest.raises(MasterTradeError):
        await database.fetchval(deposit, poison)
    order = (
        "INSERT INTO paper_venue.orders (account, client_order_id, symbol, side, type, quantity, accepted_at) "
        "VALUES ('a', 'c', 'BTC/USDT', 'BUY', 'MARKET', $1::text::numeric, now())"
    )
    with pytest.raises(MasterTradeError):
        await database.execute(order, poison)
    assert await database.fetchval("SELECT count(*) FROM paper_venue.balances") == 0
    assert await database.fetchval("SELECT count(*) FROM paper_venue.orders") == 0
