"""Closed candles as they close: from streams where the venue has them, from pages else, and from pages wherever the
stream left a hole."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from mastertrade.exchanges.market_feed import CandleRow, FeedDown, FeedKind, FeedRefused, MarketFeed, UnknownSymbol
from mastertrade.exchanges.market_streams import LiveCandle, MarketStreams
from mastertrade.market_data_service.closing_bars import ClosingBars
from mastertrade.market_data_service.live_health import LiveHealth
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.retry import Backoff

log = logging.getLogger(__name__)
T = TypeVar("T")

RECONNECT: Final = Backoff(first_s=0.5, longest_s=30.0, jitter=0.5)
"""Pauses between connections that brought nothing; the first message begins anew."""

AHEAD_MS: Final = 5_000
"""So far a venue's time may run ahead of what it said it was; a bar that opens later closes no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePace:
    """Seconds of the market's clock."""

    grace_s: float = 5.0
    """A bar that has not come so long after its close is asked for as a page."""
    silent_after_s: float = 60.0
    """A connection that brings nothing for so long is given up."""
    longest_connection_s: float = 23 * 3_600.0
    """A connection is replaced in time; venues cut it after 24 hours."""
    again_after_s: float = 2.0
    """Between two questions for a bar that is not there yet."""
    overlap_bars: int = 3
    """Bars asked for again after a break, since the last ones before it may have come as they were not yet final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedCandles:
    """Of ``since_ms <= bar start < until_ms`` these bars exist and no others. ``is_again``: the span, or a part of it,
    was told before, and the numbers may differ. ``refusal``: the venue will not answer for this market any more."""

    symbol: str
    rows: tuple[CandleRow, ...]
    since_ms: int
    until_ms: int
    is_again: bool = False
    refusal: str = ""


class LiveCandles:
    """Some markets of one venue at one interval. ``clock`` is the market's; the venue's own differs by what ``now`` of
    the feed says."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        streams: MarketStreams | None,
        symbols: Sequence[str],
        interval_s: int,
        clock: Clock,
        pace: LivePace | None = None,
    ) -> None:
        self._feed = feed
        self._streams = streams if streams is not None and FeedKind.CANDLES in streams.kinds else None
        self._symbols = list(symbols)
        self._interval_s = interval_s
        self._step_ms = interval_s * 1000
        self._clock = clock
        self._pace = pace or LivePace()
        self._bars: dict[str, ClosingBars] = {}
        self._ask_at: dict[str, datetime] = {}
        self._pending: dict[tuple[str, int], LiveCandle] = {}
        self._news = asyncio.Event()
        self._was_broken = False
        self._offset = timedelta(0)
        self.health = LiveHealth()

    async def closed(self, from_ms: Mapping[str, int]) -> AsyncGenerator[ClosedCandles]:
        """Closed bars for ever, of each market from its own moment on: first what has closed since then, then each as
        it closes."""
        self._bars = {symbol: ClosingBars(self._step_ms, from_ms[symbol]) for symbol in self._symbols}
        streaming = asyncio.create_task(self._keep_streaming()) if self._streams is not None else None
        try:
            await self._learn_offset()
            while True:
                for told in self._from_stream():
                    yield told
                if self._was_broken:
                    self._was_broken = False
                    async for told in self._overlaps():
                        yield told
                async for told in self._overdue():
                    yield told
                if streaming is not None and streaming.done():
                    streaming.result()
                await self._wait()
        finally:
            if streaming is not None:
                streaming.cancel()
                with suppress(asyncio.CancelledError):
                    await streaming

    def _from_stream(self) -> Iterator[ClosedCandles]:
        pending, self._pending = sorted(self._pending.items(), key=lambda one: one[0][1]), {}
        self._news.clear()
        for (symbol, _), candle in pending:
            bars = self._bars.get(symbol)
            if bars is None:
                continue
            closed, correction = bars.take(candle)
            if correction is not None:
                yield self._span(symbol, [correction], is_again=True)
            if closed:
                yield self._span(symbol, closed)
            if bars.has_hole:
                self._ask_at[symbol] = self._clock.now()

    def _span(self, symbol: str, rows: Sequence[CandleRow], *, is_again: bool = False) -> ClosedCandles:
        """Bars that follow each other."""
        self._ask_at.pop(symbol, None)
        return ClosedCandles(
            symbol=symbol,
            rows=tuple(rows),
            since_ms=rows[0].time_ms,
            until_ms=rows[-1].time_ms + self._step_ms,
            is_again=is_again,
        )

    async def _overdue(self) -> AsyncGenerator[ClosedCandles]:
        """What did not come in time, asked for as pages until there is no more."""
        while due := [symbol for symbol in self._bars if self._due(symbol) <= self._clock.now()]:
            for told in await asyncio.gather(*(self._page(symbol) for symbol in due)):
                if told is not None:
                    yield told
                    for more in self._after_page(told):
                        yield more

    def _after_page(self, told: ClosedCandles) -> Iterator[ClosedCandles]:
        bars = self._bars.get(told.symbol)
        if bars is not None and (rows := bars.after_pages()):
            yield self._span(told.symbol, rows)

    def _due(self, symbol: str) -> datetime:
        """By our clock: when the next bar will be late, or when to ask again."""
        late = to_datetime(self._bars[symbol].next_ms + self._step_ms) - self._offset
        late += timedelta(seconds=self._pace.grace_s)
        return self._ask_at.get(symbol, late)

    async def _page(self, symbol: str) -> ClosedCandles | None:
        bars = self._bars[symbol]
        since, until = to_datetime(bars.next_ms), self._closed_until()
        if until <= since:
            self._ask_at.pop(symbol, None)
            return None
        told = await self._ask(symbol, since, until)
        if told is not None and told.until_ms > bars.next_ms:
            self.health.repaired += len(told.rows) if self._streams is not None else 0
            bars.told_until(told.until_ms)
            self._ask_at.pop(symbol, None)
        else:
            self._ask_at[symbol] = self._clock.now() + timedelta(seconds=self._pace.again_after_s)
        return told

    async def _overlaps(self) -> AsyncGenerator[ClosedCandles]:
        """The bars just before a break once more, with what the venue says of them now."""
        for symbol in list(self._bars):
            last_ms = self._bars[symbol].next_ms
            since = to_datetime(last_ms - self._pace.overlap_bars * self._step_ms)
            told = await self._ask(symbol, since, to_datetime(last_ms))
            if told is not None and not told.refusal and told.rows:
                yield ClosedCandles(
                    symbol=symbol, rows=told.rows, since_ms=told.since_ms, until_ms=told.until_ms, is_again=True
                )

    async def _ask(self, symbol: str, since: datetime, until: datetime) -> ClosedCandles | None:
        """One page, or None when the venue does not answer now."""
        try:
            page = await self._feed.candles(symbol, self._interval_s, since=since, until=until)
        except FeedDown as error:
            log.warning("a page of live candles did not come", extra={"symbol": symbol, "error": str(error)})
            return None
        except (FeedRefused, UnknownSymbol) as error:
            log.warning("a market ends: %s", error)
            del self._bars[symbol]
            return ClosedCandles(
                symbol=symbol,
                rows=(),
                since_ms=to_milliseconds(since),
                until_ms=to_milliseconds(until),
                refusal=str(error),
            )
        if page.rows:
            self.health.hear(symbol, self._clock.now(), page.rows[-1].close)
        reaches_ms = page.reaches_from_ms
        until_ms = to_milliseconds(page.until if reaches_ms is None else min(to_datetime(reaches_ms), until))
        return ClosedCandles(
            symbol=symbol, rows=page.rows, since_ms=max(to_milliseconds(since), to_milliseconds(page.since)),
            until_ms=until_ms,
        )  # fmt: skip

    def _closed_until(self) -> datetime:
        now_ms = to_milliseconds(self._clock.now() + self._offset)
        return to_datetime(now_ms // self._step_ms * self._step_ms)

    async def _learn_offset(self) -> None:
        for pause_s in RECONNECT.pauses_s():
            try:
                self._offset = await self._feed.now() - self._clock.now()
                return
            except FeedDown as error:
                log.warning("the venue does not tell its time: %s", error)
            await self._clock.sleep(pause_s)

    async def _wait(self) -> None:
        """Until something has come, or the next bar is late."""
        if not self._bars:
            raise FeedRefused(f"{self._feed.name}: none of {', '.join(self._symbols)} is there any more")
        due = min(self._due(symbol) for symbol in self._bars)
        pause_s = max(0.0, (due - self._clock.now()).total_seconds())
        with suppress(TimeoutError):
            await within(self._clock, pause_s, self._news.wait())

    async def _keep_streaming(self) -> None:
        pauses = RECONNECT.pauses_s()
        while True:
            before = self.health.connections
            try:
                await self._stream_once()
            except FeedDown as error:
                self.health.breaks += 1
                self.health.last_break = str(error)
                log.warning("a stream of candles broke off and is connected again: %s", error)
            finally:
                self.health.is_streaming = False
            if self.health.connections > before:
                pauses = RECONNECT.pauses_s()
            await self._clock.sleep(next(pauses))

    async def _stream_once(self) -> None:
        """One connection, until it breaks, falls silent or has lasted long enough."""
        assert self._streams is not None, "there are streams here"
        ends = self._clock.now() + timedelta(seconds=self._pace.longest_connection_s)
        async with aclosing(self._streams.candles(self._symbols, self._interval_s)) as coming:
            for count in itertools.count():
                try:
                    candles = await within(self._clock, self._pace.silent_after_s, anext(coming))
                except TimeoutError:
                    raise FeedDown(f"{self._feed.name}: silent for {self._pace.silent_after_s:g} s") from None
                if count == 0:
                    self._was_broken = self.health.connections > 0
                    self.health.connections += 1
                    self.health.is_streaming = True
                self._take(candles)
                if self._clock.now() >= ends:
                    return

    def _take(self, candles: Sequence[LiveCandle]) -> None:
        now = self._clock.now()
        ahead_ms = to_milliseconds(now + self._offset) + AHEAD_MS
        for candle in candles:
            if candle.row.time_ms > ahead_ms:
                log.warning("a bar of the future", extra={"symbol": candle.symbol, "row": str(candle.row)})
                continue
            key = candle.symbol, candle.row.time_ms
            known = self._pending.get(key)
            if known is None or known.is_final is not True or candle.is_final is True:
                self._pending[key] = candle
            self.health.hear(candle.symbol, now, candle.row.close)
        self._news.set()


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """The result of ``work``, or TimeoutError after so many seconds of the clock; ``work`` is then cancelled."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait([doing, waiting], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise TimeoutError
    finally:
        for task in (doing, waiting):
            task.cancel()
        # What a cancelled one raises in its last moment must not take the place of our own cancellation.
        await asyncio.gather(doing, waiting, return_exceptions=True)
