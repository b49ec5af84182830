"""The venue's own list of markets: what is downloaded gets its rules from there; a whole list closes old versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from mastertrade.domain.market import InstrumentKind
from mastertrade.exchanges.market_feed import (
    FeedKind,
    MarketFeed,
    NotOffered,
    UnknownSymbol,
    UnsupportedTimeframe,
    VenueMarket,
)
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

NEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentChanges:
    """What a sync did: markets that were not known, whose rules changed, and which the venue no longer lists."""

    venue: str
    listed: int
    added: int
    changed: int
    delisted: tuple[str, ...]


class InstrumentSync:
    def __init__(self, *, feed: MarketFeed, manager: PostgresManager, clock: Clock) -> None:
        self._feed = feed
        self._manager = manager
        self._clock = clock
        self._market = MarketDataPostgresDatabase()
        self._database = InstrumentsPostgresDatabase()

    def venue_of(self, kind: FeedKind) -> str:
        """Mark prices are series of their own, at a venue of their own: ``binance.mark``."""
        return f"{self._feed.name}.mark" if kind is FeedKind.MARK else self._feed.name

    async def sync(self) -> InstrumentChanges:
        """Take over the venue's list; a list without markets is not believed."""
        markets = await self._feed.markets(is_fresh=True)
        if not markets:
            raise BadData(f"{self._feed.name}: the list of markets is empty, so nothing was changed; try again later")
        at, name = self._clock.now(), self._feed.name
        async with self._manager.transaction() as tx:
            added, changed = await self._take_over(tx, name, list(markets.values()), at=at)
            gone = await self._database.delist_missing_instruments(
                tx, name, symbols=list(markets), kinds=list(InstrumentKind), at=at
            )
        return InstrumentChanges(venue=name, listed=len(markets), added=added, changed=changed, delisted=tuple(gone))

    async def register(self, symbols: Sequence[str], intervals_s: Sequence[int], kind: FeedKind) -> dict[str, int]:
        """The ids of these instruments, with the venue's present rules; also of one that it listed only earlier."""
        self._require(intervals_s, kind)
        markets, venue = await self._feed.markets(), self.venue_of(kind)
        listed = [markets[symbol] for symbol in dict.fromkeys(symbols) if symbol in markets]
        if listed:
            async with self._manager.transaction() as tx:
                await self._take_over(tx, venue, listed, at=self._clock.now())
        ids = {one.symbol: one.id for one in await self._market.instruments(self._manager, venues=[venue])}
        for symbol in symbols:
            if symbol not in ids:
                near = get_close_matches(symbol, list(markets), n=NEAREST, cutoff=0.6)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise UnknownSymbol(f"{self._feed.name} lists no {symbol} among its {len(markets):,} markets{hint}")
        return {symbol: ids[symbol] for symbol in symbols}

    async def last_close_time(self, instrument_id: int, interval_s: int) -> datetime | None:
        found = await self._market.series(self._manager, instrument_id=instrument_id)
        return next((one.last_close_time for one in found if one.interval_s == interval_s), None)

    async def _take_over(
        self, tx: Transaction, venue: str, markets: Sequence[VenueMarket], *, at: datetime
    ) -> tuple[int, int]:
        """What the venue does not tell of a market stays as it is known, from a file or an earlier list."""
        await self._market.add_venues(tx, [venue], at=at)
        return await self._database.learn_instruments(
            tx,
            venue,
            [one.instrument for one in markets],
            assumed=[one.assumed for one in markets],
            known_at=at,
            at=at,
        )

    def _require(self, intervals_s: Sequence[int], kind: FeedKind) -> None:
        name, timeframes = self._feed.name, self._feed.timeframes
        if kind not in self._feed.kinds:
            offered = ", ".join(sorted(self._feed.kinds)) or "nothing"
            raise NotOffered(f"{name} offers no {kind}; it has {offered}")
        for interval_s in intervals_s:
            if interval_s not in timeframes:
                offered = ", ".join(timeframes.values())
                raise UnsupportedTimeframe(f"{name} has no candles of {interval_name(interval_s)}; it has {offered}")
