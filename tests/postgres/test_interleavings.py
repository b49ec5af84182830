"""Two transactions on one order, one after the other or over one another: the second finds what the first left."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.orders import Fill, OrderStatus, Side
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Begin, Book, Move
from mastertrade.shared.errors import LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from tests.postgres.executor_seed import ROLE, START, Desk, open_desk

pytestmark = pytest.mark.asyncio
SOON = START + timedelta(seconds=5)
Act = Callable[[Transaction], Awaitable[Any]]


@dataclass
class Scene:
    """One order on its way, and what can be done to it."""

    desk: Desk
    order: UUID
    approval: Any

    @property
    def database(self) -> ExecutorPostgresDatabase:
        return ExecutorPostgresDatabase(self.desk.lease)

    async def send(self, tx: Transaction) -> str:
        (begun,) = await self.database.begin_sends(tx, [Begin(order_id=self.order, at=START, send_by=SOON)])
        return begun.outcome

    async def halt(self, tx: Transaction) -> str:
        await tx.fetchval("SELECT halt_trading('global', 'test', 'ann', $1)", START)
        return "halted"

    async def take_over(self, tx: Transaction) -> str:
        await tx.fetchval("SELECT take_lease($1, 'successor', $2)", ROLE, START)
        return "taken"

    async def fill(self, tx: Transaction, trade: str = "t1") -> str:
        fill = Fill(
            client_order_id=await self.value("client_order_id", tx), exchange_order_id=f"v{self.order}",
            exchange_trade_id=trade, symbol="BTC/USDT", side=Side.BUY, quantity=Decimal("0.5"), price=Decimal(100),
            commission=Decimal(0), commission_asset="USDT", is_maker=False, trade_time=START,
        )  # fmt: skip
        step = Book(account_id=self.desk.account.id, fill=fill, fill_id=uuid4(), at=START)
        (outcome,) = await self.database.apply_fills(tx, [step])
        return outcome.outcome

    async def acknowledge(self, tx: Transaction) -> bool:
        return await self.move(tx, OrderStatus.SUBMITTING, OrderStatus.OPEN)

    async def forget(self, tx: Transaction) -> bool:
        return await self.move(tx, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)

    async def move(self, tx: Transaction, expected: OrderStatus, to: OrderStatus) -> bool:
        order = await self.database.order_by_id(tx, self.order)
        assert order is not None
        step = Move(order=replace(order, status=expected), to=to, at=START, source="test", payload={})
        return (await self.database.move_orders(tx, [step]))[0]

    async def create(self, tx: Transaction) -> bool:
        return await self.database.create_order(tx, self.approval, at=START) is not None

    async def value(self, column: str, db: Any = None) -> Any:
        return await (db or self.desk.manager).fetchval(f"SELECT {column} FROM orders WHERE id = $1", self.order)


async def scene(database: PostgresManager, *, sent: bool) -> Scene:
    desk = await open_desk(database)
    await desk.executor.sync()
    event = await desk.approve(quantity="0.5")
    async with database.transaction() as tx:
        order = await ExecutorPostgresDatabase(desk.lease).create_order(tx, event.approval, at=START)
    assert order is not None
    found = Scene(desk, order, event.approval)
    if sent:
        async with database.transaction() as tx:
            assert await found.send(tx) == "send"
    return found


class UndoneError(Exception):
    """Rolls back."""


async def one_after_the_other(
    database: PostgresManager, first: Act, second: Act, *, commits: bool
) -> tuple[Any, Any, bool]:
    """What both said, and whether the second had to wait for the end of the first."""

    async def follow() -> Any:
        try:
            async with database.transaction() as tx:
                return await second(tx)
        except LeaseLost as error:
            return type(error)

    task: asyncio.Task[Any] | None = None
    said = waited = None
    try:
        async with database.transaction() as tx:
            said = await first(tx)
            task = asyncio.create_task(follow())
            await asyncio.wait([task], timeout=0.3)
            waited = not task.done()
            if not commits:
                raise UndoneError
    except UndoneError:
        pass
    assert task is not None
    assert waited is not None
    return said, await task, waited


LAWS: dict[str, tuple[bool, str, str, Any, Any, str]] = {
    # name: (is sent before, first, second, second says after a commit, after a rollback, status after a commit)
    "a halt stops what begins after it": (False, "halt", "send", "halted", "send", "CANCELED"),
    "what began before a halt is sent": (False, "send", "halt", "halted", "halted", "SUBMITTING"),
    "a takeover fences what begins after it": (False, "take_over", "send", LeaseLost, "send", "NEW"),
    "a takeover waits for what began before": (False, "send", "take_over", "taken", "taken", "SUBMITTING"),
    "an order begins once": (False, "send", "send", "not_new", "send", "SUBMITTING"),
    "a takeover fences fills": (True, "take_over", "fill", LeaseLost, "applied", "SUBMITTING"),
    "a takeover waits for a fill": (True, "fill", "take_over", "taken", "taken", "FILLED"),
    "a fill counts once": (True, "fill", "fill", "duplicate", "applied", "FILLED"),
    "an acknowledgement after a fill changes nothing": (True, "fill", "acknowledge", False, True, "FILLED"),
    "a fill follows an acknowledgement": (True, "acknowledge", "fill", "applied", "applied", "FILLED"),
    "an answer finds an order that was given up": (True, "forget", "acknowledge", False, True, "UNKNOWN"),
    "who was answered is not given up": (True, "acknowledge", "forget", False, True, "OPEN"),
    "a fill of an order that was given up": (True, "forget", "fill", "applied", "applied", "FILLED"),
}


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "is undone"])
@pytest.mark.parametrize("law", LAWS)
async def test_the_second_waits_for_the_first_and_finds_what_it_left(
    law: str, commits: bool, database: PostgresManager
) -> None:
    sent, first, second, after_commit, after_rollback, status = LAWS[law]
    stage = await scene(database, sent=sent)
    _, said, waited = await one_after_the_other(
        database, getattr(stage, first), getattr(stage, second), commits=commits
    )
    assert waited, "it went on beside the other"
    assert said == (after_commit if commits else after_rollback)
    if commits:
        assert await stage.value("status") == status
    assert await ExecutorPostgresDatabase().ledger_problems(database) == []
    assert await database.fetchval("SELECT count(*) FROM trades") <= 1


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "is undone"])
async def test_an_approval_that_is_delivered_twice_at_once_is_one_order(
    commits: bool, database: PostgresManager
) -> None:
    desk = await open_desk(database)
    await desk.executor.sync()
    event = await desk.approve(quantity="0.5")
    stage = Scene(desk, uuid4(), event.approval)
    first, second, waited = await one_after_the_other(database, stage.create, stage.create, commits=commits)
    assert (first, second, waited) == (True, not commits, True)
    assert await database.fetchval("SELECT count(*) FROM orders") == 1


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "is undone"])
async def test_the_last_of_a_balance_is_reserved_once(commits: bool, database: PostgresManager) -> None:
    desk = await open_desk(database, cash="100")

    async def reserve(tx: Transaction) -> Any:
        return await tx.fetchval(
            "SELECT reserve_balance($1, $2, 'USDT', 60, $3)", uuid4(), desk.account.id, START
        )  # fmt: skip

    first, second, waited = await one_after_the_other(database, reserve, reserve, commits=commits)
    assert (first, second, waited) == (True, not commits, True)
    assert await ExecutorPostgresDatabase().ledger_problems(database) == []


async def test_fills_of_two_orders_of_an_account_follow_one_another(database: PostgresManager) -> None:
    one = await scene(database, sent=True)
    event = await one.desk.approve(quantity="0.5")
    async with database.transaction() as tx:
        other = await one.database.create_order(tx, event.approval, at=START)
        assert other is not None
    two = Scene(one.desk, other, event.approval)
    async with database.transaction() as tx:
        assert await two.send(tx) == "send"

    async def second_fill(tx: Transaction) -> str:
        return await two.fill(tx, "t2")

    said = await one_after_the_other(database, one.fill, second_fill, commits=True)
    assert said == ("applied", "applied", True)
    held = await database.fetch("SELECT quantity FROM strategy_positions WHERE status = 'open'")
    assert [row["quantity"] for row in held] == [Decimal(1)]
    assert await ExecutorPostgresDatabase().ledger_problems(database) == []
