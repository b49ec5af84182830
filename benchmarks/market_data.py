"""How fast are candles stored, read, listed and archived, compared with what the server and a file can do?

Takes about a minute and a half, on an embedded server in a folder of its own, with fsync on. Rounds of pairs, so that
whatever else the machine does meets both sides alike; a ratio is the median of the rounds'.

load  a million one-minute candles from float64 arrays through the idempotent door (catalogue, gaps and months kept
      true), against the server's own COPY FROM of a binary file of the same rows into the same table with the same
      keys, in one transaction. Neither waits for the disk at commit.
read  the same million as Bars, closed months sealed and the last month as rows, against asyncpg fetching the rows and
      making the same arrays of them, and against pandas reading them from the feather file it wrote.
list  `data list` and `data gaps` with the JSON they print, in the process, on a made-up catalogue of 2,000 series,
      500 million candles and 6,000 gaps.
import  two million candles from a csv and from a parquet file, each in a process of its own: how much its memory grows
      above what it holds after a small file.
archive  the million out into proven parquet files, with the longer bars that must stand first, and back.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from mastertrade.cli.application import run
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.binary_rows import COPY_COLUMNS, encode_copy
from mastertrade.market_data_service.blocks import seal_months
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import Selection, catalogue_as_json, gaps_as_json
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.retention.due import Rule
from mastertrade.market_data_service.retention.policies import Action
from mastertrade.market_data_service.retention.restoring import Restoring
from mastertrade.market_data_service.retention.retirement import Retirement
from mastertrade.market_data_service.rules import listing
from mastertrade.platform import open_database, read_settings
from mastertrade.postgres.embedded import embedded_server
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager

ROWS = 1_000_000
SERIES, GAPS_EACH, CANDLES_EACH = 2_000, 3, 250_000
START = datetime(2023, 1, 1, tzinfo=UTC)
END = START + timedelta(minutes=ROWS)
LOAD_ROUNDS, READ_ROUNDS, LIST_ROUNDS = 3, 5, 7
LIMITS = {
    "load / COPY FROM": 0.65, "read / fetch": 25.0, "read / feather": 0.4, "list ms": 50.0, "gaps ms": 50.0,
    "csv import MB": 150.0, "parquet import MB": 150.0,
}  # fmt: skip
VALUES = ("open", "high", "low", "close", "volume")
SELECT = """SELECT open_time, open, high, low, close, volume FROM candles
 WHERE instrument_id = $1 AND interval_s = 60 AND open_time >= $2 AND open_time < $3 ORDER BY open_time"""
MADE_UP = """
INSERT INTO venues (id, created_at) VALUES ('made_up', now());
INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee,
                         created_at, updated_at)
SELECT 'made_up', 'C' || n || '/USDT', 'C' || n, 'USDT', 0.01, 0.0001, 5, 0.001, 0.001, now(), now()
  FROM generate_series(1, {series}) n;
INSERT INTO series (instrument_id, interval_s, rows, first_open_time, last_close_time, last_close, updated_at)
SELECT id, 60, {each}, '2024-01-01 00:00+00',
       '2024-01-01 00:00+00'::timestamptz + make_interval(mins => {each} + {gaps} * 60), 1, now()
  FROM instruments WHERE venue = 'made_up';
INSERT INTO gaps (instrument_id, interval_s, starts, ends, reason, is_confirmed)
SELECT i.id, 60, '2024-01-01 00:00+00'::timestamptz + make_interval(days => 7 * n),
       '2024-01-01 01:00+00'::timestamptz + make_interval(days => 7 * n), 'venue empty', true
  FROM instruments i CROSS JOIN generate_series(1, {gaps}) n WHERE i.venue = 'made_up';
ANALYZE series, gaps, instruments;
"""


@dataclass
class Pair:
    """Seconds of each side, round by round."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times as fast ours is."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True))


def walk() -> Bars:
    chance = np.random.default_rng(7)
    close = np.round(30_000 * np.exp(np.cumsum(chance.normal(0, 5e-4, ROWS))), 2)
    opened = np.concatenate(([30_000.0], close[:-1]))
    return Bars(
        interval_s=60,
        time=int(START.timestamp()) * 1000 + np.arange(ROWS, dtype=np.int64) * 60_000,
        open=opened,
        high=np.maximum(opened, close) + 1.0,
        low=np.minimum(opened, close) - 1.0,
        close=close,
        volume=np.round(chance.exponential(10, ROWS), 5),
    )


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def empty(manager: PostgresManager) -> None:
    await manager.execute(
        "BEGIN; SET LOCAL mastertrade.candle_door = 'open'; TRUNCATE candles, candle_months, gaps,"
        " coverage_of_requests, candle_blocks, candle_revisions; DELETE FROM series; COMMIT",
        timeout_s=60.0,
    )
    await manager.execute("CHECKPOINT", timeout_s=60.0)


