"""Stored backtests: figures that SQL and Python agree on, studies that several processes share and none loses."""

from datetime import UTC, datetime
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import mastertrade as mt
from mastertrade.backtest.result import BacktestResult
from mastertrade.backtest.trials import Outcome
from mastertrade.quant.bars import Bars
from mastertrade.research.statistics import statistics
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from mastertrade.strategy_service.backtests import BacktestDatabase, StoredRun, Study
from tests.pure.sample_bars import random_walk, written_bars
from tests.pure.test_metrics import R20

AT = datetime(2024, 5, 1, tzinfo=UTC)
DOOR = BacktestDatabase()


def stored(result: BacktestResult, metrics: dict[str, Any]) -> StoredRun:
    return StoredRun(
        id=new_id(AT),
        strategy="ma_cross",
        parameters={"fast": 5, "slow": 20},
        result=result,
        costs={"taker_fee": 0.001},
        settings={},
        data_source="synthetic",
        data_hash="d",
        code_hash="c",
        metrics=metrics,
        verdict="No verdict.",
        legacy_type="SMA",
    )


def study_of(planned: int = 10) -> Study:
    return Study(
        id=new_id(AT),
        kind="grid",
        strategy="ma_cross",
        settings={"space": {"fast": [5, 10]}},
        objective="sharpe_ratio",
        planned=planned,
        seed=3,
        data_hash="d",
        code_hash="c",
    )


def holed(bars: Bars) -> Bars:
    """Without three whole days in the middle."""
    keep = (bars.time < bars.time[0] + 4 * 86_400_000) | (bars.time >= bars.time[0] + 7 * 86_400_000)
    return Bars(interval_s=bars.interval_s, **{name: getattr(bars, name)[keep] for name in COLUMNS})


COLUMNS = ("time", "open", "high", "low", "close", "volume")


@pytest.mark.parametrize(
    "bars",
    [
        random_walk(3000, seed=1, interval_s=900),
        holed(random_walk(2000, seed=2, interval_s=900, gaps=False)),
        random_walk(2000, seed=3, interval_s=3600, deviation=0.03),
    ],
    ids=["gaps", "days without bars", "wild"],
)
async def test_the_figures_are_the_same_from_sql_and_from_python(database: PostgresManager, bars: Bars) -> None:
    result = mt.backtest(bars, "ma_cross", fast=5, slow=20, position_fraction=0.9)
    run = stored(result.run, {})
    await DOOR.save_run(database, run, at=AT)
    expected = {**result.metrics, **statistics(result.run)}
    found = dict((await DOOR.figures(database, run.id)).items())
    assert len(found) == 23
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


async def test_a_run_without_risk_or_trades_has_no_ratios_in_sql_either(database: PostgresManager) -> None:
    flat = mt.backtest(written_bars([1.0] * 4000, [1.0] * 4000), "ma_cross", fast=5, slow=20)
    run = stored(flat.run, {})
    await DOOR.save_run(database, run, at=AT)
    found = dict((await DOOR.figures(database, run.id)).items())
    expected = {**flat.metrics, **statistics(flat.run)}
    assert {name: value for name, value in found.items() if value is None} == {
        name: None for name in found if expected[name] is None
    }
    assert found["total_trades"] == 0
    assert found["total_return"] == 0.0


async def test_the_golden_returns_give_the_golden_figures_in_sql(database: PostgresManager) -> None:
    """``backtest_figures`` over the reference returns; ``normal_cdf`` against the standard library."""
    equity = np.cumprod(1.0 + R20) * 100.0
    day = mt.bars({"time": np.arange(1, 21) * 86_400 + 1_609_372_800, **dict.fromkeys(COLUMNS[1:], np.ones(20))})
    result = mt.backtest(day, "ma_cross", fast=2, slow=3, cash=100.0)
    run = BacktestResult(
        **{name: getattr(result.run, name) for name in BacktestResult.__dataclass_fields__} | {"equity": equity}
    )
    row = stored(run, {})
    await DOOR.save_run(database, row, at=AT)
    found = await DOOR.figures(database, row.id)
    for name, golden in {
        "sharpe_ratio": 0.2425510556,
        "sortino_ratio": 0.3213303323,
        "cagr": 0.03012213064,
        "calmar_ratio": 0.6818587711,
        "max_drawdown": 0.04417649506,
        "omega_ratio": 1.031746032,
        "ulcer_index": 0.01984128752,
        "martin_ratio": 1.518154032,
        "probabilistic_sharpe": 0.5219726747,
        "skewness": -0.6655477308,
        "kurtosis": 2.593742764,
    }.items():
        assert found[name] == pytest.approx(golden, rel=1e-9), name
    points = [-40.0, -8.0, -7.0, -1.5, 0.0, 0.3, 2.0, 6.5, 39.0]
    from_sql = await database.fetchval("SELECT array_agg(normal_cdf(z)) FROM unnest($1::float8[]) z", points)
    assert from_sql == pytest.approx([NormalDist().cdf(z) for z in points], rel=1e-9, abs=1e-15)


