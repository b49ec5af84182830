"""How long does it take to judge an order, and to measure what an account may lose?

Takes about half a minute, on an embedded server in a folder of its own, with fsync on. Rounds are interleaved.

judge    one buy judged and committed with 100 open positions: facts gathered, all checks made, verdict, reservation,
         approval and event committed, against a call of a function that stores one row and commits. And the pure
         decision alone, on what was gathered.
metrics  every figure of an account with 200 positions and two years of daily returns: seven methods, two confidences,
         100,000 draws, shrunk correlations.
peers    value at risk, expected shortfall, correlation and shrunk covariance of the same numbers by pandas and scipy
         and, where they can be imported, quantstats, empyrical and scikit-learn. ``--peers FOLDER`` adds a folder
         of packages to look in (``pip install --target FOLDER quantstats empyrical-reloaded scikit-learn``).
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd
from scipy import stats

from mastertrade.cli.application import run
from mastertrade.domain.events import SignalRaised
from mastertrade.domain.risk import TradingMode
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.platform import open_database, read_settings
from mastertrade.postgres.embedded import embedded_server
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.risk.covariance import shrink_to_constant_correlation, shrink_to_identity
from mastertrade.quant.risk.tails import TailMethod, tail_of
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.gathering import Gatherer, Inputs
from mastertrade.risk_manager.judge import judge
from mastertrade.risk_manager.market_risk import MarketRisk
from mastertrade.risk_manager.portfolio import Book, Daily, Holding, measure
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

POSITIONS, SIGNALS, WARM_UP, DECISIONS = 100, 600, 50, 2_000
HISTORY_DAYS = 120
HOLDINGS, RETURNS_DAYS, PEER_ROUNDS = 200, 730, 7
NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
VENUE = "paper"
LIMITS = {"p99 / empty p99": 3.0, "decision p50 us": 200.0, "metrics s": 1.0, "slowest / peer": 1.0}
ROOMY = {
    "max_orders_per_second": 100_000, "max_orders_per_minute": 100_000, "max_orders_per_day": 100_000,
    "max_open_positions": 200, "max_volume_percent": 100, "max_adjusted_exposure_percent": 1000,
    "max_sector_exposure_percent": 1000, "max_class_percent": 1000,
}  # fmt: skip
EMPTY = """
CREATE TABLE empty_commits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE FUNCTION empty_commit() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO empty_commits DEFAULT VALUES RETURNING id INTO v_id;
    RETURN v_id;
END $$;
"""
RELEASE = "SELECT release_reservation(id, $1) FROM reservations WHERE released_at IS NULL"
"""Each buy is judged as if it were the only one under way."""
INSERT_SIGNAL = """
INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close,
                     confidence, price, timestamp, valid_until)
