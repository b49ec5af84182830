"""An unmodified ccxt client trades swaps at the simulated venue: orders, positions, wallets, settings, funding."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.exchanges.ccxt_library import errors, venue_class
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.markets import FUNDING_MS
from mastertrade.exchanges.simulated.private import Keys

START_MS = 1_767_614_400_000
KEYS = Keys(api_key="a key", secret="a secret")
BTC = "BTC/USDT:USDT"


@asynccontextmanager
async def client_at_a_venue(*faults: Fault, money: int = 100_000) -> AsyncIterator[tuple[SimulatedVenue, Any]]:
    markets = [simulated_market(symbol, seed=1, from_ms=START_MS - 86_400_000) for symbol in ("BTC/USDT", "ETH/USDT")]
    time = VenueTime(START_MS, speed=0)
    cash = {"USDT": Decimal(money)}
    async with SimulatedVenue(markets, time=time, faults=FaultScript(faults), money=cash, keys=KEYS) as venue:
        client = venue_class("binance")(
            {**venue.client_options(), "apiKey": KEYS.api_key, "secret": KEYS.secret, "enableRateLimit": False}
        )
        client.options["defaultType"] = "swap"
        client.nonce = time.now_ms
        try:
            yield venue, client
        finally:
            await client.close()


async def test_a_ccxt_client_opens_turns_and_closes_a_position() -> None:
    async with client_at_a_venue() as (venue, client):
        await client.set_leverage(5, BTC)
        bought = await client.create_order(BTC, "market", "buy", 0.1, None, {"clientOrderId": "mine"})
        assert (bought["status"], bought["filled"], bought["clientOrderId"]) == ("closed", 0.1, "mine")
        (position,) = await client.fetch_positions([BTC])
        assert (position["side"], position["contracts"], position["leverage"]) == ("long", 0.1, 5)
        await client.create_order(BTC, "market", "sell", 0.3)
        (position,) = await client.fetch_positions()
        assert (position["side"], position["contracts"]) == ("short", 0.2)
        await client.create_order(BTC, "market", "buy", 0.2, None, {"reduceOnly": True})
        assert await client.fetch_positions() == []
        trades = await client.fetch_my_trades(BTC)
        assert sorted(trade["amount"] for trade in trades) == sorted(
            float(one.quantity) for one in venue.swaps.executions
        )
        paid = sum(Decimal(trade["info"]["realizedPnl"]) - Decimal(trade["info"]["commission"]) for trade in trades)
        balance = (await client.fetch_balance())["USDT"]["total"]
        assert balance == float(venue.swaps.wallet("USDT")) == float(100_000 + paid)


async def test_a_ccxt_client_finds_and_cancels_what_rests() -> None:
    async with client_at_a_venue() as (_, client):
        order = await client.create_order(
            BTC, "limit", "sell", 0.1, 90_000, {"clientOrderId": "mine", "postOnly": True}
        )
        assert [one["id"] for one in await client.fetch_open_orders(BTC)] == [order["id"]]
        found = await client.fetch_order(None, BTC, {"clientOrderId": "mine"})
        assert (found["status"], found["price"], found["amount"], found["timeInForce"]) == ("open", 90_000, 0.1, "PO")
        assert (await client.cancel_order(None, BTC, {"clientOrderId": "mine"}))["status"] == "canceled"
        with pytest.raises(errors().BaseError, match="-2011"):
            await client.cancel_order(order["id"], BTC)
        with pytest.raises(errors().BaseError, match="-2013"):
            await client.fetch_order(None, BTC, {"clientOrderId": "another"})


async def test_a_ccxt_client_hears_the_venues_own_reasons() -> None:
    async with client_at_a_venue() as (_, client):
        await client.set_leverage(1, BTC)
        with pytest.raises(errors().BaseError, match="-2019"):
            await client.create_order(BTC, "limit", "buy", 10, 50_000)
        with pytest.raises(errors().BaseError, match="-2022"):
            await client.create_order(BTC, "market", "sell", 0.1, None, {"reduceOnly": True})
        with pytest.raises(errors().BaseError, match="-4164"):
            await client.create_order(BTC, "limit", "buy", 0.0001, 50_000)
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode())["hedged"]
        with pytest.raises(errors().BaseError, match="-4061"):
            await client.create_order(BTC, "market", "buy", 0.1)


async def test_a_ccxt_client_reads_what_funding_cost() -> None:
    async with client_at_a_venue() as (venue, client):
        await client.create_order(BTC, "market", "sell", 0.5)
        await venue.advance(FUNDING_MS / 1000)
        (paid,) = await client.fetch_funding_history(BTC)
        market = venue.markets["BTCUSDT"]
        expected = 0.5 * market.price(paid["timestamp"]) * market.funding(paid["timestamp"])
        assert (paid["code"], paid["timestamp"] % FUNDING_MS) == ("USDT", 0)
        assert paid["amount"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(FaultKind.REPEAT, [1, 1, 2, 2]), (FaultKind.REORDER, [2, 1]), (FaultKind.SKIP, [1]), (FaultKind.STALE, [])],
)
async def test_a_list_comes_as_the_fault_script_wants_it(kind: FaultKind, expected: list[int]) -> None:
    async with client_at_a_venue(Fault(kind=kind, on="GET /fapi/v1/userTrades", seconds=60)) as (_, client):
        for _number in range(2):
            await client.create_order(BTC, "market", "buy", 0.01)
        rows = await client.fapiPrivateGetUserTrades({"symbol": "BTCUSDT"})
        assert [int(row["id"]) for row in rows] == expected
        rows = await client.fapiPrivateGetUserTrades({"symbol": "BTCUSDT"})
        assert [int(row["id"]) for row in rows] == [1, 2]


async def test_an_error_of_the_venues_own_comes_on_command_after_the_order_was_taken() -> None:
    late = Fault(kind=FaultKind.ERROR, on="POST /fapi/v1/order", status=408, code=-1007, is_late=True)
    async with client_at_a_venue(late) as (venue, client):
        with pytest.raises(errors().BaseError, match="-1007"):
            await client.create_order(BTC, "market", "buy", 0.1)
        assert [one.status for one in venue.swaps.orders] == ["FILLED"]
