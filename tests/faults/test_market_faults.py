"""Importing, downloading and recording that is killed at any moment: the same call goes on, nothing is stored twice, and
the catalogue says what is there."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mastertrade.exchanges.simulated import SimulatedVenue, VenueTime, simulated_market
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.local_venue import market_of
from tests.postgres.market_seed import MINUTE, NOON, minutes
from tests.postgres.test_candle_store import catalogue_is_true

ROOT = Path(__file__).resolve().parents[2]
MARKET = MarketDataPostgresDatabase()
KILLED = 137
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
IMPORTING = (
    "load.copied=exit",
    "load.booked=exit@2",
    "import.stored=exit",
    "import.stored=exit@3",
    "load.copied=exit@3",
)
DOWNLOADING = (
    "load.copied=exit", "load.booked=exit@2", "download.stored=exit@2", "download.stored=exit@4", "load.copied=exit@3",
)  # fmt: skip
RECORDING = ("live.stored=exit@2", "load.copied=exit@3", "load.booked=exit@2", "live.stored=exit@3")
SPEED = 60.0
MOST_RUNS = 30
PRICES = {"BTC/USDT": 100.0, "ETH/USDT": 50.0}


class Driver:
    def __init__(self, dsn: str, home: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.market_driver", dsn, str(home)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT
        )

    async def run(self, what: str, failpoints: str = "", **asked: Any) -> int:
        """The exit code of the process that did it, or died of it."""
        return await asyncio.to_thread(self._run, {"what": what, "failpoints": failpoints, **asked})

    def _run(self, asked: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture
def driver(dsn: str, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(dsn, tmp_path)
    yield driver
    driver.close()


async def stored(database: PostgresManager, symbol: str) -> Bars:
    ids = {one.symbol: one.id for one in await MARKET.instruments(database)}
    end = datetime.max.replace(tzinfo=NOON.tzinfo)
    return await MARKET.candle_columns(database, ids.get(symbol, -1), 60, to_datetime(0), end)


def assert_same(found: Bars, wanted: Bars) -> None:
    for name in ("time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


async def test_a_killed_import_goes_on(database: PostgresManager, driver: Driver, tmp_path: Path) -> None:
    bars = minutes(220_000)
    path = tmp_path / "BTC_USDT-1m.parquet"
    pd.DataFrame(
        {"timestamp": bars.time, **{name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}}
    ).to_parquet(path)
    rows = [0]
    for failpoint in IMPORTING:
        assert await driver.run("import", failpoint, path=str(path)) == KILLED
        await catalogue_is_true(database)
        rows.append(len(await stored(database, "BTC/USDT")))
    assert rows == sorted(rows), "what was stored once stays"
    assert 0 < rows[-1] < len(bars)
    assert await driver.run("import", path=str(path)) == 0
    assert_same(await stored(database, "BTC/USDT"), bars)
    assert await database.fetchval("SELECT count(*) FROM candle_revisions") == 0
    await catalogue_is_true(database)
    ends = [row["ended_at"] for row in await database.fetch("SELECT ended_at FROM imports ORDER BY began_at")]
    assert [end is None for end in ends] == [True] * len(IMPORTING) + [False], "an import that died says so"


async def test_a_killed_download_goes_on(database: PostgresManager, driver: Driver) -> None:
    markets = {symbol: minutes(9_000, without=range(2_000, 2_100), price=price) for symbol, price in PRICES.items()}
    since = to_datetime(int(markets["BTC/USDT"].time[0]))
    now_ms = int(markets["BTC/USDT"].time[-1]) + 120_000
    listed = [market_of(bars, symbol.partition("/")[0]) for symbol, bars in markets.items()]
    async with SimulatedVenue(listed, time=VenueTime(now_ms, speed=0)) as venue:
        asked = {"url": venue.url, "since": since.isoformat(), "symbols": list(markets)}
        for failpoint in DOWNLOADING:
            assert await driver.run("download", failpoint, **asked) == KILLED
            await catalogue_is_true(database)
        assert await driver.run("download", **asked) == 0
    for symbol, bars in markets.items():
        assert_same(await stored(database, symbol), bars)
    assert await database.fetchval("SELECT count(*) FROM candle_revisions") == 0
    gaps = await database.fetch("SELECT starts, ends, reason FROM gaps")
    assert [(gap["ends"] - gap["starts"], gap["reason"]) for gap in gaps] == [(100 * MINUTE, "venue empty")] * 2
    await catalogue_is_true(database)


async def test_a_killed_download_of_trades_goes_on(database: PostgresManager, driver: Driver) -> None:
    now_ms = int(NOON.timestamp() * 1000)
    from_ms, to_ms = now_ms - 6 * HOUR_MS, now_ms - 10_000
    listed = [simulated_market("BTC/USDT", seed=3, from_ms=now_ms - 2 * DAY_MS)]
    async with SimulatedVenue(listed, time=VenueTime(now_ms, speed=0)) as venue:
        asked = {
            "url": venue.url, "symbols": ["BTC/USDT"], "since": to_datetime(from_ms).isoformat(),
            "until": to_datetime(to_ms).isoformat(),
        }  # fmt: skip
        for passes in (1, 2, 1):
            assert await driver.run("trades", f"kind.stored=exit@{passes}", **asked) == KILLED
        assert await driver.run("trades", **asked) == 0
        truth = [str(trade.id) for trade in venue.markets["BTCUSDT"].trades(from_ms, to_ms)]
    rows = await database.fetch("SELECT trade_id FROM market_trades ORDER BY time, trade_id::bigint")
    assert [row["trade_id"] for row in rows] == truth
    assert await database.fetchval("SELECT rows FROM kind_series") == len(truth)


async def test_a_killed_recording_leaves_no_hole(database: PostgresManager, driver: Driver) -> None:
    now_ms = int(NOON.timestamp() * 1000) + 20_000
    listed = [simulated_market(symbol, seed=3, from_ms=now_ms - 2 * DAY_MS) for symbol in PRICES]
    began = time.monotonic()
    async with SimulatedVenue(listed, time=VenueTime(now_ms, speed=SPEED)) as venue:
        asked = {
            "url": venue.url, "symbols": list(PRICES), "start_ms": now_ms, "began": began, "speed": SPEED, "seconds": 60.0,
        }  # fmt: skip
        for failpoint in RECORDING:
            assert await driver.run("record", failpoint, **asked) == KILLED
            await catalogue_is_true(database)
        before = len(await stored(database, "BTC/USDT"))
        for _ in range(MOST_RUNS):
            assert await driver.run("record", **{**asked, "seconds": 3.0}) == 0
            if min([len(await stored(database, symbol)) for symbol in PRICES]) > before + 3:
                break
        for symbol in PRICES:
            found = await stored(database, symbol)
            assert len(found) > before
            first, last = int(found.time[0]), int(found.time[-1])
            assert first <= now_ms // 60_000 * 60_000 + 60_000 * SPEED
            assert_same(found, venue.markets[symbol.replace("/", "")].candles.minutes(first, last + 60_000))
    assert await database.fetchval("SELECT count(*) FROM candle_revisions") == 0
    await catalogue_is_true(database)
