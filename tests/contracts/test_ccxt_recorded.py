"""Recorded answers of real venues through the real client: fills, orders and balances, exact to the last digit."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.ccxt_rules import THEIRS, Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import VenueRefused
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConfigurationError, DependencyDown
from tests.contracts.answering_venue import START, START_MS, Asked, booth, recorded
from tests.contracts.venue_answers import BYBIT, BYBIT_PAIR, KRAKEN, KRAKEN_PAIR, OKX, bybit_answer, okx_answer

D = Decimal


def with_ethereum() -> dict[str, Any]:
    eth = {**BYBIT_PAIR, "symbol": "ETHUSDT", "baseCoin": "ETH"}
    return {**BYBIT.base, "GET /v5/market/instruments-info": bybit_answer(category="spot", list=[BYBIT_PAIR, eth])}


async def test_bybits_executions_are_fills_of_the_orders_they_name(real_data: Path) -> None:
    """With their times moved to the minutes before the test's own; Bybit tells those of two years."""
    told = recorded(real_data, "bybit/http_get_executions")
    for number, one in enumerate(told["result"]["list"]):
        one["execTime"] = str(START_MS - 60_000 + number)
    pages = {"": told, unquote(told["result"]["nextPageCursor"]): bybit_answer(list=[], nextPageCursor="")}

    def page(asked: Asked) -> Any:
        return pages[asked.given.get("cursor", "")]

    async with booth("bybit", BYBIT.credentials, {**with_ethereum(), "/v5/execution/list": page}) as on:
        found = await on.client.fills(json.dumps({"": START_MS - 3_600_000}), [])
        first, second = found.fills
        assert (first.client_order_id, first.exchange_trade_id) == (
            "test-order-001", "e0cbe81d-0f18-5866-9415-cf319b5dab3b",
        )  # fmt: skip
        assert (first.symbol, first.side, first.quantity, first.price) == ("BTC/USDT", Side.BUY, D("0.1"), D(50_000))
        assert (first.commission, first.commission_asset, first.is_maker) == (D("0.0150"), "USDT", True)
        assert (second.symbol, second.side, second.is_maker) == ("ETH/USDT", Side.SELL, False)
        assert first.trade_time == START - timedelta(minutes=1)
        again = await on.client.fills(found.cursor, [])
        assert again.fills == (), "told once"
        spans = [
            (int(one.given["startTime"]), int(one.given.get("endTime", 0))) for one in on.venue.of("/execution/list")
        ]
        assert all(end == 0 or 0 < end - start <= 7 * 86_400_000 for start, end in spans)


async def test_bybits_orders_of_every_kind_are_read(real_data: Path) -> None:
    resting = recorded(real_data, "bybit/http_get_orders_realtime")
    rejected = recorded(real_data, "bybit/http_get_order_partially_filled_rejected")
    ended = recorded(real_data, "bybit/http_get_orders_history")
    answers = {**with_ethereum(), "GET /v5/order/realtime": resting}
    async with booth("bybit", BYBIT.credentials, answers) as on:
        orders = await on.client.open_orders(["ETH/USDT"])
        assert [one.client_order_id for one in orders] == ["client-open-1", "client-open-2"]
        assert (orders[0].side, orders[0].quantity, orders[0].limit_price, orders[0].status) == (
            Side.BUY, D("0.010"), D("3930.41"), OrderStatus.OPEN,
        )  # fmt: skip
        assert await on.client.open_orders(["BTC/USDT"]) == ()
        on.venue.answers["GET /v5/order/realtime"] = bybit_answer(list=[])
        on.venue.answers["GET /v5/order/history"] = ended
        gone = await on.client.find("client-1", "BTC/USDT")
        assert gone is not None
        assert (gone.status, gone.quantity, gone.filled_quantity) == (OrderStatus.CANCELED, D("0.010"), 0)
        assert gone.average_price is None
        with pytest.raises(DependencyDown, match="told others"):
            await on.client.find("another", "BTC/USDT")
        on.venue.answers["GET /v5/order/history"] = rejected
        part = await on.client.find("O-20251001-164609-APEX-000-49", "BTC/USDT")
        assert part is not None
        assert (part.status, part.filled_quantity) == (OrderStatus.REJECTED, D("0.005"))
        assert part.average_price == D(30000)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("http_get_wallet_balance", {"USDT": D("1000.50")}),
        ("http_get_wallet_balance_spot_short", {"USDT": D("2500.00")}),
    ],
)
async def test_bybits_balances_are_what_the_wallet_holds(real_data: Path, name: str, held: dict[str, Decimal]) -> None:
    answers = {**BYBIT.base, BYBIT.balance_path: recorded(real_data, f"bybit/{name}")}
    async with booth("bybit", BYBIT.credentials, answers) as on:
        assert await on.client.balances() == held


