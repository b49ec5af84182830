"""Sweeps in the database: several processes share one and each trial is made once; what is killed goes on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mastertrade as mt
from mastertrade.backtest.report import to_text
from mastertrade.backtest.sweep import run_all
from mastertrade.backtest.trials import Evaluate, Outcome, Trial
from mastertrade.backtest.walk_forward import Plan
from mastertrade.backtest.workers import Limits, Workers
from mastertrade.quant.bars import Bars
from mastertrade.research.asking import Asked, Found, find
from mastertrade.research.options import Options
from mastertrade.research.stored_sweep import Desk, SweepPlan, report_of_study
from mastertrade.research.stored_walk import WalkPlan, walk_again, walk_forward
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import BadData, NotFound, Refused, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.backtests import BacktestDatabase
from tests.pure.sample_bars import random_walk, written_bars

AT = datetime(2026, 1, 1, tzinfo=UTC)
DOOR = BacktestDatabase()
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
SPACE = {"fast": [2, 3, 4, 5], "slow": [20, 30, 40]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(random_walk(600, seed=4, interval_s=3600, gaps=False), tmp_path_factory.mktemp("bars"))


def write(bars: Bars, folder: Path, name: str = "BTC_USDT-1h.csv") -> Path:
    columns = zip(
        *(getattr(bars, one).tolist() for one in ("time", "open", "high", "low", "close", "volume")), strict=True
    )
    text = "".join(",".join(str(value) for value in row) + "\n" for row in columns)
    path = folder / name
    path.write_text("timestamp,open,high,low,close,volume\n" + text)
    return path


def plan_of(file: Path, **more: object) -> SweepPlan:
    return SweepPlan(strategy="ma_cross", space=SPACE, asked=Asked(files=(str(file),)), options=Options(), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def desk_of(dsn: str, name: str, workers: int = 1) -> AsyncIterator[Desk]:
    manager = PostgresManager(dsn, application_name=name)
    await manager.connect()

    def pools(evaluate: Evaluate, limits: Limits) -> Workers:
        return Workers(evaluate, count=workers, limits=limits)

    try:
        yield Desk(manager=manager, claimer=name, clock=SystemClock(), pools=pools)
    finally:
        await manager.close()


async def test_two_processes_share_a_sweep_and_find_what_one_would_have_found(dsn: str, file: Path) -> None:
    plan = plan_of(file)
    async with desk_of(dsn, "one") as one, desk_of(dsn, "two") as two:
        found = await find(plan.asked, one.manager)
        (study, was_there), (same, was_there_too) = [await desk.begin(plan, found, AT) for desk in (one, two)]
        assert (was_there, was_there_too, same.id) == (False, True, study.id)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(desk.sweep(plan, study, found)) for desk in (one, two)]
        claims = await one.manager.fetch("SELECT claimed_by, count(*) AS trials FROM backtest_trials GROUP BY 1")
        stored = await DOOR.study(one.manager, str(study.id))
        report = await report_of_study(stored, one.manager)
    assert {row["claimed_by"] for row in claims} == {"one", "two"}
    assert sum(row["trials"] for row in claims) == 12
    (table, best), (other, _) = (task.result() for task in tasks)
    alone = mt.sweep(file, "ma_cross", SPACE, workers=1)
    expected = [{**row, "seconds": 0.0} for row in alone]
    assert [{**row, "seconds": 0.0} for row in table] == [{**row, "seconds": 0.0} for row in other] == expected
    assert best is not None
    assert best.study_id == study.id
    assert stored.status == "done"
    assert stored.verdict == best.verdict
    assert len(report.trials) == 12


async def test_what_a_killed_process_had_claimed_is_made_by_the_next_one(dsn: str, file: Path) -> None:
    plan = plan_of(file)
    async with desk_of(dsn, "killed") as killed:
        found = await find(plan.asked, killed.manager)
        study, _ = await killed.begin(plan, found, AT)
        trials = [dict(zip(SPACE, (fast, slow), strict=True)) for fast in SPACE["fast"] for slow in SPACE["slow"]]
        await DOOR.plan_trials(killed.manager, study, trials, first=0)
        first, *_ = await DOOR.claim_trials(killed.manager, study.id, claimer="killed", count=5)
        with Workers(plan.evaluation(found), count=1) as pool:
            await DOOR.finish_trials(killed.manager, study.id, list(run_all(pool, [first])), at=AT)
    async with desk_of(dsn, "next") as desk:
        again, was_there = await desk.begin(plan, found, AT)
        assert (again.id, was_there) == (study.id, True)
        await desk.sweep(plan, again, found)
        claims = await desk.manager.fetch("SELECT claimed_by, status, count(*) AS n FROM backtest_trials GROUP BY 1, 2")
        _, was_there = await desk.begin(plan, found, AT)
    assert {(row["claimed_by"], row["status"]): row["n"] for row in claims} == {
        ("killed", "done"): 1,
        ("next", "done"): 11,
    }
    assert not was_there, "a finished sweep is not gone on with"


SLOW = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from mastertrade.research.asking import find
from tests.postgres.test_studies import AT, desk_of, plan_of
from mastertrade.research.evaluation import Evaluation
import time

class Slow(Evaluation):
    def __call__(self, trials):
        for outcome in super().__call__(trials):
            time.sleep(0.1)
            yield outcome

async def work(dsn, file):
    plan = plan_of(Path(file))
    async with desk_of(dsn, "killed") as desk:
        found = await find(plan.asked, desk.manager)
        study, _ = await desk.begin(plan, found, AT)
        await desk.trials_of(plan, study, Slow(**vars(plan.evaluation(found))))

asyncio.run(work(*sys.argv[1:]))
"""


