"""Files into the database: what is stored, what is held back, what is said about it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mastertrade.market_data_service.importing.importer import FileImporter, understand
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.market_data_service.postgres_imports import ImportsPostgresDatabase
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.pure.test_import_formats import MINUTE_MS, ROWS, START_MS, sample

DATABASE = ImportsPostgresDatabase()


async def imported(database: PostgresManager, path: Path, home: Path, **options: str) -> FileReport:
    importer = FileImporter(manager=database, clock=SystemClock(), home=home)
    return await importer.run(path, understand(path, venue=options.pop("venue", "binance"), **options))  # type: ignore[arg-type]


async def test_the_same_file_twice_changes_nothing_and_another_number_is_a_revision(
    database: PostgresManager, tmp_path: Path
) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    frame = sample()
    frame.to_csv(path, index=False)
    first, second = await imported(database, path, tmp_path), await imported(database, path, tmp_path)
    assert (first.rows_read, first.rows_stored, first.is_clean) == (ROWS, ROWS, True)
    assert (second.rows_stored, second.unchanged, second.revisions) == (0, ROWS, 0)
    frame.loc[7, "volume"] += 1
    frame.to_csv(path, index=False)
    third = await imported(database, path, tmp_path)
    assert (third.rows_stored, third.unchanged, third.revisions) == (0, ROWS - 1, 1)
    records = await DATABASE.imports(database)
    assert [one.sha256 == first.sha256 for one in records] == [False, True, True]
    assert all(one.ended_at is not None and one.rows_read == ROWS for one in records)


async def test_a_price_that_the_next_bar_disowns_is_held_back_and_a_crash_is_not(
    database: PostgresManager, tmp_path: Path
) -> None:
    frame = sample()
    spike, crash = 120, 200
    frame.loc[spike, ["high", "close"]] *= 1.6
    frame.loc[crash, ["low", "close"]] *= 0.5
    frame.loc[crash + 1 :, ["open", "high", "low", "close"]] *= 0.5
    path = tmp_path / "BTC_USDT-1m.parquet"
    frame.to_parquet(path)
    report = await imported(database, path, tmp_path)
    assert (report.rows_stored, report.quarantined, report.is_clean) == (ROWS - 1, 1, False)
    held = await database.fetch("SELECT open_time, status, import_id FROM quarantined_candles")
    assert [round(row["open_time"].timestamp() * 1000) for row in held] == [START_MS + spike * MINUTE_MS]
    # What somebody confirmed is stored with the next import, and not asked about again.
    await database.execute("UPDATE quarantined_candles SET status = 'accepted', decided_at = now()")
    again = await imported(database, path, tmp_path)
    assert (again.rows_stored, again.unchanged, again.quarantined) == (1, ROWS - 1, 0)


async def test_mark_prices_stand_beside_the_candles_of_trades(database: PostgresManager, tmp_path: Path) -> None:
    for name, factor in (("BTC_USDT_USDT-1m-mark.feather", 1.001), ("BTC_USDT_USDT-1m-futures.feather", 1.0)):
        frame = sample()
        frame[["open", "high", "low", "close"]] *= factor
        frame.loc[3, "volume"] = np.nan if factor > 1 else 1.0
        frame.to_feather(tmp_path / name)
        report = await imported(database, tmp_path / name, tmp_path)
        assert (report.rows_stored, report.rejected) == (ROWS, 0)
    rows = await database.fetch(
        "SELECT i.venue, i.symbol, s.rows FROM series s JOIN instruments i ON i.id = s.instrument_id"
    )
    assert sorted(tuple(row.values()) for row in rows) == [
        ("binance", "BTC/USDT:USDT", ROWS), ("binance.mark", "BTC/USDT:USDT", ROWS),
    ]  # fmt: skip


async def test_several_markets_side_by_side_are_several_series(database: PostgresManager, tmp_path: Path) -> None:
    frame = sample()
    wide = pd.DataFrame({"": pd.to_datetime(frame["timestamp_ms"], unit="ms")})
    for asset, first in (("BTC", 0), ("ETH", 100)):
        for name in ("open", "high", "low", "close", "volume"):
            wide[f"{asset}:{name}"] = frame[name].where(frame.index >= first)
    path = tmp_path / "bitstamp_BTC_ETH_USD_1m.csv"
    wide.to_csv(path, index=False)
    report = await imported(database, path, tmp_path, venue="bitstamp")
    assert (report.symbol, report.rows_read, report.rows_stored) == ("BTC/USD, ETH/USD", ROWS, 2 * ROWS - 100)
    assert report.is_clean


@pytest.mark.parametrize("size", [70, 220])
async def test_a_file_that_was_cut_off_gives_what_stands_before_the_cut(
    size: int, database: PostgresManager, tmp_path: Path
) -> None:
    import gzip

    text = sample().to_csv(index=False).encode()
    path = tmp_path / "BTC_USDT-1m.csv.gz"
    path.write_bytes(gzip.compress(text)[: len(gzip.compress(text)) * size // 300])
    report = await imported(database, path, tmp_path)
    assert report.error is not None
    assert "cut off" in report.error
    assert 0 < report.rows_stored < ROWS
    assert report.rows_stored == report.rows_read
    assert report.rejected == 0
