"""The wire between the executor and its database falls silent, trickles, breaks: nothing is lost or doubled, nobody else
waits for long, and once the wire is well all is clean. The limits are the product's, only shorter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import Environment
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.shared.errors import DependencyDown
from mastertrade.shared.postgres_manager import PostgresManager
from tests.conftest import MoreDatabases
from tests.postgres.chaos_proxy import ChaosProxy, Moment, chaos_proxy
from tests.postgres.executor_seed import START, Desk, make_executor, open_desk

T = TypeVar("T")
IDLE_S = 0.5
"""Of a session inside of a transaction, after which the server lets go of what it holds."""
LIMITS: dict[str, Any] = {
    "statement_timeout_s": 0.2,
    "command_timeout_s": 0.7,
    "connect_timeout_s": 0.4,
    "acquire_timeout_s": 0.4,
    "retry_for_s": 0.2,
    "longest_transaction_s": 0.8,
    "session_settings": {"idle_in_transaction_session_timeout": str(int(IDLE_S * 1000))},
}
LONGEST_S = 10.0
"""No call may take longer, and nobody hold rows for longer, however busy the machine is."""
HELD = """
SELECT count(*) FROM pg_stat_activity
 WHERE application_name = 'executor' AND datname = current_database() AND backend_xid IS NOT NULL"""


@dataclass(kw_only=True)
class Wire:
    """A desk whose executor reaches its database through a proxy. The venue's own database is not behind it."""

    desk: Desk
    manager: PostgresManager
    proxy: ChaosProxy
    neighbour: UUID
    errors: list[str] = field(default_factory=list)

    async def until_done(self, call: Callable[[], Awaitable[object]]) -> None:
        """As the bus delivers, and as the monitor looks: again and again."""
        while True:
            try:
                async with asyncio.timeout(LONGEST_S):
                    return await call()
            except DependencyDown as error:
                self.errors.append(type(error).__name__)
                await asyncio.sleep(0.02)

    async def go_on_next_door(self) -> None:
        """Straight at the server: another account reserves all the while."""
        reserve = "SELECT reserve_balance($1, $2, 'USDT', 1, $3)"
        while True:
            assert await self.desk.manager.fetchval(reserve, uuid4(), self.neighbour, START)
            await asyncio.sleep(0.02)

    async def heal_when_given_up(self) -> None:
        """On both ends: the executor has its error, and the server has let go of what a silent client held."""
        await self.proxy.is_silent.wait()
        async with asyncio.timeout(LONGEST_S):
            while not self.errors or await self.desk.manager.fetchval(HELD):
                await asyncio.sleep(0.02)
        self.proxy.heal()

    async def heal_soon(self) -> None:
        await self.proxy.is_silent.wait()
        await asyncio.sleep(0.1)
        self.proxy.heal()

    async def hear(self, approval: OrderApproved) -> None:
        async with self.manager.transaction(is_bounded=True) as tx:
            await self.desk.executor.on_order_approved(approval, tx)

    async def live(self) -> OrderApproved:
        """One order, from its approval to its fill, however often that has to be tried."""
        desk = self.desk
        approval = await desk.approve()
        await self.until_done(lambda: self.hear(approval))
        await desk.venue.on_prices([desk.candle(100.0)])
        for _ in range(3):
            await self.until_done(desk.executor.sync)
        return approval

    async def is_clean(self, approval: OrderApproved) -> None:
        """Nothing lost, nothing doubled, nothing kept back, and nothing left to be explained."""
        desk, database = self.desk, self.desk.manager
        for _ in range(6):  # what was never sent takes some minutes to be certain of
            await desk.next_bar()
        sent = list((await desk.venue_orders()).values())
        filled = await database.fetchval("SELECT coalesce(sum(quantity), 0) FROM trades")
        assert (await desk.status(approval), sent, filled) in (
            ("FILLED", [1], Decimal("0.5")),
            ("EXPIRED", [], 0),
            ("NOT_FOUND", [], 0),
        ), self.errors
        held = "SELECT count(*) FROM reservations WHERE released_at IS NULL AND account_id = $1"
        assert await database.fetchval(held, desk.account.id) == 0
        assert await desk.problems() == []
        assert await database.fetchval("SELECT state FROM account_states") == "live"
        assert await database.fetchval("SELECT count(*) FROM reconciliation_breaks WHERE closed_at IS NULL") == 0


