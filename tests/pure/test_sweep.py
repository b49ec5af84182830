"""Sweeps: samplers that repeat themselves, workers that survive their trials, rows that depend on neither."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mastertrade as mt
from mastertrade.backtest.samplers import Grid, Guided, Random, Span, make_sampler
from mastertrade.backtest.sweep import batches_of, sweep
from mastertrade.backtest.trials import Outcome, Trial, Tried, as_trials
from mastertrade.backtest.workers import Limits, reason_of, seed_everything
from mastertrade.quant import masks
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators import averages
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.ma_cross import MaCross, MaCrossParameters
from tests.pure.sample_bars import random_walk

WALK = random_walk(2500, seed=8, gaps=False)
GRID = {"fast": [5, 10, 20], "slow": [20, 40]}


def without_time(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def evaluation(work: Callable[[Any], float]) -> Callable[[Sequence[Trial]], Iterator[Outcome]]:
    def evaluate(trials: Sequence[Trial]) -> Iterator[Outcome]:
        for trial in trials:
            seed_everything(trial.seed)
            try:
                yield Outcome(figures={"sharpe_ratio": work(trial.parameters["x"])})
            except Exception as error:  # noqa: BLE001 - as the real one does
                yield Outcome(failure=reason_of(error))

    return evaluate


def test_a_sweep_is_one_row_a_trial_and_the_best_is_the_highest() -> None:
    table = mt.sweep(WALK, "ma_cross", GRID, workers=2)
    rows = table.to_rows()
    assert [row["number"] for row in rows] == list(range(6))
    assert [row["reason"] for row in rows if row["status"] == "failed"] == [
        "UsageError: ma_cross: fast 20 must be below slow 20"
    ]
    best = table.best()
    assert best["sharpe_ratio"] == max(row["sharpe_ratio"] for row in rows if row["status"] == "done")
    assert table.best(3)[0] == best
    assert len(table.best(3)) == 3
    single = mt.backtest(WALK, "ma_cross", fast=best["fast"], slow=best["slow"])
    assert single.metrics["sharpe_ratio"] == best["sharpe_ratio"]
    assert single.metrics["final_capital"] == best["final_capital"]
    assert table.luck.trials == 5
    assert table.luck.sentence in repr(table).replace("\n  ", " ")


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_the_rows_do_not_depend_on_the_number_of_workers(sampler: str) -> None:
    space = {"fast": Span(low=3, high=20), "slow": Span(low=25, high=60, step=5)} if sampler != "grid" else GRID
    one, three = (
        mt.sweep(WALK, "ma_cross", space, sampler=sampler, trials=20, workers=workers, seed=7) for workers in (1, 3)
    )
    assert without_time(one.to_rows()) == without_time(three.to_rows())


def test_a_guided_study_goes_on_from_its_rows_as_if_it_had_never_stopped() -> None:
    sampler = Guided(space={"x": Span(low=0.0, high=1.5)}, planned=40, objective="sharpe_ratio", seed=3)
    evaluate = evaluation(lambda x: -((x - 0.7) ** 2))
    rows = sweep(evaluate, sampler, seed=3, workers=1)
    assert sampler.next_round(rows[:16]) == [one.trial.parameters for one in rows[16:32]]
    assert len(sampler.next_round(rows[:32])) == 8
    assert sampler.next_round(rows) == []
    found = max(rows, key=lambda one: one.outcome.value("sharpe_ratio") or -9).trial.parameters["x"]
    assert abs(found - 0.7) < 0.1


def test_a_trial_that_raises_hangs_eats_memory_or_ends_its_process_fails_and_the_others_go_on() -> None:
    def work(x: int) -> float:
        match x:
            case 1:
                raise ValueError("no such luck")
            case 3:
                while True:
                    time.sleep(0.01)
            case 5:
                return float(np.ones(400 << 17)[0])  # 400 MB
            case 7:
                os._exit(3)
            case 9:
                os.kill(os.getpid(), 9)
        return float(x)

    limits = Limits(seconds=0.4, memory_mb=200)
    rows = sweep(evaluation(work), Grid(space={"x": range(12)}), workers=2, limits=limits)
    reasons = {row.number: row.outcome.failure for row in rows if row.outcome.failure}
    assert reasons == {
        1: "ValueError: no such luck",
        3: "ran longer than the 0.4 s a trial may take",
        5: "needs more memory than a trial may use",
        7: "it ended its process with exit code 3",
        9: "its process was ended by SIGKILL, perhaps for want of memory",
    }
    assert [row.outcome.value("sharpe_ratio") for row in rows if not row.outcome.failure] == [0, 2, 4, 6, 8, 10, 11]


def test_a_loop_that_never_comes_back_to_python_is_ended_too() -> None:
    def work(x: int) -> float:
        return float(sum(range(10**11)) if x else 1.0)  # one call into C

    rows = sweep(evaluation(work), Grid(space={"x": [0, 1]}), workers=1, limits=Limits(seconds=0.3))
    assert rows[1].outcome.failure == "ran longer than the 0.3 s a trial may take"


def test_a_trial_draws_the_same_random_numbers_wherever_it_runs() -> None:
    def work(x: int) -> float:
        return float(np.random.random()) + x

    one, two = (sweep(evaluation(work), Grid(space={"x": [0] * 9}), seed=4, workers=workers) for workers in (1, 2))
    values = [row.outcome.value("sharpe_ratio") for row in one]
    assert values == [row.outcome.value("sharpe_ratio") for row in two]
    assert len(set(values)) == 9


def test_grids_count_through_their_last_parameter_first() -> None:
    assert Grid(space={"a": Span(low=1, high=3), "b": [0.5, 1]}).next_round([])[:3] == [
        {"a": 1, "b": 0.5},
        {"a": 1, "b": 1},
        {"a": 2, "b": 0.5},
    ]
    assert Span(low=0.0, high=0.3, step=0.1).values("x") == [0.0, 0.1, 0.2, 0.3]
    assert Span(low=5, high=16, step=5).values("x") == [5, 10, 15]


def test_random_draws_stay_in_their_span_and_repeat_with_their_seed() -> None:
    space = {"a": Span(low=3, high=9, step=3), "b": Span(low=0.01, high=100.0, is_log=True), "c": ["x", "y"]}
    drawn = Random(space=space, planned=300, seed=1).next_round([])
    assert {one["a"] for one in drawn} == {3, 6, 9}
    assert all(0.01 <= one["b"] <= 100.0 for one in drawn)
    assert 0.3 < np.mean([one["b"] < 1.0 for one in drawn]) < 0.7
    assert drawn == Random(space=space, planned=300, seed=1).next_round([])
    assert drawn != Random(space=space, planned=300, seed=2).next_round([])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mt.sweep(WALK, "ma_cross", {"fats": [1]}), "nearest is 'fast'"),
        (lambda: mt.sweep(WALK, "ma_cros", GRID), "nearest is 'ma_cross'"),
        (lambda: mt.sweep(WALK, "ma_cross", GRID, objective="sharp"), "nearest is 'sharpe_ratio'"),
        (lambda: mt.sweep(WALK, "ma_cross", {}), "at least one parameter"),
        (lambda: mt.sweep(WALK, "ma_cross", {"fast": []}), "fast: there is no value to try"),
        (lambda: mt.sweep(WALK, "ma_cross", GRID, sampler="grit"), "'grit' is unknown"),
        (lambda: mt.sweep(WALK, "ma_cross", GRID, sampler="random"), "needs a number of trials"),
        (lambda: Span(low=3, high=2), "holds nothing"),
        (lambda: Span(low=0.5, high=2).values("x"), "a grid needs steps"),
        (lambda: make_sampler("grid", {"a": range(2000), "b": range(2000)}).next_round([]), "4,000,000 combinations"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_its_first_trial(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


def test_batches_are_large_at_first_and_leave_every_worker_something_until_the_end() -> None:
    trials = as_trials([{}] * 1000, first=0, study_seed=0)
    sizes = [len(batch) for batch in batches_of(trials, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], len(sizes)) == (128, 24)
    assert all(size <= max(7, sum(sizes[place:]) / 6) for place, size in enumerate(sizes))
    assert [one for batch in batches_of(trials, 3) for one in batch] == trials
    assert {len(batch) for batch in batches_of(trials[:5], 4)} == {1}


def test_the_best_of_nothing_is_nothing() -> None:
    from mastertrade.research.table import SweepTable

    rows = [Tried(trial=Trial(number=0, parameters={}), outcome=Outcome(failure="no"))]
    table = SweepTable(rows, objective="sharpe_ratio", title="t")
    assert table.best() is None
    assert table.best(3) == []
    assert table.luck.sentence == "No verdict: no trial succeeded."
    assert [row["reason"] for row in table.failed] == ["no"]


def test_machine_code_is_loaded_once_and_not_by_every_worker() -> None:
    loops = {"average": averages._window_mean, "mask": masks._held_above}
    for loop in loops.values():
        loop._ready = None
    mt.sweep(WALK, "ma_cross", GRID, workers=1)
    assert [name for name, loop in loops.items() if loop._ready is None] == []


def test_nothing_of_somebody_elses_strategy_runs_outside_of_the_workers(tmp_path: Path) -> None:
    class Telling(MaCross):
        def mask(self, columns: Columns, params: MaCrossParameters) -> masks.Words:
            (tmp_path / str(os.getpid())).touch()
            return super().mask(columns, params)

    rows = mt.sweep(WALK, Telling(), GRID, workers=1).to_rows()
    assert [row["status"] for row in rows].count("done") == 5
    assert len(workers := [one.name for one in tmp_path.iterdir()]) == 1
    assert workers != [str(os.getpid())]
