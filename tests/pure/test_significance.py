"""Skill or luck: golden numbers of the papers, and behaviour on series whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant import bootstrap, metrics, significance
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.significance import Moments
from tests.pure.test_metrics import EQUITY, R20, YEARS

PUBLISHED = Moments(count=1250, sharpe=2.5 / math.sqrt(250), skewness=-3.0, kurtosis=10.0)
"""The example of the paper on the deflated Sharpe: 2.5 a year of 250 days, five years."""


def noise(periods: int, trials: int, seed: int, mean: float = 0.0) -> FloatArray:
    return np.random.default_rng(seed).normal(mean, 0.01, (periods, trials))


def test_the_reference_returns_give_the_golden_numbers() -> None:
    assert metrics.omega(R20) == pytest.approx(1.031746032, abs=5e-10)
    assert metrics.ulcer(EQUITY) == pytest.approx(0.01984128752, abs=5e-12)
    assert metrics.martin(EQUITY, YEARS) == pytest.approx(1.518154032, abs=5e-10)
    assert metrics.annualisation(np.array([0.3]), 365) == pytest.approx(15.1116, abs=5e-5)
    assert metrics.annualisation(np.array([]), 365) == pytest.approx(math.sqrt(365))
    of = significance.moments(R20)
    assert of is not None
    assert of.sharpe == pytest.approx(0.0126957025, abs=5e-11)
    assert of.skewness == pytest.approx(-0.6655477308, abs=5e-11)
    assert of.kurtosis == pytest.approx(2.593742764, abs=5e-10)
    assert significance.probabilistic_sharpe(of) == pytest.approx(0.5219726747, abs=5e-11)
    record = significance.minimum_track_record(of)
    assert record is not None
    assert round(record) == 16_930


@pytest.mark.parametrize(("trials", "expected"), [(46, 0.950502), (88, 0.910153), (100, 0.9003968), (1000, 0.639915)])
def test_the_published_example_deflates_as_published(trials: int, expected: float) -> None:
    variance = 0.5 / 250
    assert significance.deflated_sharpe(PUBLISHED, trials, variance) == pytest.approx(expected, abs=1e-6)
    assert significance.expected_best_sharpe(100, variance) == pytest.approx(0.1131720, abs=5e-8)


def test_autocorrelation_takes_from_a_trending_sharpe_and_gives_to_a_reverting_one() -> None:
    shocks = noise(3000, 1, seed=1, mean=0.001)[:, 0]
    trending = shocks[1:] + 0.5 * shocks[:-1]
    reverting = shocks[1:] - 0.4 * shocks[:-1]
    for returns, is_lower in ((trending, True), (reverting, False)):
        plain, adjusted = metrics.sharpe(returns), metrics.sharpe_with_autocorrelation(returns)
        assert plain is not None
        assert adjusted is not None
        assert (adjusted < plain) is is_lower
    assert metrics.autocorrelations(trending, 1)[0] == pytest.approx(0.4, abs=0.05)
    assert metrics.autocorrelations(np.ones(5), 3).tolist() == [0.0, 0.0, 0.0]


def test_more_trials_never_make_a_result_more_believable() -> None:
    found = [significance.deflated_sharpe(PUBLISHED, trials, 0.002) for trials in (1, 2, 10, 100, 10_000)]
    assert found == sorted(found, reverse=True)


def test_the_best_of_pure_noise_is_overfitted_half_the_time_and_real_skill_is_not() -> None:
    lucky = [significance.probability_of_overfitting(noise(400, 30, seed)) for seed in range(12)]
    assert np.mean([value for value in lucky if value is not None]) == pytest.approx(0.5, abs=0.15)
    skilled = noise(400, 30, seed=99)
    skilled[:, 7] += 0.004
    assert significance.probability_of_overfitting(skilled) == 0.0


def test_overfitting_needs_two_trials_and_some_time() -> None:
    assert significance.probability_of_overfitting(noise(400, 1, seed=1)) is None
    assert significance.probability_of_overfitting(noise(3, 5, seed=1)) is None
    same = np.repeat(noise(100, 1, seed=2), 4, axis=1)
    assert significance.probability_of_overfitting(same) == 1.0  # the median of equals: choosing told nothing


def test_copies_of_a_strategy_count_as_one_trial() -> None:
    independent = noise(2000, 8, seed=4)
    assert significance.effective_trials(independent) == pytest.approx(8, abs=0.2)
    assert significance.effective_trials(np.repeat(independent[:, :1], 50, axis=1)) == pytest.approx(1.0)
    assert significance.effective_trials(np.zeros((50, 3))) == 0.0


def test_the_interval_of_the_mean_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        returns = noise(250, 1, seed=seed, mean=0.0005)[:, 0]
        found = bootstrap.interval(lambda sample: float(sample.mean()), returns, level=0.9, resamples=200, seed=seed)
        assert found is not None
        held += found.low <= 0.0005 <= found.high
    assert 45 <= held <= 60


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    first, again, other = (bootstrap.interval(metrics.sharpe, R20, resamples=100, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert bootstrap.interval(metrics.sharpe, R20[:5]) is None


def test_resampled_blocks_keep_neighbours_together() -> None:
    kept = [float(np.mean(np.diff(places) % 500 == 1)) for places in bootstrap.resamplings(500, resamples=50, seed=3)]
    assert np.mean(kept) == pytest.approx(1 - 1 / bootstrap.block_length(500), abs=0.02)


def test_the_reality_check_sees_skill_and_does_not_see_luck() -> None:
    skilled = noise(500, 20, seed=5)
    skilled[:, 3] += 0.003
    seen = bootstrap.reality_check(skilled, resamples=300)
    assert seen is not None
    assert seen < 0.02
    lucky = [bootstrap.reality_check(noise(500, 20, seed), resamples=200, seed=seed) for seed in range(8)]
    assert sum(value is not None and value < 0.05 for value in lucky) <= 2
    assert bootstrap.reality_check(np.zeros((50, 3))) is None


@pytest.mark.parametrize(
    ("of", "trades", "trials", "variance", "overfitting", "said"),
    [
        (None, 100, 1, 0.0, None, "no measurable risk"),
        (PUBLISHED, 12, 1, 0.0, None, "12 trades from a single trial are fewer than the 30"),
        (PUBLISHED, 500, 1, 0.0, None, "Unlikely to be luck: 100% sure"),
        (PUBLISHED, 500, 46, 0.002, 0.7, "Doubtful"),
        (PUBLISHED, 500, 88, 0.002, None, "Could be luck: 91% sure that there is any skill after 88 trials"),
        (PUBLISHED, 500, 1_000_000, 0.004, None, "the best of 1,000,000 tries without any skill would look better"),
        (Moments(count=99, sharpe=-0.1, skewness=0, kurtosis=3), 50, 1, 0.0, None, "No edge"),
        (Moments(count=99, sharpe=0.05, skewness=0, kurtosis=3), 50, 1, 0.0, None, "to be 95% sure, and there are 99"),
    ],
)
def test_the_verdict_is_a_plain_sentence(
    of: Moments | None, trades: int, trials: int, variance: float, overfitting: float | None, said: str
) -> None:
    found = significance.sentence(of=of, trades=trades, trials=trials, variance=variance, overfitting=overfitting)
    assert said in found
    assert found.endswith(".")


@given(st.lists(st.floats(-0.9, 2.0), min_size=2, max_size=50).map(np.array), st.integers(1, 1000))
def test_every_probability_is_one_or_none(returns: FloatArray, trials: int) -> None:
    of = significance.moments(returns)
    if of is not None:
        for value in (significance.probabilistic_sharpe(of), significance.deflated_sharpe(of, trials, 0.01)):
            assert value is None or 0.0 <= value <= 1.0
    assert metrics.omega(returns) is None or metrics.omega(returns) >= 0.0  # type: ignore[operator]
