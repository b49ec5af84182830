"""What a stream has to say about a span of venue time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mastertrade.exchanges.simulated.markets import (
    BOOK_STEP_MS,
    MINUTE_MS,
    LocalMarket,
    VenueCandle,
    VenueTrade,
    book_changes,
)
from mastertrade.exchanges.simulated.messages import (
    INTERVALS_S,
    book_ticker,
    decimal,
    decimals,
    last_trade_id,
    ticker,
    trades_within,
)

FINE_SPAN_MS: Final = 10 * MINUTE_MS
"""When time jumps farther than this, forming candles are not told step by step, only the closed ones."""
CHANNELS: Final = frozenset({"trade", "aggTrade", "depth", "bookTicker", "ticker", "miniTicker", "markPrice"})
_TICKER_FIELDS: Final = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
_MINI: Final = ("c", "o", "h", "l", "v", "q")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's name taken apart. Without a market it is of all of them. ``detail`` is an interval or a depth."""

    name: str
    market_id: str | None
    channel: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    time_ms: int
    body: Any


def parse_stream(name: str) -> Stream | None:
    """None for what no stream is called."""
    market, _, channel = name.partition("@")
    if market.startswith("!"):
        kind = market.removeprefix("!")
        return Stream(name, None, kind) if channel.startswith("arr") and kind in ("ticker", "miniTicker") else None
    channel, _, detail = channel.partition("@")
    if channel.startswith("kline_"):
        interval = channel.removeprefix("kline_")
        return Stream(name, market.upper(), "kline", interval) if interval in INTERVALS_S and market else None
    if channel.startswith("depth") and channel != "depth":
        levels = channel.removeprefix("depth")
        return Stream(name, market.upper(), "top", levels) if levels in ("5", "10", "20") and market else None
    return Stream(name, market.upper(), channel, detail) if channel in CHANNELS and market else None


def events(markets: Mapping[str, LocalMarket], stream: Stream, after_ms: int, now_ms: int) -> Iterator[Event]:
    """Messages of ``after_ms < time <= now_ms``, oldest first. Of a market that is not listed nothing ever comes."""
    if now_ms <= after_ms:
        return
    if stream.market_id is None:
        if now_ms // 1_000 > after_ms // 1_000:
            rows = [_ticker(market, now_ms, is_mini=stream.channel == "miniTicker") for market in markets.values()]
            yield Event(now_ms, rows)
        return
    market = markets.get(stream.market_id)
    if market is None:
        return
    match stream.channel:
        case "trade" | "aggTrade":
            for trade in market.trades(after_ms + 1, now_ms + 1):
                yield Event(trade.time_ms, _trade(market, trade, is_aggregate=stream.channel == "aggTrade"))
        case "kline":
            yield from _klines(market, stream.detail, after_ms, now_ms)
        case "depth":
            yield from _depth(market, after_ms, now_ms)
        case _:
            if now_ms // BOOK_STEP_MS > after_ms // BOOK_STEP_MS:
                yield Event(now_ms, _moment(market, stream, now_ms))


def _moment(market: LocalMarket, stream: Stream, now_ms: int) -> dict[str, Any]:
    """Streams that tell how things stand, not what happened."""
    book = market.book(now_ms)
    match stream.channel:
        case "bookTicker":
            row = book_ticker(market, now_ms)
            return {
                "u": book.update_id,
                "s": market.id,
                "b": row["bidPrice"],
                "B": row["bidQty"],
                "a": row["askPrice"],
                "A": row["askQty"],
            }
        case "top":
            levels = int(stream.detail)
            return {
                "lastUpdateId": book.update_id,
                "bids": [decimals(level) for level in book.bids[:levels]],
                "asks": [decimals(level) for level in book.asks[:levels]],
            }
        case "markPrice":
            price = decimal(market.price(now_ms))
            return {"e": "markPriceUpdate", "E": now_ms, "s": market.id, "p": price, "i": price, "r": "0.00010000"}
        case _:
            return _ticker(market, now_ms, is_mini=stream.channel == "miniTicker")


def _ticker(market: LocalMarket, now_ms: int, *, is_mini: bool) -> dict[str, Any]:
    row = ticker(market, now_ms, last_trade_id(market, now_ms))
    names = _MINI if is_mini else _TICKER_FIELDS
    kind = "24hrMiniTicker" if is_mini else "24hrTicker"
    return {"e": kind, "E": now_ms, "s": market.id, **{name: row[_TICKER_FIELDS[name]] for name in names}}


def _trade(market: LocalMarket, trade: VenueTrade, *, is_aggregate: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "e": "aggTrade" if is_aggregate else "trade",
        "E": trade.time_ms,
        "s": market.id,
        "p": decimal(trade.price),
        "q": decimal(trade.quantity),
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
        "M": True,
    }
    ids = {"a": trade.id, "f": trade.id, "l": trade.id} if is_aggregate else {"t": trade.id}
    return body | ids


def _klines(market: LocalMarket, interval: str, after_ms: int, now_ms: int) -> Iterator[Event]:
    interval_s = INTERVALS_S[interval]
    step_ms = interval_s * 1000
    moments = {(close_ms, True) for close_ms in range(after_ms // step_ms * step_ms + step_ms, now_ms + 1, step_ms)}
    if now_ms - after_ms <= FINE_SPAN_MS:
        moments |= {(trade.time_ms, False) for trade in market.trades(after_ms + 1, now_ms + 1)}
    for moment_ms, is_closed in sorted(moments, key=lambda one: (one[0], not one[1])):
        open_ms = moment_ms - step_ms if is_closed else moment_ms // step_ms * step_ms
        candle = market.bar_at(interval_s, open_ms, now_ms=moment_ms)
        if candle is not None:
            yield Event(moment_ms, _kline(market, candle, interval, moment_ms, is_closed=is_closed))


def _kline(
    market: LocalMarket, candle: VenueCandle, interval: str, moment_ms: int, *, is_closed: bool
) -> dict[str, Any]:
    interval_s = INTERVALS_S[interval]
    kline = {
        "t": candle.time_ms,
        "T": candle.time_ms + interval_s * 1000 - 1,
        "s": market.id,
        "i": interval,
        "f": -1,
        "L": -1,
        "o": decimal(candle.open),
        "c": decimal(candle.close),
        "h": decimal(candle.high),
        "l": decimal(candle.low),
        "v": decimal(candle.volume),
        "n": trades_within(interval_s),
        "x": is_closed,
        "q": decimal(candle.volume * candle.close),
        "V": decimal(candle.volume / 2),
        "Q": decimal(candle.volume * candle.close / 2),
        "B": "0",
    }
    return {"e": "kline", "E": moment_ms, "s": market.id, "k": kline}


def _depth(market: LocalMarket, after_ms: int, now_ms: int) -> Iterator[Event]:
    """All changes of the span as one message; its ids say that it holds them all."""
    before, after = market.book(after_ms), market.book(now_ms)
    if after.update_id == before.update_id:
        return
    bids, asks = book_changes(before, after)
    yield Event(
        now_ms,
        {
            "e": "depthUpdate",
            "E": now_ms,
            "s": market.id,
            "U": before.update_id + 1,
            "u": after.update_id,
            "b": [decimals(level) for level in bids],
            "a": [decimals(level) for level in asks],
        },
    )
