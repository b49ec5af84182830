"""How far a figure may be from the truth: intervals by resampling blocks of the returns, and a reality check.

The stationary bootstrap of Politis and Romano (1994): blocks of random length, so that what hangs together in
time stays together. The same seed gives the same interval.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray

RESAMPLES: Final = 1_000
"""Enough for the second digit of a 90 % interval; the error of its ends falls with the square root."""
FEWEST_PERIODS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The middle ``level`` of what resampled returns gave."""

    low: float
    high: float
    level: float


def block_length(count: int) -> float:
    """The mean length of a block: the cube root of the sample, the rate at which the best length grows."""
    return float(max(1.0, np.cbrt(count)))


def resamplings(
    count: int, *, resamples: int, seed: int, mean_length: float | None = None
) -> Iterator[NDArray[np.int64]]:
    """Places to take the returns from, one array a resampling; the end of the sample goes on at its beginning."""
    numbers = np.random.default_rng(seed)
    restart = 1.0 / (mean_length or block_length(count))
    steps = np.arange(count)
    for _ in range(resamples):
        starts = numbers.random(count) < restart
        starts[0] = True
        begin = np.maximum.accumulate(np.where(starts, steps, 0))
        yield (numbers.integers(0, count, count)[begin] + steps - begin) % count


def interval(
    statistic: Callable[[FloatArray], float | None],
    returns: FloatArray,
    *,
    level: float = 0.9,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The interval of a statistic of the returns; None with too few periods, or when half the resamplings have none."""
    if len(returns) < FEWEST_PERIODS:
        return None
    found = [statistic(returns[places]) for places in resamplings(len(returns), resamples=resamples, seed=seed)]
    values = np.array([value for value in found if value is not None])
    if len(values) * 2 < resamples:
        return None
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(low=float(low), high=float(high), level=level)


def reality_check(returns: FloatArray, *, resamples: int = RESAMPLES, seed: int = 0) -> float | None:
    """How likely the best of these trials would be as good without any skill: the p-value of White (2000), with the
    means studentised as by Hansen (2005). ``returns`` has a row a period and a column a trial."""
    periods, trials = returns.shape
    deviation = returns.std(axis=0)
    moving = deviation > 0.0
    if periods < FEWEST_PERIODS or not trials or not moving.any():
        return None
    scaled = returns[:, moving] / deviation[moving]
    means = scaled.mean(axis=0)
    best = float(means.max())
    beaten = 0
    for places in resamplings(periods, resamples=resamples, seed=seed):
        weights = np.bincount(places, minlength=periods) / periods
        beaten += float((weights @ scaled - means).max()) >= best
    return (beaten + 1) / (resamples + 1)
