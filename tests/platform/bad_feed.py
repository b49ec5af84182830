"""A venue's market data in this process, whose time the tests move and whose bars they spoil; and the platform on it."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade import platform as platforms
from mastertrade.domain.market import InstrumentKind, InstrumentStatus, ListedInstrument
from mastertrade.exchanges.market_feed import CandlePage, CandleRow, FeedDown, FeedKind, TickerRow, VenueMarket
from mastertrade.exchanges.market_streams import LiveCandle
from mastertrade.market_data_service import live_market
from mastertrade.market_data_service.live_market import LiveMarket
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.plans import Plan, StrategyPlan
from mastertrade.platform import Platform
from mastertrade.shared.clock import LiveClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.platform.walk_seed import opened

START = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)
MINUTE_MS = 60_000
BAD, GOOD = "BTC/USDT", "ETH/USDT"
LEVELS = {BAD: 20_000.0, GOOD: 2_000.0}
PATIENCE_S = 30.0
Spoil = Callable[[CandleRow], Iterable[CandleRow]]


class MovedTime(LiveClock):
    """The time of the venue and of everybody here; who sleeps is woken when it has come so far."""

    def __init__(self) -> None:
        self._now = START
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=seconds), woken))
        await woken

    def move(self, to: datetime) -> None:
        self._now = max(self._now, to)
        due = [woken for at, woken in self._sleepers if at <= self._now]
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self._now]
        for woken in due:
            if not woken.done():
                woken.set_result(None)


@dataclass
class WildVenue:
    """What is true is ``bar``; what is told of a market goes through ``spoil``, in the stream and in pages. ``silent``
    markets tell nothing, ``torn`` ones leave it out of the stream alone, ``down`` ones out of pages."""

    clock: MovedTime
    name: str = "wild"
    kinds: frozenset[FeedKind] = frozenset({FeedKind.CANDLES, FeedKind.TICKERS})
    histories: frozenset[FeedKind] = frozenset({FeedKind.CANDLES})
    spoil: dict[str, Spoil] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    crossed: set[str] = field(default_factory=set)
    resynchronised: int = 0

    def __post_init__(self) -> None:
        self._told: asyncio.Queue[list[LiveCandle]] = asyncio.Queue()

    @property
    def timeframes(self) -> Mapping[int, str]:
        return {60: "1m"}

    def price(self, symbol: str, time_ms: int) -> float:
        """It swings by two percent, so that a crossing of averages buys and sells every few minutes."""
        return LEVELS[symbol] * (1 + 0.01 * math.sin(2 * math.pi * (time_ms / MINUTE_MS) / 6))

    def bar(self, symbol: str, time_ms: int) -> CandleRow:
        opened, closed = (round(self.price(symbol, at), 2) for at in (time_ms, time_ms + MINUTE_MS))
        return CandleRow(time_ms, str(opened), str(max(opened, closed)), str(min(opened, closed)), str(closed), "1000")

    def tell(self, time_ms: int) -> None:
        """The bars of one minute, all markets in one message."""
        rows = [
            (symbol, row)
            for symbol in LEVELS
            if symbol not in self.torn
            for row in self.spoil.get(symbol, lambda one: [one])(self.bar(symbol, time_ms))
        ]
        self._told.put_nowait([LiveCandle(symbol, row, True) for symbol, row in rows])

    # --- the ports ---

    async def candles_page(self, symbol: str, since: datetime, until: datetime) -> CandlePage:
        if symbol in self.down:
            raise FeedDown(f"{symbol}: no answer")
        until = min(until, self.clock.now())
        first = -(-to_milliseconds(since) // MINUTE_MS) * MINUTE_MS
        times = range(first, to_milliseconds(until) - MINUTE_MS + 1, MINUTE_MS)
        spoil = self.spoil.get(symbol, lambda one: [one])
        rows = [row for time in times for row in spoil(self.bar(symbol, time)) if row.time_ms == time][:500]
        return CandlePage(rows=tuple(rows), since=since, until=to_datetime(first + len(times) * MINUTE_MS))

    def candles(self, *args: Any, **asked: Any) -> Any:
        """Of the feed a page, of the streams what comes."""
        return self.candles_page(args[0], **asked) if asked else self._stream()

    async def _stream(self) -> AsyncGenerator[Sequence[LiveCandle]]:
        while True:
            yield await self._told.get()

    async def markets(self, *, is_fresh: bool = False) -> Mapping[str, VenueMarket]:
        return {symbol: VenueMarket(instrument=_listed(symbol), venue_symbol=symbol) for symbol in LEVELS}

    async def tickers(self, symbols: Sequence[str] | None = None) -> Sequence[TickerRow]:
        now_ms, rows = to_milliseconds(self.clock.now()), []
        for symbol in symbols or LEVELS:
            price = self.price(symbol, now_ms)
            bid, ask = (price * 1.3, price) if symbol in self.crossed else (price * 0.9999, price * 1.0001)
            rows.append(
                TickerRow(
                    symbol=symbol, time_ms=now_ms, bid=f"{bid:.2f}", ask=f"{ask:.2f}", last=f"{price:.2f}",
                    base_volume="1000",
                )
            )  # fmt: skip
        return rows

    async def now(self) -> datetime:
        return self.clock.now()

    async def close(self) -> None: ...


def _listed(symbol: str) -> ListedInstrument:
    base, _, quote = symbol.partition("/")
    return ListedInstrument(
        symbol=symbol, base=base, quote=quote, kind=InstrumentKind.SPOT, settle=None, contract_size=Decimal(1),
        tick_size=Decimal("0.01"), lot_size=Decimal("0.00001"), min_notional=Decimal(5),
        maker_fee=Decimal("0.0001"), taker_fee=Decimal("0.0001"), status=InstrumentStatus.TRADABLE,
    )  # fmt: skip


@dataclass
class Floor:
    venue: WildVenue
    clock: MovedTime
    platform: Platform
    database: PostgresManager
    minute_ms: int

    async def minutes(self, count: int, *, told: Callable[[int], None] | None = None) -> datetime:
        """Let so many minutes of the market pass, each with everything that follows from it. When they began."""
        began = self.clock.now()
        for _ in range(count):
            open_ms, self.minute_ms = self.minute_ms, self.minute_ms + MINUTE_MS
            self.clock.move(to_datetime(self.minute_ms) + timedelta(milliseconds=100))
            (told or self.venue.tell)(open_ms)
            await self._until_played(to_datetime(open_ms))
            await self.settle()
        return began

    async def _until_played(self, opened_at: datetime) -> None:
        """The venue's time goes on, as what is late is waited for."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.database.fetchval("SELECT position FROM feeds") < opened_at:
                await asyncio.sleep(0.005)
                if self.clock.now() < opened_at + timedelta(seconds=110):
                    self.clock.move(self.clock.now() + timedelta(seconds=1))

    async def settle(self) -> None:
        """Everybody has acted, what was ordered has met a price, and people have been told."""
        assert self.platform.quotes is not None
        await self._drained()
        await self.platform.quotes.show()
        await self.platform.executor.sync()
        await self._drained()

    async def _drained(self) -> None:
        """The bus looks again by the same clock."""
        draining = asyncio.create_task(self.platform.bus.drain(timeout_s=PATIENCE_S))
        while not draining.done():
            await asyncio.sleep(0.002)
            self.clock.move(self.clock.now() + timedelta(milliseconds=20))
        await draining

    async def opened_since(self, began: datetime, symbol: str = BAD) -> int:
        count: int = await self.database.fetchval(
            "SELECT count(*) FROM orders WHERE NOT reduces AND symbol = $1 AND order_time > $2", symbol, began
        )
        return count

    async def refusals_since(self, began: datetime, symbol: str = BAD) -> set[str]:
        rows = await self.database.fetch(
            "SELECT DISTINCT c.name FROM verdicts v JOIN signals g ON g.id = v.signal_id "
            "JOIN verdict_checks c ON c.verdict_id = v.id WHERE NOT c.passed AND g.symbol = $1 AND v.decided_at > $2",
            symbol,
            began,
        )
        return {row["name"] for row in rows}

    async def alerts(self, symbol: str = BAD) -> dict[str, str]:
        """What stands open of a market, and its words (market_conditions)."""
        rows = await self.database.fetch(
            "SELECT alert_type, message FROM risk_alerts WHERE status <> 'resolved' AND symbol = $1", symbol
        )
        return {row["alert_type"]: row["message"] for row in rows}


