"""The port to a venue for swaps, through the real ccxt client at the simulated venue: what is placed, held, paid, and
what is never sent."""

from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import OrderStatus, Side, Terms, TimeInForce
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.exchange import FundingPage, SwapVenue, VenueRefused
from mastertrade.exchanges.key_rights import KeysRefused
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.exchanges.simulated.markets import FUNDING_MS
from mastertrade.shared.errors import ConfigurationError
from tests.contracts.swap_floor import BTC, ETH, MONEY, Floor, floor

BUY, SELL = Side.BUY, Side.SELL
PLACE = "POST /fapi/v1/order"


async def books(on: Floor) -> None:
    """What the port tells is what the venue knows: fills, positions, and a wallet that they explain."""
    fills = await on.fills()
    truth = on.venue.swaps
    names = {"BTCUSDT": BTC, "ETHUSDT": ETH}
    assert sorted((one.symbol, int(one.exchange_trade_id), one.quantity, one.price) for one in fills) == sorted(
        (names[one.symbol], one.id, one.quantity, one.price) for one in truth.executions
    )
    assert await on.client.positions([]) == {names[symbol]: one.amount for symbol, one in truth.positions.items()}
    paid = sum((one.amount for one in await on.payments()), Decimal(0))
    earned = sum(((one.realized_pnl or 0) - one.commission for one in fills), Decimal(0))
    assert (await on.client.balances())["USDT"] == MONEY + paid + earned == truth.wallet("USDT")


async def test_a_position_is_opened_turned_and_closed() -> None:
    async with floor() as on:
        assert isinstance(on.client, SwapVenue)
        bought = await on.trade(BUY, "0.1")
        assert (bought.status, bought.filled_quantity) == (OrderStatus.FILLED, Decimal("0.1"))
        assert await on.client.positions([BTC]) == {BTC: Decimal("0.1")}
        await on.trade(SELL, "0.3")
        assert await on.client.positions([BTC]) == {BTC: Decimal("-0.2")}
        closed = await on.trade(BUY, "0.2", terms=Terms(reduce_only=True))
        assert closed.status is OrderStatus.FILLED
        assert await on.client.positions([BTC]) == {}
        await books(on)
        fills = await on.fills()
        opening = [one for one in fills if one.client_order_id == bought.client_order_id]
        assert {one.realized_pnl for one in opening} == {Decimal(0)}
        assert all(not one.is_maker and one.commission_asset == "USDT" and one.commission > 0 for one in fills)


async def test_what_rests_fills_in_parts_as_its_maker() -> None:
    async with floor() as on:
        price = on.venue.swaps.price_of("BTCUSDT", on.venue.time.now_ms()) - 5
        resting = await on.trade(BUY, "8", str(price), terms=Terms(post_only=True))
        assert resting.status is OrderStatus.OPEN
        seen = set()
        for _step in range(60):
            await on.later(10)
            found = await on.client.find(resting.client_order_id, BTC)
            assert found is not None
            seen.add(found.status)
        assert seen >= {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED}
        assert found.average_price == price
        assert all(one.is_maker for one in await on.fills())
        await books(on)


async def test_what_rests_is_listed_found_by_our_id_and_cancelled_once() -> None:
    async with floor() as on:
        resting = await on.trade(SELL, "0.1", "90000")
        assert [one.client_order_id for one in await on.client.open_orders([BTC, ETH])] == [resting.client_order_id]
        for _time in range(2):
            assert (await on.client.cancel(resting.client_order_id, BTC)).status is OrderStatus.CANCELED
        assert await on.client.open_orders([BTC]) == ()
        with pytest.raises(VenueRefused, match="no order mtnever to cancel"):
            await on.client.cancel("mtnever", BTC)
        assert await on.client.find("mtnever", BTC) is None


async def test_a_cancel_that_comes_after_the_fill_tells_of_the_fill() -> None:
    async with floor() as on:
        price = on.venue.swaps.price_of("BTCUSDT", on.venue.time.now_ms()) - 5
        resting = await on.trade(BUY, "0.1", str(price), terms=Terms(post_only=True))
        await on.later(600)
        late = await on.client.cancel(resting.client_order_id, BTC)
        assert (late.status, late.filled_quantity) == (OrderStatus.FILLED, Decimal("0.1"))
        await books(on)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too little margin": ({"side": BUY, "quantity": "100", "price": "50000"}, "-2019"),
    "nothing to reduce": ({"side": SELL, "quantity": "0.1", "terms": Terms(reduce_only=True)}, "-2022"),
    "too small": ({"side": BUY, "quantity": "0.0001", "price": "50000"}, "-4164"),
    "off the lot": ({"side": BUY, "quantity": "0.00000001"}, "-1111"),
    "off the tick": ({"side": BUY, "quantity": "1", "price": "50000.001"}, "-1111"),
    "would take": ({"side": BUY, "quantity": "0.1", "price": "90000", "terms": Terms(post_only=True)}, "-5022"),
    "not at once": (
        {"side": BUY, "quantity": "0.1", "price": "50000", "terms": Terms(time_in_force=TimeInForce.FOK)},
        "-5021",
    ),
}


