"""The streams of the venue on this machine, watched by ccxt and read as they are."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market

NOW_MS = 1_700_000_060_000  # 20 seconds into a minute


@asynccontextmanager
async def standing_venue(*faults: Fault, **options: Any) -> AsyncIterator[SimulatedVenue]:
    """Time moves when the test says so."""
    market = simulated_market("BTC/USDT", seed=1, from_ms=NOW_MS - 86_400_000)
    script, time = FaultScript(faults), VenueTime(NOW_MS, speed=0)
    async with SimulatedVenue([market], time=time, faults=script, **options) as venue:
        yield venue


@asynccontextmanager
async def subscribed(venue: SimulatedVenue, *names: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{venue.url}/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": list(names), "id": 1})
        assert await socket.receive_json() == {"result": None, "id": 1}
        yield socket


async def received(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """What has come so far; the answer to a question of ours marks the end."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 99})
    found = []
    while (message := await asyncio.wait_for(socket.receive_json(), 5)).get("id") != 99:
        found.append(message)
    return found


async def test_streams_tell_the_trades_and_candles_that_http_tells() -> None:
    async with standing_venue() as venue, subscribed(venue, "btcusdt@kline_1m", "btcusdt@trade") as socket:
        await venue.advance(100)
        messages = await received(socket)
        trades = [message for message in messages if message["e"] == "trade"]
        closed = [message["k"] for message in messages if message["e"] == "kline" and message["k"]["x"]]
        market = venue.markets["BTCUSDT"]
        assert [trade["t"] for trade in trades] == [one.id for one in market.trades(NOW_MS + 1, NOW_MS + 100_001)]
        truth = market.bars(60, now_ms=NOW_MS + 100_000, start_ms=NOW_MS - 20_000, end_ms=None, limit=2)
        assert [(one["t"], float(one["h"]), float(one["v"])) for one in closed] == [
            (one.time_ms, one.high, one.volume) for one in truth
        ]
        assert all(earlier["E"] <= later["E"] for earlier, later in itertools.pairwise(messages))


async def test_changes_of_the_book_lead_from_one_snapshot_to_the_next() -> None:
    async with standing_venue() as venue, subscribed(venue, "btcusdt@depth@100ms") as socket:
        market = venue.markets["BTCUSDT"]
        book = {"b": dict(market.book(NOW_MS).bids), "a": dict(market.book(NOW_MS).asks)}
        last_id = market.book(NOW_MS).update_id
        for _ in range(5):
            await venue.advance(7)
            (change,) = await received(socket)
            assert change["U"] == last_id + 1
            last_id = change["u"]
            for side in ("b", "a"):
                for price, quantity in change[side]:
                    book[side][float(price)] = float(quantity)
                    if not float(quantity):
                        del book[side][float(price)]
            truth = market.book(venue.time.now_ms())
            assert (book["b"], book["a"], last_id) == (dict(truth.bids), dict(truth.asks), truth.update_id)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.REPEAT, [0, 1, 1, 2, 3]),
        (FaultKind.REORDER, [0, 2, 1, 3]),
        (FaultKind.SKIP, [0, 2, 3]),
    ],
)
async def test_messages_go_wrong_on_command(kind: FaultKind, expected: list[int]) -> None:
    fault = Fault(kind=kind, on="btcusdt@trade", after=1)
    async with standing_venue(fault) as venue, subscribed(venue, "btcusdt@trade") as socket:
        await venue.advance(60)
        ids = [message["t"] for message in await received(socket)]
    first = ids[0]
    assert [id - first for id in ids][: len(expected)] == expected


async def test_a_connection_breaks_on_command_falls_silent_and_ends_after_its_day() -> None:
    broken = Fault(kind=FaultKind.DROP, on="btcusdt@trade")
    async with standing_venue(broken) as venue, subscribed(venue, "btcusdt@trade") as socket:
        await venue.advance(60)
        assert (await asyncio.wait_for(socket.receive(), 5)).type in {
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
            aiohttp.WSMsgType.CLOSE,
        }
    silent = Fault(kind=FaultKind.SILENCE, on="btcusdt@trade", seconds=60)
    async with standing_venue(silent, cut_after_s=3_600) as venue, subscribed(venue, "btcusdt@trade") as socket:
        await venue.advance(60)
        assert await received(socket) == []
        await venue.advance(3_600)
        assert (await asyncio.wait_for(socket.receive(), 5)).type is aiohttp.WSMsgType.CLOSE


async def test_what_is_no_stream_is_refused_and_an_ended_subscription_is_quiet() -> None:
    async with standing_venue() as venue, subscribed(venue, "btcusdt@trade", "btcusdt@bookTicker") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@melt"], "id": 2})
        assert (await socket.receive_json())["error"]["msg"] == "Invalid request: invalid stream"
        await socket.send_str("[")
        assert (await socket.receive_json())["error"]["code"] == 3
        await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 3})
        await socket.receive_json()
        await venue.advance(60)
        assert {json.dumps(sorted(message)) for message in await received(socket)} == {
            json.dumps(["A", "B", "a", "b", "s", "u"])
        }
