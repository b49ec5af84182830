"""Market data: stores candles once, publishes that they closed, and plays recorded or simulated markets."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from mastertrade.domain.market import Instrument
from mastertrade.market_data_service.blocks import seal_months
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.loading import HistoryLoader, LoadReport, Progress
from mastertrade.market_data_service.player import Player, PlayReport, Tape
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_documents import DELETE_EXPIRED, MarketDocumentsPostgresDatabase
from mastertrade.market_data_service.rollups import Rollups
from mastertrade.market_data_service.source import Source, to_datetime, to_milliseconds
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.quant.resample import floor_to_grid
from mastertrade.shared.clock import Clock, LiveClock, ReplayClock
from mastertrade.shared.errors import DependencyDown, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.service import Job, Service

log = logging.getLogger(__name__)

EXPIRED_A_BATCH = 5_000
"""Rows deleted by one statement, which keeps their locks short."""
STOP_TIMEOUT_S = 30.0
"""Given to the batch in hand, with all that follows from it, before playing is cut."""
FRUITLESS_TRIES = 5
"""Times playing may fail without one batch played in between, although the database answers."""


class MarketDataService(Service):
    """``register`` and ``load_history`` a source, or ``begin_feed`` and ``play`` it, batch by batch."""

    name = "market_data_service"

    def __init__(self, *, settings: MarketDataSettings, clock: Clock, bus: Bus, manager: PostgresManager) -> None:
        super().__init__(clock=clock)
        self._settings = settings
        self._bus = bus
        self._manager = manager
        self._database = MarketDataPostgresDatabase()
        self._documents = MarketDocumentsPostgresDatabase()
        self._begun: tuple[str, Source] | None = None
        self._tape: Tape | None = None
        self._end: datetime | None = None
        self._speed: float | None = None
        self._player: Player | None = None
        self._playing: asyncio.Task[PlayReport] | None = None

    def subscriptions(self) -> list[Subscription]:
        return []

    def jobs(self) -> Sequence[Job]:
        return [
            Job("delete_expired", self._settings.cleanup_interval_s, self.delete_expired, timeout_s=600.0),
            Job("seal_candles", self._settings.cleanup_interval_s, self.seal_candles, timeout_s=3_600.0),
            Job("roll_up", self._settings.cleanup_interval_s, self.roll_up, timeout_s=3_600.0),
        ]

    async def stop(self) -> None:
        """Let the batch in hand end, with everything that follows from it, then stop the jobs."""
        player, playing = self._player, self._playing
        if player is not None and playing is not None and not playing.done():
            player.stop()
            _, pending = await asyncio.wait([playing], timeout=STOP_TIMEOUT_S)
            if pending:
                log.error("the batch in hand did not end within %g s and was cut", STOP_TIMEOUT_S)
                playing.cancel()
                await asyncio.wait([playing], timeout=STOP_TIMEOUT_S)
        await super().stop()

    async def register(self, source: Source) -> list[Instrument]:
        """Make the source's venues and instruments known; all of them with their ids, in the order of the ids."""
        await self._database.add_instruments(self._manager, source.instruments, at=self._clock.now())
        keys = {listing.key for listing in source.instruments}
        venues = sorted({venue for venue, _ in keys})
        found = await self._database.instruments(self._manager, venues=venues)
        return [instrument for instrument in found if (instrument.venue, instrument.symbol) in keys]

    async def load_history(self, source: Source, *, until: datetime, progress: Progress | None = None) -> LoadReport:
        """Store every candle of the source that had closed at ``until``. Repeating it changes nothing."""
        loader = HistoryLoader(manager=self._manager, clock=self._clock)
        return await loader.load(source, await self._ids(source), until=until, progress=progress)

    async def begin_feed(self, feed: str, source: Source, *, after: datetime) -> datetime:
        """Choose what ``play`` plays. The moment up to which the feed has come: a new one begins at ``after``, with the
        first batch that closes later."""
        interval_s = source.interval_s
        begin = to_datetime(floor_to_grid(to_milliseconds(after), interval_s))
        await self._database.begin_feed(
            self._manager,
            feed,
            source.name,
            interval_s,
            position=begin - timedelta(seconds=interval_s),
            at=self._clock.now(),
        )
        stored = await self._database.feed(self._manager, feed)
        assert stored is not None, "feeds are never deleted"
        if (stored.source, stored.interval_s) != (source.name, interval_s):
            raise UsageError(
                f"feed {feed} plays {stored.source} at {stored.interval_s} s and stands at {stored.market_time}; "
                f"it cannot go on with {source.name} at {interval_s} s: use another feed name"
            )
        self._begun = (feed, source)
        return stored.market_time

    def play_through(self, tape: Tape, *, end: datetime | None = None, speed: float | None = None) -> None:
        """Choose how to play: what happens around each batch, where to end, and how many market seconds pass in one."""
        self._tape, self._end, self._speed = tape, end, speed

    async def play(self) -> PlayReport:
        """Play the feed to its end, or until ``stop``. When the database is lost, playing begins again where the feed
        stands once it answers, as a new process would."""
        if self._begun is None:
            raise UsageError("nothing to play: begin a feed first")
        if not isinstance(self._clock, ReplayClock | LiveClock):
            raise UsageError(
                "a source is played on a clock that the market moves: hand in a ReplayClock or a LiveClock"
            )
        feed, source = self._begun
        self._player = player = Player(
            feed=feed,
            source=source,
            ids=await self._ids(source),
            clock=self._clock,
            manager=self._manager,
            bus=self._bus,
            tape=self._tape,
            speed=self._speed,
        )
        self._playing = asyncio.create_task(self._play(player), name="market_data_service.player")
        return await self._playing

    async def seal_candles(self) -> None:
        """Seal closed months, which are then read some ten times as fast (docs/benchmarks.md)."""
        await seal_months(self._manager)

    async def roll_up(self) -> None:
        """Bring the longer bars up to date that somebody asked to keep."""
        await Rollups(manager=self._manager, clock=self._clock).follow()

    async def delete_expired(self) -> None:
        """Delete the documents whose time is over."""
        for statement in DELETE_EXPIRED:
            deleted = EXPIRED_A_BATCH
            while deleted == EXPIRED_A_BATCH:
                deleted = await self._documents.delete_expired(
                    self._manager, statement, at=self._clock.now(), limit=EXPIRED_A_BATCH
                )

    async def _ids(self, source: Source) -> dict[tuple[str, str], int]:
        return {(one.venue, one.symbol): one.id for one in await self.register(source)}

    async def _play(self, player: Player) -> PlayReport:
        fruitless = 0
        while True:
            before = player.batches_played
            try:
                return await player.run(end=self._end)
            except DependencyDown as error:
                fruitless = 0 if player.batches_played > before else fruitless + 1
                if fruitless > FRUITLESS_TRIES or player.is_stopping:
                    raise
                log.warning("playing broke off, it goes on where the feed stands: %s", error)
                if not await self._database_answers(player):
                    raise

    async def _database_answers(self, player: Player) -> bool:
        deadline = self._clock.monotonic() + self._settings.retry_for_s
        while not player.is_stopping:
            await self._clock.sleep(0.5)
            if await self._manager.healthcheck():
                return True
            if self._clock.monotonic() > deadline:
                return False
        return False