async def test_bybit_has_nothing_to_cancel_of_an_order_that_has_ended(real_data: Path) -> None:
    ended = recorded(real_data, "bybit/http_get_orders_history")
    refused = {"retCode": 170213, "retMsg": "Order does not exist.", "result": {}}
    answers = {**BYBIT.base, "/v5/order/cancel": refused, "GET /v5/order/history": ended}
    async with booth("bybit", BYBIT.credentials, answers) as on:
        assert (await on.client.cancel("client-1", "BTC/USDT")).status is OrderStatus.CANCELED
        (asked,) = on.venue.of("/v5/order/cancel")
        assert (asked.given["orderLinkId"], asked.given["category"]) == ("client-1", "spot")


async def test_krakens_trades_are_fills_and_those_of_others_have_no_id_of_ours(real_data: Path) -> None:
    pairs = {
        "error": [],
        "result": {
            "XBTUSDT": KRAKEN_PAIR,
            "ETHUSDT": {**KRAKEN_PAIR, "altname": "ETHUSDT", "wsname": "ETH/USDT", "base": "XETH", "pair_decimals": 2},
        },
    }
    answers = {
        **KRAKEN.base,
        "GET /0/public/AssetPairs": pairs,
        "/0/private/TradesHistory": recorded(real_data, "kraken/http_trades_history"),
        "/0/private/QueryOrders": {"error": [], "result": {}},
        "/0/private/OpenOrders": recorded(real_data, "kraken/http_open_orders"),
        "/0/private/BalanceEx": {"error": [], "result": {"XXBT": {"balance": "0.5000000001", "hold_trade": "0.1"}}},
    }
    async with booth("kraken", KRAKEN.credentials, answers) as on:
        first, second = (await on.client.fills("", [])).fills
        assert (first.symbol, first.side, first.quantity, first.price) == (
            "BTC/USDT",
            Side.BUY,
            D("0.5"),
            D("29500.50"),
        )
        assert (first.commission, first.commission_asset, first.is_maker) == (D("23.60"), "USDT", True)
        assert first.client_order_id == f"{THEIRS}O26VBY-ISGAE-JP5TLU"
        assert (second.symbol, second.side, second.price) == ("ETH/USDT", Side.SELL, D("1799.75"))
        (order,) = await on.client.open_orders(["BTC/USDT"])
        assert (order.exchange_order_id, order.quantity, order.limit_price) == (
            "O26VBY-ISGAE-JP5TLU", D("0.5"), D("29500.0"),
        )  # fmt: skip
        assert await on.client.balances() == {"BTC": D("0.5000000001")}


async def test_okx_fills_are_exact_and_a_rebate_is_less_than_no_fee(real_data: Path) -> None:
    """A recorded one with its time moved, and another whose fee was taken."""
    told = {**recorded(real_data, "okx/http_transaction_detail"), "ts": str(START_MS - 60_000)}
    taken = {**told, "tradeId": "2", "billId": "bill_1", "fee": "-0.000001", "feeCcy": "BTC", "execType": "M"}
    answers = {**OKX.base, "GET /api/v5/trade/fills": okx_answer(told, taken)}
    async with booth("okx", OKX.credentials, answers) as on:
        found = await on.client.fills(json.dumps({"": START_MS - 3_600_000}), [])
        first, second = sorted(found.fills, key=lambda fill: -len(fill.exchange_trade_id))
        assert (first.client_order_id, first.exchange_order_id, first.exchange_trade_id) == (
            "client_123", "987654321", "123456789",
        )  # fmt: skip
        assert (first.symbol, first.side, first.quantity, first.price) == (
            "BTC/USDT", Side.BUY, D("0.001"), D("42000.5"),
        )  # fmt: skip
        assert (first.commission, first.commission_asset, first.is_maker) == (D("-0.042"), "USDT", False)
        assert (second.commission, second.commission_asset, second.is_maker) == (D("0.000001"), "BTC", True)
        assert (await on.client.fills(found.cursor, [])).fills == (), "told once"


