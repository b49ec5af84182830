"""A market is played batch by batch: each stored once, told once, and gone on with where it stood."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from mastertrade.domain.events import CandlesClosed
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.service import MarketDataService
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.shared.clock import ReplayClock, SystemClock
from mastertrade.shared.errors import AlreadyRunning, DatabaseDown, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import BTC, MINUTE, NOON, RecordingBus, SmallMarket, minutes, rows_of, service

DATABASE = MarketDataPostgresDatabase()
ETH = ("kraken", "ETH/USDT")


class Diary:
    """A tape that writes down what happened, and when by the market's clock."""

    def __init__(self, clock: ReplayClock, database: PostgresManager) -> None:
        self.entries: list[tuple[str, datetime]] = []
        self.seen: list[int] = []
        self._clock = clock
        self._database = database
        self.fails_at: datetime | None = None
        self.error: Exception = RuntimeError("the venue broke")

    async def prices(self, batch: CandleBatch) -> None:
        if batch.open_time == self.fails_at:
            self.fails_at = None
            raise self.error
        self.seen.append(await self._database.fetchval("SELECT count(*) FROM candles"))
        self.entries.append(("prices", self._clock.now()))

    async def settle(self) -> None:
        self.entries.append(("settle", self._clock.now()))


async def begun(
    database: PostgresManager, source: SmallMarket, *, bus: RecordingBus | None = None, after: datetime = NOON
) -> tuple[MarketDataService, Diary]:
    clock = ReplayClock(NOON - timedelta(days=1))
    market = service(database, clock=clock, bus=bus)
    clock.advance(await market.begin_feed("replay", source, after=after))
    diary = Diary(clock, database)
    market.play_through(diary)
    return market, diary


async def test_prices_come_at_the_open_and_the_event_at_the_close(database: PostgresManager) -> None:
    bus = RecordingBus()
    market, diary = await begun(database, SmallMarket({BTC: minutes(2)}), bus=bus)
    report = await market.play()
    assert diary.entries == [
        ("settle", NOON),
        ("prices", NOON),
        ("settle", NOON + MINUTE),
        ("prices", NOON + MINUTE),
        ("settle", NOON + 2 * MINUTE),
    ]
    assert diary.seen == [0, 1]  # the venue learns the prices before the candle is known to anybody
    assert [event.occurred_at for event in bus.events] == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert (report.batches, report.candles, report.position, report.is_finished) == (2, 2, NOON + MINUTE, True)


async def test_a_batch_is_one_event_whatever_its_venues(database: PostgresManager) -> None:
    bus = RecordingBus()
    source = SmallMarket({BTC: minutes(3), ("binance", "ETH/USDT"): minutes(3), ETH: minutes(3, without=[1])})
    market, _ = await begun(database, source, bus=bus)
    await market.play()
    told = [
        (event.venues, [(candle.venue, candle.symbol) for candle in event.candles])
        for event in bus.events
        if isinstance(event, CandlesClosed)
    ]
    both = [("binance", "BTC/USDT"), ("binance", "ETH/USDT")]
    full = (("binance", "kraken"), [*both, ("kraken", "ETH/USDT")])
    assert [(venues, sorted(candles)) for venues, candles in told] == [full, (("binance",), both), full]
    assert len({event.id for event in bus.events}) == 3
    assert len({event.key for event in bus.events}) == 1


async def test_a_new_feed_begins_with_the_first_batch_that_closes_after_its_beginning(
    database: PostgresManager,
) -> None:
    source = SmallMarket({BTC: minutes(10)})
    market, _ = await begun(database, source, after=NOON + 4 * MINUTE)
    await market.load_history(source, until=NOON + 4 * MINUTE)
    report = await market.play()
    assert report.batches == 6
    assert len(await rows_of(database)) == 10


