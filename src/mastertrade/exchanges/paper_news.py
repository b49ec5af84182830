"""What a paper venue tells by itself, to whoever listens in the same process."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from mastertrade.exchanges.exchange import AccountNews, Listening
from mastertrade.exchanges.market_feed import FeedDown

MOST_WAITING: Final = 10_000
"""News of one listener; beyond that its stream is over."""


class PaperNews:
    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[AccountNews]] = set()

    def tell(self, news: AccountNews) -> None:
        for waiting in list(self._listeners):
            if waiting.full():
                self._listeners.discard(waiting)
            else:
                waiting.put_nowait(news)

    async def listen(self) -> AsyncGenerator[Listening | AccountNews]:
        waiting: asyncio.Queue[AccountNews] = asyncio.Queue(MOST_WAITING)
        self._listeners.add(waiting)
        try:
            yield Listening()
            while waiting in self._listeners or not waiting.empty():
                yield await waiting.get()
        finally:
            self._listeners.discard(waiting)
        raise FeedDown(f"more than {MOST_WAITING:,} news of the paper account wait")
