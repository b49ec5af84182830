"""How the venue writes what its markets say: the fields of Binance's answers and messages."""

from typing import Any, Final

from mastertrade.exchanges.simulated.markets import DAY_MS, MINUTE_MS, TRADES_A_MINUTE, LocalMarket, VenueCandle

INTERVALS_S: Final = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
}


def decimal(value: float) -> str:
    return f"{value:.8f}"


def decimals(level: tuple[float, float]) -> list[str]:
    return [decimal(level[0]), decimal(level[1])]


def kline_row(market: LocalMarket, candle: VenueCandle, interval_s: int, *, is_mark: bool = False) -> list[Any]:
    """A candle as the REST routes write it; one of the mark price has no volume."""
    volume = 0.0 if is_mark else candle.volume
    return [
        candle.time_ms,
        decimal(candle.open),
        decimal(candle.high),
        decimal(candle.low),
        decimal(candle.close),
        decimal(volume),
        candle.time_ms + interval_s * 1000 - 1,
        decimal(volume * candle.close),
        trades_within(interval_s),
        decimal(volume / 2),
        decimal(volume * candle.close / 2),
        "0",
    ]


def trades_within(interval_s: int) -> int:
    return interval_s // 60 * TRADES_A_MINUTE


def last_trade_id(market: LocalMarket, now_ms: int) -> int:
    trades = list(market.trades(now_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS, now_ms + 1))
    return trades[-1].id if trades else now_ms // MINUTE_MS * TRADES_A_MINUTE


def ticker(market: LocalMarket, now_ms: int, last_id: int) -> dict[str, Any]:
    """The last 24 hours, and the top of the book."""
    day, book = market.day(now_ms), market.book(now_ms)
    change = day.close - day.open
    return {
        "symbol": market.id,
        "priceChange": decimal(change),
        "priceChangePercent": f"{100 * change / day.open:.3f}",
        "weightedAvgPrice": decimal((day.open + day.high + day.low + day.close) / 4),
        "prevClosePrice": decimal(day.open),
        "lastPrice": decimal(day.close),
        "lastQty": decimal(book.bids[0][1]),
        "bidPrice": decimal(book.bids[0][0]),
        "bidQty": decimal(book.bids[0][1]),
        "askPrice": decimal(book.asks[0][0]),
        "askQty": decimal(book.asks[0][1]),
        "openPrice": decimal(day.open),
        "highPrice": decimal(day.high),
        "lowPrice": decimal(day.low),
        "volume": decimal(day.volume),
        "quoteVolume": decimal(day.volume * day.close),
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": max(0, last_id - 1440 * TRADES_A_MINUTE),
        "lastId": last_id,
        "count": 1440 * TRADES_A_MINUTE,
    }


def book_ticker(market: LocalMarket, now_ms: int) -> dict[str, Any]:
    (bid, bid_quantity), (ask, ask_quantity) = (
        side[0] for side in (market.book(now_ms).bids, market.book(now_ms).asks)
    )
    return {
        "symbol": market.id,
        "bidPrice": decimal(bid),
        "bidQty": decimal(bid_quantity),
        "askPrice": decimal(ask),
        "askQty": decimal(ask_quantity),
    }
