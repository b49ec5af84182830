"""The account's own stream of each venue through ccxt: from the words of its documents to names of orders."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import AccountNews, Listening
from mastertrade.exchanges.market_feed import FeedDown
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.matching import Resting
from mastertrade.exchanges.simulated.private import KEYS_FOR_EVERYBODY
from mastertrade.shared.clock import SystemClock
from tests.contracts.answering_venue import OUR_ID, booth
from tests.contracts.venue_answers import UUID_OF_OURS, WORDINGS, Wording

PATIENCE_S = 15.0
NUMBER = "7001"

BYBIT_ORDER = {
    "symbol": "BTCUSDT", "orderId": NUMBER, "orderLinkId": OUR_ID, "side": "Buy", "orderType": "Limit",
    "price": "29500", "qty": "0.5", "timeInForce": "GTC", "category": "spot", "createdTime": "1672364262444",
    "updatedTime": "1672364262457", "cumExecValue": "0", "cumExecFee": "0", "leavesQty": "0.5",
}  # fmt: skip
OKX_ORDER = {
    "instType": "SPOT", "instId": "BTC-USDT", "ordId": NUMBER, "clOrdId": OUR_ID, "side": "buy", "ordType": "limit",
    "px": "29500", "sz": "0.5", "cTime": "1634548275191", "uTime": "1634548275191", "fee": "0", "feeCcy": "BTC",
    "avgPx": "", "category": "normal", "tdMode": "cash", "fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": "",
    "execType": "", "fillFee": "0", "fillFeeCcy": "",
}  # fmt: skip
KRAKEN_ORDER = {
    "order_id": NUMBER, "cl_ord_id": UUID_OF_OURS, "symbol": "BTC/USDT", "side": "buy", "order_type": "limit",
    "order_qty": 0.5, "limit_price": 29500.0, "time_in_force": "GTC", "timestamp": "2023-09-22T10:33:05.709950Z",
}  # fmt: skip
COINBASE_ORDER = {
    "order_id": NUMBER, "client_order_id": OUR_ID, "product_id": "BTC-USD", "order_side": "BUY", "order_type": "Limit",
    "avg_price": "0", "total_fees": "0", "creation_time": "2022-12-07T19:42:18.719312Z",
}  # fmt: skip
TOLD: dict[str, tuple[Any, list[Any]]] = {
    "bybit": (
        {"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "c"},
        [
            {"topic": "order", "creationTime": 1, "data": [BYBIT_ORDER | {"orderStatus": status, "cumExecQty": filled}]}
            for status, filled in (("New", "0"), ("PartiallyFilled", "0.2"), ("PartiallyFilledCanceled", "0.2"))
        ],
    ),
    "okx": (
        {"event": "subscribe", "arg": {"channel": "orders", "instType": "ANY"}, "connId": "c"},
        [
            {"arg": {"channel": "orders", "instType": "ANY"}, "data": [OKX_ORDER | more]}
            for more in (
                {"state": "live", "accFillSz": "0"},
                {"state": "partially_filled", "accFillSz": "0.2", "tradeId": "9", "fillSz": "0.2", "fillPx": "29500",
                 "fillTime": "1634548275191", "execType": "M"},
                {"state": "canceled", "accFillSz": "0.2"},
            )
        ],
    ),
    "kraken": (
        {"method": "subscribe", "success": True, "result": {"channel": "executions"}, "req_id": 1},
        [
            {"channel": "executions", "type": "update", "sequence": place, "data": [KRAKEN_ORDER | more]}
            for place, more in enumerate((
                {"exec_type": "new", "order_status": "new"},
                {"exec_type": "trade", "order_status": "partially_filled", "exec_id": "TX", "trade_id": 9,
                 "cost": 5900.0, "last_qty": 0.2,
                 "last_price": 29500.0, "liquidity_ind": "m", "fees": [{"asset": "USDT", "qty": 1.0}]},
                {"exec_type": "canceled", "order_status": "canceled"},
            ))
        ],
    ),
    "coinbase": (
        {"channel": "subscriptions", "sequence_num": 0, "events": [{"subscriptions": {"user": ["id"]}}]},
        [
            {"channel": "user", "sequence_num": 1, "timestamp": "2023-02-09T20:33:57Z", "events": [
                {"type": "update", "orders": [COINBASE_ORDER | more]}]}
            for more in (
                {"status": "OPEN", "cumulative_quantity": "0", "leaves_quantity": "0.5"},
                {"status": "OPEN", "cumulative_quantity": "0.2", "leaves_quantity": "0.3"},
                {"status": "CANCELLED", "cumulative_quantity": "0.2", "leaves_quantity": "0"},
            )
        ],
    ),
}  # fmt: skip


def speaker(name: str, said: Sequence[Any]) -> Any:
    """Logs everybody in, and after a subscription says the rest at once."""
    confirmed = TOLD[name][0]

    def talk(text: str) -> Sequence[Any]:
        asked = json.loads(text) if text.startswith("{") else {}
        if asked.get("op") in ("auth", "login"):
            return [
                {"success": True, "ret_msg": "", "op": "auth"} if name == "bybit" else {"event": "login", "code": "0"}
            ]
        is_asked = "subscribe" in (asked.get("op"), asked.get("method"), asked.get("type"))
        return [confirmed, *said] if is_asked else []

    return talk


async def until(stream: AsyncIterator[Listening | AccountNews], done: Any) -> list[AccountNews]:
    """The news until they suffice; the first word is that it listens."""
    found: list[AccountNews] = []
    async with asyncio.timeout(PATIENCE_S):
        assert await anext(stream) == Listening()
        async for one in stream:
            assert isinstance(one, AccountNews)
            found.append(one)
            if done(found):
                return found
    return found


TOKENS = {"/0/private/GetWebSocketsToken": {"error": [], "result": {"token": "t", "expires": 900}}}


@asynccontextmanager
async def listening_to(said: Wording, talk: Any) -> AsyncIterator[AsyncIterator[Listening | AccountNews]]:
    answers = {**said.base, **TOKENS}
    async with booth(said.name, said.credentials, answers, talk) as on, aclosing(on.client.watch_account()) as stream:
        yield stream


async def end_of(stream: AsyncIterator[Listening | AccountNews], then: Any = None) -> None:
    """Raises what it ends with. ``then`` happens when it listens."""
    async with asyncio.timeout(PATIENCE_S):
        async for one in stream:
            if one == Listening() and then is not None:
                then()


@pytest.mark.parametrize("said", [WORDINGS[name] for name in TOLD], ids=list(TOLD))
async def test_what_becomes_of_an_order_is_told_in_our_words_at_each_venue(said: Wording) -> None:
    talk = speaker(said.name, TOLD[said.name][1])
    async with listening_to(said, talk) as stream:
        news = await until(stream, lambda found: found[-1].is_over)
    assert {(one.symbol, one.exchange_order_id) for one in news} == {(said.symbol, NUMBER)}
    assert {one.client_order_id for one in news} - {""} == {OUR_ID}
    assert [one.has_traded for one in news][:2] == [False, True]
    assert "9" in {one.exchange_trade_id for one in news} or said.name in ("bybit", "kraken", "coinbase")


@pytest.mark.parametrize("said", [WORDINGS[name] for name in TOLD], ids=list(TOLD))
async def test_a_message_that_is_cut_ends_the_stream_instead_of_making_it_deaf(said: Wording) -> None:
    whole = json.dumps(TOLD[said.name][1][0])
    talk = speaker(said.name, [whole[: len(whole) // 2]])
    async with listening_to(said, talk) as stream:
        with pytest.raises(FeedDown, match="not understood"):
            await until(stream, lambda found: False)


START_MS = 1_700_000_060_000


@asynccontextmanager
async def trading(*faults: Fault) -> AsyncIterator[tuple[SimulatedVenue, CcxtVenue]]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 86_400_000)
    keys = KEYS_FOR_EVERYBODY
    async with SimulatedVenue(
        [market], time=VenueTime(), faults=FaultScript(faults), keys=keys,
        money={"USDT": Decimal(1_000_000), "BTC": Decimal(5)},
    ) as venue:  # fmt: skip
        client = CcxtVenue(
            "binance", Credentials(api_key=keys.api_key, secret=keys.secret), clock=SystemClock(), url=venue.url
        )
        try:
            yield venue, client
        finally:
            await client.close()


def buy(venue: SimulatedVenue, quantity: str, price: str | None = None, name: str = "hand") -> Resting:
    return venue.account.place(
        symbol="BTCUSDT", side="BUY", type="MARKET" if price is None else "LIMIT", quantity=Decimal(quantity),
        price=None if price is None else Decimal(price), client_id=name, now_ms=venue.time.now_ms(),
    )  # fmt: skip


async def test_the_simulated_venue_tells_trades_and_ends_within_a_tenth_of_a_second() -> None:
    loop = asyncio.get_running_loop()
    async with trading() as (venue, client), aclosing(client.watch_account()) as stream:
        assert await anext(stream) == Listening()
        top = venue.markets["BTCUSDT"].book(venue.time.now_ms()).asks[0][1]
        at = loop.time()
        order = buy(venue, f"{top + 0.5:.3f}")  # more than the best offer has: several trades
        news = [await anext(stream)]
        assert loop.time() - at < 0.1
        while not (news[-1].has_traded and news[-1].exchange_trade_id == str(venue.account.executions[-1].id)):
            news.append(await anext(stream))
        resting = buy(venue, "0.01", "10000", "rests")
        venue.account.cancel("BTCUSDT", now_ms=venue.time.now_ms(), id=resting.id)
        while not (news[-1].is_over and news[-1].client_order_id == "rests"):
            news.append(await anext(stream))
    traded = [one.exchange_trade_id for one in news if one.exchange_trade_id]
    assert len(traded) > 1
    assert traded == [str(one.id) for one in venue.account.executions]
    assert (news[0].symbol, news[0].exchange_order_id, news[0].client_order_id) == ("BTC/USDT", str(order.id), "hand")
    assert (news[-1].exchange_order_id, news[-1].client_order_id) == (str(resting.id), "rests")


async def test_fills_of_one_market_are_asked_for_alone_and_the_cursor_serves_both() -> None:
    async with trading() as (venue, client):
        buy(venue, "0.01")
        first = await client.fills_of("", ["BTC/USDT"])
        before = len(venue.account.executions)
        buy(venue, "0.01")
        second = await client.fills(first.cursor, [])
        told = [fill.exchange_trade_id for fill in (*first.fills, *second.fills)]
        assert len(first.fills) == before > 0
        assert told == [str(one.id) for one in venue.account.executions]
        assert (await client.fills_of(first.cursor, [])).fills == ()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind=FaultKind.EXPIRE, on="executionReport"), "the venue ended"),
        (Fault(kind=FaultKind.TRUNCATE, on="executionReport"), "not understood"),
        (Fault(kind=FaultKind.DROP, on="executionReport"), "stream ended: NetworkError"),
        (Fault(kind=FaultKind.STATUS, on="/ws-api/v3"), "stream ended: NetworkError"),
    ],
    ids=lambda one: one.kind.value if isinstance(one, Fault) else "",
)  # fmt: skip
async def test_a_stream_that_is_over_says_so(fault: Fault, why: str) -> None:
    async with trading(fault) as (venue, client), aclosing(client.watch_account()) as stream:
        with pytest.raises(FeedDown, match=why):
            await end_of(stream, lambda: buy(venue, "0.01"))
        assert venue.faults.happened == [fault]


async def test_wrong_keys_end_the_stream_and_are_not_in_its_error() -> None:
    async with trading() as (venue, _):
        client = CcxtVenue(
            "binance",
            Credentials(api_key=KEYS_FOR_EVERYBODY.api_key, secret="another-secret-altogether"),
            clock=SystemClock(),
            url=venue.url,
        )
        try:
            with pytest.raises(FeedDown) as raised:
                await end_of(client.watch_account(), lambda: pytest.fail("it listens"))
        finally:
            await client.close()
        assert "secret" not in str(raised.value)
        assert venue.user_streams is not None
        assert venue.user_streams.subscriptions_made == 0


async def test_a_stream_that_is_left_closes_its_connection() -> None:
    async with trading() as (venue, client):
        async with aclosing(client.watch_account()) as stream:
            assert await anext(stream) == Listening()
        assert venue.user_streams is not None
        await asyncio.sleep(0.05)
        assert not venue.user_streams._open
