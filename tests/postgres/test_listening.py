"""Accounts whose venue tells by itself: an executor whose next regular look is minutes away, the real ccxt client, and
a venue on this machine whose stream misbehaves on command."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import AccountNews, Listening, OrderTicket, VenueOrder
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import KEYS_FOR_EVERYBODY as KEYS
from mastertrade.order_executor import listening
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.shared.errors import LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, open_desk

pytestmark = pytest.mark.asyncio
START_MS = int(START.timestamp() * 1000)
PATIENCE_S = 20.0
REPORT = "executionReport"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a matter of seconds is one of milliseconds here."""
    monkeypatch.setattr(listening, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(listening, "CHECKED_EVERY_S", 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    desk: Desk
    venue: SimulatedVenue
    client: CcxtVenue

    def pass_time(self, seconds: float) -> None:
        self.venue.time.advance(seconds)
        self.desk.clock.advance(datetime.fromtimestamp(self.venue.time.now_ms() / 1000, UTC))

    async def rests(self, quantity: str = "0.5") -> OrderApproved:
        """An order a little below the market."""
        near = self.venue.markets["BTCUSDT"].price(self.venue.time.now_ms()) * 0.9995
        approval = await self.desk.approve(Side.BUY, quantity, reserve="100000", limit=f"{near:.2f}")
        await self.desk.hear(approval)
        return approval

    def market_goes_on(self) -> int:
        """Until something of what rests has traded; how many trades there are then."""
        before = len(self.venue.account.executions)
        for _ in range(1_000):
            self.pass_time(5)
            self.venue.account.match(self.venue.time.now_ms())
            if (found := len(self.venue.account.executions)) > before:
                return found
        pytest.fail("nothing that rests has traded")

    async def booked(self) -> int:
        count: int = await self.desk.manager.fetchval("SELECT count(*) FROM trades")
        return count

    async def stream(self) -> str:
        state: str | None = await self.desk.manager.fetchval("SELECT state FROM account_streams")
        return state or "never"

    async def compared_at(self) -> datetime:
        at: datetime = await self.desk.manager.fetchval("SELECT compared_at FROM account_states")
        return at

    async def books_are_the_venues(self) -> None:
        ours = await self.desk.manager.fetch("SELECT exchange_trade_id, quantity FROM trades ORDER BY 1")
        truth = {str(one.id): one.quantity for one in self.venue.account.executions}
        assert {row["exchange_trade_id"]: row["quantity"] for row in ours} == truth
        balances = await self.desk.manager.fetch(
            "SELECT asset, free_balance + locked_balance AS held FROM portfolio_balances"
        )
        held = {asset: one.free + one.locked for asset, one in self.venue.account.holdings.items()}
        assert {row["asset"]: row["held"] for row in balances} == held
        assert await self.desk.problems() == []
        assert await self.desk.manager.fetchval("SELECT count(*) FROM quarantined_fills") == 0


@asynccontextmanager
async def floor(database: PostgresManager, *faults: Fault) -> AsyncIterator[Floor]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 2 * 86_400_000)
    async with SimulatedVenue(
        [market], time=VenueTime(START_MS, speed=0), faults=FaultScript(faults), keys=KEYS,
        money={"USDT": Decimal(1_000_000)},
    ) as venue:  # fmt: skip
        desk = await open_desk(database, cash="1000000")
        client = CcxtVenue(
            "binance", Credentials(api_key=KEYS.api_key, secret=KEYS.secret), clock=desk.clock, url=venue.url
        )
        async with listening_to(desk, client):
            try:
                yield Floor(desk=desk, venue=venue, client=client)
            finally:
                await desk.executor.stop()
                await client.close()


@asynccontextmanager
async def listening_to(desk: Desk, venue: Any) -> AsyncIterator[None]:
    """It looks every five minutes, and listens."""
    desk.executor = OrderExecutor(
        settings=ExecutorSettings(ORDER_MONITOR_INTERVAL=300), clock=desk.clock, bus=desk.bus,
        manager=desk.manager, venues={desk.account.id: venue}, lease=desk.lease, listens=True,
    )  # fmt: skip
    await desk.executor.start()
    try:
        yield
    finally:
        await desk.executor.stop()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.005)


async def test_a_fill_is_booked_as_the_venue_tells_of_it(
    database: PostgresManager, record_property: Callable[[str, object], None]
) -> None:
    waits: list[float] = []
    async with floor(database) as on:
        await until(lambda: is_(on.stream(), "open"))
        for _ in range(3):
            await on.rests()
            traded = on.market_goes_on()
            at = time.perf_counter()
            await until(lambda traded=traded: is_(on.booked(), traded))  # type: ignore[misc]
            waits.append(time.perf_counter() - at)
            await asyncio.sleep(listening.ASK_EVERY_S)
        await on.books_are_the_venues()
    waits_ms = [round(1000 * one) for one in sorted(waits)]
    record_property(
        "figures", ("from the venue's event to the booked fill", {"best, ms": waits_ms[0], "worst, ms": waits_ms[-1]})
    )
    assert waits_ms[0] < 300, "the next regular look is minutes away"