async def measure_load(manager: PostgresManager, instrument_id: int, bars: Bars, file: Path) -> Pair:
    """The server's own COPY first in every round, ours last, so that ours is what is read afterwards."""
    pair = Pair()
    copy = f"COPY candles ({', '.join(COPY_COLUMNS)}) FROM '{file}' (FORMAT binary)"
    store = CandleStore(manager=manager, clock=SystemClock())

    async def ours() -> None:
        loaded = await store.load(instrument_id, bars)
        assert loaded.new == ROWS

    async def theirs() -> None:
        async with manager.transaction(durable=False, statement_timeout_s=120.0) as tx:
            await tx.execute("SET LOCAL mastertrade.candle_door = 'open'")
            await tx.execute(copy)

    await MarketDataPostgresDatabase().ensure_partitions(manager, START, END)
    for number in range(LOAD_ROUNDS):
        sides = [(theirs, pair.theirs), (ours, pair.ours)]
        for work, seconds in sides if number == LOAD_ROUNDS - 1 or number % 2 else sides[::-1]:
            await empty(manager)
            seconds.append(await timed(work))
    return pair


async def measure_read(manager: PostgresManager, instrument_id: int, bars: Bars, file: Path) -> tuple[Pair, Pair]:
    frame = pd.DataFrame({"time": bars.time, **{name: getattr(bars, name) for name in VALUES}})
    frame.to_feather(file)
    source = DatabaseBars(manager)
    found: dict[str, Bars] = {}

    async def ours() -> None:
        found["ours"] = await source.read(instrument_id, 60, START, END)

    async def fetched() -> None:
        async with manager.acquire() as connection:
            rows = await connection.fetch(SELECT, instrument_id, START, END)
        columns = list(zip(*rows, strict=True))
        time_ms = np.array([int(at.timestamp()) * 1000 for at in columns[0]], dtype=np.int64)
        values = {name: np.array(column) for name, column in zip(VALUES, columns[1:], strict=True)}
        found["fetch"] = Bars(interval_s=60, time=time_ms, **values)

    async def feathered() -> None:
        table = pd.read_feather(file)
        values = {name: table[name].to_numpy() for name in VALUES}
        found["feather"] = Bars(interval_s=60, time=table["time"].to_numpy(), **values)

    fetch, feather = Pair(), Pair()
    for number in range(READ_ROUNDS):
        if number < 2:  # one such round takes as long as all others
            fetch.ours.append(await timed(ours))
            fetch.theirs.append(await timed(fetched))
        feather.ours.append(await timed(ours))
        feather.theirs.append(await timed(feathered))
    for one in found.values():
        assert all(np.array_equal(getattr(one, name), getattr(bars, name)) for name in ("time", *VALUES))
    return fetch, feather


async def measure_list(manager: PostgresManager) -> dict[str, float]:
    """Milliseconds, the best of some rounds, from the question to the text that is printed."""
    await manager.execute(MADE_UP.format(series=SERIES, each=CANDLES_EACH, gaps=GAPS_EACH), timeout_s=60.0)

    async def listed() -> None:
        assert (await catalogue_as_json(manager)).count("timeframe") >= SERIES

    async def holes() -> None:
        assert (await gaps_as_json(manager)).count("reason") >= SERIES * GAPS_EACH

    took: dict[str, list[float]] = {"list ms": [], "gaps ms": []}
    for _ in range(LIST_ROUNDS):
        took["list ms"].append(1000 * await timed(listed))
        took["gaps ms"].append(1000 * await timed(holes))
    return {name: min(one) for name, one in took.items()}


def write_files(bars: Bars, folder: Path) -> list[Path]:
    """A small file of each form, and one of twice the candles: a second market's follow those of the first."""
    made = []
    for number, rows in enumerate((1_000, ROWS)):
        twice = [np.concatenate((getattr(bars, name)[:rows],) * 2) for name in ("time", *VALUES)]
        twice[0] = twice[0][0] + np.arange(2 * rows, dtype=np.int64) * 60_000
        table = pa.table(dict(zip(("timestamp", *VALUES), twice, strict=True)))
        for form, write in (("csv", pa_csv.write_csv), ("parquet", pa_parquet.write_table)):
            made.append(folder / f"ABC{number}_USDT-1m.{form}")
            write(table, made[-1])
    return made


def measure_memory(files: list[Path], home: Path) -> dict[str, float]:
    """MB above what the process held after the small file."""
    took = {}
    for form in ("csv", "parquet"):
        chosen = [str(file) for file in files if file.suffix == f".{form}"]
        command = [sys.executable, __file__, "--grow", str(home), *chosen]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        took[f"{form} import MB"] = float(answer.stdout)
    return took


