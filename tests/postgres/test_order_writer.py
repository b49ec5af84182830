"""What several callers write of orders at once: in one transaction, and none at the cost of another."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from mastertrade.domain.orders import Fill, Order, OrderStatus, Side
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Begin, Book, Move
from mastertrade.order_executor.writing import LARGEST_BATCH, Writer
from mastertrade.shared.errors import LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import ROLE, START, Desk, open_desk

pytestmark = pytest.mark.asyncio
SOON = START + timedelta(seconds=5)


@pytest_asyncio.fixture
async def desk(database: PostgresManager) -> Desk:
    desk = await open_desk(database)
    await desk.executor.sync()
    return desk


def writer_of(desk: Desk) -> Writer:
    database = ExecutorPostgresDatabase(desk.lease)
    return Writer(clock=desk.clock, bus=desk.bus, manager=desk.manager, database=database)


async def new_orders(desk: Desk, count: int) -> list[Begin]:
    database, begins = ExecutorPostgresDatabase(desk.lease), []
    for _ in range(count):
        event = await desk.approve(quantity="0.01")
        async with desk.manager.transaction() as tx:
            order_id = await database.create_order(tx, event.approval, at=START)
        assert order_id is not None
        begins.append(Begin(order_id=order_id, at=START, send_by=SOON))
    return begins


async def begun(desk: Desk, count: int) -> list[Order]:
    writer = writer_of(desk)
    found = await asyncio.gather(*[writer.begin(one) for one in await new_orders(desk, count)])
    orders = [one.order for one in found]
    assert all(orders)
    return [order for order in orders if order is not None]


def fill_of(desk: Desk, order: Order, trade: str, **changes: Any) -> Book:
    fill = Fill(
        client_order_id=order.client_order_id, exchange_order_id=f"v{order.client_order_id}", exchange_trade_id=trade,
        symbol=order.symbol, side=Side.BUY, quantity=order.quantity, price=Decimal(100), commission=Decimal("0.001"),
        commission_asset="USDT", is_maker=False, trade_time=START,
    )  # fmt: skip
    return Book(account_id=desk.account.id, fill=replace(fill, **changes), fill_id=uuid4(), at=START)


async def transactions_of(desk: Desk, orders: Sequence[Order]) -> list[int]:
    """How many each of the transactions wrote that wrote these orders last; the first first."""
    rows = await desk.manager.fetch(
        "SELECT count(*) FROM orders WHERE id = ANY($1) GROUP BY xmin ORDER BY xmin::text::bigint",
        [order.id for order in orders],
    )
    return [row["count"] for row in rows]


async def test_who_comes_while_others_write_is_written_with_all_that_wait(desk: Desk) -> None:
    orders = await begun(desk, 12)
    assert await transactions_of(desk, orders) == [1, 11]
    writer = writer_of(desk)
    moves = [
        Move(
            order=order,
            to=OrderStatus.OPEN,
            at=START,
            source="venue",
            payload={},
            exchange_order_id=f"v{order.client_order_id}",
        )
        for place, order in enumerate(orders)
    ]
    fills = [fill_of(desk, order, f"t{place}") for place, order in enumerate(orders)]
    *moved, outcomes = await asyncio.gather(*[writer.move(one) for one in moves], writer.book(fills))
    assert moved == [True] * 12
    assert [getattr(one, "outcome", one) for one in outcomes] == ["applied"] * 12
    assert await transactions_of(desk, orders) == [12], "the fills came with the moves that waited"
    assert [event.id for event in desk.bus.events if type(event).__name__ == "OrderFilled"] == [
        one.fill_id for one in fills
    ]
    assert not await ExecutorPostgresDatabase().ledger_problems(desk.manager)


async def test_a_fill_that_cannot_be_booked_takes_no_other_with_it(desk: Desk) -> None:
    orders = await begun(desk, 4)
    steps = [fill_of(desk, order, f"t{place}") for place, order in enumerate(orders)]
    steps[1] = fill_of(desk, orders[1], "t1", quantity=Decimal(-1))
    steps[3] = fill_of(desk, orders[0], "t0")
    outcomes = await writer_of(desk).book(steps)
    assert isinstance(outcomes[1], Exception)
    assert "quantity" in str(outcomes[1])
    assert [getattr(one, "outcome", "refused") for one in outcomes] == ["applied", "refused", "applied", "duplicate"]
    assert await desk.manager.fetchval("SELECT count(*) FROM trades") == 2


async def test_an_illegal_move_is_its_callers_alone(desk: Desk) -> None:
    good, bad = await begun(desk, 2)
    writer = writer_of(desk)
    steps = [
        Move(order=good, to=OrderStatus.OPEN, at=START, source="venue", payload={}),
        Move(order=bad, to=OrderStatus.NEW, at=START, source="venue", payload={}),
        Move(order=bad, to=OrderStatus.OPEN, at=START, source="venue", payload={}),
    ]
    moved = await asyncio.gather(*[writer.move(one) for one in steps], return_exceptions=True)
    assert (moved[0], moved[2]) == (True, True)
    assert isinstance(moved[1], Exception)
    assert "SUBMITTING" in str(moved[1])


async def test_whose_lease_has_passed_on_writes_nothing_of_it(desk: Desk) -> None:
    begins = await new_orders(desk, 3)
    await desk.manager.fetchval("SELECT take_lease($1, 'successor', $2)", ROLE, START)
    writer = writer_of(desk)
    for found in await asyncio.gather(*[writer.begin(one) for one in begins], return_exceptions=True):
        assert isinstance(found, LeaseLost)
    assert await desk.manager.fetchval("SELECT count(*) FROM orders WHERE status <> 'NEW'") == 0


async def test_who_is_cancelled_while_waiting_wants_nothing_written(desk: Desk) -> None:
    begins = await new_orders(desk, 3)
    writer = writer_of(desk)
    first, second, third = [asyncio.create_task(writer.begin(one)) for one in begins]
    await asyncio.sleep(0)
    second.cancel()
    assert [one.outcome for one in await asyncio.gather(first, third)] == ["send", "send"]
    assert second.cancelled()
    status = "SELECT status FROM orders WHERE id = $1"
    assert await desk.manager.fetchval(status, begins[1].order_id) == "NEW"


async def test_who_dies_while_writing_for_others_leaves_it_to_the_next(desk: Desk) -> None:
    begins = await new_orders(desk, 3)
    writer = writer_of(desk)
    async with desk.manager.transaction() as holder:
        await holder.execute("SELECT 1 FROM orders WHERE id = $1 FOR UPDATE", begins[1].order_id)
        tasks = [asyncio.create_task(writer.begin(one)) for one in begins]
        await asyncio.sleep(0.3)  # the first is written; the second leads the others and waits for its row
        assert [task.done() for task in tasks] == [True, False, False]
        tasks[1].cancel()
        await asyncio.sleep(0.1)
    assert [one.outcome for one in await asyncio.gather(tasks[0], tasks[2])] == ["send", "send"]


async def test_a_batch_has_an_end(desk: Desk) -> None:
    (order,) = await begun(desk, 1)
    part = order.quantity / 100
    steps = [fill_of(desk, order, f"t{place}", quantity=part) for place in range(100)]
    outcomes = await writer_of(desk).book(steps)
    assert {getattr(one, "outcome", one) for one in outcomes} == {"applied"}
    rows = await desk.manager.fetch(
        "SELECT count(*) FROM trades GROUP BY xmin ORDER BY min(ledger_entry_id)",
    )
    assert [row["count"] for row in rows] == [LARGEST_BATCH, 100 - LARGEST_BATCH]
    assert await desk.manager.fetchval("SELECT status FROM orders WHERE id = $1", order.id) == "FILLED"


async def test_what_is_no_refusal_is_raised(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (order,) = await begun(desk, 1)

    async def fails(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(ExecutorPostgresDatabase, "apply_fills", fails)
    with pytest.raises(RuntimeError, match="a defect"):
        await writer_of(desk).book([fill_of(desk, order, "t")])
    monkeypatch.undo()
    (outcome,) = await writer_of(desk).book([fill_of(desk, order, "t", price=Decimal("NaN"))])
    assert isinstance(outcome, Exception)
