"""A process that archives, drops or restores and is killed at any moment loses nothing, and the same call goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.catalogue import EVERYTHING
from mastertrade.market_data_service.kind_rows import Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.retention.archive_files import file_batches
from mastertrade.market_data_service.retention.restoring import Restoring
from mastertrade.market_data_service.retention.units import retired
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import NOW, minutes
from tests.postgres.test_candle_blocks import assert_same
from tests.postgres.test_candle_store import END, START, opened

ROOT = Path(__file__).resolve().parents[2]
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
KILLED = 137
ARCHIVING = (
    "archive.written=exit", "archive.recorded=exit@2", "retention.retired=exit", "retention.committed=exit",
    "retention.retired=exit@3", "archive.written=exit@2",
)  # fmt: skip
RESTORING = ("restore.stored=exit", "restore.committed=exit@2", "restore.stored=exit@5")


class Driver:
    def __init__(self, dsn: str, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.archive_driver", dsn, str(folder)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT
        )

    def run(self, what: str, failpoint: str = "") -> int:
        """The exit code of the process that did it, or died of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {failpoint}\n")
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


async def nothing_is_lost(database: PostgresManager, ids: list[int], bars: Bars, trades: int) -> None:
    """Each candle and each trade is stored, or in a file that the database knows of. No candle is in both; a trade may be for
    as long as its day is not marked as restored."""
    rows = [retired(row) for row in await database.fetch("SELECT * FROM retirements WHERE state = 'archived'")]
    for id, symbol in zip(ids, ("BTC/USDT", "ETH/USDT"), strict=True):
        stored = (await read_candles(database, id, 900, START, END)).time
        files = [one for one in rows if one.kind == "candles" and one.symbol == symbol]
        filed = [
            batch.column("timestamp").cast("int64").to_numpy()
            for one in files
            for batch in file_batches(Path(str(one.file)), one.unit(id))
        ]
        assert np.array_equal(np.sort(np.concatenate([stored, *filed])), bars.time)
        assert await database.fetchval("SELECT rows FROM series WHERE instrument_id = $1", id) == len(stored)
    counted = await database.fetchval("SELECT count(*) FROM market_trades")
    assert counted + sum(one.rows for one in rows if one.kind == "trades") >= trades


async def test_a_killed_archive_or_restore_loses_nothing_and_goes_on(
    database: PostgresManager, driver: Driver, tmp_path: Path
) -> None:
    store, ids = await opened(database, "BTC/USDT", "ETH/USDT")
    bars = minutes(93 * 96, start=MARCH)
    bars = Bars(
        interval_s=900, time=bars.time[0] + (bars.time - bars.time[0]) * 15,
        **{name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
    )  # fmt: skip
    for id in ids:
        await store.load(id, bars)
    times = [int((MARCH + timedelta(hours=5 * n)).timestamp()) * 1_000_000 for n in range(15)]
    await KindStore(manager=database, clock=ReplayClock(NOW)).store_trades(
        ids[0], [Trade(at, str(at), 100.0, 1.0, True) for at in times]
    )
    for failpoint in ARCHIVING:
        assert driver.run("archive", failpoint) == KILLED
        await nothing_is_lost(database, ids, bars, 15)
    assert driver.run("archive") == 0
    await nothing_is_lost(database, ids, bars, 15)
    assert await database.fetchval("SELECT count(*) FROM candles") == 2 * 96
    assert await database.fetchval("SELECT count(*) FROM market_trades") == 0
    for failpoint in RESTORING:
        assert driver.run("restore", failpoint) == KILLED
        await nothing_is_lost(database, ids, bars, 15)
    assert driver.run("restore") == 0
    assert await Restoring(manager=database, clock=ReplayClock(NOW), home=tmp_path).plan(EVERYTHING) == []
    for id in ids:
        assert_same(await read_candles(database, id, 900, START, END), bars)
    assert await database.fetchval("SELECT count(*) FROM market_trades") == 15
