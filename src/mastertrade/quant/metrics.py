"""How good it was. A number that the data cannot give is None, never NaN, infinite or invented.

Equity curves start with the capital put in. Losses, drawdown among them, are positive. Crypto never closes: a year has
365 days.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mastertrade.quant.bars import FloatArray, TimeArray

DAYS_PER_YEAR = 365.0
DAY_MS = 86_400_000
ROUNDING = 1e-12
"""Returns that vary by less than this part of their size vary by rounding only: no risk can be measured in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall from a peak, and the longest run of periods below one; places are indices into the equity."""

    depth: float
    peak: int
    trough: int
    periods: int
    longest_from: int


def total_return(equity: FloatArray) -> float | None:
    _check(equity)
    return float(equity[-1] / equity[0] - 1.0) if len(equity) else None


def period_returns(equity: FloatArray) -> FloatArray:
    """Simple returns between neighbouring values."""
    _check(equity)
    return equity[1:] / equity[:-1] - 1.0


def daily_equity(start_capital: float, time: TimeArray, equity: FloatArray) -> FloatArray:
    """The capital, then the equity at the end of every UTC day from first to last bar; a day without bars repeats the
    day before. ``time`` is the start of each bar in epoch milliseconds, ``equity`` is measured at its close."""
    if not len(time):
        return np.array([start_capital])
    day_ends = np.arange(time[0] // DAY_MS, time[-1] // DAY_MS + 1) * DAY_MS + DAY_MS
    last_bar = np.searchsorted(time, day_ends, side="left") - 1
    return np.concatenate(([start_capital], equity[last_bar]))


def max_drawdown(equity: FloatArray) -> Drawdown | None:
    _check(equity)
    if not len(equity):
        return None
    peaks = np.maximum.accumulate(equity)
    falls = 1.0 - equity / peaks
    trough = int(np.argmax(falls))
    places = np.arange(len(equity))
    peak_places = np.maximum.accumulate(np.where(equity == peaks, places, 0))
    below = places - peak_places
    longest_end = int(np.argmax(below))
    return Drawdown(
        depth=float(falls[trough]),
        peak=int(peak_places[trough]),
        trough=trough,
        periods=int(below[longest_end]),
        longest_from=int(peak_places[longest_end]),
    )


def sharpe(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR, risk_free: float = 0.0) -> float | None:
    """Mean excess return by its standard deviation, a year. ``risk_free`` is the return of one period."""
    _check_finite(returns)
    if len(returns) < 2 or (deviation := _deviation(returns)) <= ROUNDING * _largest(returns):
        return None
    return ratio((_mean(returns) - risk_free) * math.sqrt(periods_per_year), deviation)


def sortino(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR, target: float = 0.0) -> float | None:
    """Mean return above the target by the downside deviation over all periods, a year; None when nothing fell short."""
    _check_finite(returns)
    if len(returns) < 2:
        return None
    shortfall = np.minimum(returns - target, 0.0)
    deviation = math.sqrt(_mean(shortfall * shortfall))
    if deviation <= ROUNDING * _largest(returns):
        return None
    return ratio((_mean(returns) - target) * math.sqrt(periods_per_year), deviation)


def autocorrelations(returns: FloatArray, lags: int) -> FloatArray:
    """Of lag 1 to ``lags``, each over the variance of all returns; no more lags than there are pairs to compare."""
    _check_finite(returns)
    around = returns - returns.mean() if len(returns) else returns
    spread = float(around @ around)
    if spread <= 0.0:
        return np.zeros(max(0, min(lags, len(returns) - 1)))
    return np.array([float(around[lag:] @ around[:-lag]) / spread for lag in range(1, min(lags, len(returns) - 1) + 1)])


def annualisation(correlations: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float | None:
    """By what a Sharpe of one period grows over a year when returns lean on those before them (Lo 2002, The Statistics
    of Sharpe Ratios). Without autocorrelation it is the square root of the periods."""
    lags = np.arange(1, len(correlations) + 1)
    weights = np.maximum(periods_per_year - lags, 0.0)
    variance = periods_per_year + 2.0 * float(weights @ correlations)
    return periods_per_year / math.sqrt(variance) if variance > 0.0 else None


def sharpe_with_autocorrelation(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float | None:
    """The Sharpe ratio a year without the flattery of trending returns. Looks at as many lags as Newey and West (1994)
    take for a sample of this length: more would add up noise."""
    plain = sharpe(returns, 1.0)
    if plain is None:
        return None
    lags = math.floor(4.0 * (len(returns) / 100.0) ** (2.0 / 9.0))
    factor = annualisation(autocorrelations(returns, lags), periods_per_year)
    return None if factor is None else plain * factor


def omega(returns: FloatArray, target: float = 0.0) -> float | None:
    """What returns bring above the target by what they lack below it (Keating and Shadwick 2002)."""
    _check_finite(returns)
    above, below = np.maximum(returns - target, 0.0), np.maximum(target - returns, 0.0)
    return ratio(float(above.sum()), float(below.sum()))


def ulcer(equity: FloatArray) -> float | None:
    """The root of the mean squared drawdown over all periods (Martin and McCann 1989)."""
    _check(equity)
    if len(equity) < 2:
        return None
    falls = 1.0 - equity[1:] / np.maximum.accumulate(equity)[1:]
    return math.sqrt(float(np.mean(falls * falls)))


def martin(equity: FloatArray, years: float) -> float | None:
    """Growth a year by the ulcer index; None when there was no drawdown."""
    growth, pain = cagr(equity, years), ulcer(equity)
    return None if growth is None or pain is None else ratio(growth, pain)


def cagr(equity: FloatArray, years: float) -> float | None:
    """Growth a year. None without time passed, or when a short span would be blown up beyond any float."""
    _check(equity)
    if len(equity) < 2 or not years > 0.0:
        return None
    try:
        growth = math.pow(equity[-1] / equity[0], 1.0 / years)
    except OverflowError:
        return None
    return growth - 1.0 if math.isfinite(growth) else None


def calmar(equity: FloatArray, years: float) -> float | None:
    """Growth a year by the deepest drawdown; None when there was none."""
    growth, drawdown = cagr(equity, years), max_drawdown(equity)
    return None if growth is None or drawdown is None else ratio(growth, drawdown.depth)


def profit_factor(profits: Sequence[float]) -> float | None:
    """Money won by money lost, over trades net of all costs; None when nothing was lost."""
    won = math.fsum(profit for profit in profits if profit > 0.0)
    return ratio(won, -math.fsum(profit for profit in profits if profit < 0.0))


def win_rate(profits: Sequence[float]) -> float | None:
    """The share of trades that won, 0..1."""
    return sum(profit > 0.0 for profit in profits) / len(profits) if profits else None


def expectancy(profits: Sequence[float]) -> float | None:
    """What the average trade brought in."""
    return math.fsum(profits) / len(profits) if profits else None


def exposure(invested: FloatArray) -> float | None:
    """The share of bars at whose close something was held."""
    _check_finite(invested)
    return float(np.mean(invested > 0.0)) if len(invested) else None


def _deviation(returns: FloatArray) -> float:
    """``np.std(returns, ddof=1)`` to the last bit."""
    apart = returns - _mean(returns)
    return math.sqrt(np.add.reduce(apart * apart) / (len(returns) - 1))


def _mean(values: FloatArray) -> float:
    """``np.mean`` to the last bit, in a third of the time: sweeps ask very often."""
    return float(np.add.reduce(values)) / len(values)


def _largest(values: FloatArray) -> float:
    """Of what is far from 0 on either side."""
    return max(float(values.max()), -float(values.min()))


def ratio(part: float, whole: float) -> float | None:
    """None where the whole is nothing, or so little that no float can hold how often it fits."""
    times = part / whole if whole > 0.0 else math.inf
    return times if math.isfinite(times) else None


def _check(equity: FloatArray) -> None:
    if len(equity) and equity.min() > 0.0 and equity.max() < math.inf:  # what is NaN is neither
        return
    if not (np.isfinite(equity).all() and (equity[:-1] > 0.0).all() and (equity >= 0.0).all()):
        raise ValueError("an equity curve needs finite values above 0; only its last may be 0")


def _check_finite(values: FloatArray) -> None:
    if not math.isfinite(np.add.reduce(values)) and not np.isfinite(values).all():
        raise ValueError("statistics need finite values")
