"""What an executor finds when it starts: worlds in which something happened while nobody was there. Each ends
live, or broken by a difference with a name; looking again changes nothing, and no order is ever accepted twice."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import CLIENT_ORDER_PREFIX, OrderStatus, Side
from mastertrade.exchanges.exchange import OrderTicket, VenueOrder
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, make_executor, open_desk
from tests.postgres.test_reconciling import books, breaks, state, taken_over
from tests.simulation.venue import Faults, SimulatedVenue, Truth

S = OrderStatus
HALF, ONE = Decimal("0.5"), Decimal(1)
LOOK = timedelta(seconds=10)


@dataclass
class PlainVenue(SimulatedVenue):
    """Does what it is told, and nothing by chance."""

    async def place(self, ticket: OrderTicket) -> VenueOrder:
        return self._accept(ticket)

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        one = self.truth[client_order_id]
        if not one.order.status.is_final:
            one.order = replace(one.order, status=S.CANCELED)
        return one.order


@dataclass
class World:
    desk: Desk
    venue: PlainVenue
    resting: OrderApproved
    left: list[OrderApproved] = field(default_factory=list)

    @property
    def truth(self) -> Truth:
        return self.venue.truth[next(iter(self.venue.truth))]

    def becomes(self, status: OrderStatus) -> None:
        self.truth.order = replace(self.truth.order, status=status)

    def fills(self, quantity: Decimal, one: Truth | None = None) -> None:
        self.venue._fill(one or self.truth, quantity)

    def stranger(self, client_order_id: str) -> Truth:
        """An order that we have no row of."""
        order = VenueOrder(
            client_order_id=client_order_id, exchange_order_id="v77", symbol="BTC/USDT", side=Side.BUY, quantity=ONE,
            filled_quantity=Decimal(0), status=S.OPEN, limit_price=Decimal(90),
        )  # fmt: skip
        self.venue.truth[client_order_id] = Truth(order, START)
        return self.venue.truth[client_order_id]

    async def leave(self, *, reaches_the_venue: bool | None, filled: Decimal = Decimal(0)) -> None:
        """An order in the middle of its way: NEW for None, else SUBMITTING, and the process is gone."""
        approved = await self.desk.approve(quantity="0.2")
        self.left.append(approved)
        async with self.desk.manager.transaction() as tx:
            id = await self.desk.executor._database.create_order(tx, approved.approval, at=self.desk.clock.now())
        assert id is not None
        if reaches_the_venue is None:
            return
        order = await self.desk.executor._sender.begin(id)
        assert order is not None
        assert order.signed_at is not None
        assert order.send_by is not None
        if reaches_the_venue:
            ticket = OrderTicket(
                client_order_id=order.client_order_id, symbol=order.symbol, side=order.side, type=order.type,
                quantity=order.quantity, limit_price=order.price, signed_at=order.signed_at, send_by=order.send_by,
            )  # fmt: skip
            self.venue._accept(ticket)
            if filled:
                self.fills(filled, self.venue.truth[order.client_order_id])


Happens = Callable[[World], Awaitable[None] | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``orders`` are the states of ours in the end, ``breaks`` their kinds; ``halts`` when its market may open nothing
    until somebody has looked."""

    name: str
    happens: Happens
    orders: tuple[OrderStatus, ...]
    state: str = "live"
    breaks: tuple[str, ...] = ()
    halts: bool = False
    after_s: int = 0
    """So much later is it looked at once more."""


async def told_otherwise(world: World) -> None:
    """A fill that was booked is told again with another price; the balances are those of the first telling."""
    world.fills(HALF)
    await world.desk.executor.sync()
    held = await world.venue.balances()

    async def balances() -> dict[str, Decimal]:
        return held

    world.venue.balances = balances  # type: ignore[method-assign]
    world.venue.filled[0] = replace(world.venue.filled[0], price=Decimal(1))
    await world.desk.executor._database.save_cursor(world.desk.manager, world.desk.account.id, "0", at=START)


async def rests_after_its_end(world: World) -> None:
    await world.desk.manager.execute("UPDATE orders SET status = 'CANCELED', update_time = $1", START)


async def trades_after_its_end(world: World) -> None:
    world.becomes(S.CANCELED)
    await world.desk.executor.sync()
    world.fills(HALF)
    world.becomes(S.CANCELED)