async def grow(home: Path, small: Path, large: Path) -> None:
    """In the process of its own: import both, print the megabytes the second one needed more."""
    from mastertrade.market_data_service.importing.importer import FileImporter, understand

    async with open_database(read_settings({"MASTERTRADE_HOME": str(home)})) as database:
        importer = FileImporter(manager=database.manager, clock=SystemClock(), home=home)
        for file in (small, large):
            report = await importer.run(file, understand(file, venue="binance"))
            assert report.is_clean, report
            if file is small:
                idle = _kilobytes("VmRSS")
                Path("/proc/self/clear_refs").write_text("5")  # noqa: ASYNC240 - forget the peak
        print((_kilobytes("VmHWM") - idle) / 1024)


def _kilobytes(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


async def measure_archive(manager: PostgresManager, folder: Path) -> tuple[float, float, float]:
    """Seconds for the longer bars that must stand first, out with every file read back, and back in."""
    rule = Rule(cutoff=END, action=Action.ARCHIVE, reason="benchmark")
    only = Selection(venues=("binance",), symbols=("BTC/USDT",))
    engine = Retirement(manager=manager, clock=SystemClock(), folder=folder)
    restoring = Restoring(manager=manager, clock=SystemClock(), home=folder)

    async def longer() -> None:
        await engine.prepare(await engine.plan(only, lambda *_: rule, latest=END))

    async def out() -> None:
        assert {one.state async for one in engine.run(only, lambda *_: rule, latest=END)} == {"archived"}

    async def back() -> None:
        for one in await restoring.plan(only):
            await restoring.restore(one)

    return await timed(longer), await timed(out), await timed(back)


async def benchmark(as_json: bool) -> None:
    bars = walk()
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertrade-", ignore_cleanup_errors=True)))
        await stack.enter_async_context(embedded_server(home))
        settings = read_settings({"MASTERTRADE_HOME": str(home)})
        database = await stack.enter_async_context(open_database(settings))
        manager = database.manager
        market = MarketDataPostgresDatabase()
        await market.add_instruments(manager, [listing("binance", "BTC/USDT")], at=START)
        (instrument,) = await market.instruments(manager)
        file = home / "postgres" / "candles.copy"  # where the server may read
        file.write_bytes(encode_copy(instrument.id, bars))
        load = await measure_load(manager, instrument.id, bars, file)
        await manager.execute("VACUUM ANALYZE candles", timeout_s=60.0)
        source = DatabaseBars(manager)
        unsealed = await timed(lambda: source.read(instrument.id, 60, START, END))
        sealing = await timed(lambda: seal_months(manager))
        fetch, feather = await measure_read(manager, instrument.id, bars, home / "candles.feather")
        listed = await measure_list(manager)
        memory = measure_memory(write_files(bars, home), home)
        rollup, archive, restore = await measure_archive(manager, home / "archive")
        archived = await manager.fetchval("SELECT sum(rows)::bigint FROM retirements")
        version = await manager.fetchval("SELECT current_setting('server_version')")
    ratios = {"load / COPY FROM": load.ratio, "read / fetch": fetch.ratio, "read / feather": feather.ratio}
    summary = {
        "facts": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "postgresql": version, "rows": ROWS},
        "rows_per_s": {
            "load": round(ROWS / min(load.ours)),
            "COPY FROM": round(ROWS / min(load.theirs)),
            "read": round(ROWS / min(feather.ours)),
            "read unsealed": round(ROWS / unsealed),
            "fetch": round(ROWS / min(fetch.theirs)),
            "feather": round(ROWS / min(feather.theirs)),
            "sealing": round(ROWS / sealing),
            "rollup": round(archived / rollup),
            "archive": round(archived / archive),
            "restore": round(archived / restore),
        },
        "results": {
            name: {
                "measured": round(value, 3),
                "limit": LIMITS[name],
                "is_met": value >= LIMITS[name] if name in ratios else value <= LIMITS[name],
            }
            for name, value in {**ratios, **listed, **memory}.items()
        },
    }
    print(json.dumps(summary) if as_json else _table(summary))


def _table(summary: dict[str, Any]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in summary["facts"].items())
    lines = [facts, "", f"{'':<12}{'rows a second, best':>20}"]
    lines += [f"{name:<14}{rate:>18,}" for name, rate in summary["rows_per_s"].items()]
    lines += ["", f"{'':<18}{'measured':>10}{'limit':>10}"]
    for name, one in summary["results"].items():
        sign = ">=" if "/" in name else "<="
        lines.append(
            f"{name:<18}{one['measured']:>10.2f}{sign:>5}{one['limit']:>5g}  {'met' if one['is_met'] else 'MISSED'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--grow", nargs=3, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    run(grow(*arguments.grow) if arguments.grow else benchmark(arguments.json))
