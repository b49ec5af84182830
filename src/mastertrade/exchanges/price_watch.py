"""The present prices of a live market for whoever waits for one: asked for between two closes, while somebody does."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from mastertrade.domain.market import Candle
from mastertrade.exchanges.market_feed import FeedDown, MarketFeed, TickerRow
from mastertrade.shared.clock import Clock
from mastertrade.shared.service import Job, Service

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class PriceWatcher(Protocol):
    """Who acts when a price is reached, and does not want to wait for the bar to close."""

    async def watched_symbols(self, venue: str) -> Sequence[str]:
        """Of which markets of this venue it waits for a price now."""
        ...

    async def on_prices(self, prices: Sequence[Candle]) -> None:
        """The last price of markets, each as a bar of this moment. What a bar that closes later tells of the same
        prices must change nothing more."""
        ...


class PriceWatch(Service):
    """``ids`` are the instruments by symbol. Costs the venue nothing while nobody waits. Closed bars stay the truth: a
    price that nobody was told of is in its bar."""

    name = "price_watch"

    def __init__(
        self, *, clock: Clock, feed: MarketFeed, ids: Mapping[str, int], watchers: Sequence[PriceWatcher]
    ) -> None:
        super().__init__(clock=clock)
        self._feed = feed
        self._ids = ids
        self._watchers = watchers

    def jobs(self) -> Sequence[Job]:
        return [Job("watch_prices", EVERY_S, self.look, timeout_s=30.0)]

    async def look(self) -> None:
        wanted = [set(await one.watched_symbols(self._feed.name)) & self._ids.keys() for one in self._watchers]
        symbols = sorted(set().union(*wanted))
        if not symbols:
            return
        try:
            rows = await self._feed.tickers(symbols)
        except FeedDown as error:
            log.warning("stops and triggers wait for the close, no prices came: %s", error)
            return
        now = self._clock.now()
        prices = {row.symbol: moment(self._ids[row.symbol], self._feed.name, row, now) for row in rows}
        for watcher, names in zip(self._watchers, wanted, strict=True):
            if told := [price for symbol, price in prices.items() if symbol in names and price is not None]:
                await watcher.on_prices(told)


def moment(id: int, venue: str, row: TickerRow, now: datetime) -> Candle | None:
    """The last price as a bar without length, or the middle of bid and ask; None where the venue tells neither."""
    price = row.last
    if price is None and row.bid is not None and row.ask is not None:
        price = str((Decimal(row.bid) + Decimal(row.ask)) / 2)
    if price is None or not (Decimal(price).is_finite() and Decimal(price) > 0):
        return None
    value = float(price)
    return Candle(
        instrument_id=id,
        venue=venue,
        symbol=row.symbol,
        interval_s=1,
        open_time=now,
        open=value,
        high=value,
        low=value,
        close=value,
        volume=0.0,
    )
