"""How many signals a second walk from candle to ledger, and how long does one take?

Takes under a minute, on an embedded server in a folder of its own, with fsync on. Four rounds of three things, so that
whatever else the machine does meets them alike:

commits  one connection stores one row after another, each in its own commit: what this server can do for somebody who
         waits for every commit.
busy     forty impatient strategies on five simulated pairs, all five services in one process, as fast as everyone acts.
         Counted are booked fills: signal, verdict, order, sending, acceptance by the venue, fill, ledger.
quiet    one such strategy on one pair, so that no signal waits for another.

The time of a walk begins when the commit of CandlesClosed has returned and ends with the last statement of the booking;
the commit of that comes on top. A market order fills at the next bar's open, which comes when everybody has acted.
"""

import argparse
import asyncio
import json
import os
import platform as machine
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mastertrade.cli.application import run
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.plans import Plan, StrategyPlan
from mastertrade.platform import (
    LockStep,
    OpenDatabase,
    PlatformSettings,
    open_database,
    open_platform,
    read_settings,
)
from mastertrade.postgres.embedded import embedded_server
from mastertrade.shared.postgres_manager import PostgresManager

ROUNDS = 4
COMMITS_S, PLAY_S = 1.5, 4.0
START = datetime(2024, 1, 1, tzinfo=UTC)
WIDE = (
    *("MAX_SINGLE_POSITION_PERCENT", "MAX_DAILY_LOSS_PERCENT", "MAX_DRAWDOWN_PERCENT", "BREAKER_WARNING_PERCENT"),
    *("BREAKER_LEVEL_1_PERCENT", "BREAKER_LEVEL_2_PERCENT", "BREAKER_LEVEL_3_PERCENT", "CIRCUIT_BREAKER_LOSS_PERCENT"),
)
OFF = ("MAX_CONSECUTIVE_LOSSES", "LOW_PROFIT_TRADES", "DRAWDOWN_LOCK_PERCENT")
LIMITS = {"DEFAULT_POSITION_PERCENT": "1", **dict.fromkeys(WIDE, "100"), **dict.fromkeys(OFF, "0")}
"""So that signals walk to their end."""
STEPS = {"NEW": "order written", "SUBMITTING": "about to be sent", "OPEN": "accepted", "FILLED": "fill booked"}
COUNTS = (
    """SELECT position, (SELECT count(*) FROM signals) AS signals, (SELECT count(*) FROM trades) AS fills FROM feeds"""
)
WALKS = """
SELECT o.id, g.bar_close, e.to_status, extract(epoch FROM e.created_at)::float8 AS at
  FROM order_events e JOIN orders o ON o.id = e.order_id JOIN signals g ON g.id = o.signal_id
 WHERE o.status = 'FILLED' AND g.bar_close > $1"""


class Timed(LockStep):
    """The platform's tape, which notes in ``closed_at`` when the close of each bar was committed."""

    closed_at: dict[datetime, float]
    _closing: datetime | None = None

    async def prices(self, batch: CandleBatch) -> None:
        await super().prices(batch)
        self._closing = batch.close_time

    async def settle(self) -> None:
        if self._closing is not None:
            self.closed_at.setdefault(self._closing, time.time())
        await super().settle()


