"""Recorded sessions of real venues, sent again to the unmodified client behind our streams: what comes out is what the
messages say, read here by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.ccxt_streams import CcxtStreams
from mastertrade.exchanges.market_feed import BookSnapshot, FeedKind
from mastertrade.market_data_service.source import to_datetime
from tests.contracts.recorded_venue import answers_of, messages_of, recorded_venue

PATIENCE_S = 20.0
SPOT = {"fetchMarkets": {"types": ["spot"]}}


async def until(stream: AsyncIterator[Sequence[Any]], done: Any) -> list[Any]:
    """Everything that comes until ``done`` says that it is all."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        async for batch in stream:
            found += batch
            if done(found):
                return found
    return found


def binance(real_data: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    session = real_data / "payloads" / "cryptofeed" / "binance_spot.jsonl.gz"
    return answers_of(real_data / "metadata" / "binance_spot_instruments.jsonl.gz", session), messages_of(session)


def okx(real_data: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    session = real_data / "payloads" / "cryptofeed" / "okx.jsonl.gz"
    return answers_of(real_data / "metadata" / "okx_instruments.jsonl.gz"), messages_of(session)


def applied(
    snapshot: dict[str, Any], changes: Sequence[tuple[list[list[str]], list[list[str]]]], depth: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """A book by hand: levels of the snapshot, each change in its place, nothing where the amount is zero."""
    sides = [{float(level[0]): float(level[1]) for level in snapshot[side]} for side in ("bids", "asks")]
    for change in changes:
        for side, levels in zip(sides, change, strict=True):
            for level in levels:
                side[float(level[0])] = float(level[1])
    bids, asks = ([(price, amount) for price, amount in side.items() if amount] for side in sides)
    return sorted(bids, reverse=True)[:depth], sorted(asks)[:depth]


def numbers(book: BookSnapshot) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    bids, asks = ([(float(price), float(amount)) for price, amount in side] for side in (book.bids, book.asks))
    return bids, asks


async def test_a_recorded_book_of_binance_is_kept_to_its_last_change(real_data: Path) -> None:
    answers, messages = binance(real_data)
    snapshot = json.loads(answers["api/v3/depth?symbol=NKNUSDT&limit=1000"])
    updates = [one["data"] for one in messages if one.get("stream") == "nknusdt@depth@100ms"]
    later = [(one["b"], one["a"]) for one in updates if one["u"] > snapshot["lastUpdateId"]]
    answers |= {"api/v3/depth": answers["api/v3/depth?symbol=NKNUSDT&limit=1000"]}
    async with recorded_venue(answers, messages) as url:
        streams = CcxtStreams("binance", url=url, options=SPOT)
        try:
            async with aclosing(streams.books(["NKN/USDT"], depth=20)) as stream:
                last_id = updates[-1]["u"]
                found = await until(stream, lambda books: books[-1].sequence == last_id)
        finally:
            await streams.close()
    assert len(later) > 100
    assert numbers(found[-1]) == applied(snapshot, later, 20)
    assert streams.resynchronised == 0


async def test_recorded_books_of_okx_agree_with_their_checksums(real_data: Path) -> None:
    answers, messages = okx(real_data)
    told = [one for one in messages if one.get("arg", {}).get("channel") == "books" and "data" in one]
    ours = [one["data"][0] for one in told if one["arg"]["instId"] == "BTC-USDT"]
    changes = [(one["bids"], one["asks"]) for one in ours[1:]]
    async with recorded_venue(answers, messages) as url:
        streams = CcxtStreams("okx", url=url, options={**SPOT, "checksum": True})
        try:
            async with aclosing(streams.books(["BTC/USDT"], depth=20)) as stream:
                last_ms = int(ours[-1]["ts"])
                found = await until(stream, lambda books: books[-1].time_ms == last_ms)
        finally:
            await streams.close()
    assert len(changes) > 90
    assert numbers(found[-1]) == applied(ours[0], changes, 20)
    assert streams.resynchronised == 0


@pytest.mark.parametrize("venue", ["binance", "okx"])
async def test_recorded_trades_come_once_with_their_numbers(real_data: Path, venue: str) -> None:
    answers, messages = (binance if venue == "binance" else okx)(real_data)
    if venue == "binance":
        symbol, raw = "NKN/USDT", [one["data"] for one in messages if one.get("stream") == "nknusdt@aggTrade"]
        truth = [(str(one["a"]), one["T"], one["p"], one["q"], "sell" if one["m"] else "buy") for one in raw]
    else:
        symbol = "BTC/USDT"
        told = [
            one for one in messages if one.get("arg") == {"channel": "trades", "instId": "BTC-USDT"} and "data" in one
        ]
        truth = [
            (one["tradeId"], int(one["ts"]), one["px"], one["sz"], one["side"]) for some in told for one in some["data"]
        ]
    async with recorded_venue(answers, messages) as url:
        streams = CcxtStreams(venue, url=url, options=SPOT)
        try:
            async with aclosing(streams.trades([symbol])) as stream:
                found = await until(stream, lambda trades: len(trades) >= len(truth))
        finally:
            await streams.close()
    rows = [(one.row.id, one.row.time_ms, one.row.price, one.row.quantity, one.row.side) for one in found]
    assert [(id, time, float(price), float(amount), side) for id, time, price, amount, side in rows] == [
        (id, time, float(price), float(amount), side) for id, time, price, amount, side in truth
    ]
    assert {one.symbol for one in found} == {symbol}


async def test_recorded_candles_of_binance_come_with_their_numbers(real_data: Path) -> None:
    answers, messages = binance(real_data)
    (raw,) = [one["data"]["k"] for one in messages if one.get("stream") == "nknusdt@kline_1m"]
    async with recorded_venue(answers, messages) as url:
        streams = CcxtStreams("binance", url=url, options=SPOT)
        try:
            async with aclosing(streams.candles(["NKN/USDT"], 60)) as stream:
                (candle,) = await until(stream, lambda candles: True)
        finally:
            await streams.close()
    row = candle.row
    assert (row.time_ms, float(row.open), float(row.close), float(row.volume)) == (
        raw["t"], float(raw["o"]), float(raw["c"]), float(raw["v"]),
    )  # fmt: skip
    assert candle.is_final is raw["x"]


async def test_recorded_tickers_of_okx_come_with_their_numbers(real_data: Path) -> None:
    answers, messages = okx(real_data)
    told = [one for one in messages if one.get("arg") == {"channel": "tickers", "instId": "BTC-USDT"} and "data" in one]
    last = told[-1]["data"][0]
    async with recorded_venue(answers, messages) as url:
        streams = CcxtStreams("okx", url=url, options=SPOT)
        try:
            async with aclosing(streams.tickers(["BTC/USDT"])) as stream:
                found = await until(stream, lambda tickers: tickers[-1].time_ms == int(last["ts"]))
        finally:
            await streams.close()
    ticker = found[-1]
    assert [float(one or "nan") for one in (ticker.bid, ticker.ask, ticker.last)] == [
        float(last[name]) for name in ("bidPx", "askPx", "last")
    ]


async def test_recorded_pages_of_rest_are_read_as_candles_books_and_funding(real_data: Path) -> None:
    """Documented answers of OKX through the feed that downloads."""
    single = real_data / "payloads" / "nautilus"
    answers, _ = okx(real_data)
    history = json.loads((single / "okx" / "http_get_funding_rate_history.json").read_text())
    answers |= {
        "api/v5/market/candles": (single / "okx" / "http_get_candlesticks.json").read_text(),
        "api/v5/market/history-candles": (single / "okx" / "http_get_candlesticks.json").read_text(),
        "api/v5/public/funding-rate-history": json.dumps(history),
        "api/v5/public/time": '{"code":"0","data":[{"ts":"1704200000000"}],"msg":""}',
    }
    async with recorded_venue(answers) as url:
        feed = CcxtFeed("okx", url=url, options={"fetchMarkets": {"types": ["spot", "swap"]}})
        try:
            page = await feed.candles(
                "BTC/USDT", 60, since=to_datetime(1_625_097_600_000), until=to_datetime(1_625_097_720_000)
            )
            assert [(row.time_ms, row.close) for row in page.rows] == [
                (1_625_097_600_000, "33783.9"), (1_625_097_660_000, "33782.1"),
            ]  # fmt: skip
            rates = await feed.funding("BTC/USDT:USDT", since=to_datetime(1_704_000_000_000))
            assert {row.time_ms: float(row.rate) for row in rates.rows} == {
                int(one["fundingTime"]): float(one["realizedRate"]) for one in history["data"]
            }, "what was paid in the end, and not what had been foretold"
        finally:
            await feed.close()
    assert FeedKind.FUNDING in feed.histories