async def is_(found: Awaitable[object], expected: object) -> bool:
    return await found == expected


@pytest.mark.parametrize(
    "kinds",
    [(FaultKind.REPEAT,), (FaultKind.REORDER,), (FaultKind.SKIP, FaultKind.REPEAT, FaultKind.REORDER)],
    ids=["twice", "out of order", "lost, twice and out of order"],
)
async def test_news_that_come_twice_late_or_not_at_all_harm_nothing(
    database: PostgresManager, kinds: tuple[FaultKind, ...]
) -> None:
    faults = [
        Fault(kind=kind, on=REPORT, times=0 if len(kinds) == 1 else 2, after=place) for place, kind in enumerate(kinds)
    ]
    async with floor(database, *faults) as on:
        await until(lambda: is_(on.stream(), "open"))
        for _ in range(3):
            await on.rests("0.3")
            on.market_goes_on()
            await asyncio.sleep(0.05)
        await on.desk.executor.sync()
        await on.books_are_the_venues()
        assert on.venue.faults.happened


async def test_a_stream_that_leaves_out_a_fill_is_told_of_and_opened_again(database: PostgresManager) -> None:
    async with floor(database) as on:
        await until(lambda: is_(on.stream(), "open"))
        await on.rests()
        on.venue.faults.add(Fault(kind=FaultKind.SILENCE, on=REPORT, seconds=3_600))
        on.pass_time(20)  # what is traded just after the stream began may have been before it
        traded = on.market_goes_on()
        await asyncio.sleep(0.1)
        assert await on.booked() == 0
        await on.desk.executor.sync()
        assert await on.booked() == traded, "a look finds it without the stream"
        assert await on.stream() == "open", "it has ten seconds"
        on.pass_time(11)
        await until(lambda: is_(on.stream(), "silent"))
        on.pass_time(31)
        await on.desk.executor.sync()
        alert = await database.fetchrow("SELECT * FROM risk_alerts WHERE alert_type = 'stream_down'")
        assert alert is not None
        assert "it told nothing of order 1, which has traded" in alert["message"] or "silent" in alert["message"]
        await until(lambda: is_(subscriptions(on), True))
        await on.rests()
        await until(lambda: is_(on.stream(), "open"))
        on.pass_time(31)
        await on.desk.executor.sync()
        open_alerts = "SELECT count(*) FROM risk_alerts WHERE alert_type = 'stream_down' AND resolved_at IS NULL"
        assert await database.fetchval(open_alerts) == 0
        await on.books_are_the_venues()


async def subscriptions(on: Floor) -> bool:
    assert on.venue.user_streams is not None
    return on.venue.user_streams.subscriptions_made > 1


async def test_without_its_stream_an_account_is_asked_as_before(database: PostgresManager) -> None:
    async with floor(database, Fault(kind=FaultKind.STATUS, on="/ws-api/v3", times=0)) as on:
        await until(lambda: is_(on.stream(), "down"))
        await on.rests()
        traded = on.market_goes_on()
        await on.desk.executor.sync()
        assert await on.booked() == traded
        on.pass_time(40)
        await on.desk.executor.sync()
        assert await database.fetchval("SELECT count(*) FROM risk_alerts WHERE alert_type = 'stream_down'") == 1
        await on.books_are_the_venues()


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.EXPIRE, FaultKind.TRUNCATE])
async def test_after_each_reconnect_the_account_is_compared(database: PostgresManager, kind: FaultKind) -> None:
    async with floor(database) as on:
        await until(lambda: is_(on.stream(), "open"))
        on.venue.faults.add(Fault(kind=kind, on=REPORT))
        on.pass_time(5)
        before = await on.compared_at()
        await on.rests()  # its news never arrive whole
        await until(lambda: later_than(on.compared_at(), before))
        await until(lambda: is_(on.stream(), "open"))
        traded = on.market_goes_on()
        await until(lambda: is_(on.booked(), traded))
        await on.books_are_the_venues()


async def later_than(found: Awaitable[datetime], before: datetime) -> bool:
    return await found > before


class Teller(PaperVenue):
    """A paper venue that tells what a test says, and counts what it is asked."""

    asked: int = 0
    is_down: bool = False

    async def fills_of(self, after: str, symbols: Any) -> Any:
        self.asked += 1
        return await super().fills_of(after, symbols)

    def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        if self.is_down:
            raise ConnectionRefusedError("no stream")
        return super().watch_account()

    def tell(self, **news: Any) -> None:
        self._news.tell(AccountNews(symbol="BTC/USDT", **news))


async def teller(database: PostgresManager) -> tuple[Desk, Teller]:
    desk = await open_desk(database)
    desk.venue.__class__ = Teller
    assert isinstance(desk.venue, Teller)
    return desk, desk.venue


