"""Checks of stored series are stored, and candles that wait in quarantine are decided on once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.kind_rows import Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_imports import ImportsPostgresDatabase
from mastertrade.market_data_service.quality.checker import QualityChecker
from mastertrade.market_data_service.quality.postgres_quality import SeriesQuality
from mastertrade.market_data_service.quality.quarantine import Quarantine, confirming, contradicting
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.test_import import imported
from tests.pure.test_import_formats import MINUTE_MS, ROWS, START_MS, sample

CLOCK = SystemClock()
MINUTE = timedelta(minutes=1)


def sample_bars() -> Bars:
    frame = sample()
    values = {name: frame[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume")}
    return Bars(interval_s=60, time=frame["timestamp_ms"].to_numpy(dtype=np.int64), **values)


async def stored(database: PostgresManager, venue: str, bars: Bars) -> int:
    await MarketDataPostgresDatabase().add_instruments(database, [listing(venue, "BTC/USDT")], at=CLOCK.now())
    found = await ImportsPostgresDatabase().instrument_id(database, venue, "BTC/USDT")
    assert found is not None
    await CandleStore(manager=database, clock=CLOCK).load(found, bars)
    return found


async def checked(database: PostgresManager, venue: str) -> SeriesQuality:
    checker = QualityChecker(manager=database, clock=CLOCK)
    (report,) = [one async for one in checker.check(Selection(venues=(venue,)))]
    assert await checker.last(Selection(venues=(venue,))) == [report]
    return report


def rows_by_rule(report: SeriesQuality) -> dict[str, int]:
    return {one.rule: one.rows for one in report.findings}


async def test_a_check_is_stored_and_replaced_by_the_next(database: PostgresManager) -> None:
    bars = sample_bars()
    holed = np.r_[0:100, 110:ROWS]
    values = {name: getattr(bars, name)[holed] for name in ("open", "high", "low", "close", "volume")}
    market = await stored(database, "binance", Bars(interval_s=60, time=bars.time[holed], **values))
    await stored(database, "kraken", replace(bars, close=bars.close * 1.05, high=bars.high * 1.05))
    report = await checked(database, "binance")
    assert rows_by_rule(report) == {"gap": 10, "apart": ROWS - 10}
    assert report.score == pytest.approx(0.0)
    assert report.rows == ROWS - 10
    # The other venue was wrong, and says so; the hole is filled, and one candle revised.
    await stored(database, "kraken", bars)
    await CandleStore(manager=database, clock=CLOCK).load(market, bars[100:110])
    again = bars.volume.copy()
    again[7] += 1
    await CandleStore(manager=database, clock=CLOCK).load(market, replace(bars, volume=again))
    report = await checked(database, "binance")
    assert rows_by_rule(report) == {"revised": 1}
    assert report.score == 100
    with pytest.raises(NotFound, match="data quality nowhere"):
        await QualityChecker(manager=database, clock=CLOCK).last(Selection(venues=("nowhere",)))


async def test_a_candle_that_differs_from_the_trades_it_is_made_of_is_an_error(database: PostgresManager) -> None:
    bars = sample_bars()[:6]
    market = await stored(database, "binance", replace(bars, volume=np.full(6, 4.0)))

    def trades(place: int, prices: tuple[float, ...], amount: float) -> list[Trade]:
        at = (START_MS + place * MINUTE_MS) * 1000
        return [Trade(at + 1_000 * n, str(place * 100 + n), price, amount, True) for n, price in enumerate(prices)]

    offered = []
    for place in range(6):
        prices = tuple(float(getattr(bars, name)[place]) for name in ("open", "low", "high", "close"))
        # The second minute lacks a trade, so it cannot be judged; the third says something else.
        is_other, is_partial = place == 2, place == 1
        offered += trades(place, (*prices[:1], prices[1] - is_other, *prices[2:])[: 3 if is_partial else 4], 1.0)
    await KindStore(manager=database, clock=CLOCK).store_trades(market, offered)
    report = await checked(database, "binance")
    (finding,) = report.findings
    assert (finding.rule, finding.severity.value, finding.rows) == ("trades", "error", 1)
    assert finding.first_time == to_datetime(START_MS + 2 * MINUTE_MS)


async def test_what_waits_is_released_by_a_second_source_or_by_a_person_and_what_is_dropped_stays_out(
    database: PostgresManager, tmp_path: Path
) -> None:
    frame, spikes = sample(), (80, 150, 220)
    for spike in spikes:
        frame.loc[spike, ["high", "close"]] *= 1.6
    path = tmp_path / "BTC_USDT-1m.csv"
    frame.to_csv(path, index=False)
    assert (await imported(database, path, tmp_path)).quarantined == 3
    bars = sample_bars()
    second = bars.close.copy()
    second[80] = frame.loc[80, "close"]
    await stored(database, "kraken", replace(bars, close=second, high=np.maximum(bars.high, second)))
    quarantine = Quarantine(manager=database, clock=CLOCK)
    held = await quarantine.held()
    assert [(confirming(one), contradicting(one)) for one in held] == [
        (["kraken"], []), ([], ["kraken"]), ([], ["kraken"]),
    ]  # fmt: skip
    assert held[0].close_before == pytest.approx(float(frame.loc[79, "close"]))
    assert "held back" in rows_by_rule(await checked(database, "binance"))

    (released,) = await quarantine.release(is_confirmed=True)
    assert released.open_time == to_datetime(START_MS + 80 * MINUTE_MS)
    (one,) = await quarantine.drop(Selection(venues=("binance",)), times=[held[1].open_time])
    assert one.open_time == held[1].open_time
    assert [one.open_time for one in await quarantine.release()] == [held[2].open_time]
    assert await quarantine.release() == []
    with pytest.raises(NotFound, match="quarantine list"):
        await quarantine.drop(Selection(venues=("binance",)))
    assert [one.status for one in await quarantine.held(is_all=True)] == ["accepted", "dropped", "accepted"]
    start, end = to_datetime(START_MS), to_datetime(START_MS + ROWS * MINUTE_MS)
    closes = await read_candles(database, held[0].instrument_id, 60, start, end)
    assert len(closes) == ROWS - 1
    assert held[0].close in closes.close
    again = await imported(database, path, tmp_path)
    assert (again.rows_stored, again.unchanged, again.quarantined) == (0, ROWS - 1, 1)