def trades_in_part_and_is_canceled(world: World) -> None:
    world.fills(HALF)
    world.becomes(S.CANCELED)


def is_forgotten(world: World) -> None:
    world.venue.truth.clear()


def is_amended(world: World) -> None:
    world.truth.order = replace(world.truth.order, quantity=Decimal(3))


def our_mark_rests(world: World) -> None:
    world.stranger(f"{CLIENT_ORDER_PREFIX}lost")


def our_mark_has_traded(world: World) -> None:
    world.fills(ONE, world.stranger(f"{CLIENT_ORDER_PREFIX}lost"))


def somebodys_order_rests(world: World) -> None:
    world.stranger("web_1")


def somebodys_order_has_traded(world: World) -> None:
    world.fills(ONE, world.stranger("web_1"))


def money_came(world: World) -> None:
    world.venue.cash += 100


def money_went(world: World) -> None:
    world.venue.cash -= 100


def both_ways(world: World) -> None:
    """A purchase of ours and one of somebody else's, each in parts, mixed."""
    other = world.stranger("web_1")
    for quantity in (Decimal("0.3"), Decimal("0.7")):
        world.fills(quantity)
        world.fills(quantity, other)


CASES = (
    Case(name="nothing happened", happens=lambda world: None, orders=(S.OPEN,)),
    Case(name="it traded", happens=lambda world: world.fills(ONE), orders=(S.FILLED,)),
    Case(name="it traded in part", happens=lambda world: world.fills(HALF), orders=(S.PARTIALLY_FILLED,)),
    Case(name="it was canceled there", happens=lambda world: world.becomes(S.CANCELED), orders=(S.CANCELED,)),
    Case(name="it expired there", happens=lambda world: world.becomes(S.EXPIRED), orders=(S.EXPIRED,)),
    Case(name="it was rejected there", happens=lambda world: world.becomes(S.REJECTED), orders=(S.REJECTED,)),
    Case(name="it traded in part and was canceled", happens=trades_in_part_and_is_canceled, orders=(S.CANCELED,)),
    Case(name="it traded after its end", happens=trades_after_its_end, orders=(S.CANCELED,)),
    Case(name="it rests after its end", happens=rests_after_its_end, orders=(S.CANCELED,)),
    Case(name="it is forgotten", happens=is_forgotten, orders=(S.OPEN,), state="broken", breaks=("order_gone",)),
    Case(name="it was amended", happens=is_amended, orders=(S.OPEN,), state="broken", breaks=("order_differs",)),
    Case(name="another was left unsent", happens=lambda world: world.leave(reaches_the_venue=None),
         orders=(S.OPEN, S.OPEN)),
    Case(name="another was left on its way and arrived", happens=lambda world: world.leave(reaches_the_venue=True),
         orders=(S.OPEN, S.OPEN)),
    Case(name="another was left on its way and traded",
         happens=lambda world: world.leave(reaches_the_venue=True, filled=Decimal("0.2")), orders=(S.OPEN, S.FILLED)),
    Case(name="another was left on its way and traded in part",
         happens=lambda world: world.leave(reaches_the_venue=True, filled=Decimal("0.1")),
         orders=(S.OPEN, S.PARTIALLY_FILLED)),
    Case(name="another was left on its way and never arrived",
         happens=lambda world: world.leave(reaches_the_venue=False), orders=(S.OPEN, S.UNKNOWN)),
    Case(name="another never arrived, a minute later",
         happens=lambda world: world.leave(reaches_the_venue=False), orders=(S.OPEN, S.NOT_FOUND), after_s=60),
    Case(name="one of ours that we have lost rests", happens=our_mark_rests, orders=(S.OPEN, S.OPEN), halts=True),
    Case(name="one of ours that we have lost has traded", happens=our_mark_has_traded, orders=(S.OPEN, S.FILLED),
         halts=True),
    Case(name="somebody's order rests", happens=somebodys_order_rests, orders=(S.OPEN,), breaks=("foreign_order",)),
    Case(name="somebody's order has traded", happens=somebodys_order_has_traded, orders=(S.OPEN, S.FILLED)),
    Case(name="ours and somebody's have traded", happens=both_ways, orders=(S.FILLED, S.FILLED)),
    Case(name="money came", happens=money_came, orders=(S.OPEN,), state="broken", breaks=("balance",)),
    Case(name="money went", happens=money_went, orders=(S.OPEN,), state="broken", breaks=("balance",)),
    Case(name="a fill is told with other numbers", happens=told_otherwise, orders=(S.PARTIALLY_FILLED,), halts=True),
)  # fmt: skip