async def test_a_trade_that_was_never_made_books_nothing_and_is_soon_asked_for_no_more(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ASK_EVERY_S", 0.01)
    desk, venue = await teller(database)
    async with listening_to(desk, venue):
        await until(lambda: is_(database.fetchval("SELECT state FROM account_streams"), "open"))
        venue.tell(exchange_order_id="paper-7", exchange_trade_id="1", client_order_id="nobody's", has_traded=True)
        await asyncio.sleep(0.3)
        assert venue.asked == listening.TIMES_ASKED
        assert await database.fetchval("SELECT count(*) FROM trades") == 0
        assert await database.fetchval("SELECT count(*) FROM orders") == 0


async def test_a_paper_account_hears_of_its_fills_too(database: PostgresManager) -> None:
    desk, venue = await teller(database)
    async with listening_to(desk, venue):
        await until(lambda: is_(database.fetchval("SELECT state FROM account_streams"), "open"))
        event = await desk.approve(quantity="0.5")
        await desk.hear(event)
        await venue.on_prices([desk.candle(100.0)])
        await until(lambda: is_(desk.status(event), "FILLED"))


async def test_an_unanswered_order_is_known_as_soon_as_the_venue_tells_of_it(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = PaperVenue.place

    async def unanswered(self: PaperVenue, ticket: OrderTicket) -> VenueOrder:
        await place(self, ticket)
        raise ConnectionResetError("its answer was lost")

    monkeypatch.setattr(PaperVenue, "place", unanswered)
    desk, venue = await teller(database)
    async with listening_to(desk, venue):
        await until(lambda: is_(database.fetchval("SELECT state FROM account_streams"), "open"))
        event = await desk.approve(quantity="0.5")
        await desk.hear(event)
        assert await desk.status(event) == "UNKNOWN"
        client_order_id = await database.fetchval("SELECT client_order_id FROM orders")
        venue.tell(exchange_order_id="paper-1", client_order_id=client_order_id)
        await until(lambda: is_(desk.status(event), "OPEN"))
        await database.execute("UPDATE paper_venue.orders SET status = 'CANCELED'")
        venue.tell(exchange_order_id="paper-1", client_order_id=client_order_id, is_over=True)
        await until(lambda: is_(desk.status(event), OrderStatus.CANCELED.value))


async def test_an_order_is_not_taken_for_absent_while_the_stream_is_down(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(self: PaperVenue, ticket: OrderTicket) -> VenueOrder:
        raise ConnectionResetError("it never arrived")

    monkeypatch.setattr(PaperVenue, "place", lost)
    desk, venue = await teller(database)
    venue.is_down = True
    async with listening_to(desk, venue):
        event = await desk.approve(quantity="0.5")
        await desk.hear(event)
        for seconds in (20, 31, 31, 31):
            desk.clock.advance(desk.clock.now() + timedelta(seconds=seconds))
            await desk.executor.sync()
        assert await desk.status(event) == "UNKNOWN"
        note = await database.fetchval("SELECT payload ->> 'reason' FROM order_events WHERE event_type = 'note'")
        assert note.endswith("not taken for absent: the account's own stream is down")
        venue.is_down = False
        await until(lambda: is_(desk.status(event), "NOT_FOUND"))


async def test_an_executor_that_was_replaced_ends_its_streams(database: PostgresManager) -> None:
    desk, venue = await teller(database)
    async with listening_to(desk, venue):
        await until(lambda: is_(database.fetchval("SELECT state FROM account_streams"), "open"))
        await desk.hear(await desk.approve(quantity="0.5"))
        await database.fetchval("SELECT take_lease($1, 'another', $2)", desk.lease.role, desk.clock.now())
        await venue.on_prices([desk.candle(100.0)])
        await until(lambda: is_(nobody_listens(venue), True))
        assert await database.fetchval("SELECT count(*) FROM trades") == 0


async def nobody_listens(venue: Teller) -> bool:
    return not venue._news._listeners


async def test_a_state_of_the_stream_keeps_its_beginning_until_it_changes_or_the_lease_does(
    database: PostgresManager,
) -> None:
    desk, at = await open_desk(database), START
    told = [(1, "down", 0), (1, "down", 5), (1, "open", 9), (2, "open", 11)]
    began: list[float] = []
    for epoch, state, seconds in told:
        if epoch > 1:
            await database.fetchval("SELECT take_lease($1, 'another', $2)", desk.lease.role, at)
        await database.execute(
            "SELECT note_stream($1, $2, $3, $4, 'why', $5)", desk.account.id, desk.lease.role, epoch, state,
            at + timedelta(seconds=seconds),
        )  # fmt: skip
        began.append((await database.fetchval("SELECT since FROM account_streams") - at).total_seconds())
    assert began == [0, 0, 9, 11]
    with pytest.raises(LeaseLost):
        await database.execute("SELECT note_stream($1, $2, 1, 'down', 'why', $3)", desk.account.id, desk.lease.role, at)