async def test_okx_orders_and_balances_are_read(real_data: Path) -> None:
    (filled,) = recorded(real_data, "okx/http_get_orders_history")["data"]
    spot = {**filled, "instId": "BTC-USDT", "instType": "SPOT", "clOrdId": "mt1", "tdMode": "cash"}
    resting = {**spot, "ordType": "limit", "px": "99000.1", "state": "partially_filled", "accFillSz": "0.01"}
    answers = {
        **OKX.base,
        "GET /api/v5/trade/order": okx_answer(spot),
        "GET /api/v5/trade/orders-pending": okx_answer(resting),
        OKX.balance_path: recorded(real_data, "okx/http_get_account_balance"),
    }
    async with booth("okx", OKX.credentials, answers) as on:
        found = await on.client.find("mt1", "BTC/USDT")
        assert found is not None
        assert (found.status, found.quantity, found.filled_quantity, found.side) == (
            OrderStatus.FILLED, D("0.03"), D("0.03"), Side.BUY,
        )  # fmt: skip
        assert found.average_price == D("103698.9")
        (order,) = await on.client.open_orders(["BTC/USDT"])
        assert (order.status, order.filled_quantity, order.limit_price) == (
            OrderStatus.PARTIALLY_FILLED, D("0.01"), D("99000.1"),
        )  # fmt: skip
        assert await on.client.balances() == {"USDT": D("94.42612990333333")}


async def test_a_cancel_at_okx_that_comes_too_late_is_no_error() -> None:
    refused = {"code": "1", "msg": "", "data": [{"sCode": "51402", "sMsg": "already completed"}]}
    answers = {**OKX.base, "/api/v5/trade/cancel-order": refused}
    async with booth("okx", OKX.credentials, answers) as on:
        with pytest.raises(VenueRefused, match="there is no order mt1 to cancel"):
            await on.client.cancel("mt1", "BTC/USDT")
        (asked,) = on.venue.of("/cancel-order")
        assert asked.given["clOrdId"] == "mt1"


def test_okx_needs_its_passphrase() -> None:
    with pytest.raises(ConfigurationError, match="passphrase"):
        CcxtVenue("okx", Credentials(api_key="a", secret="b"), clock=ReplayClock(START))


async def test_no_question_about_fills_is_longer_than_the_venue_answers_for() -> None:
    """After a month of absence; at OKX the list of the last days is asked for all that it has."""
    month = START_MS - 30 * 86_400_000
    answers = {**BYBIT.base, "/v5/execution/list": bybit_answer(list=[], nextPageCursor="")}
    async with booth("bybit", BYBIT.credentials, answers) as on:
        cursor, before = json.dumps({"": month}), ""
        while cursor != before:
            before, cursor = cursor, (await on.client.fills(cursor, [])).cursor
        asked = [one.given for one in on.venue.of("/execution/list")]
        spans = [int(one.get("endTime", START_MS)) - int(one["startTime"]) for one in asked]
        assert len(spans) > 4
        assert max(spans) <= 7 * 86_400_000
    answers = {**OKX.base, "/trade/fills": okx_answer(), "/trade/fills-history": okx_answer()}
    async with booth("okx", OKX.credentials, answers) as on:
        cursor, before = json.dumps({"": month}), ""
        while cursor != before:
            before, cursor = cursor, (await on.client.fills(cursor, [])).cursor
        late = [int(one.given.get("end", START_MS)) for one in on.venue.of("/trade/fills-history")]
        assert late
        assert max(late) < START_MS - 40 * 3_600_000, "what is younger is asked of the list that is told at once"


async def test_a_list_without_end_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastertrade.exchanges.ccxt_bybit.MOST_PAGES", 3)
    order = {"symbol": "BTCUSDT", "orderId": "1", "side": "Buy", "qty": "1", "orderStatus": "New"}
    answers = {**BYBIT.base, "GET /v5/order/realtime": bybit_answer(list=[order], nextPageCursor="more")}
    async with booth("bybit", BYBIT.credentials, answers) as on:
        with pytest.raises(DependencyDown, match="more than 3 pages"):
            await on.client.open_orders(["BTC/USDT"])
