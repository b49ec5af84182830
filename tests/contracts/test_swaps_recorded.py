"""Recorded answers of real venues of swaps through the real client: positions, orders, fills and wallets, in units of
the base asset and exact to the last digit."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.exchange import StreamingVenue, VenueRefused
from tests.contracts.answering_venue import START_MS, Answer, Asked, booth, recorded, ticket
from tests.contracts.swap_answers import BINANCE_SWAPS, BYBIT_SWAPS, OKX_SWAPS
from tests.contracts.venue_answers import Wording, bybit_answer, okx_answer

D = Decimal
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def at(said: Wording, answers: Mapping[str, Answer]) -> Any:
    return booth(said.name, said.credentials, {**said.base, said.place: said.taken, **answers}, settle="USDT")


async def test_binances_wallet_position_and_order_are_read(real_data: Path) -> None:
    folder = "binance/futures/http_json"
    answers = {
        "GET /fapi/v3/balance": recorded(real_data, f"{folder}/balance"),
        "GET /fapi/v3/positionRisk": recorded(real_data, f"{folder}/position_risk"),
        "GET /fapi/v1/order": recorded(real_data, f"{folder}/order_response"),
    }
    async with at(BINANCE_SWAPS, answers) as on:
        assert isinstance(on.client, CcxtSwapVenue)
        assert not isinstance(on.client, StreamingVenue), "the stream there is tells of coins"
        assert await on.client.balances() == {"USDT": D("122.12345678")}
        assert await on.client.positions([]) == {BTC: D("0.001")}
        order = await on.client.find("testOrder123", BTC)
        assert order is not None
        assert (order.status, order.side, order.quantity, order.limit_price) == (
            OrderStatus.OPEN, Side.BUY, D("0.001"), D(50_000),
        )  # fmt: skip


async def test_bybits_markets_positions_orders_fills_and_wallet_are_read(real_data: Path) -> None:
    fills = recorded(real_data, "bybit/http_get_executions")
    for number, one in enumerate(fills["result"]["list"]):
        one["execTime"] = str(START_MS - 60_000 + number)

    def page(asked: Asked) -> Any:
        return bybit_answer(list=[], nextPageCursor="") if asked.given.get("cursor") else fills

    answers: dict[str, Answer] = {
        "GET /v5/market/instruments-info": recorded(real_data, "bybit/http_get_instruments_linear"),
        "GET /v5/account/info": recorded(real_data, "bybit/http_get_account_info"),
        "GET /v5/position/list": recorded(real_data, "bybit/http_get_positions"),
        "GET /v5/execution/list": page,
        "GET /v5/order/history": recorded(real_data, "bybit/http_get_orders_history"),
        "GET /v5/account/wallet-balance": recorded(real_data, "bybit/http_get_wallet_balance"),
    }
    async with at(BYBIT_SWAPS, answers) as on:
        client = on.client
        assert isinstance(client, CcxtSwapVenue)
        assert await client.positions([]) == {BTC: D("0.5"), ETH: D("-5.0")}
        first, second = (await client.fills(json.dumps({"": START_MS - 3_600_000}), [])).fills
        assert (first.symbol, first.side, first.quantity, first.price) == (BTC, Side.BUY, D("0.1"), D(50_000))
        assert (first.commission, first.commission_asset, first.is_maker) == (D("0.0150"), "USDT", True)
        assert (second.symbol, second.side, second.quantity, second.commission) == (ETH, Side.SELL, D("0.5"), D("0.9"))
        order = await client.find("client-1", BTC)
        assert order is not None
        assert (order.status, order.filled_quantity, order.limit_price) == (OrderStatus.CANCELED, 0, D(30_000))
        assert await client.balances() == {"USDT": D("1000.50")}
        await client.place(ticket(BTC, quantity=D("0.001")))
        assert on.venue.of("/v5/position/set-leverage") == [], "it is 10 there"


async def test_okxs_contracts_are_read_in_base_units(real_data: Path) -> None:
    (order,) = recorded(real_data, "okx/http_get_orders_history")["data"]
    order["clOrdId"] = "client-order-0"
    answers = {
        "GET /api/v5/public/instruments": recorded(real_data, "okx/http_get_instruments_swap"),
        "GET /api/v5/account/positions": recorded(real_data, "okx/http_get_positions"),
        "GET /api/v5/account/balance": recorded(real_data, "okx/http_get_account_balance"),
        "GET /api/v5/trade/order": okx_answer(order),
        "GET /api/v5/trade/orders-pending": recorded(real_data, "okx/http_get_orders_pending"),
    }
    async with at(OKX_SWAPS, answers) as on:
        client = on.client
        assert isinstance(client, CcxtSwapVenue)
        assert await client.positions([]) == {BTC: D("0.005")}, "half a contract of 0.01 BTC"
        assert await client.balances() == {"USDT": D("94.42612990333333")}
        found = await client.find("client-order-0", BTC)
        assert found is not None
        assert (found.status, found.quantity, found.filled_quantity, found.average_price) == (
            OrderStatus.FILLED, D("0.0003"), D("0.0003"), D("103698.9"),
        )  # fmt: skip
        first, *_ = await client.open_orders([BTC, ETH])
        assert (first.client_order_id, first.quantity, first.limit_price) == ("client-order-1", D("0.001"), D(103_500))
        with pytest.raises(VenueRefused, match="in steps of"):
            await client.place(ticket(BTC, quantity=D("0.00005")))
        await client.place(ticket(BTC, quantity=D("0.0123")))
        (asked,) = on.venue.of("POST /api/v5/trade/order")
        assert asked.given["sz"] == "1.23"
