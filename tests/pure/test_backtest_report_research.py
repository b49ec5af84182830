"""What sweeps, walk-forwards and comparisons say."""

import random
from dataclasses import replace

import pytest

from mastertrade.backtest.report import Comparison, Luck, Report, SweepReport, Trial, WalkForwardReport, to_text
from mastertrade.backtest.report.sweep_view import failures, neighbours, parameter_map, ranked, slices, varied
from tests.pure.sample_reports import run_report, sweep_report, trial, walk_forward_report

REPORTS: dict[str, Report] = {
    "sweep": sweep_report(best=run_report()),
    "sweep without trials": sweep_report(trials=()),
    "sweep of failures": sweep_report(trials=(Trial(number=1, parameters={"fast": 3}, failure="it broke " * 30),)),
    "walk-forward": walk_forward_report(),
    "walk-forward without windows": walk_forward_report(windows=(), time=None, equity=None, luck=Luck()),
    "comparison": Comparison(title="fast or slow", runs=[run_report(), run_report(fast=10, slow=40)]),
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_text_fits_80_columns_and_shows_no_nan(name: str) -> None:
    text = to_text(REPORTS[name])
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text.lower().split()


def test_a_sweep_names_its_best_its_neighbours_its_trials_and_its_failures() -> None:
    text = to_text(REPORTS["sweep"])
    assert "57 of 60 trials so far" in text
    assert "1.     1.50" in text
    assert "fast=10 slow=60" in text
    assert "a plateau" in text
    assert "1 x division by zero" in text
    assert "Probability of backtest overfitting 55 %: overfitted" in text


def test_trials_are_ranked_by_the_objective_and_those_without_it_are_failures() -> None:
    lacking = trial(99, {"fast": 4, "slow": 30}, None)
    sweep = sweep_report(trials=(*sweep_report().trials, lacking, trial(100, {"fast": 4, "slow": 30}, float("nan"))))
    order = ranked(sweep)
    assert len(order) == 56
    assert order[0].parameters == {"fast": 10, "slow": 60}
    assert failures(sweep) == [("no sharpe_ratio", 2), ("division by zero", 1)]


def test_a_lone_peak_is_called_one_and_a_plateau_a_plateau() -> None:
    plateau = sweep_report()
    around = neighbours(plateau)
    assert around is not None
    assert around.count == 8
    assert around.verdict.startswith("a plateau")
    peaks = [replace(one, metrics={"sharpe_ratio": 3.0 if one is plateau.trials[31] else -0.5})
             for one in plateau.trials]  # fmt: skip
    alone = neighbours(sweep_report(trials=tuple(peaks)))
    assert alone is not None
    assert alone.verdict.startswith("a lone peak")


def test_random_trials_have_the_nearest_ones_as_neighbours() -> None:
    numbers = random.Random(4)
    points = [(numbers.uniform(0, 1), numbers.uniform(0, 1)) for _ in range(200)]
    trials = tuple(trial(i, {"a": a, "b": b}, 2.0 - abs(a - 0.5) - abs(b - 0.5)) for i, (a, b) in enumerate(points))
    found = neighbours(sweep_report(trials=trials, sampler="random"))
    assert found is not None
    assert 2 <= found.count <= 8
    assert found.middle > 1.5


def test_two_parameters_make_a_map_and_more_make_slices() -> None:
    sweep = sweep_report()
    chart = parameter_map(sweep)
    assert chart is not None
    assert (chart.row_name, chart.column_name) == ("fast", "slow")
    assert chart.cells[chart.row_labels.index("10")][chart.column_labels.index("60")] == pytest.approx(1.5)
    assert chart.cells[-1][-1] is None, "the trial there failed"
    assert [one.name for one in slices(sweep)] == ["fast", "slow"]
    three = tuple(replace(one, parameters={**one.parameters, "kind": "ab"[one.number % 2]}) for one in sweep.trials)
    assert parameter_map(sweep_report(trials=three)) is None
    assert [one.name for one in slices(sweep_report(trials=three))] == ["fast", "slow", "kind"]
    assert varied(sweep)["slow"] == [30, 40, 50, 60, 70, 80, 90, 100]


def test_a_map_of_thousands_of_values_is_binned_and_loses_none() -> None:
    trials = tuple(trial(i, {"a": i, "b": i % 7}, 1.0) for i in range(1_000))
    chart = parameter_map(sweep_report(trials=trials))
    assert chart is not None
    assert len(chart.row_labels) <= 60
    assert (chart.row_labels[0], len(chart.column_labels)) == ("0..16", 7)
    assert sum(slices(sweep_report(trials=trials))[0].counts) == 1_000


def test_a_walk_forward_says_how_much_was_kept_out_of_sample() -> None:
    walk = REPORTS["walk-forward"]
    assert isinstance(walk, WalkForwardReport)
    text = to_text(walk)
    assert "2 Apr 2021" in text
    assert "windows won            2 of 4" in text
    assert "kept                      7 %" in text
    assert "1. fast=5 slow=50" in text


def test_a_comparison_numbers_its_runs_and_prints_the_fill_rules_once() -> None:
    text = to_text(REPORTS["comparison"])
    assert " ".join(text.split()).count("is an order for the next open") == 1
    assert "1. ma_cross on BTC/USDT" in text
    assert "fast=10 slow=40" in text


def test_parameters_that_nothing_varied_make_no_map_and_no_neighbours() -> None:
    sweep: SweepReport = sweep_report(trials=(trial(1, {"a": 1}, 0.5), trial(2, {"a": 1}, 0.5)))
    assert (parameter_map(sweep), neighbours(sweep), slices(sweep)) == (None, None, [])