async def test_a_feed_goes_on_where_it_stood(database: PostgresManager) -> None:
    bus, source = RecordingBus(), SmallMarket({BTC: minutes(10)})
    market, _ = await begun(database, source, bus=bus)
    market.play_through(Diary(ReplayClock(NOON), database), end=NOON + 4 * MINUTE)
    assert (await market.play()).batches == 4
    again, diary = await begun(database, source, bus=bus, after=NOON - timedelta(days=3))
    assert (await again.play()).batches == 6
    assert diary.entries[0] == ("settle", NOON + 4 * MINUTE)  # first what the last run left behind, at its own time
    assert (await again.play()).batches == 0
    assert len(bus.events) == 10


async def test_what_breaks_before_the_commit_is_played_again_and_stored_once(database: PostgresManager) -> None:
    bus, source = RecordingBus(), SmallMarket({BTC: minutes(5)})
    market, _ = await begun(database, source, bus=bus)
    bus.fails_at = NOON + 3 * MINUTE
    with pytest.raises(RuntimeError, match="the bus broke"):
        await market.play()
    assert len(await rows_of(database)) == len(bus.events) == 2
    feed = await DATABASE.feed(database, "replay")
    assert feed is not None
    assert feed.position == NOON + MINUTE
    again, _ = await begun(database, source, bus=bus)
    assert (await again.play()).batches == 3
    assert len(await rows_of(database)) == len(bus.events) == 5


async def test_a_lost_database_interrupts_playing_but_does_not_end_it(database: PostgresManager) -> None:
    source = SmallMarket({BTC: minutes(5)})
    market, diary = await begun(database, source)
    diary.fails_at, diary.error = NOON + 2 * MINUTE, DatabaseDown("PostgreSQL does not answer")
    report = await market.play()
    assert (report.position, report.is_finished) == (NOON + 4 * MINUTE, True)
    assert len(await rows_of(database)) == 5


async def test_a_feed_does_not_go_on_with_another_source(database: PostgresManager) -> None:
    await begun(database, SmallMarket({BTC: minutes(5)}, name="files:a"))
    with pytest.raises(
        UsageError, match=r"feed replay plays files:a .* cannot go on with files:b .* another feed name"
    ):
        await begun(database, SmallMarket({BTC: minutes(5)}, name="files:b"))


async def test_two_players_of_one_feed_cannot_both_go_on(database: PostgresManager) -> None:
    bus, source = RecordingBus(), SmallMarket({BTC: minutes(5)})
    market, _ = await begun(database, source, bus=bus)

    class Intruder(Diary):
        async def prices(self, batch: CandleBatch) -> None:
            if batch.open_time == NOON + 2 * MINUTE:
                await database.execute("UPDATE feeds SET position = $1", NOON + 2 * MINUTE)

    market.play_through(Intruder(ReplayClock(NOON), database))
    with pytest.raises(AlreadyRunning, match="another process plays it"):
        await market.play()
    assert len(await rows_of(database)) == len(bus.events) == 2


async def test_stopping_ends_between_two_batches(database: PostgresManager) -> None:
    bus, source = RecordingBus(), SmallMarket({BTC: minutes(1_000)})
    market, diary = await begun(database, source, bus=bus)
    market.play_through(diary, speed=3_600.0)
    playing = asyncio.create_task(market.play())
    await asyncio.sleep(0.3)
    await asyncio.wait_for(market.stop(), 5)
    report = await playing
    assert 0 < report.batches < 1_000
    assert not report.is_finished
    assert len(await rows_of(database)) == len(bus.events) == report.batches
    assert diary.entries[-1][0] == "settle"
    await market.stop()


async def test_a_paced_replay_takes_the_market_s_time(database: PostgresManager) -> None:
    market, diary = await begun(database, SmallMarket({BTC: minutes(7)}))
    market.play_through(diary, speed=600.0)
    report = await market.play()
    assert 0.55 < report.seconds < 3.0  # six waits of a minute at 600 times the speed


async def test_a_paced_clock_steps_only_when_all_that_was_asked_for_is_done(database: PostgresManager) -> None:
    market, diary = await begun(database, SmallMarket({BTC: minutes(3)}))
    market.play_through(diary, speed=60_000.0)
    await market.play()
    for (before, at), (_, then) in pairwise(diary.entries):
        assert at == then or before == "settle", diary.entries
    assert diary.entries[-1] == ("settle", NOON + timedelta(minutes=3))


