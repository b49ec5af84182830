"""The executor, the real ccxt client and a venue on this machine that keeps the truth: whatever the wire does, each
order is there once, each fill is booked once, and our balances are the venue's."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import Environment, OrderType, Side
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.venue_floor import PLACE, START_MS, Floor, books_are_the_venues, bought, floor


async def test_an_approval_is_traded_over_the_wire_and_booked(database: PostgresManager) -> None:
    async with floor(database) as on:
        approval = await bought(on)
        await on.later(1)
        assert await on.desk.status(approval) == "FILLED"
        await books_are_the_venues(on)
        sold = await on.desk.approve(Side.SELL, "0.2")
        await on.desk.hear(sold)
        await on.later(1)
        assert await on.desk.status(sold) == "FILLED"
        await books_are_the_venues(on)


LATE = {
    "the connection breaks": Fault(kind=FaultKind.DROP, on=PLACE, is_late=True),
    "a page of HTML": Fault(kind=FaultKind.HTML, on=PLACE, is_late=True),
    "503": Fault(kind=FaultKind.STATUS, on=PLACE, is_late=True),
    "half an answer": Fault(kind=FaultKind.TRUNCATE, on=PLACE),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
async def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(
    database: PostgresManager, fault: Fault
) -> None:
    async with floor(database, fault) as on:
        approval = await bought(on)
        assert await on.desk.status(approval) == "UNKNOWN"
        await on.later(1)
        await on.later(1)
        assert await on.desk.status(approval) == "FILLED"
        assert len(on.venue.account.orders) == 1
        await books_are_the_venues(on)


EARLY = {
    "the connection breaks": Fault(kind=FaultKind.DROP, on=PLACE),
    "429": Fault(kind=FaultKind.RATE_LIMIT, on=PLACE),
    "502": Fault(kind=FaultKind.STATUS, on=PLACE, status=502),
    "a refusal without a code": Fault(kind=FaultKind.STATUS, on=PLACE, status=400),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", EARLY.values(), ids=EARLY)
async def test_an_order_that_never_arrived_is_unknown_until_that_is_certain(
    database: PostgresManager, fault: Fault
) -> None:
    async with floor(database, fault) as on:
        approval = await bought(on)
        assert await on.desk.status(approval) == "UNKNOWN"
        for _ in range(3):
            await on.later(5)
        assert await on.desk.status(approval) == "UNKNOWN", "its window may not be over"
        for _ in range(8):
            await on.later(40)
        assert await on.desk.status(approval) == "NOT_FOUND"
        assert on.venue.account.orders == []
        held = await database.fetchval("SELECT count(*) FROM reservations WHERE released_at IS NULL")
        assert held == 0
        await books_are_the_venues(on)


async def test_a_definite_refusal_is_one_and_frees_the_capital(database: PostgresManager) -> None:
    async with floor(database) as on:
        on.venue.account.holdings["USDT"].free = Decimal(1)
        approval = await bought(on)
        assert await on.desk.status(approval) == "REJECTED"
        reason = await database.fetchval("SELECT payload ->> 'reason' FROM order_events WHERE to_status = 'REJECTED'")
        assert "insufficient balance" in reason
        assert on.venue.account.orders == []


async def test_a_wrong_key_is_refused_by_the_venue_and_shown_nowhere(database: PostgresManager) -> None:
    async with floor(database, api_key="wrong-key-of-mine") as on:
        with pytest.raises(VenueRefused) as refused:
            await on.client.place(ticket(on))
        assert "wrong-key-of-mine" not in str(refused.value)
        assert "a secret" not in repr(Credentials(api_key="k", secret="a secret"))


def ticket(on: Floor, **changes: Any) -> OrderTicket:
    now = datetime.fromtimestamp(on.venue.time.now_ms() / 1000, UTC)
    given: dict[str, Any] = {
        "client_order_id": "mt1", "symbol": "BTC/USDT", "side": Side.BUY, "type": OrderType.MARKET,
        "quantity": Decimal("0.1"), "limit_price": None, "signed_at": now, "send_by": now + timedelta(seconds=5),
    }  # fmt: skip
    return OrderTicket(**(given | changes))


async def test_the_venue_itself_refuses_what_comes_after_its_window(database: PostgresManager) -> None:
    async with floor(database) as on:
        await on.client.now()  # their clocks agree
        stale = ticket(on)
        on.venue.time.advance(6)  # on the wire
        with pytest.raises(VenueRefused, match="outside of the recvWindow"):
            await on.client.place(stale)
        assert on.venue.account.orders == []


async def test_an_order_whose_time_is_over_is_not_written_to_the_wire(database: PostgresManager) -> None:
    async with floor(database) as on:
        await on.client.now()
        stale = ticket(on)
        on.desk.clock.advance(on.desk.clock.now() + timedelta(seconds=6))
        with pytest.raises(VenueRefused, match="before it was written to the wire"):
            await on.client.place(stale)
        assert on.venue.account.asked == {}


async def test_a_limit_order_rests_fills_at_its_price_or_is_cancelled(database: PostgresManager) -> None:
    async with floor(database) as on:
        price = Decimal(str(round(on.venue.markets["BTCUSDT"].price(START_MS) * 0.9, 2)))
        resting = await on.client.place(ticket(on, type=OrderType.LIMIT, limit_price=price))
        assert (resting.status, resting.filled_quantity) == ("OPEN", 0)
        assert [one.client_order_id for one in await on.client.open_orders(["BTC/USDT"])] == ["mt1"]
        assert on.venue.account.holdings["USDT"].locked == price * Decimal("0.1")
        gone = await on.client.cancel("mt1", "BTC/USDT")
        assert gone.status == "CANCELED"
        assert (await on.client.cancel("mt1", "BTC/USDT")).status == "CANCELED", "once more changes nothing"
        assert on.venue.account.holdings["USDT"].locked == 0
        assert await on.client.find("mt2", "BTC/USDT") is None
        with pytest.raises(VenueRefused, match="no order mt2"):
            await on.client.cancel("mt2", "BTC/USDT")


async def test_fills_come_page_by_page_and_none_twice(database: PostgresManager) -> None:
    async with floor(database) as on:
        for number in range(3):
            await on.client.place(ticket(on, client_order_id=f"mt{number}"))
        first = await on.client.fills("", ["BTC/USDT"])
        assert {fill.client_order_id for fill in first.fills} == {"mt0", "mt1", "mt2"}
        assert sum(fill.quantity for fill in first.fills) == Decimal("0.3")
        assert {fill.commission_asset for fill in first.fills} == {"BTC"}
        again = await on.client.fills(first.cursor, [])
        assert (again.fills, again.cursor) == ((), first.cursor)


TRADES = Fault(kind=FaultKind.STATUS, on="GET /api/v3/myTrades", times=0)


@pytest.mark.filterwarnings("ignore")
async def test_while_fills_are_not_told_nothing_is_booked_and_nothing_is_absent(database: PostgresManager) -> None:
    async with floor(database, replace(TRADES, times=3)) as on:
        approval = await bought(on)
        for _ in range(3):
            await on.later(1)
            assert await on.desk.status(approval) == "OPEN"
        await on.later(1)
        assert await on.desk.status(approval) == "FILLED"
        await books_are_the_venues(on)


@pytest.mark.filterwarnings("ignore")
async def test_an_order_is_not_absent_while_one_of_the_untold_fills_may_be_its(database: PostgresManager) -> None:
    async with floor(database, EARLY["the connection breaks"], TRADES) as on:
        approval = await bought(on)
        for _ in range(8):
            await on.later(40)
        assert await on.desk.status(approval) == "UNKNOWN"


@pytest.mark.filterwarnings("ignore")
async def test_a_venue_that_is_down_holds_up_no_other_account(database: PostgresManager) -> None:
    async with floor(database, Fault(kind=FaultKind.DROP, times=0)) as on:
        desk = on.desk
        account = await ExecutorPostgresDatabase().create_account(
            database, name="beyond", venue="simulated", environment=Environment.PAPER, quote_asset="USDT"
        )
        desk.executor = OrderExecutor(
            settings=ExecutorSettings(),
            clock=desk.clock,
            bus=desk.bus,
            manager=database,
            venues={account.id: on.client, desk.account.id: desk.venue},
            lease=desk.lease,
        )
        approval = await desk.approve()
        await desk.hear(approval)
        await desk.next_bar()
        assert await desk.status(approval) == "FILLED"
        assert await desk.problems() == []
        assert await desk.executor.follow(), "a venue that has not told is looked at again"


def test_orders_go_to_venues_whose_refusals_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"'bitstamp'.*orders can go to binance, bybit, coinbase, kraken, okx"):
        CcxtVenue("bitstamp", Credentials(api_key="k", secret="s"), clock=SystemClock())


def test_real_money_needs_to_be_allowed_and_no_other_server() -> None:
    keys = Credentials(api_key="k", secret="s")
    with pytest.raises(ConfigurationError, match="ENABLE_LIVE_TRADING=true"):
        CcxtVenue("binance", keys, clock=SystemClock(), environment="production")
    with pytest.raises(ConfigurationError, match="cannot stand in"):
        CcxtVenue(
            "binance",
            keys,
            clock=SystemClock(),
            environment="production",
            is_live_allowed=True,
            url="http://127.0.0.1:1",
        )