@dataclass
class Rounds:
    """What all rounds of one kind came to."""

    seconds: float = 0.0
    signals: int = 0
    fills: int = 0
    rates: list[float] = field(default_factory=list)
    took_s: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})

    @property
    def rate(self) -> float:
        return self.fills / self.seconds

    def percentile_ms(self, step: str, percent: int) -> float:
        took = sorted(self.took_s[step])
        return 1000 * took[min(len(took) - 1, len(took) * percent // 100)]


def plan(name: str, symbols: Sequence[str], strategies: int) -> Plan:
    source = SimulatedMarket(seed=3, start=START, symbols=symbols)
    return Plan(
        source=source,
        feed=name,
        account=name,
        venue=source.instruments[0].venue,
        quote_asset="USDT",
        cash=Decimal(1_000_000),
        strategies=[
            StrategyPlan(
                name=f"{name} {number}", template="ma_cross", parameters={"fast": 2, "slow": 3 + number}, timeframe_s=60
            )
            for number in range(strategies)
        ],
        begin_after=START,
    )


FIVE = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT", "DOGE/USDT")
PLANS = {"busy": plan("busy", FIVE, 8), "quiet": plan("quiet", FIVE[:1], 1)}


async def measure_commits(manager: PostgresManager, rounds: Rounds) -> None:
    began, count = time.perf_counter(), 0
    while (before := time.perf_counter()) - began < COMMITS_S:
        await manager.execute("INSERT INTO plain_commits DEFAULT VALUES")
        rounds.took_s["FILLED"].append(time.perf_counter() - before)
        count += 1
    _add(rounds, time.perf_counter() - began, fills=count)


async def measure_walks(database: OpenDatabase, settings: PlatformSettings, what: Plan, rounds: Rounds) -> None:
    async with open_platform(database, settings, what) as opened:
        tape = Timed(venue=opened.venue, executor=opened.executor, bus=opened.bus)
        tape.closed_at = {}
        opened.market_data.play_through(tape)
        before = await database.manager.fetchrow(COUNTS)
        playing = asyncio.create_task(opened.play())
        await asyncio.sleep(PLAY_S)
        await opened.market_data.stop()
        report = await playing
        after = await database.manager.fetchrow(COUNTS)
    assert before
    assert after
    _add(rounds, report.seconds, fills=after["fills"] - before["fills"], signals=after["signals"] - before["signals"])
    for row in await database.manager.fetch(WALKS, before["position"]):
        if row["bar_close"] in tape.closed_at and row["to_status"] in STEPS:
            rounds.took_s[row["to_status"]].append(row["at"] - tape.closed_at[row["bar_close"]])


def _add(rounds: Rounds, seconds: float, *, fills: int, signals: int = 0) -> None:
    rounds.seconds += seconds
    rounds.fills += fills
    rounds.signals += signals
    rounds.rates.append(fills / seconds)


async def benchmark(as_json: bool) -> None:
    measured = {name: Rounds() for name in ("commits", *PLANS)}
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertrade-", ignore_cleanup_errors=True)))
        server = await stack.enter_async_context(embedded_server(home))
        plain = PostgresManager(server.dsn(), max_size=1, statement_cache_size=100)
        await plain.connect()
        stack.push_async_callback(plain.close)
        await plain.execute("CREATE TABLE plain_commits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
        databases = {}
        for name in PLANS:
            await plain.execute(f"CREATE DATABASE {name}", timeout_s=60.0)
            settings = read_settings({"MASTERTRADE_HOME": str(home), "POSTGRES_DB": name, **LIMITS})
            databases[name] = await stack.enter_async_context(open_database(settings)), settings
        facts = await _facts(plain)
        for _ in range(ROUNDS):
            await measure_commits(plain, measured["commits"])
            for name, (database, settings) in databases.items():
                await measure_walks(database, settings, PLANS[name], measured[name])
    summary = _summary(measured, facts)
    print(json.dumps(summary) if as_json else _table(summary))


async def _facts(manager: PostgresManager) -> dict[str, str]:
    names = ("server_version", "fsync", "synchronous_commit")
    version, fsync, waits = [await manager.fetchval("SELECT current_setting($1)", name) for name in names]
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {machine.system()}",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": machine.python_version(),
        "postgresql": f"{version}, fsync {fsync}, synchronous_commit {waits}",
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return told.partition("model name")[2].partition("\n")[0].strip("\t :") or machine.processor()


def _summary(measured: dict[str, Rounds], facts: dict[str, str]) -> dict[str, Any]:
    commits = measured["commits"]
    summary: dict[str, Any] = {"facts": facts, "commits": _numbers(commits, "commits_per_s", ("FILLED",))}
    for name in PLANS:
        rounds = measured[name]
        summary[name] = _numbers(rounds, "walks_per_s", STEPS) | {
            "signals": rounds.signals,
            "fills": rounds.fills,
            "plain_commits_per_walk": round(commits.rate / rounds.rate, 1),
        }
    return summary


def _numbers(rounds: Rounds, rate: str, steps: Sequence[str] | dict[str, str]) -> dict[str, Any]:
    return {
        rate: round(rounds.rate, 1),
        "rounds": [round(one, 1) for one in rounds.rates],
        "p50_ms": {step: round(rounds.percentile_ms(step, 50), 2) for step in steps},
        "p99_ms": {step: round(rounds.percentile_ms(step, 99), 2) for step in steps},
    }


def _table(summary: dict[str, Any]) -> str:
    commits, facts = summary["commits"], summary["facts"]
    lines = [f"{name:<12}{fact}" for name, fact in facts.items()]
    lines += ["", f"{'':<10}{'a second':>10}{'plain commits':>15}{'p50 ms':>10}{'p99 ms':>10}   each round"]
    for name, rate in (("commits", "commits_per_s"), ("busy", "walks_per_s"), ("quiet", "walks_per_s")):
        one = summary[name]
        lines.append(
            f"{name:<10}{one[rate]:>10,.1f}{commits['commits_per_s'] / one[rate]:>15.1f}"
            f"{one['p50_ms']['FILLED']:>10.2f}{one['p99_ms']['FILLED']:>10.2f}   {one['rounds']}"
        )
    lines += [
        "",
        f"{'from the commit of the candles to':<36}{'busy p50':>10}{'p99':>10}{'quiet p50':>12}{'p99':>10}  ms",
    ]
    for step, words in STEPS.items():
        busy, quiet = summary["busy"], summary["quiet"]
        lines.append(
            f"  {words:<34}{busy['p50_ms'][step]:>10.2f}{busy['p99_ms'][step]:>10.2f}"
            f"{quiet['p50_ms'][step]:>12.2f}{quiet['p99_ms'][step]:>10.2f}"
        )
    told = [f"{name}: {summary[name]['fills']} fills of {summary[name]['signals']} signals" for name in PLANS]
    return "\n".join([*lines, "", "; ".join(told) + "; plain commits: as many fit into the time of one"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    run(benchmark(parser.parse_args().json))
