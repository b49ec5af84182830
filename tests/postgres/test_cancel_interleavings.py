"""An order begins to be sent while people cancel it, cancel everything and halt, each on a connection of its own:
every order of their steps ends in one way. What was cancelled first is never sent, what began first is called back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from mastertrade.domain.events import OrderUpdated
from mastertrade.domain.orders import OrderStatus
from mastertrade.order_executor.cancels import Cancels
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Begin
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from tests.postgres.executor_seed import START, Desk, open_desk
from tests.postgres.test_interleavings import SOON, UndoneError

Act = Callable[[Transaction], Awaitable[Any]]


def orders_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every order of two steps each: to act, and to end."""
    return sorted(set(permutations([name for name in names for _ in range(2)])))


@dataclass
class Actor:
    """One transaction, led step by step."""

    manager: PostgresManager
    act: Act
    commits: bool = True
    said: Any = None
    pid: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    has_acted: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def live(self, name: str, acted: list[str]) -> None:
        try:
            async with self.manager.transaction() as tx:
                self.pid = await tx.fetchval("SELECT pg_backend_pid()")
                self.said = await self.act(tx)
                acted.append(name)
                self.has_acted.set()
                await self.may_end.wait()
                if not self.commits:
                    raise UndoneError
        except UndoneError:
            pass

    async def goes_on(self, watch: PostgresManager) -> None:
        """Until it has acted or ended, or waits for another."""
        assert self.task is not None
        until = self.task.done if self.may_end.is_set() else self.has_acted.is_set
        async with asyncio.timeout(5):
            while not (until() or self.task.done()):
                if self.pid and await watch.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", self.pid):
                    return
                await asyncio.sleep(0)
        await asyncio.sleep(0)


async def played(watch: PostgresManager, actors: dict[str, Actor], steps: Sequence[str]) -> list[str]:
    """Who acted when. Who waits for another acts when that one has ended, and ends at once where that was its turn."""
    acted: list[str] = []
    for name in steps:
        actor = actors[name]
        if actor.task is None:
            actor.task = asyncio.create_task(actor.live(name, acted))
        else:
            actor.may_end.set()
        await actor.goes_on(watch)
    await asyncio.gather(*(actor.task for actor in actors.values() if actor.task is not None))
    return acted


@dataclass
class Floor:
    desk: Desk
    watch: PostgresManager

    async def order(self) -> UUID:
        """Written, and left unsent."""
        event = await self.desk.approve()
        async with self.desk.manager.transaction() as tx:
            order = await ExecutorPostgresDatabase(self.desk.lease).create_order(tx, event.approval, at=START)
        assert order is not None
        return order

    def actors(self, order: UUID, names: Sequence[str]) -> dict[str, Actor]:
        acts: dict[str, Act] = {
            "send": partial(self._send, order),
            "cancel": partial(self._cancel, order),
            "cancel all": partial(self._cancel, None),
            "halt": self._halt,
        }
        return {name: Actor(self.desk.manager, acts[name]) for name in names}

    async def _send(self, order: UUID, tx: Transaction) -> str:
        """As the executor does: to the wire once it is committed."""
        database = ExecutorPostgresDatabase(self.desk.lease)
        (begun,) = await database.begin_sends(tx, [Begin(order_id=order, at=START, send_by=SOON)])
        if begun.outcome == "send":
            assert begun.order is not None
            tx.on_commit(partial(self.desk.executor._sender.send_begun, begun.order))
        return begun.outcome

    async def _cancel(self, order: UUID | None, tx: Transaction) -> int:
        account = None if order else self.desk.account.id
        count: int = await tx.fetchval("SELECT want_cancelled($1, NULL, $2, 'test', 'ann', $3)", order, account, START)
        return count

    async def _halt(self, tx: Transaction) -> None:
        await tx.fetchval("SELECT halt_trading('global', 'test', 'ann', $1)", START)

    async def steps(self, order: UUID) -> list[str]:
        rows = await self.desk.manager.fetch(
            "SELECT to_status FROM order_events WHERE order_id = $1 AND to_status IS NOT NULL ORDER BY id", order
        )
        return [row["to_status"] for row in rows]

    async def was_sent(self, order: UUID) -> int:
        count: int = await self.desk.manager.fetchval(
            "SELECT count(*) FROM paper_venue.orders p JOIN orders o USING (client_order_id) WHERE o.id = $1", order
        )
        return count