VALUES ($1, $2, $3, $4, $5, 'BUY', 60, $6, 75, $7, $6, $8)"""


# --- judging ---


def candles_of(number: int) -> Bars:
    """Daily until this morning, one factor for all and one of its own."""
    market = np.random.default_rng(0).normal(0.0, 0.02, HISTORY_DAYS)
    moves = 0.5 * market + np.random.default_rng(number + 1).normal(0.0, 0.03, HISTORY_DAYS)
    close = 100.0 * np.exp(np.cumsum(moves))
    first = int((NOW.replace(hour=0) - DAY * HISTORY_DAYS).timestamp()) * 1000
    stamps = first + np.arange(HISTORY_DAYS, dtype=np.int64) * 86_400_000
    return Bars(
        interval_s=86_400, time=stamps, open=close, high=close, low=close, close=close,
        volume=np.full(HISTORY_DAYS, 1e6),
    )  # fmt: skip


def last_minute(close: float) -> Bars:
    one = np.array([close])
    stamp = np.array([int((NOW - timedelta(minutes=1)).timestamp()) * 1000], dtype=np.int64)
    return Bars(interval_s=60, time=stamp, open=one, high=one, low=one, close=one, volume=one)


async def open_book(manager: PostgresManager) -> tuple[UUID, int, float]:
    """An account with a hundred assets worth 1,000 each and ten million in cash; and the market to be bought."""
    market, store = MarketDataPostgresDatabase(), CandleStore(manager=manager, clock=ReplayClock(NOW))
    symbols = [f"C{number}/USDT" for number in range(POSITIONS + 1)]
    await market.add_instruments(manager, [listing(VENUE, symbol) for symbol in symbols], at=NOW - DAY)
    account: UUID = await manager.fetchval("INSERT INTO accounts (name, venue) VALUES ('desk', $1) RETURNING id", VENUE)
    await manager.execute("SELECT deposit($1, 'USDT', 10000000, 'cash', $2)", account, NOW - DAY)
    price = 0.0
    for number, instrument in enumerate(await market.instruments(manager)):
        daily = candles_of(number)
        price = float(daily.close[-1])
        await store.load(instrument.id, daily)
        await store.load(instrument.id, last_minute(price))
        if number < POSITIONS:
            held = round(Decimal(1000) / Decimal(str(round(price, 2))), 5)
            await manager.execute(
                "SELECT deposit($1, $2, $3, $4, $5)",
                account, instrument.base, held, f"held {number}", NOW - DAY,
            )  # fmt: skip
    await manager.execute("SELECT mark_book(ARRAY[$1], $2)", VENUE, NOW)
    await manager.execute("ANALYZE")
    return account, instrument.id, price


async def raise_signals(
    manager: PostgresManager, account: UUID, instrument_id: int, price: float
) -> list[SignalRaised]:
    """Each of a strategy of its own, so that none waits for another's order."""
    raised = []
    for number in range(SIGNALS):
        strategy = new_id(NOW)
        await manager.execute(
            "INSERT INTO strategies (id, name, type) VALUES ($1, $2, 'ma_cross')", strategy, f"strategy {number}"
        )
        signal = Signal(
            id=new_id(NOW), strategy_id=strategy, account_id=account, instrument_id=instrument_id,
            symbol=f"C{POSITIONS}/USDT", type=SignalType.BUY, timeframe_s=60, bar_close=NOW, price=price,
            confidence=75.0, raised_at=NOW, valid_until=NOW + timedelta(seconds=30),
        )  # fmt: skip
        await manager.execute(
            INSERT_SIGNAL, signal.id, strategy, account, instrument_id, signal.symbol, NOW, Decimal(str(price)),
            signal.valid_until,
        )  # fmt: skip
        raised.append(SignalRaised(id=new_id(NOW), occurred_at=NOW, correlation_id=signal.id, signal=signal))
    return raised


async def measure_judging(manager: PostgresManager) -> dict[str, Any]:
    await manager.execute(EMPTY)
    clock, settings = ReplayClock(NOW), RiskSettings(**ROOMY)  # type: ignore[arg-type]
    account, instrument_id, price = await open_book(manager)
    signals = await raise_signals(manager, account, instrument_id, price)
    bus = PostgresBus(manager, clock=clock)
    risk = RiskManager(settings=settings, clock=clock, bus=bus, manager=manager, bars_of=DatabaseBars)
    judged, empty = [], []
    for number, event in enumerate(signals):
        began = time.perf_counter()
        async with manager.transaction() as tx:
            await risk.on_signal_raised(event, tx)
        between = time.perf_counter()
        async with manager.transaction() as tx:
            await tx.fetchval("SELECT empty_commit()")
        ended = time.perf_counter()
        await manager.execute(RELEASE, NOW)
        if number >= WARM_UP:
            judged.append(between - began)
            empty.append(ended - between)
    approved = await manager.fetchval("SELECT count(*) FROM approvals")
    checks = await manager.fetchval(
        "SELECT min(n) FROM (SELECT count(*) AS n FROM verdict_checks GROUP BY verdict_id) c"
    )
    refused = await manager.fetchval("SELECT max(reason) FROM verdicts WHERE disposition = 'refused'")
    assert approved == SIGNALS, f"{approved} of {SIGNALS} approved: {refused}"
    inputs = await gather(manager, settings, signals[0].signal)
    return {
        "judged p50 ms": 1000 * statistics.median(judged),
        "judged p99 ms": 1000 * percentile(judged, 99),
        "empty p50 ms": 1000 * statistics.median(empty),
        "empty p99 ms": 1000 * percentile(empty, 99),
        "p50 / empty p50": statistics.median(judged) / statistics.median(empty),
        "p99 / empty p99": percentile(judged, 99) / percentile(empty, 99),
        "checks": checks,
        **measure_decisions(inputs),
    }