async def test_a_refusal_of_the_venue_is_one() -> None:
    async with floor() as on:
        for order, code in REFUSED.values():
            with pytest.raises(VenueRefused, match=rf"^binance: .*\({code}\)"):
                await on.trade(**order)
        assert on.venue.swaps.orders == []


async def test_immediate_or_cancel_ends_without_what_does_not_trade() -> None:
    async with floor() as on:
        ended = await on.trade(BUY, "0.1", "50000", terms=Terms(time_in_force=TimeInForce.IOC))
        assert (ended.status, ended.filled_quantity) == (OrderStatus.EXPIRED, 0)


LATE = {
    "the connection breaks": Fault(kind=FaultKind.DROP, on=PLACE, is_late=True),
    "a page of HTML": Fault(kind=FaultKind.HTML, on=PLACE, is_late=True),
    "503": Fault(kind=FaultKind.STATUS, on=PLACE, is_late=True),
    "429": Fault(kind=FaultKind.RATE_LIMIT, on=PLACE, is_late=True),
    "418": Fault(kind=FaultKind.BAN, on=PLACE, is_late=True),
    "half an answer": Fault(kind=FaultKind.TRUNCATE, on=PLACE),
    "-1007": Fault(kind=FaultKind.ERROR, on=PLACE, status=408, code=-1007, is_late=True),
    "-1006": Fault(kind=FaultKind.ERROR, on=PLACE, status=400, code=-1006, is_late=True),
    "a refusal of a failing server": Fault(kind=FaultKind.ERROR, on=PLACE, status=503, code=-2019, is_late=True),
}


@pytest.mark.filterwarnings("ignore")
async def test_an_order_whose_answer_is_lost_is_no_refusal_and_is_found() -> None:
    async with floor(*LATE.values()) as on:
        for name in LATE:
            ticket = on.ticket(BUY, "0.01")
            with pytest.raises(Exception) as lost:  # noqa: PT011 - whatever it is, it must not be a refusal
                await on.client.place(ticket)
            assert not isinstance(lost.value, VenueRefused), name
            found = await on.client.find(ticket.client_order_id, BTC)
            assert found is not None, name
            assert (found.status, found.filled_quantity) == (OrderStatus.FILLED, Decimal("0.01")), name
            assert on.venue.swaps.asked[ticket.client_order_id] == 1, "one write an attempt"
        assert on.venue.faults.happened == list(LATE.values())
        await books(on)


async def test_an_order_that_comes_after_its_time_is_refused_by_the_venue_itself() -> None:
    async with floor() as on:
        await on.client.now()
        ticket = on.ticket(BUY, "0.1")
        on.venue.time.advance(5.5)
        with pytest.raises(VenueRefused, match=r"-1021|could not be looked at"):
            await on.client.place(ticket)
        assert on.venue.swaps.orders == []


async def test_funding_is_told_once_and_the_cursor_comes_to_rest() -> None:
    async with floor() as on:
        await on.trade(SELL, "0.5")
        cursor, told = "", []
        for _settlement in range(4):
            await on.later(FUNDING_MS / 1000)
            while (page := await on.client.funding(cursor, [BTC])).cursor != cursor:
                told += page.payments
                cursor = page.cursor
            assert page == FundingPage(payments=(), cursor=cursor)
        truth = [one for one in on.venue.swaps.incomes if one.kind == "FUNDING_FEE"]
        assert [(one.payment_id, one.amount) for one in told] == [(str(one.id), one.amount) for one in truth]
        assert {(one.symbol, one.asset) for one in told} == {(BTC, "USDT")}
        assert len(told) == 4
        await books(on)


async def test_fills_are_told_once_over_weeks_whatever_lists_do() -> None:
    lists = "GET /fapi/v1/userTrades"
    faults = [
        Fault(kind=kind, on=lists, after=after) for kind, after in ((FaultKind.REPEAT, 1), (FaultKind.REORDER, 2))
    ]
    async with floor(*faults, Fault(kind=FaultKind.STALE, on=lists, after=6, seconds=3_600)) as on:
        cursor, told = "", []
        for day in range(24):
            await on.trade(BUY if day % 2 else SELL, "0.02", symbol=ETH if day % 3 else BTC)
            await on.later(86_400)
            while (page := await on.client.fills(cursor, [BTC, ETH])).cursor != cursor:
                told += page.fills
                cursor = page.cursor
        keys = [(one.symbol, one.exchange_trade_id) for one in told]
        assert len(keys) == len(set(keys)) == len(on.venue.swaps.executions)
        assert len({number for _, number in keys}) < len(keys), "markets use the same numbers"
        await books(on)


