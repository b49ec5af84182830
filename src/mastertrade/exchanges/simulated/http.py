"""The venue's public HTTP routes as Binance has them: spot under ``/api/v3``, perpetual swaps under ``/fapi/v1``."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from mastertrade.exchanges.simulated.faults import Fault, FaultKind, FaultScript
from mastertrade.exchanges.simulated.limits import Limits, Meter
from mastertrade.exchanges.simulated.markets import FUNDING_MS, LocalMarket, VenueTrade
from mastertrade.exchanges.simulated.messages import (
    INTERVALS_S,
    book_ticker,
    decimal,
    decimals,
    kline_row,
    last_trade_id,
    ticker,
)
from mastertrade.exchanges.simulated.venue_time import VenueTime

HTML: Final = "<html><head><title>503</title></head><body>The service is unavailable.</body></html>"
MOST_ROWS: Final = 1_000
MOST_ROWS_OF_SWAPS: Final = 1_500
HOUR_MS: Final = 3_600_000
SPOT_ALONE: Final = frozenset({"prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty"})
"""Fields of a ticker of 24 hours that Binance does not tell of swaps; ccxt knows by them which of the two it reads."""

Answer = Callable[[web.Request, int], Any]


class QueryRefused(Exception):
    """The venue refuses the question with a code of its own."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


