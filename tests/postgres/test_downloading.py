"""Downloads over the real ccxt client from a venue on this machine: stored candles equal the venue's, whatever goes
wrong on the way, and what the venue does not have is known."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.market_feed import FeedKind, UnknownSymbol, UnsupportedTimeframe
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.market_data_service import downloading
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.download_report import SeriesDownload, Wanted
from mastertrade.market_data_service.downloading import Downloader
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff
from tests.postgres.local_venue import market_of, venue_with
from tests.postgres.market_seed import MINUTE, NOON, minutes

IMPATIENT = Backoff(first_s=0.01, longest_s=0.05, for_s=5.0)
HOUR = timedelta(hours=1)


def downloader(database: PostgresManager, feed: CcxtFeed, *, claim_s: float = 15.0) -> Downloader:
    return Downloader(feed=feed, manager=database, clock=SystemClock(), patience=IMPATIENT, claim_s=claim_s)


async def download(
    database: PostgresManager,
    feed: CcxtFeed,
    since: datetime,
    *,
    symbols: Sequence[str] = ("BTC/USDT",),
    intervals_s: Sequence[int] = (60,),
    kind: FeedKind = FeedKind.CANDLES,
    until: datetime | None = None,
) -> list[SeriesDownload]:
    wanted = Wanted(symbols=symbols, intervals_s=intervals_s, since=since, until=until, kind=kind)
    return list((await downloader(database, feed).run(wanted)).series)


async def stored(database: PostgresManager, one: SeriesDownload) -> Bars:
    store = MarketDataPostgresDatabase()
    return await store.candle_columns(database, one.instrument_id, one.interval_s, one.since, one.until)


def assert_equal(found: Bars, wanted: Bars) -> None:
    for name in ("time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


FAULTS = [
    Fault(kind=FaultKind.STATUS, on="exchangeInfo", status=503),
    Fault(kind=FaultKind.RATE_LIMIT, on="klines", after=1, seconds=0.2),
    Fault(kind=FaultKind.DROP, on="klines", after=2, times=2),
    Fault(kind=FaultKind.TRUNCATE, on="klines", after=3, times=2),
    Fault(kind=FaultKind.HTML, on="klines", after=5),
    Fault(kind=FaultKind.STATUS, on="klines", after=6, status=502),
    Fault(kind=FaultKind.SILENCE, on="klines", after=3, seconds=0.2),
]


async def test_recorded_candles_arrive_exactly_through_every_fault_of_the_wire(
    database: PostgresManager, real_candles: Path
) -> None:
    """Two pairs of September 2021 with the outage of Binance in them, which is asked for twice and then known."""
    from_, until = datetime.fromisoformat("2021-09-28T12:00Z"), datetime.fromisoformat("2021-09-30T12:00Z")
    markets, truth = [], {}
    for base in ("BTC", "ADA"):
        whole = recorded(real_candles / f"{base}_USDT-1m.csv.gz")
        first, last = np.searchsorted(whole.time, [to_milliseconds(from_), to_milliseconds(until)])
        truth[f"{base}/USDT"] = whole[int(first) : int(last)]
        markets.append(market_of(whole[int(first) : int(last)], base))
    async with venue_with(*markets, now=until + 2 * MINUTE, faults=FAULTS) as (venue, feed):
        first_time = await download(database, feed, from_, symbols=list(truth), until=until)
        assert {fault.kind for fault in venue.faults.happened} == {fault.kind for fault in FAULTS}
        again = await download(database, feed, from_, symbols=list(truth), until=until)
    for one, repeated in zip(first_time, again, strict=True):
        wanted = truth[one.symbol]
        assert one.failure is None
        assert_equal(await stored(database, one), wanted)
        assert (one.loaded.new, one.done, one.total) == (len(wanted), 2_880, 2_880)
        assert (one.gaps, one.missing, one.unconfirmed) == (1, 120, 0)
        assert (repeated.requests, repeated.loaded.rows, repeated.already) == (0, 0, 2_880)
    assert sum(one.retries for one in first_time) >= 5, "a dropped connection may be repeated by the HTTP client itself"
    (gap, _) = await CandleStore(manager=database, clock=SystemClock()).gaps()
    assert (gap.reason, gap.is_confirmed, f"{gap.starts:%d %H:%M}") == ("venue empty", True, "29 07:00")


def recorded(path: Path) -> Bars:
    import gzip

    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    columns = {name: table[:, place] for place, name in enumerate(("open", "high", "low", "close", "volume"), start=1)}
    return Bars(interval_s=60, time=table[:, 0].astype(np.int64), **columns)


async def test_years_before_a_market_was_listed_take_one_look_at_days_instead_of_thousands_of_pages(
    database: PostgresManager,
) -> None:
    bars = minutes(2_000)
    async with venue_with(market_of(bars), now=NOON + 2_000 * MINUTE + MINUTE) as (_, feed):
        (one,) = await download(database, feed, NOON - timedelta(days=400), until=NOON + 2_000 * MINUTE)
        assert_equal(await stored(database, one), bars)
        assert one.requests <= 8
        (again,) = await download(database, feed, NOON - timedelta(days=400), until=NOON + 2_000 * MINUTE)
        assert again.requests == 0
        (longer,) = await download(database, feed, NOON - timedelta(days=401), until=NOON + 2_000 * MINUTE)
        assert longer.total == 1_440
        assert longer.requests <= 3


async def test_a_bar_that_still_runs_is_not_taken_and_the_next_download_goes_on_with_it(
    database: PostgresManager,
) -> None:
    bars = minutes(100)
    async with venue_with(market_of(bars), now=NOON + 50 * MINUTE + timedelta(seconds=30)) as (venue, feed):
        (one,) = await download(database, feed, NOON, intervals_s=[60])
        assert one.until == NOON + 50 * MINUTE
        assert_equal(await stored(database, one), bars[:50])
        venue.time.advance(10 * 60)
        feed._clock = None
        (later,) = await download(database, feed, NOON)
        assert (later.loaded.new, later.loaded.revised, later.already, later.requests) == (10, 0, 50, 1)


async def test_two_workers_share_a_series_and_neither_fetches_what_the_other_has(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "PIECE_BARS", 500)
    bars = minutes(3_000)
    wanted = Wanted(symbols=["BTC/USDT"], intervals_s=[60], since=NOON, until=NOON + 3_000 * MINUTE)
    async with venue_with(market_of(bars), now=NOON + 3_001 * MINUTE) as (_, feed):
        workers = [downloader(database, feed) for _ in range(2)]
        reports = await asyncio.gather(*(worker.run(wanted) for worker in workers))
    (one,), (other,) = (report.series for report in reports)
    assert one.loaded.new + other.loaded.new == 3_000
    assert one.loaded.unchanged + other.loaded.unchanged <= 1_000, "at most the first look of each"
    assert_equal(await stored(database, one), bars)
    assert await database.fetchval("SELECT count(*) FROM download_claims") == 0


async def test_what_does_not_exist_is_said_before_anything_is_asked_for(database: PostgresManager) -> None:
    async with venue_with(market_of(minutes(10)), now=NOON + HOUR) as (_, feed):
        with pytest.raises(UnknownSymbol, match=r"binance lists no BTC/USDC among its 2 markets; near it: BTC/USDT"):
            await download(database, feed, NOON, symbols=["BTC/USDC"])
        with pytest.raises(UnsupportedTimeframe, match=r"no candles of 2m; it has 1s, 1m, 3m"):
            await download(database, feed, NOON, intervals_s=[120])
    assert await database.fetchval("SELECT count(*) FROM instruments") == 0


async def test_a_venue_that_stays_down_ends_the_download_and_keeps_what_came(database: PostgresManager) -> None:
    faults = [Fault(kind=FaultKind.STATUS, on="klines", after=2, times=0)]
    bars = minutes(3_000)
    wanted = Wanted(symbols=["BTC/USDT"], intervals_s=[60], since=NOON, until=NOON + 3_000 * MINUTE)
    async with venue_with(market_of(bars), now=NOON + 3_001 * MINUTE, faults=faults) as (_, feed):
        impatient = Backoff(first_s=0.01, longest_s=0.02, for_s=0.1)
        worker = Downloader(feed=feed, manager=database, clock=SystemClock(), patience=impatient)
        (one,) = (await worker.run(wanted)).series
        assert one.failure is not None
        assert "503" in str(one.failure)
        assert "<html" not in str(one.failure)
        assert one.loaded.new == one.done == 1_998
        (gap,) = await CandleStore(manager=database, clock=SystemClock()).gaps()
        assert (gap.reason, gap.starts) == ("failed", NOON + 1_998 * MINUTE)
    async with venue_with(market_of(bars), now=NOON + 3_001 * MINUTE) as (_, feed):
        (rest,) = await download(database, feed, NOON, until=NOON + 3_000 * MINUTE)
    assert (rest.loaded.rows, rest.gaps) == (1_002, 0)


async def test_mark_prices_are_a_series_of_their_own(database: PostgresManager) -> None:
    async with venue_with(market_of(minutes(120)), now=NOON + 3 * HOUR) as (_, feed):
        (one,) = await download(
            database, feed, NOON, symbols=["BTC/USDT:USDT"], kind=FeedKind.MARK, until=NOON + 2 * HOUR
        )
    assert (one.venue, one.loaded.new) == ("binance.mark", 120)
    assert to_datetime(int((await stored(database, one)).time[0])) == NOON