async def gather(manager: PostgresManager, settings: RiskSettings, signal: Signal) -> Inputs:
    markets = MarketRisk(bars_of=DatabaseBars, window_days=settings.var_lookback_days)
    gatherer = Gatherer(
        defaults=settings.limits(),
        class_defaults=settings.class_limits(),
        markets=markets,
        sizing=settings.sizing(),
        is_adaptive=settings.adaptive_limits,
    )
    async with manager.transaction() as tx:
        return await gatherer.gather(tx, signal, mode=TradingMode.RUNNING, now=NOW)


def measure_decisions(inputs: Inputs) -> dict[str, float]:
    took = []
    for _ in range(DECISIONS):
        began = time.perf_counter()
        judge(inputs.case, inputs.limits, verdict_id=UUID(int=1))
        took.append(1e6 * (time.perf_counter() - began))
    return {"decision p50 us": statistics.median(took), "decision p99 us": percentile(took, 99)}


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


# --- measuring ---


def history() -> FloatArray:
    market = np.random.default_rng(1).normal(0.0, 0.02, (RETURNS_DAYS, 1))
    return 0.7 * market + np.random.default_rng(2).standard_t(5, (RETURNS_DAYS, HOLDINGS)) * 0.02


def measure_metrics(returns: FloatArray) -> dict[str, float]:
    stamps = np.arange(RETURNS_DAYS, dtype=np.int64) * 86_400_000
    holdings = tuple(
        Holding(asset=f"C{n}", instrument_id=n, symbol=f"C{n}/USDT", quantity=Decimal(1), value=Decimal(100 + n))
        for n in range(HOLDINGS)
    )
    book = Book(
        account_id=UUID(int=1), account="desk", venue=VENUE, quote="USDT", as_of=NOW, equity=Decimal(100_000),
        cash=Decimal(50_000), high_water_mark=Decimal(100_000), high_water_at=NOW, max_drawdown=Decimal(0),
        holdings=holdings,
    )  # fmt: skip
    daily = {n: Daily(stamps, returns[:, n]) for n in range(HOLDINGS)}
    took = []
    for _ in range(3):
        began = time.perf_counter()
        found = measure(book, daily, window_days=RETURNS_DAYS)
        took.append(time.perf_counter() - began)
    assert found.days == RETURNS_DAYS
    assert {figure.method for figure in found.figures} >= {TailMethod.MONTE_CARLO, TailMethod.STUDENT_T}
    return {"metrics s": statistics.median(took)}


@dataclass(frozen=True)
class Question:
    """One figure: how we make it, and how others do."""

    figure: str
    ours: Callable[[], Any]
    theirs: dict[str, Callable[[], Any]]


def questions(returns: FloatArray) -> list[Question]:
    one, frame = returns[:, 0], pd.DataFrame(returns)
    series = pd.Series(one, index=pd.date_range("2022-01-01", periods=RETURNS_DAYS))
    quantstats, empyrical, sklearn = (found(name) for name in ("quantstats.stats", "empyrical", "sklearn.covariance"))

    def by_pandas() -> Any:
        worst = series.quantile(0.05)
        return worst, series[series <= worst].mean()

    def by_normal() -> Any:
        mean, deviation = one.mean(), one.std(ddof=1)
        return stats.norm.ppf(0.05, mean, deviation), stats.norm.pdf(stats.norm.ppf(0.05)) * deviation / 0.05 - mean

    def by_student() -> Any:
        mean, deviation = one.mean(), one.std(ddof=1)
        quantile = stats.t.ppf(0.05, 5)
        return mean + deviation * quantile, stats.t.pdf(quantile, 5) / 0.05 * (5 + quantile**2) / 4

    asked = [
        Question("historical VaR and ES", lambda: tail_of(TailMethod.HISTORICAL, one, 0.95), {"pandas": by_pandas}),
        Question("normal VaR and ES", lambda: tail_of(TailMethod.NORMAL, one, 0.95), {"scipy": by_normal}),
        Question("Student t VaR and ES", lambda: tail_of(TailMethod.STUDENT_T, one, 0.95), {"scipy": by_student}),
        Question("correlation (ours shrunk)", lambda: shrink_to_constant_correlation(returns).correlation,
                 {"pandas": frame.corr}),
        Question("Ledoit-Wolf covariance", lambda: shrink_to_identity(returns).covariance, {}),
    ]  # fmt: skip
    if empyrical:
        asked[0].theirs["empyrical"] = lambda: (
            empyrical.value_at_risk(one, 0.05), empyrical.conditional_value_at_risk(one, 0.05),
        )  # fmt: skip
    if quantstats:
        asked[1].theirs["quantstats"] = lambda: (quantstats.var(series), quantstats.cvar(series))
    if sklearn:
        asked[4].theirs["scikit-learn"] = lambda: sklearn.ledoit_wolf(returns)
    return asked


