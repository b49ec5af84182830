"""Funding rates of the swaps that are followed, learned soon after each settlement."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mastertrade.exchanges.market_feed import FeedKind, MarketFeed
from mastertrade.market_data_service.kind_downloading import KindDownloader
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.service import Job, Service

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
BACK: Final = timedelta(days=7)
"""At the first question; what was answered then is not asked for again."""


class LiveFunding(Service):
    """Asks the venue each minute. A venue that tells no rates of the past is not asked."""

    name = "live_funding"

    def __init__(self, *, clock: Clock, manager: PostgresManager, feed: MarketFeed, symbols: Sequence[str]) -> None:
        super().__init__(clock=clock)
        self._manager = manager
        self._feed = feed
        self._symbols = symbols

    def jobs(self) -> Sequence[Job]:
        if FeedKind.FUNDING not in self._feed.histories or not self._symbols:
            log.warning("%s tells no funding rates: none is charged", self._feed.name)
            return ()
        return [Job("learn_funding", EVERY_S, self.learn, runs_at_start=True, timeout_s=600.0)]

    async def learn(self) -> None:
        """Store what the venue has told about settlements since the last time."""
        downloader = KindDownloader(feed=self._feed, manager=self._manager, clock=self._clock)
        try:
            told = await downloader.run(self._symbols, FeedKind.FUNDING, since=self._clock.now() - BACK)
        except MasterTradeError as error:
            log.warning("funding rates are asked for again in a minute: %s", error)
            return
        for one in told:
            if one.failure is not None:
                log.warning("funding rates are asked for again in a minute: %s", one.failure)
