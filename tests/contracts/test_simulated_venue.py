"""The venue on this machine, asked by the ccxt client that everybody uses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mastertrade.exchanges.simulated import (
    Fault,
    FaultKind,
    FaultScript,
    GivenCandles,
    Limits,
    LocalMarket,
    SimulatedVenue,
    VenueTime,
    simulated_market,
)
from mastertrade.exchanges.simulated.limits import Meter
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData

NOW_MS = 1_700_000_060_000  # 20 seconds into a minute
LISTED_MS = NOW_MS - 2 * 86_400_000
HOUR_MS = 3_600_000


def market(symbol: str = "BTC/USDT") -> LocalMarket:
    return simulated_market(symbol, seed=1, from_ms=LISTED_MS)


@asynccontextmanager
async def standing_venue(*faults: Fault, **options: Any) -> AsyncIterator[SimulatedVenue]:
    """Its time stands still, so the same question has the same answer."""
    markets = options.pop("markets", None) or [market(), market("ETH/USDT")]
    async with SimulatedVenue(markets, time=VenueTime(NOW_MS, speed=0), faults=FaultScript(faults), **options) as venue:
        yield venue


@asynccontextmanager
async def client_of(venue: SimulatedVenue) -> AsyncIterator[Any]:
    import ccxt.async_support

    client = ccxt.async_support.binance({**venue.client_options(), "enableRateLimit": False, "timeout": 2_000})
    try:
        yield client
    finally:
        await client.close()


async def test_a_ccxt_client_reads_markets_candles_trades_books_tickers_and_funding() -> None:
    async with standing_venue() as venue, client_of(venue) as client:
        markets = await client.load_markets()
        assert set(markets) == {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"}
        assert (markets["BTC/USDT"]["precision"]["price"], markets["BTC/USDT"]["limits"]["cost"]["min"]) == (0.01, 10.0)

        candles = await client.fetch_ohlcv("BTC/USDT", "1m", since=NOW_MS - HOUR_MS, limit=1000)
        truth = market().candles.minutes(NOW_MS - HOUR_MS, NOW_MS // 60_000 * 60_000)
        assert len(candles) == len(truth) + 1  # the last one is still forming
        assert (
            candles[:-1]
            == np.column_stack((truth.time, truth.open, truth.high, truth.low, truth.close, truth.volume)).tolist()
        )

        trades = await client.fetch_trades("BTC/USDT", since=int(truth.time[0]), limit=1000)
        first = [trade for trade in trades if trade["timestamp"] < truth.time[1]]
        assert (first[0]["price"], max(trade["price"] for trade in first)) == (truth.open[0], truth.high[0])
        assert sum(trade["amount"] for trade in first) == pytest.approx(truth.volume[0])

        book = await client.fetch_order_book("ETH/USDT")
        ticker = (await client.fetch_tickers())["ETH/USDT"]
        assert book["bids"][0][0] == ticker["bid"] < ticker["ask"] == book["asks"][0][0]
        of_swap = (await client.fetch_tickers(["BTC/USDT:USDT"]))["BTC/USDT:USDT"]
        assert (of_swap["last"], of_swap["bid"]) == (pytest.approx(candles[-1][4]), None), "as Binance tells of swaps"
        quoted = (await client.fetch_bids_asks(["BTC/USDT:USDT"]))["BTC/USDT:USDT"]
        assert quoted["bid"] < of_swap["last"] < quoted["ask"]
        funding = await client.fetch_funding_rate_history("BTC/USDT:USDT", since=NOW_MS - 24 * HOUR_MS)
        assert [row["timestamp"] % (8 * HOUR_MS) for row in funding] == [0, 0, 0]
        assert await client.fetch_time() == NOW_MS


async def test_pages_of_candles_join_without_a_hole_and_longer_ones_hold_the_shorter_ones() -> None:
    async with standing_venue() as venue, client_of(venue) as client:
        rows: list[list[float]] = []
        since = LISTED_MS
        while page := await client.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=1000):
            rows += page
            since = int(page[-1][0]) + 60_000
        minutes = range(LISTED_MS // 60_000 * 60_000 + 60_000, NOW_MS, 60_000)
        assert [int(row[0]) for row in rows] == list(minutes)
        hour = (await client.fetch_ohlcv("BTC/USDT", "1h", since=NOW_MS - 2 * HOUR_MS, limit=1))[0]
        parts = [row for row in rows if hour[0] <= row[0] < hour[0] + HOUR_MS]
        assert hour[1:5] == [
            parts[0][1], max(row[2] for row in parts), min(row[3] for row in parts), parts[-1][4],
        ]  # fmt: skip
        assert len(await client.fetch_ohlcv("BTC/USDT", "1m", limit=5000)) == 1000


async def test_candles_handed_in_come_back_with_their_holes() -> None:
    time = np.array([0, 60_000, 180_000], dtype=np.int64) + NOW_MS // 60_000 * 60_000 - HOUR_MS
    price = np.array([1.5, 2.0, 2.5])
    given = Bars(interval_s=60, time=time, open=price, high=price + 1, low=price - 1, close=price, volume=price)
    markets = [LocalMarket(base="X", quote="USDT", price_decimals=2, volume_decimals=2, candles=GivenCandles(given))]
    async with standing_venue(markets=markets) as venue, client_of(venue) as client:
        rows = await client.fetch_ohlcv("X/USDT", "1m", since=int(time[0]) - HOUR_MS, limit=2)
        rows += await client.fetch_ohlcv("X/USDT", "1m", since=int(rows[-1][0]) + 60_000, limit=2)
    assert [row[0] for row in rows] == time.tolist()
    assert [row[1] for row in rows] == price.tolist()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind=FaultKind.RATE_LIMIT, on="klines", seconds=3), "DDoSProtection"),
        (Fault(kind=FaultKind.BAN, on="klines"), "DDoSProtection"),
        (Fault(kind=FaultKind.STATUS, on="klines", status=503), "ExchangeNotAvailable"),
        (Fault(kind=FaultKind.TRUNCATE, on="klines"), "ExchangeError"),
        (Fault(kind=FaultKind.DROP, on="klines", times=2), "NetworkError"),  # aiohttp itself asks once more
        (Fault(kind=FaultKind.SILENCE, on="klines", seconds=0.5), "RequestTimeout"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else value,
)
async def test_an_answer_goes_wrong_on_command_and_the_next_one_is_right(fault: Fault, error: str) -> None:
    async with standing_venue(fault) as venue, client_of(venue) as client:
        client.timeout = 250
        await client.load_markets()
        with pytest.raises(Exception, match="binance") as raised:
            await client.fetch_ohlcv("BTC/USDT", "1m", limit=2)
        kinds = {kind.__name__ for kind in type(raised.value).__mro__}
        assert error in kinds, f"{type(raised.value)}: {raised.value}"
        assert len(await client.fetch_ohlcv("BTC/USDT", "1m", limit=2)) == 2
        assert set(venue.faults.happened) == {fault}


async def test_a_page_of_html_becomes_candles_without_numbers_in_ccxt() -> None:
    """So whoever uses it must look at what it takes for an answer."""
    async with standing_venue(Fault(kind=FaultKind.HTML, on="klines")) as venue, client_of(venue) as client:
        bad, good = [await client.fetch_ohlcv("BTC/USDT", "1m", limit=2) for _ in range(2)]
    assert {row[4] for row in bad} == {None}
    assert None not in {row[4] for row in good}


async def test_a_stale_answer_lacks_the_newest_candles() -> None:
    async with (
        standing_venue(Fault(kind=FaultKind.STALE, on="klines", seconds=600)) as venue,
        client_of(venue) as client,
    ):
        stale, fresh = [await client.fetch_ohlcv("BTC/USDT", "1m", limit=1) for _ in range(2)]
    assert fresh[0][0] - stale[0][0] == 600_000


async def test_who_asks_too_much_is_told_to_wait_and_then_banned() -> None:
    import aiohttp

    limits = Limits(weight=3, window_s=60, ban_after=1, ban_s=90)
    async with standing_venue(limits=limits) as venue, aiohttp.ClientSession() as session:
        answers = []
        for _ in range(4):
            async with session.get(f"{venue.url}/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1") as answer:
                answers.append((answer.status, answer.headers.get("Retry-After")))
    assert [status for status, _ in answers] == [200, 429, 418, 418]
    assert answers[0][1] is None
    assert answers[2][1] == "90"
    assert 55 <= int(answers[1][1] or 0) <= 60


def test_a_meter_forgets_when_its_window_is_over() -> None:
    now = [0.0]
    meter = Meter(Limits(weight=2, window_s=10), monotonic=lambda: now[0])
    assert [meter.ask(2).status, meter.ask(1).status] == [200, 429]
    now[0] = 10.0
    assert meter.ask(2).status == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSON"),
        ("{}", "holds no JSON list"),
        ('[{"kind": "melt"}]', "melt"),
        ('[{"kind": "drop", "onn": "klines"}]', "unknown onn"),
        ('[{"kind": "drop", "times": -1}]', "at least 0"),
        ('[{"kind": "drop", "after": "x"}]', "fault 1"),
        ("[3]", "fault 1"),
    ],
)
def test_a_script_of_faults_that_cannot_be_read_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(BadData, match=told) as raised:
        FaultScript.read(path)
    assert str(path) in str(raised.value)


async def test_a_script_from_a_file_does_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"kind": "status", "on": "time", "after": 1, "times": 2, "status": 500}]))
    script = FaultScript.read(path)
    assert [script.for_answer("/api/v3/time") is not None for _ in range(4)] == [False, True, True, False]
    assert script.for_answer("/api/v3/klines") is None
    assert script.for_message("btcusdt@trade") is None
    await asyncio.sleep(0)