async def test_a_run_is_stored_with_its_days_and_trades_and_in_the_older_table(database: PostgresManager) -> None:
    result = mt.backtest(random_walk(3000, seed=5, interval_s=900), "ma_cross", fast=5, slow=20)
    run = stored(result.run, result.metrics)
    await DOOR.save_run(database, run, at=AT)
    await DOOR.save_run(database, run, at=AT)
    row = await DOOR.run(database, str(run.id)[:18])
    assert row["metrics"]["sharpe_ratio"] == result.metrics["sharpe_ratio"]
    trades = await database.fetch("SELECT * FROM backtest_trades WHERE run_id = $1 ORDER BY number", run.id)
    assert [(one["entry_price"], one["net"]) for one in trades] == [(t.entry_price, t.net) for t in result.trades]
    days = await database.fetch("SELECT * FROM backtest_equity WHERE run_id = $1 ORDER BY day", run.id)
    assert days[-1]["equity"] == result.equity[-1]
    assert sum(one["bars"] for one in days) == len(result.equity)
    legacy = await database.fetch(
        "SELECT b.*, s.template FROM backtest_results b JOIN strategies s ON s.id = strategy_id"
    )
    assert [(one["backtest_id"], one["template"]) for one in legacy] == [(str(run.id), "ma_cross")]
    assert [one["id"] for one in await DOOR.runs(database, page=5)] == [run.id]


async def test_two_claimers_never_get_the_same_trial(database: PostgresManager, dsn: str) -> None:
    study = study_of()
    await DOOR.create_study(database, study, at=AT)
    await DOOR.plan_trials(database, study, [{"x": one} for one in range(10)], first=0)
    await DOOR.plan_trials(database, study, [{"x": one} for one in range(10)], first=0)
    other = PostgresManager(dsn, application_name="sweep-b", max_size=1)
    await other.connect()
    mine = await DOOR.claim_trials(database, study.id, claimer="tests", count=4)
    theirs = await DOOR.claim_trials(other, study.id, claimer="sweep-b", count=4)
    assert [one.number for one in mine] == [0, 1, 2, 3]
    assert [one.number for one in theirs] == [4, 5, 6, 7]
    assert [one.number for one in await DOOR.claim_trials(database, study.id, claimer="tests", count=9)] == [8, 9]
    await other.close()
    await database.execute("SELECT pg_sleep(0.1)")
    taken_over = await DOOR.claim_trials(database, study.id, claimer="tests", count=9)
    assert [one.number for one in taken_over] == [4, 5, 6, 7]
    assert [one.parameters["x"] for one in taken_over] == [4, 5, 6, 7]


async def test_outcomes_are_stored_once_and_failures_keep_their_reason(database: PostgresManager) -> None:
    study = study_of(3)
    await DOOR.create_study(database, study, at=AT)
    await DOOR.plan_trials(database, study, [{"x": 1}, {"x": 2}, {"x": 3}], first=0)
    trials = await DOOR.claim_trials(database, study.id, claimer="tests", count=2)
    figures = {"sharpe_ratio": 1.5, "total_trades": 7.0, "profit_factor": None}
    good = Outcome(figures=figures, daily_returns=np.array([0.01, -0.02, 1e-17]), seconds=0.5)
    await DOOR.finish_trials(database, study.id, [(trials[0], good), (trials[1], Outcome(failure="a\x00b"))], at=AT)
    await DOOR.finish_trials(database, study.id, [(trials[0], Outcome(failure="late"))], at=AT)
    rows = await DOOR.trials(database, study.id)
    assert [status for _, status in rows] == ["done", "failed", "pending"]
    first, second = rows[0][0], rows[1][0]
    assert first.outcome.figures == figures
    assert first.outcome.daily_returns is not None
    assert first.outcome.daily_returns.tolist() == [0.01, -0.02, 1e-17]
    assert second.outcome.failure == "a\\x00b"
    assert dict((await DOOR.study_progress(database, study.id)).items()) == {"proposed": 3, "finished": 2, "failed": 1}
    await DOOR.finish_study(database, study.id, verdict="Likely luck.", at=AT)
    listed = await DOOR.studies(database, page=5)
    assert [(one["id"], one["status"], one["best_sharpe"]) for one in listed] == [(study.id, "done", 1.5)]


async def test_a_study_or_run_is_found_by_the_beginning_of_its_id_and_refused_when_it_is_not(
    database: PostgresManager,
) -> None:
    one, two = study_of(), study_of()
    for study in (one, two):
        await DOOR.create_study(database, study, at=AT)
    assert (await DOOR.study(database, str(two.id))).id == two.id
    with pytest.raises(UsageError, match="more than one"):
        await DOOR.study(database, str(one.id)[:8])
    for wrong in ("zzz", "%", "", "ffffffff"):
        with pytest.raises(NotFound, match="backtest list"):
            await DOOR.study(database, wrong)
        with pytest.raises(NotFound):
            await DOOR.run(database, wrong)
