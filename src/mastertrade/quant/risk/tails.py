"""How much may be lost: value at risk and expected shortfall of a series of returns, by several methods.

Losses are positive, per unit of value and for one period of the returns. A number that the data cannot give is None,
and the note says why. Sources: Jorion, Value at Risk (2007); Acerbi and Tasche, On the Coherence of Expected Shortfall
(2002); Boudoukh, Richardson and Whitelaw, The Best of Both Worlds (1998); Hull and White, Incorporating Volatility
Updating (1998); McNeil, Frey and Embrechts, Quantitative Risk Management (2015); Zangari, A VaR Methodology for
Portfolios that Include Options (1996); Maillard, A User's Guide to the Cornish Fisher Expansion (2012).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.risk import student
from mastertrade.quant.risk.volatility import DECAY, ewma_path

NORMAL: Final = NormalDist()
WHOLE: Final = 1e-9
"""0.05 times 20 is one observation, whatever the last bit of the product says."""
HISTORY_DECAY: Final = 0.98
"""Of the weights of Boudoukh and others: an observation of 34 periods ago counts half."""
DEGREES: Final = 5.0
"""Of freedom: tails as heavy as those of daily returns of large coins."""


class TailMethod(StrEnum):
    HISTORICAL = "historical"
    WEIGHTED_HISTORICAL = "weighted_historical"
    FILTERED_HISTORICAL = "filtered_historical"
    NORMAL = "normal"
    STUDENT_T = "student_t"
    CORNISH_FISHER = "cornish_fisher"
    MONTE_CARLO = "monte_carlo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """``method`` is the one that gave the numbers; where the one asked for did not fit the data, ``note`` says so."""

    method: TailMethod
    confidence: float
    count: int
    value_at_risk: float | None
    expected_shortfall: float | None
    standard_error: float | None = None
    """Of the value at risk, where it was simulated."""
    note: str = ""


def tail_of(method: TailMethod, returns: FloatArray, confidence: float) -> Tail:
    """ValueError for returns that are no numbers, or a confidence outside 0.5 to 1."""
    if not 0.5 <= confidence < 1.0:
        raise ValueError(f"confidence {confidence!r} is outside 0.5..1")
    if not np.all(np.isfinite(returns)):
        raise ValueError(f"{int(np.sum(~np.isfinite(returns)))} of {len(returns)} returns are no finite numbers")
    if method not in METHODS:
        raise ValueError(f"{method} needs positions and not a series of returns; see monte_carlo")
    if not len(returns):
        return Tail(
            method=method, confidence=confidence, count=0, value_at_risk=None, expected_shortfall=None,
            note="there are no returns",
        )  # fmt: skip
    return METHODS[method](returns, confidence)


def historical(returns: FloatArray, confidence: float) -> Tail:
    """The loss of rank ⌈αT⌉ from the worst, without interpolation, and the mean of the worst α of the time."""
    return _weighted(TailMethod.HISTORICAL, returns, np.full(len(returns), 1.0 / len(returns)), confidence)


def weighted_historical(returns: FloatArray, confidence: float, *, decay: float = HISTORY_DECAY) -> Tail:
    """As ``historical``, with weights that fall with age; the last return is the newest."""
    age = np.arange(len(returns), dtype=np.float64)[::-1]
    weights = (1.0 - decay) * decay**age / (1.0 - decay ** len(returns))
    return _weighted(TailMethod.WEIGHTED_HISTORICAL, returns, weights, confidence)


def filtered_historical(returns: FloatArray, confidence: float, *, decay: float = DECAY) -> Tail:
    """As ``historical``, each return scaled from the volatility expected before it to the one expected now."""
    path = ewma_path(returns, decay)
    before = path[:-1] > 0.0
    if not np.any(before):
        return _without_risk(TailMethod.FILTERED_HISTORICAL, returns, confidence)
    scaled = returns[1:][before] * (path[-1] / path[:-1][before])
    return _weighted(TailMethod.FILTERED_HISTORICAL, scaled, np.full(len(scaled), 1.0 / len(scaled)), confidence)


def normal(returns: FloatArray, confidence: float) -> Tail:
    spread = _spread(returns)
    if spread is None:
        return _without_risk(TailMethod.NORMAL, returns, confidence)
    mean, deviation = spread
    alpha, z = 1.0 - confidence, NORMAL.inv_cdf(1.0 - confidence)
    return Tail(
        method=TailMethod.NORMAL, confidence=confidence, count=len(returns),
        value_at_risk=-(mean + z * deviation), expected_shortfall=-mean + deviation * NORMAL.pdf(z) / alpha,
    )  # fmt: skip


def student_t(returns: FloatArray, confidence: float, *, dof: float = DEGREES) -> Tail:
    """The distribution scaled to the deviation of the returns; ``dof`` above 2, or it has none."""
    if not dof > 2.0:
        raise ValueError(f"degrees of freedom {dof!r} are not above 2: such a distribution has no deviation")
    spread = _spread(returns)
    if spread is None:
        return _without_risk(TailMethod.STUDENT_T, returns, confidence)
    mean, deviation = spread
    alpha, t = 1.0 - confidence, student.quantile(1.0 - confidence, dof)
    scale = deviation * math.sqrt((dof - 2.0) / dof)
    shortfall = scale * (student.density(t, dof) / alpha) * (dof + t * t) / (dof - 1.0)
    return Tail(
        method=TailMethod.STUDENT_T, confidence=confidence, count=len(returns),
        value_at_risk=-(mean + scale * t), expected_shortfall=shortfall - mean,
    )  # fmt: skip


def cornish_fisher(returns: FloatArray, confidence: float) -> Tail:
    """The normal quantile bent by skewness and excess kurtosis. Where the expansion does not grow with the quantile it
    is no distribution; then the historical numbers stand in."""
    spread = _spread(returns)
    if spread is None:
        return _without_risk(TailMethod.CORNISH_FISHER, returns, confidence)
    scaled = (returns - returns.mean()) / returns.std()
    skewness, excess = float(np.mean(scaled**3)), float(np.mean(scaled**4)) - 3.0
    if not is_monotone(skewness, excess):
        found = historical(returns, confidence)
        note = f"Cornish-Fisher does not fit skewness {skewness:.3f} with excess kurtosis {excess:.3f}"
        return Tail(
            method=TailMethod.HISTORICAL, confidence=confidence, count=len(returns),
            value_at_risk=found.value_at_risk, expected_shortfall=found.expected_shortfall, note=note,
        )  # fmt: skip
    mean, deviation = spread
    value, shortfall = bent_tail(mean, deviation, skewness, excess, confidence)
    return Tail(
        method=TailMethod.CORNISH_FISHER, confidence=confidence, count=len(returns),
        value_at_risk=value, expected_shortfall=shortfall,
    )  # fmt: skip


def bent_tail(mean: float, deviation: float, skewness: float, excess: float, confidence: float) -> tuple[float, float]:
    """Value at risk and expected shortfall by the expansion of Cornish and Fisher, whether it is fit or not."""
    alpha, z = 1.0 - confidence, NORMAL.inv_cdf(1.0 - confidence)
    bent = z + (z**2 - 1) * skewness / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
    factor = 1 + skewness * z / 6 + excess * (z**2 - 1) / 24 - skewness**2 * (2 * z**2 - 1) / 36
    return -(mean + deviation * bent), -mean + deviation * NORMAL.pdf(z) / alpha * factor


def is_monotone(skewness: float, excess: float) -> bool:
    """Whether the expansion grows everywhere: its derivative, a parabola, never falls below 0."""
    a, b, c = excess / 8 - skewness**2 / 6, skewness / 3, 1 - excess / 8 + 5 * skewness**2 / 36
    return a >= 0.0 and b * b <= 4.0 * a * c


def compounded(returns: FloatArray, periods: int, *, paths: int = 100_000, seed: int = 0) -> FloatArray:
    """Returns over several periods, drawn from those of one: for horizons beyond one, where the square root of time
    holds only for returns without memory and mean. The same seed gives the same numbers."""
    if periods < 1:
        raise ValueError(f"horizon {periods!r} is not at least one period")
    numbers = np.random.default_rng(seed)
    value = np.ones(paths)
    for _ in range(periods):
        value *= 1.0 + returns[numbers.integers(0, len(returns), paths)]
    return value - 1.0


def _weighted(method: TailMethod, returns: FloatArray, weights: FloatArray, confidence: float) -> Tail:
    """From the worst return on until its weights reach the tail; of the last one counts only what is missing."""
    alpha, order = 1.0 - confidence, np.argsort(returns, kind="stable")
    ordered, reached = returns[order], np.cumsum(weights[order])
    place = min(int(np.searchsorted(reached, alpha * (1.0 - WHOLE))), len(ordered) - 1)
    before = float(reached[place - 1]) if place else 0.0
    loss = float(np.dot(ordered[:place], weights[order][:place])) + (alpha - before) * float(ordered[place])
    is_thin = len(returns) * alpha < 1.0 - WHOLE
    note = f"the worst of {len(returns)} returns stands for the whole tail" if is_thin else ""
    return Tail(
        method=method, confidence=confidence, count=len(returns), value_at_risk=-float(ordered[place]),
        expected_shortfall=-loss / alpha, note=note,
    )  # fmt: skip


def _spread(returns: FloatArray) -> tuple[float, float] | None:
    """Mean and deviation; None where nothing varies."""
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    return (float(np.mean(returns)), deviation) if deviation > 0.0 else None


def _without_risk(method: TailMethod, returns: FloatArray, confidence: float) -> Tail:
    note = "one return has no deviation" if len(returns) == 1 else "the returns do not vary"
    return Tail(
        method=method, confidence=confidence, count=len(returns), value_at_risk=None, expected_shortfall=None, note=note
    )


METHODS: Final[Mapping[TailMethod, Callable[[FloatArray, float], Tail]]] = {
    TailMethod.HISTORICAL: historical,
    TailMethod.WEIGHTED_HISTORICAL: weighted_historical,
    TailMethod.FILTERED_HISTORICAL: filtered_historical,
    TailMethod.NORMAL: normal,
    TailMethod.STUDENT_T: student_t,
    TailMethod.CORNISH_FISHER: cornish_fisher,
}