@asynccontextmanager
async def wired(database: PostgresManager, dsn: str, **limits: Any) -> AsyncIterator[Wire]:
    desk, executors = await open_desk(database), ExecutorPostgresDatabase()
    neighbour = await executors.create_account(
        database, name="neighbour", venue="simulated", environment=Environment.PAPER, quote_asset="USDT"
    )
    money = Decimal(10_000)
    await executors.deposit(database, neighbour.id, asset="USDT", amount=money, source_key="next door", at=START)
    async with chaos_proxy(dsn) as (proxy, address):
        manager = PostgresManager(address, application_name="executor", max_size=4, **(LIMITS | limits))
        await manager.connect()
        executor = make_executor(manager, desk.clock, desk.bus, desk.venue, desk.account, desk.lease)  # type: ignore[arg-type]
        wire = Wire(desk=replace(desk, executor=executor), manager=manager, proxy=proxy, neighbour=neighbour.id)
        await wire.until_done(executor.sync)  # everybody's first statements at the same time are slow ones
        wire.errors.clear()
        watching = asyncio.create_task(wire.go_on_next_door())
        try:
            yield wire
        finally:
            proxy.heal()
            if watching.done():
                watching.result()
            watching.cancel()
            await manager.close()


ORDER, BEGIN, MOVE, FILL, CURSOR = (
    f"order_executor.{name} ".encode()
    for name in ("create_order", "begin_sends", "move_orders", "apply_fills", "save_cursor")
)
PLACES: dict[str, tuple[bytes, ...]] = {  # a statement is sent twice: to be prepared, and to be carried out
    "writing the order": (ORDER, ORDER),
    "beginning to send": (BEGIN, BEGIN),
    "committing that it is sent": (BEGIN, b"COMMIT"),
    "writing what the venue said": (MOVE, MOVE),
    "committing what the venue said": (MOVE, b"COMMIT"),
    "booking a fill": (FILL, FILL),
    "committing a fill": (FILL, b"COMMIT"),
    "moving on in the list of fills": (CURSOR, CURSOR),
}


async def silent_at(place: str, moment: Moment, make: MoreDatabases, *, is_short: bool = False) -> list[str]:
    async with asyncio.timeout(3 * LONGEST_S), wired(*await make()) as wire:
        wire.proxy.go_silent_at(*PLACES[place], moment=moment)
        healing = asyncio.create_task(wire.heal_soon() if is_short else wire.heal_when_given_up())
        approval = await wire.live()
        assert wire.proxy.is_silent.is_set() or healing.done(), "the wire never fell silent there"
        await healing
        await wire.is_clean(approval)
        return wire.errors


async def side_by_side(stories: Mapping[str, Awaitable[T]]) -> list[T]:
    """None goes on when one has failed, which tells its name."""

    async def named(name: str, story: Awaitable[T]) -> T:
        try:
            return await story
        except BaseException as error:
            error.add_note(f"({name})")
            raise

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(named(name, story)) for name, story in stories.items()]
    return [task.result() for task in tasks]


@pytest.mark.parametrize("moment", list(Moment), ids=str)
async def test_a_wire_that_falls_silent_loses_and_doubles_nothing(
    moment: Moment, more_databases: MoreDatabases
) -> None:
    told = await side_by_side({place: silent_at(place, moment, more_databases) for place in PLACES})
    assert any(told), "nobody heard anything of it"


async def test_what_arrives_when_its_sender_has_given_it_up_changes_nothing(more_databases: MoreDatabases) -> None:
    """The wire is well again before the server lets go of it: a COMMIT comes that nobody waits for any more."""
    late = {place: silent_at(place, Moment.HALF_OPEN, more_databases, is_short=True) for place in PLACES}
    assert all(await side_by_side(late))


async def test_a_wire_that_trickles_is_a_slow_one(database: PostgresManager, dsn: str) -> None:
    async with wired(
        database, dsn, statement_timeout_s=5.0, command_timeout_s=10.0, longest_transaction_s=10.0
    ) as wire:
        wire.proxy.slice_bytes = 5
        approval = await wire.live()
        assert await wire.desk.status(approval) == "FILLED"
        await wire.is_clean(approval)
        assert wire.errors == []


async def test_connections_that_break_and_are_made_anew_all_the_time_lose_nothing(
    database: PostgresManager, dsn: str
) -> None:
    async with wired(database, dsn) as wire:
        storm = asyncio.create_task(wire.proxy.storm(times=60, every_s=0.01))
        approvals = [await wire.live() for _ in range(3)]
        await storm
        for _ in range(3):
            await wire.until_done(wire.desk.executor.sync)
        assert wire.errors
        assert wire.proxy.connections > 5
        assert {await wire.desk.status(one) for one in approvals} <= {"FILLED", "EXPIRED"}
        assert set((await wire.desk.venue_orders()).values()) <= {1}
        assert await wire.desk.problems() == []