async def test_playing_what_is_stored_already_writes_no_candle_again(database: PostgresManager) -> None:
    source = SmallMarket({BTC: minutes(5)})
    market, _ = await begun(database, source)
    await market.load_history(source, until=NOON + timedelta(hours=1))
    before = await database.fetch("SELECT xmin::text, open_time FROM candles ORDER BY open_time")
    assert (await market.play()).revised == 0
    assert await database.fetch("SELECT xmin::text, open_time FROM candles ORDER BY open_time") == before
    (series,) = await DATABASE.series(database)
    assert (series.rows, series.revised_rows) == (5, 0)


async def test_a_batch_that_differs_from_what_is_stored_is_counted_as_a_revision(database: PostgresManager) -> None:
    market, _ = await begun(database, SmallMarket({BTC: minutes(5)}))
    await market.load_history(SmallMarket({BTC: minutes(5, price=200.0)}), until=NOON + timedelta(hours=1))
    assert (await market.play()).revised == 5
    (series,) = await DATABASE.series(database)
    assert (series.rows, series.revised_rows) == (5, 5)
    assert [close for _, close in await rows_of(database)] == minutes(5).close.tolist()


async def test_playing_needs_a_feed_and_a_clock_that_follows(database: PostgresManager) -> None:
    with pytest.raises(UsageError, match="begin a feed first"):
        await service(database).play()
    market = service(database, clock=SystemClock())
    await market.begin_feed("replay", SmallMarket({BTC: minutes(5)}), after=NOON)
    with pytest.raises(UsageError, match="a clock that the market moves"):
        await market.play()
    market = service(database)
    await market.begin_feed("replay", SmallMarket({BTC: minutes(5)}), after=NOON)
    market.play_through(Diary(ReplayClock(NOON), database), speed=0.0)
    with pytest.raises(UsageError, match="must be above 0"):
        await market.play()


async def test_the_simulator_played_from_the_middle_goes_on_as_if_it_had_begun_there(
    database: PostgresManager,
) -> None:
    start = NOON - timedelta(minutes=30)
    source = SimulatedMarket(seed=3, start=start, end=NOON + timedelta(minutes=30), symbols=["BTC/USDT"])
    market, _ = await begun(database, source)  # type: ignore[arg-type]
    await market.load_history(source, until=NOON)
    assert (await market.play()).batches == 30
    rows = await rows_of(database)
    assert len(rows) == 120  # an hour on two venues
    await database.execute(
        "SELECT remove_candles(instrument_id, interval_s, $1, $2, false, $1) FROM series",
        start,
        NOON + timedelta(days=1),
    )
    await market.load_history(source, until=NOON + timedelta(hours=1))
    assert await rows_of(database) == rows


async def test_a_source_is_closed_when_playing_ends_early(database: PostgresManager) -> None:
    closed: list[bool] = []

    class Watched(SmallMarket):
        async def batches(
            self, ids: Mapping[tuple[str, str], int], after: datetime | None
        ) -> AsyncGenerator[CandleBatch, None]:
            try:
                async for batch in super().batches(ids, after):
                    yield batch
            finally:
                closed.append(True)

    market, diary = await begun(database, Watched({BTC: minutes(5)}))
    market.play_through(diary, end=NOON + MINUTE)
    await market.play()
    assert closed == [True]


async def test_expired_documents_are_deleted_and_others_kept(database: PostgresManager) -> None:
    insert = (
        "INSERT INTO {} (id, partition_key, ts, expires_at)"
        " SELECT g::text, 'BTCUSDT', $1, $2 FROM generate_series($3::int, $4) g"
    )
    for table in ("trades_stream", "order_book", "sentiment_data"):
        await database.execute(insert.format(table), NOON, NOON, 1, 6_000)
        await database.execute(insert.format(table), NOON, NOON + timedelta(hours=1), 6_001, 6_010)
    await service(database, clock=ReplayClock(NOON + MINUTE)).delete_expired()
    for table in ("trades_stream", "order_book", "sentiment_data"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 10
