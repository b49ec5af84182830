"""Fills that a venue counted and never told: booked from its word, and in the end as if the real ones had come."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.orders import Fill, OrderStatus, Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import INFERRED, THE_VENUE, Book
from mastertrade.order_executor.watching import INFERRED_AFTER, TOLD_EVERY
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, open_desk
from tests.postgres.orders_seed import Orders

pytestmark = pytest.mark.asyncio


def d(value: object) -> Decimal:
    return Decimal(str(value))


@dataclass(frozen=True)
class Real:
    """A part of an order as the venue tells it in the end."""

    trade: str
    quantity: Decimal
    price: Decimal
    fee: Decimal = Decimal(0)
    asset: str = "USDT"


async def book(orders: Orders, order: UUID, side: str, real: Real, source: str = THE_VENUE) -> str:
    fill = Fill(
        client_order_id=str(order), exchange_order_id=f"ex-{order}", exchange_trade_id=real.trade, symbol="BTC/USDT",
        side=Side(side), quantity=real.quantity, price=real.price, commission=real.fee, commission_asset=real.asset,
        is_maker=False, trade_time=START,
    )  # fmt: skip
    step = Book(account_id=orders.desk.account.id, fill=fill, fill_id=uuid4(), at=START, source=source)
    async with orders.db.transaction() as tx:
        (outcome,) = await ExecutorPostgresDatabase().apply_fills(tx, [step])
    return outcome.outcome


async def infer(orders: Orders, order: UUID, side: str, quantity: Decimal, price: Decimal) -> str:
    known = (await orders.row(order))["filled_quantity"]
    real = Real(f"inferred:{known}:{known + quantity}", quantity, price)
    return await book(orders, order, side, real, INFERRED)


async def books(orders: Orders, names: Sequence[UUID]) -> dict[str, Any]:
    db = orders.db
    rows = [await orders.row(one) for one in names]
    return {
        "orders": [(row["status"], row["filled_quantity"], row["avg_fill_price"], row["commission"]) for row in rows],
        "trades": [
            tuple(row.values())
            for row in await db.fetch(
                "SELECT exchange_trade_id, quantity, price, commission, realized_pnl FROM trades ORDER BY 1"
            )
        ],
        "executions": [
            tuple(row.values())
            for row in await db.fetch(
                "SELECT t.exchange_trade_id, s.quantity, s.fees, s.pnl FROM strategy_trades s "
                "JOIN trades t ON t.id = s.trade_id ORDER BY 1"
            )
        ],
        "position": tuple(
            (
                await db.fetchrow(
                    "SELECT coalesce(sum(quantity), 0), coalesce(sum(cost), 0), coalesce(sum(realized_pnl), 0) "
                    "FROM strategy_positions"
                )
            ).values()
        ),
        "balances": {
            row["asset"]: row["total"]
            for row in await db.fetch("SELECT asset, free_balance + locked_balance AS total FROM portfolio_balances")
        },
        "lots": [
            tuple(row.values())
            for row in await db.fetch("SELECT quantity, cost, proceeds, realized FROM fifo_lots() ORDER BY 1, 2, 3")
        ],
        "problems": await ExecutorPostgresDatabase().ledger_problems(db),
    }


@pytest.mark.parametrize("seed", range(12))
async def test_in_the_end_the_books_are_those_of_fills_that_came_at_once(
    seed: int, database: PostgresManager, empty_database: PostgresManager
) -> None:
    chance = random.Random(seed)
    plain, late = await two_desks(database, empty_database)
    names: list[tuple[UUID, UUID]] = []
    untold: list[tuple[UUID, str, list[Real]]] = []
    for number in range(8):
        side = "SELL" if number > 1 and chance.random() < 0.4 else "BUY"
        quantity = d(chance.randint(2, 200)) / 100
        pair = (await plain.new(side, quantity), await late.new(side, quantity))
        names.append(pair)
        reals = cut(chance, number, quantity)
        for real in reals:
            assert await book(plain, pair[0], side, real) == "applied"
        if chance.random() < 0.5:
            told = chance.randint(0, len(reals) - 1)
            for real in reals[:told]:
                assert await book(late, pair[1], side, real) == "applied"
            counted = sum((one.quantity for one in reals[told:]), Decimal(0))
            assert await infer(late, pair[1], side, counted, d(chance.randint(90, 110))) == "applied"
            untold.append((pair[1], side, reals[told:]))
        else:
            for real in reals:
                assert await book(late, pair[1], side, real) == "applied"
        problems = await ExecutorPostgresDatabase().ledger_problems(late.db)
        assert problems == []
    for order, side, reals in untold:
        for real in reals:
            before = (await late.row(order))["filled_quantity"]
            assert await book(late, order, side, real) == "applied"
            assert (await late.row(order))["filled_quantity"] == before
            assert await ExecutorPostgresDatabase().ledger_problems(late.db) == []
            assert await book(late, order, side, real) == "duplicate"
    found = await books(late, [one for _, one in names])
    assert found == await books(plain, [one for one, _ in names])
    assert await late.db.fetchval("SELECT count(*) FROM trades WHERE is_inferred") == 0
    given_back = await late.db.fetchval("SELECT coalesce(sum(quantity), 0) FROM reversed_fills")
    assert given_back == sum(real.quantity for _, _, reals in untold for real in reals)


async def two_desks(database: PostgresManager, other: PostgresManager) -> tuple[Orders, Orders]:
    from mastertrade.postgres.apply import apply_schema

    await apply_schema(other)
    return Orders(await open_desk(database)), Orders(await open_desk(other))


def cut(chance: random.Random, number: int, quantity: Decimal) -> list[Real]:
    parts, left = [], quantity
    while left > 0:
        part = left if chance.random() < 0.4 else min(left, d(chance.randint(1, 50)) / 100)
        asset = chance.choice(["USDT", "BTC"])
        fee = part * d("0.001") * (100 if asset == "USDT" else 1)
        parts.append(Real(f"t{number}-{len(parts)}", part, d(chance.randint(95, 105)), fee, asset))
        left -= part
    return parts


async def test_what_is_inferred_twice_or_from_old_knowledge_is_not_booked(database: PostgresManager) -> None:
    orders = Orders(await open_desk(database))
    order = await orders.new(quantity=1)
    assert await infer(orders, order, "BUY", d("0.4"), d(100)) == "applied"
    again = Real("inferred:0:0.4", d("0.4"), d(100))
    assert await book(orders, order, "BUY", again, INFERRED) == "duplicate"
    old = Real("inferred:0:0.7", d("0.7"), d(100))
    assert await book(orders, order, "BUY", old, INFERRED) == "stale"
    assert await infer(orders, order, "BUY", d("0.3"), d(101)) == "applied"
    assert await book(orders, order, "BUY", Real("a", d("0.9"), d(99))) == "applied"
    row = await orders.row(order)
    assert (row["filled_quantity"], row["status"], row["avg_fill_price"]) == (d("0.9"), "PARTIALLY_FILLED", 99)
    events = await database.fetch("SELECT payload FROM order_events WHERE payload ? 'takes_the_place_of_inferred'")
    assert [row["payload"]["takes_the_place_of_inferred"] for row in events] == ["0.7"]
    assert await ExecutorPostgresDatabase().ledger_problems(database) == []


async def test_functions_of_inferred_fills_do_nothing_where_there_is_none(database: PostgresManager) -> None:
    orders = Orders(await open_desk(database))
    order = await orders.new(quantity=1)
    taken = await database.fetchrow("SELECT * FROM take_back_inferred($1, $2, 1, $3)", order, uuid4(), START)
    assert tuple(taken.values()) == (0, None, None)
    key = (orders.desk.strategy_id, orders.desk.account.id, orders.desk.instrument.id)
    assert await database.fetch("SELECT * FROM replay_position($1, $2, $3)", *key) == []
    settled = await database.fetchrow("SELECT * FROM settle_position($1, $2, $3, $4, $5)", *key, uuid4(), START)
    assert tuple(settled.values()) == (0, 0, 0)


# --- the executor ---


class Mute:
    """A venue that fills orders and tells their fills only when it is let."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tells = False
        find, fills = PaperVenue.find, PaperVenue.fills

        async def counted(venue: PaperVenue, *asked: Any, **more: Any) -> VenueOrder | None:
            found = await find(venue, *asked, **more)
            return None if found is None else replace(found, average_price=d(100))

        async def told(venue: PaperVenue, after: str, symbols: Any) -> Any:
            page = await fills(venue, after, symbols)
            return page if self.tells else replace(page, fills=(), cursor=after)

        monkeypatch.setattr(PaperVenue, "find", counted)
        monkeypatch.setattr(PaperVenue, "fills", told)


