"""Skill or luck? What a Sharpe ratio proves, given how long it was watched and how many strategies were tried for it.

Sharpe ratios here are those of one period, never a year's. Sources: Bailey and López de Prado, The Sharpe Ratio
Efficient Frontier (2012) and The Deflated Sharpe Ratio (2014); Bailey, Borwein, López de Prado and Zhu, The Probability
of Backtest Overfitting (2017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.metrics import sharpe

BoolArray = NDArray[np.bool_]
EULER_GAMMA: Final = 0.5772156649015329
NORMAL: Final = NormalDist()
CONFIDENCE: Final = 0.95
FEWEST_TRADES: Final = 30
"""Below this many trades the distribution of a trade's outcome is unknown, whatever the daily returns look like."""
BLOCKS: Final = 10
"""Parts of the time in cross-validation: 252 ways to split them in half. Sixteen, as in the paper, give 12,870."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What the tests need of a series of returns: its length, its Sharpe a period, skewness and raw kurtosis."""

    count: int
    sharpe: float
    skewness: float
    kurtosis: float

    @property
    def spread(self) -> float:
        """The variance of the Sharpe's estimate, times the number of periods less one."""
        return 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


def moments(returns: FloatArray) -> Moments | None:
    """None where the returns have no measurable risk."""
    ratio = sharpe(returns, 1.0)
    if ratio is None:
        return None
    scaled = (returns - returns.mean()) / returns.std()
    return Moments(
        count=len(returns),
        sharpe=ratio,
        skewness=float(np.mean(scaled**3)),
        kurtosis=float(np.mean(scaled**4)),
    )


def probabilistic_sharpe(of: Moments, benchmark: float = 0.0) -> float | None:
    """How likely it is that the true Sharpe lies above the benchmark."""
    if of.spread <= 0.0 or of.count < 2:
        return None
    return NORMAL.cdf((of.sharpe - benchmark) * math.sqrt(of.count - 1) / math.sqrt(of.spread))


def minimum_track_record(of: Moments, benchmark: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
    """How many periods it takes to be that sure of a Sharpe above the benchmark; None when it is not above."""
    if of.sharpe <= benchmark or of.spread <= 0.0:
        return None
    return 1.0 + of.spread * (NORMAL.inv_cdf(confidence) / (of.sharpe - benchmark)) ** 2


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The Sharpe that the best of so many strategies without any skill is expected to show, when the Sharpes of the
    trials vary this much."""
    if trials < 2 or variance <= 0.0:
        return 0.0
    one, rarer = NORMAL.inv_cdf(1.0 - 1.0 / trials), NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * one + EULER_GAMMA * rarer)


def deflated_sharpe(of: Moments, trials: int, variance: float) -> float | None:
    """The probabilistic Sharpe against the best that luck alone would have shown."""
    return probabilistic_sharpe(of, expected_best_sharpe(trials, variance))


def variance_of(sharpes: Sequence[float | None]) -> float:
    """The variance over trials, those without a Sharpe left out."""
    known = [value for value in sharpes if value is not None]
    return float(np.var(known, ddof=1)) if len(known) > 1 else 0.0


def probability_of_overfitting(returns: FloatArray, blocks: int = BLOCKS) -> float | None:
    """How often the best trial in one half of the time is below the median in the other half, over all ways to halve
    it: combinatorially symmetric cross-validation. ``returns`` has a row a period and a column a trial.

    None with fewer than two trials or two periods a block."""
    periods, trials = returns.shape
    blocks = min(blocks, periods // 2) // 2 * 2
    if trials < 2 or blocks < 2:
        return None
    edges = np.linspace(0, periods, blocks + 1).astype(int)
    counts = np.diff(edges).astype(np.float64)
    sums = np.add.reduceat(returns, edges[:-1], axis=0)
    squares = np.add.reduceat(returns * returns, edges[:-1], axis=0)
    below, splits = 0, 0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.zeros(blocks, dtype=bool)
        inside[list(chosen)] = True
        best = int(np.argmax(_sharpes(counts, sums, squares, inside)))
        outside = _sharpes(counts, sums, squares, ~inside)
        # Equals share a place: a trial among copies of itself is neither better nor worse than they are.
        rank = float((outside < outside[best]).sum()) + (float((outside == outside[best]).sum()) + 1.0) / 2.0
        below += rank / (trials + 1) <= 0.5
        splits += 1
    return below / splits


def effective_trials(returns: FloatArray) -> float:
    """How many independent trials these columns are worth: the participation ratio of their correlations' eigenvalues.
    A thousand near-copies of one strategy are not a thousand tries."""
    moving = returns[:, returns.std(axis=0) > 0.0]
    if moving.shape[1] < 2:
        return float(moving.shape[1])
    scaled = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    # The eigenvalues of the correlations are the squared singular values: no matrix of trials by trials is made.
    values = np.linalg.svd(scaled, compute_uv=False) ** 2
    return float(values.sum() ** 2 / (values**2).sum())


def sentence(
    *, of: Moments | None, trades: int, trials: int = 1, variance: float = 0.0, overfitting: float | None = None
) -> str:
    """What the numbers say, in words."""
    if of is None:
        return "No verdict: the returns have no measurable risk."
    deflated = deflated_sharpe(of, trials, variance)
    if deflated is None:
        return "No verdict: the returns are too skewed for the test."
    tries = f"after {trials:,} trials" if trials > 1 else "from a single trial"
    if trades < FEWEST_TRADES:
        return (
            f"No verdict: {trades} trades {tries} are fewer than the {FEWEST_TRADES} from which anything can be told."
        )
    if of.sharpe <= 0.0:
        return f"No edge: the average day lost money, or made none ({tries})."
    sure = f"{deflated:.0%} sure that there is any skill {tries}"
    if deflated >= CONFIDENCE:
        if overfitting is not None and overfitting > 0.5:
            return (
                f"Doubtful: {sure}, but the best of one half of the time falls below the median in the other half in "
                f"{overfitting:.0%} of all splits: the choice is overfitted."
            )
        return f"Unlikely to be luck: {sure}."
    luck = expected_best_sharpe(trials, variance)
    if trials > 1 and luck >= of.sharpe:
        return f"Likely luck: the best of {trials:,} tries without any skill would look better than this ({sure})."
    needed = minimum_track_record(of, luck)
    wait = f"; it takes {needed:,.0f} days like these to be {CONFIDENCE:.0%} sure, and there are {of.count:,}"
    return f"{'Likely luck' if deflated < 0.8 else 'Could be luck'}: {sure}{wait if needed else ''}."


def _sharpes(counts: FloatArray, sums: FloatArray, squares: FloatArray, chosen: BoolArray) -> FloatArray:
    count = counts[chosen].sum()
    mean = sums[chosen].sum(axis=0) / count
    variance = np.maximum(squares[chosen].sum(axis=0) / count - mean * mean, 0.0)
    still = variance <= 1e-24
    ratios: FloatArray = np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))
    return ratios
