"""The present prices of a venue for a paper account that trades there: asked for while something rests."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from mastertrade.domain.market import Candle
from mastertrade.exchanges.market_feed import FeedDown, MarketFeed, TickerRow
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.exact_numbers import exact_decimal
from mastertrade.shared.service import Job, Service

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class PaperQuotes(Service):
    """``ids`` are the instruments by symbol; ``traded`` is called when an order was dealt with."""

    name = "paper_quotes"

    def __init__(
        self,
        *,
        clock: Clock,
        venue: PaperVenue,
        feed: MarketFeed,
        ids: Mapping[str, int],
        traded: Callable[[], Awaitable[Any]],
    ) -> None:
        super().__init__(clock=clock)
        self._venue = venue
        self._feed = feed
        self._ids = ids
        self._traded = traded

    def jobs(self) -> Sequence[Job]:
        return [Job("show_prices", EVERY_S, self.show, timeout_s=30.0)]

    async def show(self) -> None:
        """Let what rests trade at the prices of now."""
        symbols = await self._venue.resting_symbols()
        if not symbols:
            return
        try:
            rows = await self._feed.tickers(symbols)
        except FeedDown as error:
            log.warning("paper orders wait, no prices came: %s", error)
            return
        now = self._clock.now()
        quotes = [quote(self._ids[row.symbol], self._feed.name, row, now) for row in rows if row.symbol in self._ids]
        if await self._venue.on_prices([one for one in quotes if one is not None]):
            await self._traded()


def quote(id: int, venue: str, row: TickerRow, now: datetime) -> Candle | None:
    """A moment as a bar: it opens in the middle of bid and ask, a resting buy meets the ask and a resting sell the
    bid. None where the venue names no price, or a bid above its ask: then nobody could trade at either."""
    bid, ask = (_price(row.last if price is None else price) for price in (row.bid, row.ask))
    if bid is None or ask is None or not 0 < bid <= ask:
        return None
    middle = float((bid + ask) / 2)
    return Candle(
        instrument_id=id,
        venue=venue,
        symbol=row.symbol,
        interval_s=1,
        open_time=now,
        open=middle,
        low=float(ask),
        high=float(bid),
        close=middle,
        volume=0.0,
    )


def _price(text: str | None) -> Decimal | None:
    try:
        return None if text is None else exact_decimal(text)
    except BadData as error:
        log.warning("a quote cannot be used: %s", error)
        return None