def found(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        return None


def measure_peers(returns: FloatArray) -> list[dict[str, Any]]:
    rows = []
    for question in questions(returns):
        for name, theirs in question.theirs.items():
            pairs = [(clocked(question.ours), clocked(theirs)) for _ in range(PEER_ROUNDS)]
            rows.append(
                {
                    "figure": question.figure,
                    "peer": name,
                    "ours_us": statistics.median(one for one, _ in pairs),
                    "theirs_us": statistics.median(other for _, other in pairs),
                    "ours / theirs": statistics.median(one / other for one, other in pairs),
                }
            )
    return rows


def clocked(work: Callable[[], Any]) -> float:
    """Microseconds of the quickest of some calls."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        work()
        best = min(best, 1e6 * (time.perf_counter() - began))
    return best


async def benchmark(as_json: bool) -> None:
    returns = history()
    metrics, peers = measure_metrics(returns), measure_peers(returns)
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertrade-", ignore_cleanup_errors=True)))
        await stack.enter_async_context(embedded_server(home))
        settings = read_settings({"MASTERTRADE_HOME": str(home)})
        database = await stack.enter_async_context(open_database(settings))
        judging = await measure_judging(database.manager)
        version = await database.manager.fetchval("SELECT current_setting('server_version')")
    measured = {**judging, **metrics, "slowest / peer": max(one["ours / theirs"] for one in peers)}
    summary = {
        "facts": {
            "cores": os.cpu_count(), "load": os.getloadavg()[0], "postgresql": version, "positions": POSITIONS,
            "signals": SIGNALS - WARM_UP,
        },
        "judging": {name: round(value, 3) for name, value in judging.items()},
        "peers": [{name: one if isinstance(one, str) else round(one, 3) for name, one in row.items()} for row in peers],
        "results": {
            name: {"measured": round(measured[name], 3), "limit": limit, "is_met": measured[name] <= limit}
            for name, limit in LIMITS.items()
        },
    }  # fmt: skip
    print(json.dumps(summary) if as_json else _table(summary))


def _table(summary: dict[str, Any]) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in summary["facts"].items()), ""]
    lines += [f"{name:<20}{value:>10.3f}" for name, value in summary["judging"].items()]
    lines += ["", f"{'figure':<36}{'peer':<18}{'ours us':>10}{'theirs us':>12}{'ratio':>8}"]
    lines += [
        f"{one['figure']:<36}{one['peer']:<18}{one['ours_us']:>10.1f}{one['theirs_us']:>12.1f}"
        f"{one['ours / theirs']:>8.3f}"
        for one in summary["peers"]
    ]
    lines += ["", f"{'':<20}{'measured':>10}{'limit':>10}"]
    for name, one in summary["results"].items():
        met = "met" if one["is_met"] else "MISSED"
        lines.append(f"{name:<20}{one['measured']:>10.3f}{'<=':>4}{one['limit']:>6g}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--peers", type=Path, help="a folder of packages to compare with")
    arguments = parser.parse_args()
    if arguments.peers:
        sys.path.append(str(arguments.peers))
    run(benchmark(arguments.json))