@asynccontextmanager
async def wild_floor(
    database: PostgresManager, dsn: str, patch: pytest.MonkeyPatch, **settings: str
) -> AsyncIterator[Floor]:
    clock = MovedTime()
    venue = WildVenue(clock)
    patch.setattr(platforms, "LiveClock", lambda: clock)
    patch.setattr(live_market, "LOOKS_EVERY_S", 0.01)
    source = await LiveMarket.open(
        feed=venue,
        streams=venue,
        symbols=list(LEVELS),
        manager=database,
        clock=clock,  # type: ignore[arg-type]
    )
    plan = Plan(
        source=source,
        feed="wild",
        account="tested",
        venue=venue.name,
        quote_asset="USDT",
        cash=Decimal(10_000),
        strategies=[StrategyPlan(name="cross", template="ma_cross", parameters={"fast": 2, "slow": 3}, timeframe_s=60)],
        begin_after=START - timedelta(minutes=1),
        present=venue,  # type: ignore[arg-type]
    )
    async with opened(database, dsn, plan, crypto_max_position_percent="20", **settings) as platform:
        playing = asyncio.create_task(platform.play())
        try:
            yield Floor(venue, clock, platform, database, to_milliseconds(START))
        finally:
            if playing.done():
                playing.result()
            await platform.market_data.stop()
            await playing


def spoiled(row: CandleRow, **values: str) -> list[CandleRow]:
    return [replace(row, **values)]


def times(row: CandleRow, factor: float) -> list[CandleRow]:
    return [
        replace(row, **{name: f"{float(getattr(row, name)) * factor:.2f}" for name in ("open", "high", "low", "close")})
    ]
