"""Public market data of any venue that ccxt has websockets for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from mastertrade.exchanges.ccxt_caches import Changes, bar_cache, says_final, trade_cache
from mastertrade.exchanges.ccxt_library import STREAMS, Gate, errors, open_client
from mastertrade.exchanges.ccxt_markets import ticker_row
from mastertrade.exchanges.market_feed import BookSnapshot, FeedDown, FeedKind, NotOffered, TickerRow
from mastertrade.exchanges.market_streams import LiveCandle, LiveTrade
from mastertrade.exchanges.request_budget import RequestBudget

ABILITIES: Final = {
    FeedKind.CANDLES: "watchOHLCV",
    FeedKind.TRADES: "watchTrades",
    FeedKind.TICKERS: "watchTickers",
    FeedKind.BOOK: "watchOrderBook",
}
MARKETS_A_CALL: Final = 100
"""Of one subscription; Binance takes 200 streams a connection."""
KEEP_ALIVE_MS: Final = 20_000
"""A dead connection is noticed after two unanswered pings; ccxt's own three minutes are too long to trade by."""
BREAKS_IN_A_ROW: Final = 5
"""A book that cannot be brought into sequence so often has a connection that is no good."""

TRADE_STREAM: Final = {name: {"name": "aggTrade"} for name in ("binance", "binanceus", "binanceusdm")}

Watch = Callable[[], Awaitable[Any]]


class CcxtStreams:
    """A venue as ``MarketStreams``. ``url`` puts another server in its place: a local venue, a proxy."""

    def __init__(
        self,
        venue: str,
        *,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
        budget: RequestBudget | None = None,
    ) -> None:
        self._name = venue
        self._url = url
        self._budget = budget
        self._options = options or {}
        self._listing = self._client()
        self._loading = asyncio.Lock()
        self._opened: set[Any] = set()
        self._resynchronised = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def kinds(self) -> frozenset[FeedKind]:
        return frozenset(kind for kind, ability in ABILITIES.items() if self._listing.has.get(ability))

    @property
    def resynchronised(self) -> int:
        return self._resynchronised

    async def candles(self, symbols: Sequence[str], interval_s: int) -> AsyncGenerator[Sequence[LiveCandle]]:
        changes = Changes()
        async with self._connection(FeedKind.CANDLES) as client:
            timeframe = _timeframe(client, interval_s)
            for symbol in symbols:
                client.ohlcvs[symbol] = {timeframe: bar_cache(symbol, changes)}
            if hasattr(client, "handle_ohlcv"):  # whose messages say whether a bar is final
                client.handle_ohlcv = _noting_final(client.handle_ohlcv, changes)
            if client.has.get("watchOHLCVForSymbols"):
                watches = [
                    _calling(client.watch_ohlcv_for_symbols, [[symbol, timeframe] for symbol in part])
                    for part in _parts(symbols)
                ]
            else:
                watches = [_calling(client.watch_ohlcv, symbol, timeframe) for symbol in symbols]
            async for _ in self._rounds(client, "candles", watches, changes):
                yield changes.take_candles()

    async def trades(self, symbols: Sequence[str]) -> AsyncGenerator[Sequence[LiveTrade]]:
        changes = Changes()
        async with self._connection(FeedKind.TRADES) as client:
            for symbol in symbols:
                client.trades[symbol] = trade_cache(symbol, changes)
            if client.has.get("watchTradesForSymbols"):
                watches = [_calling(client.watch_trades_for_symbols, list(part)) for part in _parts(symbols)]
            else:
                watches = [_calling(client.watch_trades, symbol) for symbol in symbols]
            async for _ in self._rounds(client, "trades", watches, changes):
                yield changes.take_trades()

    async def tickers(self, symbols: Sequence[str]) -> AsyncGenerator[Sequence[TickerRow]]:
        changes, found = Changes(), dict[str, TickerRow]()
        async with self._connection(FeedKind.TICKERS) as client:

            async def watch(part: Sequence[str]) -> None:
                for symbol, ticker in (await client.watch_tickers(list(part))).items():
                    found[symbol] = ticker_row({**ticker, "symbol": symbol})
                changes.is_there.set()

            watches = [_calling(watch, part) for part in _parts(symbols)]
            async for _ in self._rounds(client, "tickers", watches, changes):
                changes.is_there.clear()
                taken, found = list(found.values()), {}
                yield taken

    async def books(self, symbols: Sequence[str], *, depth: int = 20) -> AsyncGenerator[Sequence[BookSnapshot]]:
        changes, found = Changes(), dict[str, BookSnapshot]()
        breaks = 0
        async with self._connection(FeedKind.BOOK) as client:

            async def watch(call: Watch) -> None:
                nonlocal breaks
                try:
                    book = await call()
                except (errors().ChecksumError, errors().InvalidNonce) as error:
                    breaks += 1
                    self._resynchronised += 1
                    if breaks > BREAKS_IN_A_ROW:
                        raise FeedDown(f"{self._name}: a book does not come into sequence: {error}") from error
                    return
                breaks = 0
                found[str(book["symbol"])] = _snapshot(book, depth)
                changes.is_there.set()

            if client.has.get("watchOrderBookForSymbols"):
                calls = [_calling(client.watch_order_book_for_symbols, list(part)) for part in _parts(symbols)]
            else:
                calls = [_calling(client.watch_order_book, symbol) for symbol in symbols]
            async for _ in self._rounds(client, "books", [_calling(watch, call) for call in calls], changes):
                changes.is_there.clear()
                taken, found = list(found.values()), {}
                yield taken

    async def close(self) -> None:
        for client in [*self._opened, self._listing]:
            await client.close()

    def _client(self) -> Any:
        client = open_client(self._name, package=STREAMS, url=self._url, options=self._options, budget=self._budget)
        client.newUpdates = True
        client.streaming = {**client.streaming, "keepAlive": KEEP_ALIVE_MS}
        for watch in ("watchTrades", "watchTradesForSymbols"):  # numbered as the trades that REST tells
            client.options[watch] = {**(client.options.get(watch) or {}), **TRADE_STREAM.get(self._name, {})}
        client.options["watchTickers"] = {"name": "ticker", **(client.options.get("watchTickers") or {})}
        if self._url is not None:
            _mark_spot(client.urls["api"].get("ws"))
        return client

    @asynccontextmanager
    async def _connection(self, kind: FeedKind) -> AsyncIterator[Any]:
        """A client of its own, so that ending it ends nothing else; it knows the markets from the first one."""
        if kind not in self.kinds:
            offered = ", ".join(sorted(self.kinds)) or "nothing"
            raise NotOffered(f"{self._name} streams no {kind}; it streams {offered}")
        async with self._loading:
            if not self._listing.markets:
                async with Gate(self._listing).asking("markets"):
                    await self._listing.load_markets()
        client = self._client()
        client.set_markets_from_exchange(self._listing)
        self._opened.add(client)
        try:
            yield client
        finally:
            self._opened.discard(client)
            await client.close()

    async def _rounds(self, client: Any, what: str, watches: Sequence[Watch], changes: Changes) -> AsyncIterator[None]:
        """One turn whenever something has come; FeedDown when the connection is over. The watches only keep the
        subscriptions alive and carry the errors."""
        gate = Gate(client)

        async def keep(watch: Watch) -> None:
            while True:
                async with gate.asking(f"stream of {what}"):
                    await watch()

        news: asyncio.Task[Any] = asyncio.create_task(changes.is_there.wait())
        watching = [asyncio.create_task(keep(watch)) for watch in watches]
        try:
            while True:
                await asyncio.wait([news, *watching], return_when=asyncio.FIRST_COMPLETED)
                if news.done():
                    yield
                    news = asyncio.create_task(changes.is_there.wait())
                for task in watching:
                    if task.done():
                        task.result()
        finally:
            for task in (news, *watching):
                task.cancel()
            await asyncio.gather(news, *watching, return_exceptions=True)