async def opened(database: PostgresManager) -> World:
    """One order of ours rests; our books and the venue agree."""
    desk = await open_desk(database)
    venue = PlainVenue(
        name="plain", symbol="BTC/USDT", clock=desk.clock, rng=random.Random(1), cash=Decimal(10_000),
        note=lambda text: None, suffer=lambda *told: None, faults=Faults(delay_s=0.0),
    )  # fmt: skip
    executor = make_executor(database, desk.clock, desk.bus, cast(Any, venue), desk.account, desk.lease)
    desk = replace(desk, venue=cast(Any, venue), executor=executor)
    await executor.sync()
    approved = await desk.approve(quantity="1", reserve="101")
    await desk.hear(approved)
    assert await desk.status(approved) == "OPEN"
    return World(desk, venue, approved)


async def settled(desk: Desk) -> dict[str, Any]:
    """What must not change by looking again; that it was looked at once more is kept."""
    counted = {"times_seen", "last_seen"}
    return {
        table: [
            {name: value for name, value in row.items() if name not in counted}
            for row in rows
            if table != "order_events" or row["event_type"] != "absent"
        ]
        for table, rows in (await books(desk)).items()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_start_finds_what_happened(database: PostgresManager, case: Case) -> None:
    world = await opened(database)
    happening = case.happens(world)
    if happening is not None:
        await happening
    desk = await taken_over(world.desk)
    looks = [LOOK] * 3 + ([timedelta(seconds=case.after_s)] if case.after_s else [])
    for later in looks:
        desk.clock.advance(desk.clock.now() + later)
        await desk.executor.sync()
    rows = await database.fetch("SELECT status FROM orders ORDER BY order_time, id")
    assert sorted(row["status"] for row in rows) == sorted(one.value for one in case.orders)
    assert (await state(desk), tuple(one[0] for one in await breaks(desk))) == (case.state, case.breaks)
    mode = await database.fetchval(
        "SELECT trading_mode($1, $2, $3)", desk.account.id, desk.strategy_id, desk.instrument.id
    )
    assert (mode != "running") is case.halts
    assert await desk.problems() == []
    assert all(one.times_accepted == 1 for one in world.venue.truth.values())
    before = await settled(desk)
    await desk.executor.sync()
    assert await settled(desk) == before


async def test_fills_in_any_order_and_any_number_of_times_are_booked_once(database: PostgresManager) -> None:
    """And a start in the middle of them."""
    world = await opened(database)
    other = world.stranger("web_1")
    for _ in range(5):
        world.fills(Decimal("0.1"))
        world.fills(Decimal("0.2"), other)
    chance, told = random.Random(7), list(world.venue.filled)
    for _ in range(3):
        again = [*told, *told]
        chance.shuffle(again)
        world.venue.filled, world.venue.shown_at = again[: chance.randint(5, 20)], [START] * 20
        desk = await taken_over(world.desk)
        world.desk = desk
        for _ in range(2):
            desk.clock.advance(desk.clock.now() + LOOK)
            await desk.executor._database.save_cursor(database, desk.account.id, "0", at=desk.clock.now())
            await desk.executor.sync()
    world.venue.filled, world.venue.shown_at = told, [START] * 20
    desk = await taken_over(world.desk)
    await desk.executor._database.save_cursor(database, desk.account.id, "0", at=desk.clock.now())
    for _ in range(3):
        desk.clock.advance(desk.clock.now() + LOOK)
        await desk.executor.sync()
    ids = await database.fetch("SELECT exchange_trade_id FROM trades")
    assert sorted(int(row["exchange_trade_id"]) for row in ids) == list(range(1, 11))
    assert await database.fetchval("SELECT sum(quantity) FROM trades") == Decimal("1.5")
    assert (await state(desk), await breaks(desk)) == ("live", [])
    assert await desk.problems() == []


def test_the_worlds_are_different() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 20
