"""Recording trades, tickers and books as they happen; only what somebody asked for touches a table.

Of tickers and books the newest of each market is kept, once in ``KEPT_EVERY_S``; of trades every one. What a broken
stream of trades did not bring is asked for where the venue tells trades of the past; elsewhere it is missing."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mastertrade.exchanges.market_feed import BookSnapshot, FeedDown, FeedKind, MarketFeed, NotOffered, TickerRow
from mastertrade.exchanges.market_streams import LiveTrade, MarketStreams
from mastertrade.market_data_service.downloading import SETTLED
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.kind_downloading import KindDownloader, trade_of
from mastertrade.market_data_service.kind_rows import Book, Ticker, Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.live_candles import within
from mastertrade.market_data_service.live_health import LiveHealth
from mastertrade.market_data_service.recording import SeriesState
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseDown
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff

log = logging.getLogger(__name__)

KINDS: Final = (FeedKind.TRADES, FeedKind.TICKERS, FeedKind.BOOK)
KEPT_EVERY_S: Final = 1.0
SILENT_AFTER_S: Final = 60.0
MOST_WAITING: Final = 50_000
"""Trades in memory while the database does not answer; then the stream is not read on, and asked for later."""
DEPTH: Final = 20
"""Levels of each side of a book."""
MARGIN: Final = timedelta(seconds=3)
"""Messages are under way for so long at most."""
AHEAD_US: Final = 60_000_000
"""So far a venue's clock may be before ours."""
RECONNECT: Final = Backoff(first_s=0.2, longest_s=30.0, jitter=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """From ``since`` on trades may not have been heard; at ``settled_at`` the venue can be asked for all of them."""

    since: datetime
    settled_at: datetime


class KindRecording:
    """``run`` goes on until it is cancelled; ``states`` may be asked at any time."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        streams: MarketStreams | None,
        symbols: Sequence[str],
        kind: FeedKind,
        manager: PostgresManager,
        clock: Clock,
        kept_every_s: float = KEPT_EVERY_S,
        silent_after_s: float = SILENT_AFTER_S,
    ) -> None:
        self._feed = feed
        self._streams = streams if streams is not None and kind in streams.kinds else None
        self._symbols = list(symbols)
        self._kind = kind
        self._manager = manager
        self._clock = clock
        self._kept_every_s = kept_every_s
        self._silent_after_s = silent_after_s
        self._store = KindStore(manager=manager, clock=clock)
        self._ids: dict[str, int] = {}
        self._trades: dict[str, list[Trade]] = {symbol: [] for symbol in symbols}
        self._newest: dict[str, TickerRow | BookSnapshot] = {}
        self._rows = dict.fromkeys(symbols, 0)
        self._unusable = dict.fromkeys(symbols, 0)
        self._last_ms: dict[str, int] = {}
        self._heard_at: datetime | None = None
        self._hole: Hole | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.health = LiveHealth()

    async def run(self) -> None:
        """UnknownSymbol, NotOffered: the venue does not have what is asked for."""
        sync = InstrumentSync(feed=self._feed, manager=self._manager, clock=self._clock)
        self._ids = await sync.register(self._symbols, (), self._kind)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_coming(), name=f"coming {self._kind}")
            group.create_task(self._keep_storing(), name=f"storing {self._kind}")

    async def _keep_coming(self) -> None:
        pauses = RECONNECT.pauses_s()
        while True:
            before = self.health.connections
            try:
                await (self._listen() if self._streams is not None else self._ask())
            except (FeedDown, DatabaseDown) as error:
                self.health.breaks += 1
                self.health.last_break = str(error)
                log.warning("a stream of %s broke off and is connected again: %s", self._kind, error)
            finally:
                self.health.is_streaming = False
            if self.health.connections > before:
                pauses = RECONNECT.pauses_s()
            await self._clock.sleep(next(pauses))

    async def _listen(self) -> None:
        """One connection, until it breaks or falls silent."""
        async with aclosing(self._stream()) as coming:
            first = True
            while True:
                try:
                    batch = await within(self._clock, self._silent_after_s, anext(coming))
                except TimeoutError:
                    raise FeedDown(f"{self._feed.name}: silent for {self._silent_after_s:g} s") from None
                now = self._clock.now()
                if first:
                    first, self.health.is_streaming = False, True
                    self.health.connections += 1
                    if self._heard_at is not None and self._kind is FeedKind.TRADES:
                        since = self._heard_at if self._hole is None else min(self._hole.since, self._heard_at)
                        self._hole = Hole(since=since, settled_at=now + SETTLED + MARGIN)
                self._heard_at = now
                await self._room.wait()
                self._take(batch)

    def _stream(self) -> AsyncGenerator[Sequence[Any]]:
        assert self._streams is not None, "there are streams here"
        if self._kind is FeedKind.TRADES:
            return self._streams.trades(self._symbols)
        if self._kind is FeedKind.TICKERS:
            return self._streams.tickers(self._symbols)
        return self._streams.books(self._symbols, depth=DEPTH)

    async def _ask(self) -> None:
        """A venue without this stream, asked again and again."""
        since = self._clock.now() if self._heard_at is None else self._heard_at
        while True:
            if self._kind is FeedKind.TRADES:
                since = self._heard_at = await self._repair(since)
            elif self._kind is FeedKind.TICKERS:
                self._take(await self._feed.tickers(self._symbols))
            else:
                self._take([await self._feed.book(symbol, depth=DEPTH) for symbol in self._symbols])
            self.health.connections += 1
            await self._clock.sleep(self._kept_every_s)

    async def _repair(self, since: datetime) -> datetime:
        """Ask for trades from then on, and a little before; how far the venue has answered."""
        door = KindDownloader(feed=self._feed, manager=self._manager, clock=self._clock)
        until = since
        for one in await door.run(self._symbols, self._kind, since=since - MARGIN):
            self._rows[one.symbol] += one.new
            self.health.repaired += one.new
            until = max(until, one.until)
            if one.failure is not None:
                raise FeedDown(str(one.failure)) from one.failure
        return until

    async def _mend(self) -> None:
        """What was not heard around a break, as soon as the venue has had time to tell it."""
        if self._hole is None or self._clock.now() < self._hole.settled_at:
            return
        try:
            await self._repair(self._hole.since)
        except NotOffered as error:
            log.warning("trades are missing from %s on: %s", self._hole.since, error)
        except FeedDown as error:
            log.warning("trades that were not heard are asked for again: %s", error)
            return
        self._hole = None

    def _take(self, batch: Sequence[LiveTrade | TickerRow | BookSnapshot]) -> None:
        now = self._clock.now()
        for one in batch:
            if one.symbol not in self._rows:
                continue
            if isinstance(one, LiveTrade):
                self._trades[one.symbol].append(trade_of(one.row))
                self._last_ms[one.symbol] = one.row.time_ms
                self.health.hear(one.symbol, now, one.row.price)
            else:
                self._newest[one.symbol] = one
                self.health.hear(one.symbol, now, _price(one))
        if sum(map(len, self._trades.values())) >= MOST_WAITING:
            self._room.clear()

    async def _keep_storing(self) -> None:
        while True:
            await self._clock.sleep(self._kept_every_s)
            try:
                await self.flush()
                await self._mend()
            except DatabaseDown as error:
                log.warning("%s wait in memory: %s", self._kind, error)

    async def flush(self) -> None:
        """Store what has come. Trades that could not be stored are kept for the next time."""
        now_ms = to_milliseconds(self._clock.now())
        for symbol, trades in self._trades.items():
            if trades:
                taken = list(trades)
                self._count(symbol, await self._store_trades(symbol, taken, now_ms), taken[-1].time_us)
                del trades[: len(taken)]
        self._room.set()
        newest, self._newest = self._newest, {}
        tickers = {name: _ticker(one, now_ms) for name, one in newest.items() if isinstance(one, TickerRow)}
        books = {name: _book(one, now_ms) for name, one in newest.items() if isinstance(one, BookSnapshot)}
        good = {name: one for name, one in tickers.items() if self._is_usable(name, one, now_ms)}
        if good:
            await self._store.store_tickers(self._feed.name, list(good.values()))
        for name, ticker in good.items():
            self._count(name, 1, ticker.time_us)
        for name, book in books.items():
            if self._is_usable(name, book, now_ms):
                loaded = await self._store.store_books(self._ids[name], [book])
                self._count(name, loaded.new, book.time_us)

    async def _store_trades(self, symbol: str, trades: Sequence[Trade], now_ms: int) -> int:
        good = [one for one in trades if self._is_usable(symbol, one, now_ms)]
        return (await self._store.store_trades(self._ids[symbol], good)).new if good else 0

    def _is_usable(self, symbol: str, row: Trade | Ticker | Book, now_ms: int) -> bool:
        fault = row.fault(now_ms * 1000 + AHEAD_US)
        if fault is not None:
            self._unusable[symbol] += 1
            log.warning("%s of %s is not stored: %s", self._kind, symbol, fault, extra={"row": repr(row)[:200]})
        return fault is None

    def _count(self, symbol: str, rows: int, time_us: int | None) -> None:
        self._rows[symbol] += rows
        if time_us is not None:
            self._last_ms[symbol] = max(self._last_ms.get(symbol, 0), time_us // 1000)

    def states(self) -> list[SeriesState]:
        now = self._clock.now()
        stale = set(self.health.stale(self._symbols, now))
        return [
            SeriesState(
                venue=self._feed.name,
                symbol=symbol,
                kind=self._kind.value,
                interval_s=0,
                rows=self._rows[symbol],
                revised=0,
                unusable=self._unusable[symbol],
                last_ms=self._last_ms.get(symbol),
                price=self.health.price.get(symbol),
                age_s=self.health.age_s(symbol, now),
                is_stale=symbol in stale,
                is_streaming=self.health.is_streaming,
                breaks=self.health.breaks,
                repaired=self.health.repaired,
                last_break=self.health.last_break,
            )
            for symbol in self._ids
        ]


def _price(one: TickerRow | BookSnapshot) -> str | None:
    if isinstance(one, TickerRow):
        return one.last or one.bid
    return one.bids[0][0] if one.bids else None


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _ticker(row: TickerRow, now_ms: int) -> Ticker:
    return Ticker(
        row.symbol,
        (row.time_ms or now_ms) * 1000,
        bid=_number(row.bid),
        ask=_number(row.ask),
        last=_number(row.last),
        volume=_number(row.base_volume),
    )


def _book(row: BookSnapshot, now_ms: int) -> Book:
    return Book(
        (row.time_ms or now_ms) * 1000,
        row.sequence or 0,
        is_snapshot=True,
        bids=[(float(price), float(amount)) for price, amount in row.bids],
        asks=[(float(price), float(amount)) for price, amount in row.asks],
    )
