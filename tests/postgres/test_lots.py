"""fifo_lots: what fills make of one another, first in, first out, beside the average that positions count."""

import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import open_desk
from tests.postgres.orders_seed import Orders

NOTHING = Decimal("1e-12")
LOTS = "SELECT * FROM fifo_lots()"


@pytest_asyncio.fixture
async def orders(database: PostgresManager) -> AsyncIterator[Orders]:
    yield Orders(desk=await open_desk(database))


async def trade(orders: Orders, side: str, quantity: str, price: str, fee: str = "0", asset: str = "USDT") -> None:
    order = await orders.new(side, Decimal(quantity))
    await orders.fill(order, quantity, price, commission=Decimal(fee), commission_asset=asset)


async def lots(orders: Orders) -> list[tuple[Any, ...]]:
    """Quantity, cost, proceeds, realised."""
    rows = await orders.db.fetch(LOTS)
    return [
        tuple(
            None if row[name] is None else row[name].normalize()
            for name in ("quantity", "cost", "proceeds", "realized")
        )
        for row in rows
    ]


async def test_the_first_bought_is_the_first_sold(orders: Orders) -> None:
    await trade(orders, "BUY", "2", "100")
    await trade(orders, "BUY", "1", "130")
    await trade(orders, "SELL", "2.5", "140")
    assert await lots(orders) == [
        (2, 200, 280, 80),
        (Decimal("0.5"), 65, 70, 5),
        (Decimal("0.5"), 65, None, None),
    ]
    average = await orders.db.fetchval("SELECT realized_pnl FROM strategy_positions")
    assert average == 75, "the average says less of this sale, and more of the next one"


async def test_fees_are_in_the_cost_and_out_of_what_a_sale_brought(orders: Orders) -> None:
    await trade(orders, "BUY", "1", "100", "0.1")
    await trade(orders, "BUY", "1", "100", "0.01", "BTC")
    await trade(orders, "SELL", "1.5", "200", "3")
    assert await lots(orders) == [
        (1, Decimal("100.1"), 198, Decimal("97.9")),
        (Decimal("0.5"), Decimal("50.505050505050505051"), 99, Decimal("48.494949494949494949")),
        (Decimal("0.49"), Decimal("49.494949494949494949"), None, None),
    ]


async def test_what_was_never_held_is_in_no_lot(orders: Orders) -> None:
    await trade(orders, "SELL", "1", "100")
    assert await lots(orders) == []
    await trade(orders, "BUY", "1", "100")
    await trade(orders, "SELL", "2", "110")
    await trade(orders, "BUY", "1", "120")
    assert await lots(orders) == [(1, 100, 110, 10), (1, 120, None, None)]


@pytest.mark.parametrize("seed", range(4))
async def test_lots_hold_what_positions_hold_and_both_count_the_same_money(orders: Orders, seed: int) -> None:
    """What one way has realised more, it holds dearer."""
    chance = random.Random(seed)
    if seed % 2:
        await orders.trades_at("BNB/USDT", 251.7)
    for _ in range(40):
        side, quantity = chance.choice(["BUY", "BUY", "SELL"]), Decimal(chance.randint(1, 400)) / 1000
        price, fee = Decimal(chance.randint(50, 150)), quantity * chance.randint(-1, 5) / 1000
        await trade(orders, side, str(quantity), str(price), str(fee), chance.choice(["BTC", "USDT", "BNB"]))
    held, cost, realized = await orders.db.fetchrow(
        "SELECT sum(quantity), sum(cost), sum(realized_pnl) FROM strategy_positions"
    )
    rows = await orders.db.fetch(LOTS)
    still = [row for row in rows if row["sale"] is None]
    assert sum(row["quantity"] for row in still) == held
    assert all(row["quantity"] > 0 for row in rows)
    dearer = sum(row["cost"] for row in still) - cost
    more = sum(row["realized"] for row in rows if row["sale"] is not None) - realized
    assert abs(more - dearer) < NOTHING
    assert [row["bought_at"] for row in rows] == sorted(row["bought_at"] for row in rows)


async def test_lots_of_one_position_are_asked_for_by_its_names(orders: Orders) -> None:
    await trade(orders, "BUY", "1", "100")
    desk = orders.desk
    named = "SELECT count(*) FROM fifo_lots(p_account => $1, p_strategy => $2, p_instrument => $3)"
    assert await orders.db.fetchval(named, desk.account.id, desk.strategy_id, desk.instrument.id) == 1
    assert await orders.db.fetchval(named, desk.strategy_id, desk.strategy_id, desk.instrument.id) == 0
