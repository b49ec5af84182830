"""Portfolio risk against published and hand-computed numbers, independent libraries and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mastertrade.quant.risk import covariance as joint
from mastertrade.quant.risk import forecasts, portfolio, student, tails, volatility
from mastertrade.quant.risk.tails import Tail, TailMethod, tail_of

TWENTY = np.array([
    0.012, -0.008, 0.005, -0.021, 0.017, 0.003, -0.014, 0.009, -0.035, 0.022,
    0.006, -0.011, 0.015, -0.004, 0.008, -0.027, 0.019, 0.001, -0.006, 0.013,
])  # fmt: skip
MONEY = np.array([6000.0, 3000.0, 1000.0])
DEVIATIONS = np.array([0.03, 0.04, 0.06])
CORRELATION = np.array([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]])
COVARIANCE = CORRELATION * np.outer(DEVIATIONS, DEVIATIONS)

some_returns = st.lists(st.floats(-0.5, 0.5, allow_subnormal=False), min_size=2, max_size=60).map(np.array)


# --- tails ---


@pytest.mark.parametrize(
    ("method", "confidence", "value", "shortfall"),
    [
        (TailMethod.HISTORICAL, 0.95, 0.035, 0.035),
        (TailMethod.HISTORICAL, 0.90, 0.027, 0.031),
        (TailMethod.HISTORICAL, 0.93, 0.027, 0.03271428571),
        (TailMethod.NORMAL, 0.95, 0.02571197497, 0.032294662),
        (TailMethod.STUDENT_T, 0.95, 0.02438863161, 0.03506680396),
    ],
)
def test_the_tail_of_twenty_returns_is_the_published_one(
    method: TailMethod, confidence: float, value: float, shortfall: float
) -> None:
    found = tail_of(method, TWENTY, confidence)
    assert found.value_at_risk == pytest.approx(value, rel=1e-9)
    assert found.expected_shortfall == pytest.approx(shortfall, rel=1e-8)
    assert (found.method, found.count, found.note) == (method, 20, "")


def test_the_expansion_of_cornish_and_fisher_gives_the_published_numbers() -> None:
    skewness, excess = -0.6655477308, 2.593742764 - 3.0
    value, shortfall = tails.bent_tail(0.0002, 0.01575336221, skewness, excess, 0.95)
    assert value == pytest.approx(0.02869039167, rel=1e-8)
    assert shortfall == pytest.approx(0.03552167972, rel=1e-8)
    assert tails.bent_tail(3.2, 5.6, 2.0, 0.0, 0.90)[0] == pytest.approx(4.145348, rel=1e-6)


@pytest.mark.parametrize(
    ("skewness", "excess", "fits"),
    [(-0.6655477308, -0.406257236, False), (-0.5, 3.0, True), (2.0, 0.0, False), (0.0, 0.0, True), (0.0, 1.0, True)],
)
def test_the_expansion_is_used_only_where_it_grows(skewness: float, excess: float, fits: bool) -> None:
    assert tails.is_monotone(skewness, excess) is fits
    z = np.linspace(-9, 9, 4001)
    bent = z + (z**2 - 1) * skewness / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
    if fits:
        assert np.all(np.diff(bent) > 0)


def test_returns_outside_the_range_of_the_expansion_get_the_historical_numbers_and_the_reason() -> None:
    found, plain = tail_of(TailMethod.CORNISH_FISHER, TWENTY, 0.95), tail_of(TailMethod.HISTORICAL, TWENTY, 0.95)
    assert (found.value_at_risk, found.expected_shortfall) == (plain.value_at_risk, plain.expected_shortfall)
    assert found.method is TailMethod.HISTORICAL
    assert found.note == "Cornish-Fisher does not fit skewness -0.666 with excess kurtosis -0.406"


def test_recent_losses_weigh_more_where_history_is_weighted() -> None:
    old, recent = TWENTY.copy(), TWENTY[::-1].copy()
    old[0], recent[-1] = -0.2, -0.2
    assert tails.weighted_historical(recent, 0.95, decay=0.9).value_at_risk == 0.2
    assert tails.weighted_historical(old, 0.95, decay=0.9).value_at_risk == 0.035
    even = tails.weighted_historical(TWENTY, 0.9, decay=1 - 1e-9)
    assert even.expected_shortfall == pytest.approx(0.031, rel=1e-6)


def test_filtered_losses_grow_with_the_volatility_of_today() -> None:
    calm = np.concatenate([TWENTY, TWENTY / 10])
    wild = np.concatenate([TWENTY / 10, TWENTY])
    assert (tails.filtered_historical(wild, 0.95).value_at_risk or 0) > 3 * (
        tails.filtered_historical(calm, 0.95).value_at_risk or 0
    )


@given(returns=some_returns, confidence=st.sampled_from([0.9, 0.95, 0.99]), method=st.sampled_from(list(tails.METHODS)))
def test_the_mean_loss_beyond_a_value_at_risk_is_not_smaller_than_it(
    returns: np.ndarray, confidence: float, method: TailMethod
) -> None:
    found = tail_of(method, returns, confidence)
    assert (found.value_at_risk is None) == (found.expected_shortfall is None)
    if found.value_at_risk is not None and found.expected_shortfall is not None:
        assert found.expected_shortfall >= found.value_at_risk - 1e-12


@given(returns=some_returns, method=st.sampled_from(list(tails.METHODS)))
def test_a_higher_confidence_never_shows_a_smaller_loss(returns: np.ndarray, method: TailMethod) -> None:
    low, high = tail_of(method, returns, 0.9), tail_of(method, returns, 0.99)
    if low.value_at_risk is not None and high.value_at_risk is not None:
        assert high.value_at_risk >= low.value_at_risk - 1e-12


@pytest.mark.parametrize("method", tails.METHODS)
def test_what_the_data_cannot_tell_is_none_with_the_reason(method: TailMethod) -> None:
    nothing = tail_of(method, np.zeros(0), 0.95)
    assert (nothing.value_at_risk, nothing.expected_shortfall, nothing.note) == (None, None, "there are no returns")
    for returns in (np.array([-0.01]), np.zeros(30)):
        found = tail_of(method, returns, 0.95)
        if found.value_at_risk is None:
            assert found.note in ("one return has no deviation", "the returns do not vary")
        else:
            assert method in (TailMethod.HISTORICAL, TailMethod.WEIGHTED_HISTORICAL)
    assert tail_of(TailMethod.HISTORICAL, np.array([-0.01]), 0.95).note == (
        "the worst of 1 returns stands for the whole tail"
    )


def test_returns_that_are_no_numbers_and_confidences_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 returns are no finite numbers"):
        tail_of(TailMethod.NORMAL, np.array([0.1, math.nan, 0.2]), 0.95)
    with pytest.raises(ValueError, match=r"confidence 1\.0 is outside 0\.5\.\.1"):
        tail_of(TailMethod.NORMAL, TWENTY, 1.0)
    with pytest.raises(ValueError, match="monte_carlo needs positions"):
        tail_of(TailMethod.MONTE_CARLO, TWENTY, 0.95)
    with pytest.raises(ValueError, match=r"degrees of freedom 2\.0 are not above 2"):
        tails.student_t(TWENTY, 0.95, dof=2.0)


def test_losses_over_several_periods_are_drawn_and_not_scaled() -> None:
    ten = tails.compounded(TWENTY, 10, paths=50_000, seed=1)
    assert np.array_equal(ten, tails.compounded(TWENTY, 10, paths=50_000, seed=1))
    by_root = 0.01575336221 * math.sqrt(10) * 1.6449 - 10 * 0.0002
    assert tail_of(TailMethod.HISTORICAL, ten, 0.95).value_at_risk == pytest.approx(by_root, rel=0.05)
    assert np.array_equal(np.unique(tails.compounded(TWENTY, 1, paths=5_000, seed=1)), np.unique(1 + TWENTY) - 1)


@pytest.mark.parametrize("dof", [0.5, 1.0, 2.3, 3.0, 5.0, 30.0, 250.0])
def test_students_distribution_is_that_of_scipy(dof: float) -> None:
    for x in (-40.0, -5.0, -0.5, -1e-3, 0.0, 0.3, 2.0, 9.0):
        assert student.distribution(x, dof) == pytest.approx(stats.t.cdf(x, dof), abs=1e-11)
        assert student.density(x, dof) == pytest.approx(stats.t.pdf(x, dof), rel=1e-11)
    for probability in (1e-6, 0.001, 0.05, 0.3, 0.5, 0.7, 0.975, 0.9999):
        assert student.quantile(probability, dof) == pytest.approx(stats.t.ppf(probability, dof), rel=1e-10, abs=1e-12)


# --- volatility and joint movement ---


def test_the_moving_volatility_of_twenty_returns_is_the_published_one() -> None:
    assert volatility.ewma_volatility(TWENTY) == pytest.approx(0.01434677493, rel=1e-9)
    assert volatility.ewma_volatility(np.zeros(0)) is None
    both = np.column_stack([TWENTY, -TWENTY])
    variance = 0.01434677493**2
    assert volatility.ewma_covariance(both) == pytest.approx(
        np.array([[variance, -variance], [-variance, variance]]), rel=1e-8
    )


def three_markets() -> np.ndarray:
    """60 periods of three assets from a linear congruential generator, so that anybody can make them again."""
    state, made = 42, []
    for _ in range(60 * 3):
        state = (1664525 * state + 1013904223) % 2**32
        made.append(state / 2**32 - 0.5)
    return np.array(made).reshape(60, 3)


def test_shrinking_to_the_identity_pulls_as_its_definition_says() -> None:
    """Against the definition, period by period."""
    returns = three_markets() @ np.array([[1.0, 0.8, 0.2], [0.0, 0.5, 0.1], [0.0, 0.0, 0.9]])
    centred = returns - returns.mean(axis=0)
    sample = centred.T @ centred / 60
    target = np.trace(sample) / 3 * np.eye(3)
    distance = np.sum((sample - target) ** 2) / 3
    noise = sum(np.sum((np.outer(row, row) - sample) ** 2) for row in centred) / (60**2 * 3)
    found = joint.shrink_to_identity(returns)
    assert found.intensity == pytest.approx(min(noise, distance) / distance, rel=1e-12)
    assert found.covariance == pytest.approx(found.intensity * target + (1 - found.intensity) * sample, rel=1e-12)


def test_shrinking_the_documented_sample_of_scikit_learn_gives_its_documented_numbers() -> None:
    returns = np.random.RandomState(0).multivariate_normal([0, 0], [[0.4, 0.2], [0.2, 0.8]], size=50)
    found = joint.shrink_to_identity(returns)
    assert found.intensity == pytest.approx(0.230254, abs=1e-6)
    assert found.covariance == pytest.approx(np.array([[0.4407, 0.1616], [0.1616, 0.8023]]), abs=1e-4)


def test_shrinking_to_one_correlation_pulls_as_its_definition_says() -> None:
    """Against the definition, pair by pair and period by period."""
    returns = three_markets() @ np.array([[1.0, 0.8, 0.2], [0.0, 0.5, 0.1], [0.0, 0.0, 0.9]])
    x = returns - returns.mean(axis=0)
    s = x.T @ x / 60
    mean = np.mean([s[i, j] / math.sqrt(s[i, i] * s[j, j]) for i in range(3) for j in range(3) if i != j])
    pi = np.array([[np.mean((x[:, i] * x[:, j] - s[i, j]) ** 2) for j in range(3)] for i in range(3)])
    rho = float(np.trace(pi))
    for i in range(3):
        for j in range(3):
            if i != j:
                with_i = np.mean((x[:, i] ** 2 - s[i, i]) * (x[:, i] * x[:, j] - s[i, j]))
                with_j = np.mean((x[:, j] ** 2 - s[j, j]) * (x[:, i] * x[:, j] - s[i, j]))
                rho += mean / 2 * (math.sqrt(s[j, j] / s[i, i]) * with_i + math.sqrt(s[i, i] / s[j, j]) * with_j)
    target = mean * np.sqrt(np.outer(np.diag(s), np.diag(s)))
    np.fill_diagonal(target, np.diag(s))
    intensity = max(0.0, min((float(np.sum(pi)) - rho) / np.sum((target - s) ** 2) / 60, 1.0))
    found = joint.shrink_to_constant_correlation(returns)
    assert 0.0 < intensity < 1.0
    assert found.intensity == pytest.approx(intensity, rel=1e-10)
    assert np.diag(found.covariance) == pytest.approx(np.diag(s), rel=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), periods=st.integers(2, 40), assets=st.integers(1, 6))
def test_shrunk_covariances_are_covariances(seed: int, periods: int, assets: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 0.02, (periods, assets))
    for found in (joint.shrink_to_identity(returns), joint.shrink_to_constant_correlation(returns)):
        assert 0.0 <= found.intensity <= 1.0
        assert np.allclose(found.covariance, found.covariance.T)
        assert np.linalg.eigvalsh(found.covariance)[0] >= -1e-12
        assert found.condition >= 1.0 - 1e-9


def test_an_asset_that_does_not_move_is_no_reason_to_fail() -> None:
    returns = np.column_stack([TWENTY, np.zeros(20)])
    for found in (joint.shrink_to_identity(returns), joint.shrink_to_constant_correlation(returns)):
        assert np.all(np.isfinite(found.covariance))
        assert np.diag(found.correlation) == pytest.approx([1.0, 1.0])
    assert joint.shrink_to_constant_correlation(returns).condition == 1.0
    with pytest.raises(ValueError, match="holes"):
        joint.shrink_to_identity(np.array([[0.1], [math.nan]]))
    with pytest.raises(ValueError, match="at least 2 periods"):
        joint.shrink_to_identity(np.zeros((1, 3)))


def test_positions_that_move_as_one_amount_to_their_sum() -> None:
    weights = np.array([0.3, 0.2, 0.1])
    assert joint.adjusted_exposure(weights, np.ones((3, 3))) == pytest.approx(0.6)
    assert joint.adjusted_exposure(weights, np.eye(3)) == pytest.approx(math.sqrt(0.14))
    assert joint.adjusted_exposure(np.array([0.3, -0.3]), np.ones((2, 2))) == 0.0


# --- positions together ---


def test_three_positions_risk_and_share_what_is_published() -> None:
    assert portfolio.deviation(MONEY, COVARIANCE) == pytest.approx(328.6335345, rel=1e-9)
    whole = portfolio.normal_value_at_risk(MONEY, COVARIANCE, 0.99)
    assert whole == pytest.approx(764.5159243, rel=1e-9)
    parts = portfolio.component_value_at_risk(MONEY, COVARIANCE, 0.99)
    assert parts == pytest.approx([397.548281, 259.935414, 107.032229], rel=1e-8)
    assert parts.sum() == pytest.approx(whole, rel=1e-12)
    assert portfolio.herfindahl(MONEY) == pytest.approx(0.46)
    assert portfolio.herfindahl(np.zeros(3)) == 0.0
    assert portfolio.diversification_ratio(MONEY, COVARIANCE) == pytest.approx(1.095445115, rel=1e-9)
    assert portfolio.diversification_ratio(np.zeros(3), COVARIANCE) is None


@pytest.mark.parametrize("dof", [None, 5.0])
def test_simulated_losses_meet_the_formula_within_three_standard_errors(dof: float | None) -> None:
    found: Tail = portfolio.monte_carlo(MONEY, COVARIANCE, 0.99, dof=dof, seed=7)
    scale = portfolio.deviation(MONEY, COVARIANCE)
    quantile = tails.NORMAL.inv_cdf(0.01) if dof is None else student.quantile(0.01, dof) * math.sqrt((dof - 2) / dof)
    assert found.value_at_risk is not None
    assert found.standard_error is not None
    assert abs(found.value_at_risk + quantile * scale) < 3 * found.standard_error
    assert 0 < found.standard_error < 0.02 * found.value_at_risk
    assert found == portfolio.monte_carlo(MONEY, COVARIANCE, 0.99, dof=dof, seed=7)


def test_simulated_sums_are_distributed_as_simulated_positions() -> None:
    """The draw of the sum against draws of each position."""
    numbers = np.random.default_rng(3)
    each = numbers.multivariate_normal(np.zeros(3), COVARIANCE, 200_000) @ MONEY
    found = portfolio.monte_carlo(MONEY, COVARIANCE, 0.95, seed=5, paths=200_000)
    assert found.value_at_risk == pytest.approx(-np.quantile(each, 0.05), rel=0.01)
    assert found.expected_shortfall == pytest.approx(-each[each <= np.quantile(each, 0.05)].mean(), rel=0.01)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), assets=st.integers(1, 8))
def test_equal_risk_weights_contribute_equally(seed: int, assets: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 0.02, (60, assets))
    covariance = joint.shrink_to_constant_correlation(returns).covariance
    weights = portfolio.equal_risk_weights(covariance)
    contributions = weights * (covariance @ weights)
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(weights > 0)
    assert contributions == pytest.approx(np.full(assets, contributions.mean()), rel=1e-6)


def test_positions_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="2 positions do not fit a covariance of shape"):
        portfolio.deviation(MONEY[:2], COVARIANCE)
    with pytest.raises(ValueError, match="finite"):
        portfolio.deviation(np.array([math.nan, 1.0, 1.0]), COVARIANCE)
    with pytest.raises(ValueError, match="asset 1 does not move"):
        portfolio.equal_risk_weights(np.diag([1.0, 0.0]))
    assert np.all(portfolio.component_value_at_risk(np.zeros(3), COVARIANCE, 0.99) == 0.0)


# --- were the forecasts right ---


@pytest.mark.parametrize(
    ("hits", "count", "statistic", "p_value"), [(7, 255, 5.316341, 0.021126), (3, 250, 0.09494, 0.757988)]
)
def test_the_test_of_coverage_gives_the_published_numbers(
    hits: int, count: int, statistic: float, p_value: float
) -> None:
    found = forecasts.unconditional_coverage(hits, count, 0.01)
    assert found.statistic == pytest.approx(statistic, rel=1e-4)
    assert found.p_value == pytest.approx(p_value, abs=1e-6)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1), rel=1e-9)


def test_the_test_of_independence_gives_the_published_numbers() -> None:
    hits = np.zeros(100, dtype=bool)
    hits[[10, 11, 40, 70, 71]] = True
    assert forecasts.transitions(hits) == ((91, 3), (3, 2))
    found = forecasts.independence(hits)
    assert found is not None
    assert found.statistic == pytest.approx(6.298500, rel=1e-6)
    assert found.p_value == pytest.approx(0.012084, abs=1e-6)


def test_forecasts_without_hits_or_days_have_defined_answers() -> None:
    assert forecasts.independence(np.zeros(50, dtype=bool)) is None
    assert forecasts.independence(np.ones(1, dtype=bool)) is None
    none = forecasts.unconditional_coverage(0, 250, 0.01)
    assert none.statistic == pytest.approx(-2 * 250 * math.log(0.99))
    every = forecasts.unconditional_coverage(5, 5, 0.01)
    assert every.p_value < 1e-5
    with pytest.raises(ValueError, match="0 hits of 0"):
        forecasts.unconditional_coverage(0, 0, 0.01)


def test_the_traffic_light_changes_at_five_and_at_ten() -> None:
    lights = [str(forecasts.traffic_light(hits, 250, 0.01)) for hits in (0, 4, 5, 9, 10, 250)]
    assert lights == ["green", "green", "yellow", "yellow", "red", "red"]
    with pytest.raises(ValueError, match="7 hits of 5"):
        forecasts.traffic_light(7, 5, 0.01)


@given(count=st.integers(1, 500), rate=st.floats(0.001, 0.3), share=st.floats(0, 1))
def test_the_traffic_light_follows_the_binomial_distribution(count: int, rate: float, share: float) -> None:
    hits = round(count * share)
    chance = stats.binom.cdf(hits, count, rate)
    light = forecasts.traffic_light(hits, count, rate)
    if min(abs(chance - 0.95), abs(chance - 0.9999)) > 1e-9:
        assert light == ("green" if chance < 0.95 else "yellow" if chance < 0.9999 else "red")