@pytest.fixture
async def floor(database: PostgresManager) -> Floor:
    desk = await open_desk(database)
    await desk.executor.sync()
    return Floor(desk, database)


BEFORE = ["NEW", "CANCELED"]
AFTER = ["NEW", "SUBMITTING", "OPEN", "PENDING_CANCEL", "CANCELED"]


@pytest.mark.parametrize("names", [("send", "cancel", "halt"), ("send", "cancel all", "halt")], ids=" ".join)
async def test_every_order_of_sending_cancelling_and_halting_ends_in_one_way(
    names: tuple[str, ...], floor: Floor
) -> None:
    ended: dict[UUID, tuple[str, list[str]]] = {}
    for steps in orders_of(names):
        order = await floor.order()
        actors = floor.actors(order, names)
        acted = await played(floor.watch, actors, steps)
        cancel, send, halt = acted.index(names[1]), acted.index("send"), acted.index("halt")
        said = "cancelled" if cancel < send else "halted" if halt < send else "send"
        assert actors["send"].said == said, steps
        assert actors[names[1]].said == (0 if said == "halted" else 1), f"{steps}: how many it still could cancel"
        ended[order] = said, list(steps)
        await floor.watch.fetchval("SELECT resume_trading('global', 'test', 'ann', $1)", START)
    for _ in range(2):
        await floor.desk.executor.sync()
    outcomes = set()
    for order, (said, steps) in ended.items():
        outcomes.add(said)
        assert await floor.was_sent(order) == (said == "send"), steps
        assert await floor.steps(order) == (AFTER if said == "send" else BEFORE), steps
    assert outcomes == {"send", "cancelled", "halted"}
    assert await floor.watch.fetchval("SELECT count(*) FROM reservations WHERE released_at IS NULL") == 0
    assert await floor.desk.problems() == []


@pytest.mark.parametrize("undone", ["send", "cancel", "cancel all"])
async def test_what_is_undone_stops_nobody(undone: str, floor: Floor) -> None:
    other = "cancel" if undone == "send" else "send"
    for steps in orders_of([undone, other]):
        order = await floor.order()
        actors = floor.actors(order, [undone, other])
        actors[undone].commits = False
        assert len(await played(floor.watch, actors, steps)) == 2
        for _ in range(2):
            await floor.desk.executor.sync()
        assert await floor.was_sent(order) == (other == "send"), steps
        expected = AFTER[:3] if other == "send" else BEFORE
        assert await floor.steps(order) == expected, steps


async def test_cancelling_everything_twice_at_once_wants_each_order_cancelled_once(floor: Floor) -> None:
    for _ in range(3):
        await floor.order()
    first, second = (Actor(floor.watch, partial(floor._cancel, None)) for _ in range(2))
    await played(floor.watch, {"one": first, "two": second}, ["one", "two", "one", "two"])
    assert (first.said, second.said) == (3, 0)


async def test_a_wish_outlasts_fills_that_wait_for_it_while_it_waits_for_them(floor: Floor) -> None:
    """The fills hold one order and want the other; the wish holds that one, and wants the first."""
    manager = floor.desk.manager
    low, high = sorted([await floor.order(), await floor.order()])
    wish = Cancels(manager=manager, clock=floor.desk.clock)

    async def fills() -> None:
        async with manager.transaction() as tx:
            await tx.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", high)
            held.set()
            await asyncio.sleep(0.1)
            await tx.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", low)

    held = asyncio.Event()
    task = asyncio.create_task(fills())
    await held.wait()
    assert await wish.want(account_id=floor.desk.account.id, reason="test", actor="ann") == 2
    await asyncio.gather(task, return_exceptions=True)
    assert await manager.fetchval("SELECT count(*) FROM order_cancels") == 2


async def test_a_wish_between_a_look_and_the_sending_stops_the_sending_and_is_told(floor: Floor) -> None:
    order = await floor.order()
    await Cancels(manager=floor.watch, clock=floor.desk.clock).want(order_id=order, reason="a typo", actor="ann")
    await floor.desk.executor._sender.submit(order)
    assert (await floor.steps(order), await floor.was_sent(order)) == (BEFORE, 0)
    because = await floor.watch.fetchval("SELECT payload ->> 'reason' FROM order_events WHERE to_status = 'CANCELED'")
    assert because == "cancelled before it was sent, ann: a typo"
    told = [one for one in floor.desk.bus.events if isinstance(one, OrderUpdated)]
    assert [(one.order_id, one.status, one.reason) for one in told] == [(order, OrderStatus.CANCELED, "cancelled")]