async def test_a_liquidation_comes_as_fills_of_an_order_of_the_venues() -> None:
    async with floor(money=Decimal(500), leverage="100") as on:
        on.venue.swaps.set_leverage("BTCUSDT", 125)
        opened = await on.trade(SELL, "0.5")
        await on.later(9 * 3_600)
        fills = await on.fills()
        forced = [one for one in fills if one.client_order_id != opened.client_order_id]
        assert await on.client.positions([BTC]) == {}
        assert [one.client_order_id[:10] for one in forced] == ["autoclose-"]
        assert forced[0].realized_pnl is not None
        assert forced[0].realized_pnl < 0
        found = await on.client.find(forced[0].client_order_id, BTC)
        assert found is not None
        assert (found.status, found.side) == (OrderStatus.FILLED, BUY)


async def test_the_leverage_of_a_market_is_raised_to_the_accounts_and_never_lowered() -> None:
    async with floor(leverage="24.5") as on:
        on.venue.swaps.set_leverage("ETHUSDT", 50)
        await on.trade(BUY, "0.01")
        await on.trade(BUY, "0.1", symbol=ETH)
        assert on.venue.swaps.leverages == {"BTCUSDT": 25, "ETHUSDT": 50}


UNREADY = {
    "the mode is not told": (Fault(kind=FaultKind.STATUS, on="positionSide/dual", times=0), "could not be looked at"),
    "the settings are not told": (Fault(kind=FaultKind.HTML, on="symbolConfig", times=0), "could not be looked at"),
    "the leverage stays": (
        Fault(kind=FaultKind.ERROR, on="fapi/v1/leverage", status=400, code=-4028, times=0),
        r"-4028",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("fault", "why"), UNREADY.values(), ids=UNREADY)
async def test_no_order_is_sent_where_the_account_cannot_be_made_ready(fault: Fault, why: str) -> None:
    async with floor(fault, leverage="50") as on:
        ticket = on.ticket(BUY, "0.1")
        with pytest.raises(VenueRefused, match=f"no order was sent.*{why}") as refused:
            await on.client.place(ticket)
        assert "signature" not in str(refused.value)
        assert on.venue.swaps.asked[ticket.client_order_id] == 0


async def test_hedge_mode_and_isolated_margin_are_refused_with_the_next_step() -> None:
    async with floor() as on:
        on.venue.swaps.is_hedged = True
        with pytest.raises(VenueRefused, match=r"hedge mode.*choose One-way Mode"):
            await on.trade(BUY, "0.1")
        with pytest.raises(KeysRefused, match=r"hedge mode.*choose One-way Mode"):
            await on.client.check_keys()
        on.venue.swaps.is_hedged = False
        on.venue.swaps.isolated.add("BTCUSDT")
        with pytest.raises(VenueRefused, match=r"isolated.*choose Cross"):
            await on.trade(BUY, "0.1")
        await on.trade(BUY, "0.1", symbol=ETH)
        assert [one.symbol for one in on.venue.swaps.orders] == ["ETHUSDT"]


async def test_hedge_mode_that_is_chosen_later_is_the_venues_to_refuse() -> None:
    async with floor() as on:
        await on.trade(BUY, "0.1")
        on.venue.swaps.is_hedged = True
        with pytest.raises(VenueRefused, match="-4061"):
            await on.trade(BUY, "0.1")


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDC:USDC", "BTC/USD:BTC"])
async def test_only_swaps_that_settle_in_the_accounts_asset_are_traded(symbol: str) -> None:
    async with floor() as on:
        with pytest.raises(VenueRefused, match="no swap that settles in USDT"):
            await on.trade(BUY, "0.1", symbol=symbol)


async def test_a_venue_whose_clock_is_far_ahead_is_traded_at() -> None:
    async with floor(ahead_s=3_600) as on:
        assert (await on.trade(BUY, "0.1")).status is OrderStatus.FILLED
        await books(on)


@pytest.mark.parametrize(
    ("venue", "why"), [("kraken", "found for certain"), ("coinbase", "funding"), ("gate", "not known")]
)
def test_venues_where_swaps_cannot_be_traded_are_refused_with_the_reason(venue: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{why}.*; an account for swaps can be at binance, bybit, okx"):
        CcxtSwapVenue.rules_of(venue)