def _calling(call: Callable[..., Awaitable[Any]], *arguments: Any) -> Watch:
    return lambda: call(*arguments)


def _noting_final(handle: Callable[..., Any], changes: Changes) -> Callable[..., Any]:
    def noting(client: Any, message: Any, *more: Any) -> Any:
        changes.is_final = says_final(message)
        return handle(client, message, *more)

    return noting


def _parts(symbols: Sequence[str]) -> list[Sequence[str]]:
    """One subscription each: not too many, and spot apart from swaps of each settlement, which have servers apart."""
    alike: dict[str, list[str]] = {}
    for symbol in symbols:
        alike.setdefault(symbol.partition(":")[2], []).append(symbol)
    return [
        some[first : first + MARKETS_A_CALL] for some in alike.values() for first in range(0, len(some), MARKETS_A_CALL)
    ]


def _timeframe(client: Any, interval_s: int) -> str:
    for name in client.timeframes or {}:
        if client.parse_timeframe(name) == interval_s:
            return str(name)
    raise NotOffered(f"{client.id} has no candles of {interval_s} s")


def _snapshot(book: Mapping[str, Any], depth: int) -> BookSnapshot:
    return BookSnapshot(
        symbol=str(book["symbol"]),
        time_ms=book.get("timestamp"),
        sequence=book.get("nonce"),
        bids=tuple((str(level[0]), str(level[1])) for level in book["bids"][:depth]),
        asks=tuple((str(level[0]), str(level[1])) for level in book["asks"][:depth]),
    )


def _mark_spot(addresses: Any) -> None:
    """ccxt's binance tells spot from swaps by ``stream`` in the address, which another host takes away."""
    if isinstance(addresses, dict):
        for name in ("spot", "margin"):
            if isinstance(addresses.get(name), str) and addresses[name].endswith("/ws"):
                addresses[name] = addresses[name].removesuffix("/ws") + "/stream"