async def test_an_executor_infers_what_a_venue_counts_for_a_minute_and_tells_no_fills_of(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)
    await desk.executor.sync()
    venue = Mute(desk, monkeypatch)
    event = await desk.approve(quantity="0.5", reserve="60")
    await desk.hear(event)
    await desk.venue.on_prices([desk.candle(100.0)])
    await desk.executor.sync()
    desk.clock.advance(START + INFERRED_AFTER - timedelta(seconds=1))
    await desk.executor.sync()
    assert await desk.status(event) == "OPEN"
    assert await database.fetchval("SELECT count(*) FROM trades") == 0
    desk.clock.advance(START + INFERRED_AFTER)
    await desk.executor.sync()
    assert await desk.status(event) == OrderStatus.FILLED
    assert await database.fetchval("SELECT exchange_trade_id FROM trades") == "inferred:0:0.5"
    desk.clock.advance(START + INFERRED_AFTER + TOLD_EVERY)
    await desk.executor.sync()
    alerts = "SELECT status FROM risk_alerts WHERE alert_type = 'fill_inferred'"
    assert await database.fetchval(alerts) == "open"
    venue.tells = True
    desk.clock.advance(START + 2 * INFERRED_AFTER)
    await desk.executor.sync()
    (trade,) = await database.fetch("SELECT * FROM trades")
    assert not trade["is_inferred"]
    assert trade["commission"] > 0
    assert await desk.problems() == []
    await desk.executor.sync()
    assert await database.fetchval("SELECT state FROM account_states") == "live"
    assert await database.fetchval(alerts) == "resolved"


async def test_a_venue_that_is_silent_about_fills_has_counted_nothing(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)
    await desk.executor.sync()
    event = await desk.approve(quantity="0.5", reserve="60")
    await desk.hear(event)
    await desk.venue.on_prices([desk.candle(100.0)])
    venue = Mute(desk, monkeypatch)
    assert not venue.tells

    async def breaks_off(*_: Any) -> Any:
        raise ConnectionError("cut")

    monkeypatch.setattr(PaperVenue, "fills", breaks_off)
    for minutes in range(3):
        desk.clock.advance(START + minutes * INFERRED_AFTER)
        await desk.executor.sync()
    assert await database.fetchval("SELECT count(*) FROM trades") == 0
