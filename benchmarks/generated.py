"""How long do five hundred generated strategies take, from stored candles to stored results?

Takes about twenty seconds. 90 days of one-minute candles of ten markets are loaded into an embedded server of its own;
then the whole command runs as a user gives it: read the bars, draw 500 strategies, try each on all ten markets with one
account and three positions at most, keep every trial as a row. Reading the bars is timed by itself as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "engines"))

from backtest_data import walk

from mastertrade.cli.application import run
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import seal_months
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.platform import open_database, read_settings
from mastertrade.postgres.embedded import embedded_server
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import SystemClock

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
STRATEGIES, MARKETS, DAYS, LIMIT_S = 500, 10, 90, 120.0
START = datetime(2024, 1, 1, tzinfo=UTC)
PROGRAM = (sys.executable, "-m", "mastertrade", "backtest", "generate")


async def benchmark(as_json: bool, count: int) -> None:
    symbols = [f"C{number}/USDT" for number in range(MARKETS)]
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertrade-", ignore_cleanup_errors=True)))
        await stack.enter_async_context(embedded_server(home))
        database = await stack.enter_async_context(open_database(read_settings({"MASTERTRADE_HOME": str(home)})))
        manager = database.manager
        market, store = MarketDataPostgresDatabase(), CandleStore(manager=manager, clock=SystemClock())
        await market.add_instruments(manager, [listing("binance", symbol) for symbol in symbols], at=START)
        instruments = await market.instruments(manager)
        for number, instrument in enumerate(instruments):
            columns = walk(number, DAYS * 1440, 60)
            columns["time"] += int(START.timestamp()) * 1000 - columns["time"][0]
            await store.load(instrument.id, Bars(interval_s=60, **columns))
        await seal_months(manager)
        began = time.perf_counter()
        source = DatabaseBars(manager)
        for instrument in instruments:
            assert len(await source.read(instrument.id, 60, START, START + timedelta(days=DAYS))) == DAYS * 1440
        reading = time.perf_counter() - began
        wanted = [part for symbol in symbols for part in ("--symbol", symbol)]
        command = [*PROGRAM, str(count), "--venue", "binance", "--tf", "1m", "--max-positions", "3", "--json", *wanted]
        paths = {"PYTHONPATH": SOURCE, "MASTERTRADE_HOME": str(home)}
        began = time.perf_counter()
        done = subprocess.run(  # noqa: ASYNC221 - nothing else happens meanwhile
            command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, **paths}
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        kept = await manager.fetchval("SELECT count(*) FROM backtest_trials WHERE status = 'done'")
        failed = await manager.fetchval("SELECT count(*) FROM backtest_trials WHERE status = 'failed'")
    summary: dict[str, Any] = {
        "facts": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "candles": MARKETS * DAYS * 1440},
        "strategies": count,
        "kept": kept,
        "failed": failed,
        "seconds": round(seconds, 1),
        "reading_s": round(reading, 2),
        "without_reading_s": round(seconds - reading, 1),
        "per_s": round(count / seconds, 1),
        "limit_s": LIMIT_S,
        "is_met": seconds <= LIMIT_S,
    }
    print(json.dumps(summary) if as_json else table(summary))


def table(summary: dict[str, Any]) -> str:
    facts = ", ".join(f"{name} {value:,}" for name, value in summary["facts"].items())
    rows = {
        "strategies, each on ten markets": f"{summary['strategies']:,}",
        "trials kept, and failed": f"{summary['kept']:,}, {summary['failed']:,}",
        "seconds in all, the program's start included": f"{summary['seconds']:.1f}",
        "of them reading the candles": f"{summary['reading_s']:.2f}",
        "strategies a second": f"{summary['per_s']:.1f}",
        f"limit {summary['limit_s']:g} s": "met" if summary["is_met"] else "MISSED",
    }
    return "\n".join([facts, "", *(f"{name:<46}{value:>12}" for name, value in rows.items())])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--count", type=int, default=STRATEGIES, help="how many strategies")
    arguments = parser.parse_args()
    run(benchmark(arguments.json, arguments.count))
