"""A local venue whose time the tests move, and clients of ours on it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mastertrade.exchanges import ccxt_markets
from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.ccxt_streams import CcxtStreams
from mastertrade.exchanges.simulated import Fault, FaultScript, SimulatedVenue, VenueTime, simulated_market

START_MS = 1_700_000_060_000  # 20 seconds into a minute


class VenueClock:
    """The venue's time as a clock; sleeping is done when the venue's time has gone on so far."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._venue.time.now_ms())

    def monotonic(self) -> float:
        return self._venue.time.now_ms() / 1000

    async def sleep(self, seconds: float) -> None:
        until_ms = self._venue.time.now_ms() + seconds * 1000
        while self._venue.time.now_ms() < until_ms:
            await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVenue:
    venue: SimulatedVenue
    feed: CcxtFeed
    streams: CcxtStreams
    clock: VenueClock

    async def go_on(self, seconds: float, *, step_s: float = 2.0, pause_s: float = 0.004) -> None:
        """Let venue time pass in steps, each with a moment for the clients to act."""
        passed = 0.0
        while passed < seconds:
            await self.venue.advance(step_s)
            await asyncio.sleep(pause_s)
            passed += step_s


@asynccontextmanager
async def live_venue(
    *faults: Fault, symbols: Sequence[str] = ("BTC/USDT", "ETH/USDT"), speed: float = 0.0, **options: Any
) -> AsyncIterator[LiveVenue]:
    markets = options.pop("markets", None) or [
        simulated_market(symbol, seed=1, from_ms=START_MS - 2 * 86_400_000) for symbol in symbols
    ]
    time, script = VenueTime(START_MS, speed=speed), FaultScript(faults)
    async with SimulatedVenue(markets, time=time, faults=script, **options) as venue:
        known = {"fetchMarkets": {"types": ["spot"]}}
        feed = CcxtFeed("binance", url=venue.url, options=known)
        streams = CcxtStreams("binance", url=venue.url, options=known)
        before, ccxt_markets.CLOCK_FOR_S = ccxt_markets.CLOCK_FOR_S, 0.0  # type: ignore[misc]
        try:
            yield LiveVenue(venue=venue, feed=feed, streams=streams, clock=VenueClock(venue))
        finally:
            ccxt_markets.CLOCK_FOR_S = before  # type: ignore[misc]
            await streams.close()
            await feed.close()