class Routes:
    """Answers from the markets at the venue's time, after the limits and the fault script have had their say."""

    def __init__(
        self, markets: Mapping[str, LocalMarket], time: VenueTime, faults: FaultScript, limits: Limits
    ) -> None:
        self._markets = markets
        self._time = time
        self._faults = faults
        self._limits = limits
        self._meters: dict[str, Meter] = {}

    def add_to(self, application: web.Application) -> None:
        spot: dict[str, tuple[Answer, int]] = {
            "ping": (lambda _request, _now: {}, 1),
            "time": (lambda _request, now: {"serverTime": now}, 1),
            "exchangeInfo": (self._spot_markets, 20),
            "klines": (self._klines, 2),
            "aggTrades": (self._aggregate_trades, 4),
            "trades": (self._recent_trades, 25),
            "historicalTrades": (self._recent_trades, 25),
            "depth": (self._depth, 5),
            "ticker/24hr": (self._tickers, 2),
            "ticker/bookTicker": (self._book_tickers, 2),
            "ticker/price": (self._prices, 2),
        }
        swaps: dict[str, tuple[Answer, int]] = {
            **spot,
            "exchangeInfo": (self._swap_markets, 1),
            "markPriceKlines": (self._mark_klines, 2),
            "fundingRate": (self._funding, 1),
            "premiumIndex": (self._premium, 1),
        }
        coins: dict[str, tuple[Answer, int]] = {"exchangeInfo": (self._no_markets, 1)}
        for prefix, routes in (("/api/v3", spot), ("/fapi/v1", swaps), ("/dapi/v1", coins)):
            for path, (answer, weight) in routes.items():
                application.router.add_get(f"{prefix}/{path}", self._handler(answer, weight))

    def _handler(self, answer: Answer, weight: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self._faults.for_answer(request.path)
            verdict = self._meter(request).ask(weight)
            if verdict.status != 200:
                return _too_many(verdict.status, verdict.retry_after_s)
            if fault is not None and (gone := await answer_instead(request, fault)) is not None:
                return gone
            now_ms = self._time.now_ms()
            if fault is not None and fault.kind is FaultKind.STALE:
                now_ms -= int(fault.seconds * 1000)
            try:
                body = json.dumps(answer(request, now_ms), separators=(",", ":"))
            except QueryRefused as refused:
                return web.json_response({"code": refused.code, "msg": str(refused)}, status=400)
            if fault is not None and fault.kind is FaultKind.TRUNCATE:
                return await cut_in_half(request, body)
            headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used)}
            return web.Response(text=body, content_type="application/json", headers=headers)

        return handle

    def _meter(self, request: web.Request) -> Meter:
        address = request.remote or ""
        if address not in self._meters:
            self._meters[address] = Meter(self._limits)
        return self._meters[address]

    def _market(self, request: web.Request) -> LocalMarket:
        symbol = request.query.get("symbol")
        if symbol is None:
            raise QueryRefused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        market = self._markets.get(symbol)
        if market is None:
            raise QueryRefused(-1121, "Invalid symbol.")
        return market

    def _chosen(self, request: web.Request) -> tuple[list[LocalMarket], bool]:
        """The markets asked for, and whether just one of them was, by name."""
        if "symbol" in request.query:
            return [self._market(request)], True
        if "symbols" not in request.query:
            return list(self._markets.values()), False
        try:
            return [self._markets[name] for name in json.loads(request.query["symbols"])], False
        except (ValueError, TypeError, KeyError):
            raise QueryRefused(-1121, "Invalid symbol.") from None

    def _spot_markets(self, _request: web.Request, now_ms: int) -> Any:
        return self._listing(now_ms, is_swap=False)

    def _swap_markets(self, _request: web.Request, now_ms: int) -> Any:
        return self._listing(now_ms, is_swap=True)

    def _no_markets(self, _request: web.Request, now_ms: int) -> Any:
        """Swaps that settle in the coin: none, but who asks for all markets asks for these too."""
        return self._listing(now_ms, is_swap=True) | {"symbols": []}

    def _listing(self, now_ms: int, *, is_swap: bool) -> dict[str, Any]:
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._limits.weight,
        }
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [limit],
            "exchangeFilters": [],
            "symbols": [_listed(market, is_swap=is_swap) for market in self._markets.values()],
        }

    def _klines(self, request: web.Request, now_ms: int) -> Any:
        return self._candle_rows(request, now_ms, is_mark=False)

    def _mark_klines(self, request: web.Request, now_ms: int) -> Any:
        return self._candle_rows(request, now_ms, is_mark=True)

    def _candle_rows(self, request: web.Request, now_ms: int, *, is_mark: bool) -> list[Any]:
        market = self._market(request)
        interval_s = INTERVALS_S.get(request.query.get("interval", ""))
        if interval_s is None:
            raise QueryRefused(-1120, "Invalid interval.")
        candles = market.bars(
            interval_s,
            now_ms=now_ms,
            start_ms=_whole(request, "startTime"),
            end_ms=_whole(request, "endTime"),
            limit=_limit(request, 500),
        )
        return [kline_row(market, candle, interval_s, is_mark=is_mark) for candle in candles]

    def _aggregate_trades(self, request: web.Request, now_ms: int) -> Any:
        market, limit = self._market(request), _limit(request, 500)
        from_id, start_ms, end_ms = (_whole(request, name) for name in ("fromId", "startTime", "endTime"))
        last_ms = now_ms if end_ms is None else min(now_ms, end_ms)
        if from_id is not None:
            found = _trades_from(market, from_id, now_ms)
        elif start_ms is not None:
            found = market.trades(max(start_ms, market.candles.from_ms), last_ms + 1)
        else:
            return [_aggregate(market, trade) for trade in _latest(market, last_ms, limit)]
        return [_aggregate(market, trade) for trade, _ in zip(found, range(limit), strict=False)]

    def _recent_trades(self, request: web.Request, now_ms: int) -> Any:
        market, limit, from_id = self._market(request), _limit(request, 500), _whole(request, "fromId")
        if from_id is None:
            trades = _latest(market, now_ms, limit)
        else:
            found = _trades_from(market, from_id, now_ms)
            trades = [trade for trade, _ in zip(found, range(limit), strict=False)]
        return [
            {
                "id": trade.id,
                "price": decimal(trade.price),
                "qty": decimal(trade.quantity),
                "quoteQty": decimal(trade.price * trade.quantity),
                "time": trade.time_ms,
                "isBuyerMaker": trade.is_buyer_maker,
                "isBestMatch": True,
            }
            for trade in trades
        ]

    def _depth(self, request: web.Request, now_ms: int) -> Any:
        market, limit = self._market(request), _limit(request, 100, most=5_000)
        book = market.book(now_ms)
        return {
            "lastUpdateId": book.update_id,
            "bids": [decimals(level) for level in book.bids[:limit]],
            "asks": [decimals(level) for level in book.asks[:limit]],
        }

    def _tickers(self, request: web.Request, now_ms: int) -> Any:
        markets, is_one = self._chosen(request)
        rows = [ticker(market, now_ms, last_trade_id(market, now_ms)) for market in markets]
        if _is_of_swaps(request):
            rows = [{name: value for name, value in row.items() if name not in SPOT_ALONE} for row in rows]
        return rows[0] if is_one else rows

    def _book_tickers(self, request: web.Request, now_ms: int) -> Any:
        markets, is_one = self._chosen(request)
        time = {"time": now_ms} if _is_of_swaps(request) else {}
        rows = [book_ticker(market, now_ms) | time for market in markets]
        return rows[0] if is_one else rows

    def _prices(self, request: web.Request, now_ms: int) -> Any:
        markets, is_one = self._chosen(request)
        rows = [{"symbol": market.id, "price": decimal(market.price(now_ms))} for market in markets]
        return rows[0] if is_one else rows

    def _funding(self, request: web.Request, now_ms: int) -> Any:
        market, limit = self._market(request), _limit(request, 100)
        start_ms, end_ms = _whole(request, "startTime"), _whole(request, "endTime")
        last_ms = min(now_ms, now_ms if end_ms is None else end_ms)
        first_ms = last_ms - (limit - 1) * FUNDING_MS if start_ms is None else start_ms
        first_ms = -(-max(first_ms, market.candles.from_ms) // FUNDING_MS) * FUNDING_MS
        times = range(first_ms, last_ms + 1, FUNDING_MS)[:limit]
        return [
            {
                "symbol": market.id,
                "fundingTime": time_ms,
                "fundingRate": decimal(market.funding(time_ms)),
                "markPrice": decimal(market.price(time_ms)),
            }
            for time_ms in times
        ]

    def _premium(self, request: web.Request, now_ms: int) -> Any:
        markets, is_one = self._chosen(request)
        next_ms = now_ms // FUNDING_MS * FUNDING_MS + FUNDING_MS
        rows = [
            {
                "symbol": market.id,
                "markPrice": decimal(market.price(now_ms)),
                "indexPrice": decimal(market.price(now_ms)),
                "estimatedSettlePrice": decimal(market.price(now_ms)),
                "lastFundingRate": decimal(market.funding(next_ms)),
                "interestRate": "0.00010000",
                "nextFundingTime": next_ms,
                "time": now_ms,
            }
            for market in markets
        ]
        return rows[0] if is_one else rows


def _is_of_swaps(request: web.Request) -> bool:
    return request.path.startswith("/fapi")


def _listed(market: LocalMarket, *, is_swap: bool) -> dict[str, Any]:
    tick, lot = (f"{10.0**-places:.8f}" for places in (market.price_decimals, market.volume_decimals))
    minimum = {"minNotional": f"{market.min_notional:f}", "applyMinToMarket": True, "avgPriceMins": 5}
    row: dict[str, Any] = {
        "symbol": market.id,
        "status": "TRADING",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "90000000.00000000", "stepSize": lot},
            {"filterType": "NOTIONAL", **minimum},
        ],
    }
    if is_swap:
        row |= {
            "pair": market.id,
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": market.candles.from_ms,
            "marginAsset": market.quote,
            "pricePrecision": market.price_decimals,
            "quantityPrecision": market.volume_decimals,
        }
        row["filters"][2] = {"filterType": "MIN_NOTIONAL", "notional": f"{market.min_notional:f}"}
        return row
    return row | {"isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"]}