async def test_a_sweep_that_was_killed_goes_on_and_makes_no_trial_twice(dsn: str, file: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW, dsn, str(file), cwd=ROOT, env=ENVIRONMENT
    )
    async with desk_of(dsn, "next") as desk:
        try:
            async with asyncio.timeout(30):
                while not (
                    done := await desk.manager.fetch(
                        "SELECT number, finished_at FROM backtest_trials WHERE status = 'done'"
                    )
                ):
                    await asyncio.sleep(0.02)
        finally:
            process.kill()
            await process.wait()
        plan = plan_of(file)
        found = await find(plan.asked, desk.manager)
        study, was_there = await desk.begin(plan, found, AT)
        assert was_there
        await desk.sweep(plan, study, found)
        rows = await desk.manager.fetch("SELECT number, status, claimed_by, finished_at FROM backtest_trials")
    assert [row["status"] for row in rows] == ["done"] * 12
    assert {row["claimed_by"] for row in rows} == {"killed", "next"}
    assert {(row["number"], row["finished_at"]) for row in done} <= {
        (row["number"], row["finished_at"]) for row in rows
    }


DYING = """
import asyncio, os, sys
from pathlib import Path
from mastertrade.research.asking import find
from mastertrade.research.stored_walk import walk_forward
from tests.postgres.test_studies import AT, desk_of, walk_of

async def work(dsn, file, windows):
    plan = walk_of(Path(file))
    async with desk_of(dsn, "killed") as desk:
        found = await find(plan.sweep.asked, desk.manager)
        die = lambda done, planned: os._exit(137) if done == int(windows) else None
        await walk_forward(desk, plan, found, at=AT, show=die)

asyncio.run(work(*sys.argv[1:]))
"""


def walk_of(file: Path) -> WalkPlan:
    return WalkPlan(sweep=plan_of(file, objective="deflated_sharpe"), windows=Plan(train_days=10, test_days=5))


async def test_a_walk_forward_that_was_killed_goes_on_with_the_windows_that_are_left(dsn: str, file: Path) -> None:
    async with desk_of(dsn, "next") as desk:
        finished = []
        for windows in (1, 2):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", DYING, dsn, str(file), str(windows), cwd=ROOT, env=ENVIRONMENT
            )
            assert await process.wait() == 137
            finished.append(await desk.manager.fetch(FINISHED))
        plan = walk_of(file)
        found = await find(plan.sweep.asked, desk.manager)
        made, row = await walk_forward(desk, plan, found, at=AT, show=lambda done, planned: None)
        assert row is not None
        last = await desk.manager.fetch(FINISHED)
    assert [len(rows) for rows in (*finished, last)] == [12, 24, 36], "no trial is made twice, and none is left out"
    assert {tuple(one.values()) for rows in finished for one in rows} <= {tuple(one.values()) for one in last}
    expected = mt.walk_forward(file, "ma_cross", SPACE, train_days=10, test_days=5, workers=1)
    assert made.equity.tolist() == expected.equity.tolist()


