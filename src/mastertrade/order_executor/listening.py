"""An account's own stream, kept open: what it tells is asked about at once. It only wakes: whoever looks regularly
finds the same without it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Final
from uuid import UUID

from mastertrade.exchanges.exchange import AccountNews, Listening, StreamingVenue
from mastertrade.order_executor.hearing import Mention, StreamState, mention
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.watching import Watcher
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff

log = logging.getLogger(__name__)

ASK_EVERY_S: Final = 0.25
"""Between two questions about what came: a venue counts them. The first one goes at once."""
TIMES_ASKED: Final = 4
"""About a trade that its list of fills does not have yet. After that the regular looks find it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before the next connection."""
WELL_AFTER_S: Final = 60.0
"""A connection that lasted so long had no trouble: the next pause is the first one again."""
CHECKED_EVERY_S: Final = 5.0


class Listener:
    """Connects, connects again, and tells people when there is no stream, or one that leaves things out. After each
    connection the account is compared with its venue: what happened in between was not told."""

    def __init__(
        self,
        account_id: UUID,
        venue: StreamingVenue,
        *,
        clock: Clock,
        manager: PostgresManager,
        database: ExecutorPostgresDatabase,
        watcher: Watcher,
        wake: Callable[[], None],
    ) -> None:
        self._account_id = account_id
        self._venue = venue
        self._clock = clock
        self._manager = manager
        self._database = database
        self._watcher = watcher
        self._hearing = watcher.hearing
        self._wake = wake
        self._news: dict[str, Mention] = {}
        self._is_there = asyncio.Event()

    async def keep(self) -> None:
        """Until it is cancelled, or the lease is lost."""
        asking = asyncio.create_task(self._keep_asking(), name="order_executor.asking")
        connected = asyncio.create_task(self._keep_connected(), name="order_executor.connected")
        try:
            await asyncio.wait([asking, connected], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asking, connected):
                task.cancel()
            ends = await asyncio.gather(asking, connected, return_exceptions=True)
        for end in ends:
            if isinstance(end, LeaseLost):
                log.info("the account's stream ends with the lease", extra={"account_id": str(self._account_id)})
            elif isinstance(end, Exception):
                log.error("the account's stream is not listened to any more", exc_info=end)

    async def _keep_connected(self) -> None:
        pauses = _pauses_s()
        while True:
            began = self._clock.monotonic()
            reading = asyncio.create_task(self._read(), name="order_executor.stream")
            left_out: str | None = None
            try:
                while not reading.done() and left_out is None:
                    await asyncio.wait([reading], timeout=CHECKED_EVERY_S)
                    left_out = self._hearing.left_out(self._clock.now())
            finally:
                reading.cancel()
                (ended,) = await asyncio.gather(reading, return_exceptions=True)
            if left_out is not None:
                reason = f"it told nothing of order {left_out}, which has traded"
            else:
                reason = "it ended" if ended is None else f"{type(ended).__name__}: {ended}"
            self._hearing.ends(is_silent=left_out is not None)
            await self._tell(reason)
            if left_out is None and self._clock.monotonic() - began > WELL_AFTER_S:
                pauses = _pauses_s()
            await self._clock.sleep(next(pauses))

    async def _read(self) -> None:
        async with aclosing(self._venue.watch_account()) as stream:
            async for news in stream:
                if isinstance(news, Listening):
                    self._hearing.begins(self._clock.now())
                    await self._tell("the venue tells what happens on the account")
                    self._watcher.compare_next()
                    self._wake()
                else:
                    await self._hear(news)

    async def _hear(self, news: AccountNews) -> None:
        before = self._hearing.state
        self._hearing.hears(news, self._clock.now())
        if self._hearing.state is not before:
            await self._tell("it tells again")
        known = self._news.get(news.exchange_order_id)
        self._news[news.exchange_order_id] = mention(news) if known is None else known.and_then(news)
        self._is_there.set()

    async def _keep_asking(self) -> None:
        while True:
            await self._is_there.wait()
            self._is_there.clear()
            taken, self._news = self._news, {}
            try:
                left = await self._watcher.follow_up([*taken.values()])
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - the regular looks find it, and tell
                log.warning(
                    "news of the account were not followed up", extra={"error": f"{type(error).__name__}: {error}"}
                )
                left = []
            if any(one.has_traded or one.is_over for one in taken.values()):
                await self._clock.sleep(ASK_EVERY_S)
            for one in left:
                if one.times_asked < TIMES_ASKED and one.exchange_order_id not in self._news:
                    self._news[one.exchange_order_id] = one
            if self._news:
                self._is_there.set()

    async def _tell(self, reason: str) -> None:
        """To people. A database that is away hears of the next change."""
        state = self._hearing.state
        facts = {"account_id": str(self._account_id), "venue": self._venue.name, "reason": reason}
        log.log(
            logging.INFO if state is StreamState.OPEN else logging.WARNING,
            "account stream %s: %s",
            state,
            reason,
            extra=facts,
        )
        try:
            await self._database.note_stream(
                self._manager, self._account_id, state=state, reason=reason, at=self._clock.now()
            )
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - trading does not hang on it
            log.warning("the state of the account's stream was not kept", extra={"error": f"{type(error).__name__}"})


def _pauses_s() -> Iterator[float]:
    return Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, jitter=0.0).pauses_s()
