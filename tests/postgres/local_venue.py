"""A venue on this machine for tests, and the real ccxt client that asks it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.simulated import Fault, FaultScript, GivenCandles, LocalMarket, SimulatedVenue, VenueTime
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.quant.bars import Bars


def market_of(bars: Bars, base: str = "BTC") -> LocalMarket:
    return LocalMarket(base=base, quote="USDT", price_decimals=2, volume_decimals=6, candles=GivenCandles(bars))


@asynccontextmanager
async def venue_with(
    *markets: LocalMarket, now: datetime, faults: Sequence[Fault] = ()
) -> AsyncIterator[tuple[SimulatedVenue, CcxtFeed]]:
    """Its time stands still at ``now``."""
    time = VenueTime(to_milliseconds(now), speed=0)
    async with SimulatedVenue(markets, time=time, faults=FaultScript(faults)) as venue:
        feed = CcxtFeed("binance", url=venue.url)
        try:
            yield venue, feed
        finally:
            await feed.close()