def _aggregate(market: LocalMarket, trade: VenueTrade) -> dict[str, Any]:
    return {
        "a": trade.id,
        "p": decimal(trade.price),
        "q": decimal(trade.quantity),
        "f": trade.id,
        "l": trade.id,
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
        "M": True,
    }


def _trades_from(market: LocalMarket, trade_id: int, now_ms: int) -> Iterator[VenueTrade]:
    trades = market.trades(market.time_of_trade(trade_id), now_ms + 1)
    return (trade for trade in trades if trade.id >= trade_id)


def _latest(market: LocalMarket, last_ms: int, limit: int) -> list[VenueTrade]:
    span_ms = HOUR_MS
    while True:
        trades = list(market.trades(max(last_ms - span_ms, market.candles.from_ms), last_ms + 1))
        if len(trades) >= limit or last_ms - span_ms <= market.candles.from_ms:
            return trades[-limit:]
        span_ms *= 4


def _whole(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 17:
        raise QueryRefused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _limit(request: web.Request, default: int, *, most: int | None = None) -> int:
    """What is beyond the venue's page is cut to it, as Binance does."""
    if most is None:
        most = MOST_ROWS_OF_SWAPS if _is_of_swaps(request) else MOST_ROWS
    limit = _whole(request, "limit")
    return max(1, min(most, default if limit is None else limit))


async def answer_instead(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """What comes in place of the answer, if anything does."""
    match fault.kind:
        case FaultKind.RATE_LIMIT:
            return _too_many(429, fault.seconds)
        case FaultKind.BAN:
            return _too_many(418, fault.seconds)
        case FaultKind.STATUS:
            return web.Response(text=HTML, content_type="text/html", status=fault.status)
        case FaultKind.ERROR:
            return web.json_response({"code": fault.code, "msg": "An error on command."}, status=fault.status)
        case FaultKind.HTML:
            return web.Response(text=HTML, content_type="text/html")
        case FaultKind.SILENCE:
            await asyncio.sleep(fault.seconds)
        case FaultKind.DROP:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        case _:
            pass
    return None


async def cut_in_half(request: web.Request, body: str) -> web.StreamResponse:
    """The beginning of an answer that says it is longer, and then the end of the connection."""
    encoded = body.encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(encoded))})
    await response.prepare(request)
    await response.write(encoded[: len(encoded) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _too_many(status: int, retry_after_s: float) -> web.Response:
    seconds = max(1, math.ceil(retry_after_s))
    text = {"code": -1003, "msg": f"Too many requests; current limit is used up, try again in {seconds} s."}
    return web.json_response(text, status=status, headers={"Retry-After": str(seconds)})