FINISHED = "SELECT study_id, number, claimed_by, finished_at FROM backtest_trials WHERE status = 'done'"


class Failing:
    """Every other trial takes its process down."""

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        for trial in trials:
            if trial.number % 2:
                os._exit(3)
            yield Outcome(figures={"sharpe_ratio": 1.0})


async def test_trials_that_fail_are_rows_with_their_reason(dsn: str, file: Path) -> None:
    plan = plan_of(file)
    async with desk_of(dsn, "one") as desk:
        found = await find(plan.asked, desk.manager)
        study, _ = await desk.begin(plan, found, AT)
        rows = await desk.trials_of(plan, study, Failing())
    assert [bool(row.outcome.failure) for row in rows] == [False, True] * 6


async def test_a_sweep_does_not_go_on_over_other_bars(dsn: str, file: Path) -> None:
    plan = plan_of(file)
    async with desk_of(dsn, "one") as desk:
        found = await find(plan.asked, desk.manager)
        study, _ = await desk.begin(plan, found, AT)
        shorter = replace(found, markets={symbol: bars[:-1] for symbol, bars in found.markets.items()})
        with pytest.raises(Refused, match="its bars changed since it began"):
            await desk.sweep(plan, study, shorter)


async def test_a_walk_forward_is_drawn_again_from_its_rows(dsn: str, file: Path) -> None:
    plan = walk_of(file)
    async with desk_of(dsn, "one") as desk:
        found = await find(plan.sweep.asked, desk.manager)
        made, row = await walk_forward(desk, plan, found, at=AT, show=lambda done, planned: None)
        assert row is not None
        stored = await DOOR.run(desk.manager, str(row.id))
        again = await walk_again(stored, desk.manager)
        assert await DOOR.studies(desk.manager, page=10) == [], "windows are no sweeps of their own"
    assert len(made.walked) == 3
    assert to_text(again.report()) == to_text(made.report())
    expected = mt.walk_forward(file, "ma_cross", SPACE, train_days=10, test_days=5, workers=1)
    assert made.equity.tolist() == expected.equity.tolist()


async def test_bars_that_say_nothing_are_refused_with_the_next_step(database: PostgresManager, tmp_path: Path) -> None:
    few = write(random_walk(99, seed=1, interval_s=3600, gaps=False), tmp_path, "few.csv")
    with pytest.raises(BadData, match="99 bars are fewer than the 100"):
        await find(Asked(files=(str(few),)), database)
    places = [*range(200), *range(400, 600)]
    prices = [100.0] * 400
    holed = write(written_bars(prices, prices, interval_s=3600, places=places), tmp_path, "holed.csv")
    with pytest.raises(
        BadData, match=r"33\.3% of the bars are missing, more than the 5\.0% allowed.*--most-missing 0\.34"
    ):
        await find(Asked(files=(str(holed),)), database)
    found = await find(Asked(files=(str(holed),), most_missing=0.34), database)
    assert found.notes == ["holed: 33.33% of the bars are missing"]
    with pytest.raises(BadData, match="the first bar is of 2021-01-01 00:00, long after the 2020-01-01"):
        await find(Asked(files=(str(holed),), since=datetime(2020, 1, 1, tzinfo=UTC), most_missing=0.34), database)
    with pytest.raises(NotFound, match="XRP/USDT is not known here"):
        await find(Asked(symbols=("XRP/USDT",), interval="1h"), database)
    with pytest.raises(UsageError, match="say which with --tf"):
        Asked(symbols=("XRP/USDT",))


def test_a_request_for_bars_is_the_same_after_it_was_stored() -> None:
    asked = Asked(symbols=("BTC/USDT",), venue="binance", interval="1h", since=AT)
    assert Asked.from_settings(asked.to_settings()) == asked


def test_a_plan_is_the_same_after_it_was_stored(file: Path) -> None:
    plan = replace(plan_of(file), space={"fast": mt.Span(low=2, high=5), "slow": [20, 30]}, fixed={})
    study = plan.to_study(Found(markets={"": random_walk(200, seed=1)}, source="here"), AT)
    assert SweepPlan.of_study(study) == plan
