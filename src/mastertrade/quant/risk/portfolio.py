"""The risk of positions together. Positions are amounts of money, short ones negative.

Sources: Markowitz (1952); Tasche, Risk Contributions and Performance Measurement (1999); Glasserman, Monte Carlo
Methods in Financial Engineering (2003); Spinu, An Algorithm for Computing Risk Parity Weights (2013); Choueifaty and
Coignard, Toward Maximum Diversification (2008).
"""

import math
from typing import Final

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.risk.tails import NORMAL, WHOLE, Tail, TailMethod

PATHS: Final = 100_000
ROUNDS: Final = 200
CLOSE: Final = 1e-12


def deviation(positions: FloatArray, covariance: FloatArray) -> float:
    """In money, for one period."""
    _check(positions, covariance)
    return math.sqrt(max(float(positions @ covariance @ positions), 0.0))


def normal_value_at_risk(positions: FloatArray, covariance: FloatArray, confidence: float) -> float:
    """In money, of normal returns without mean."""
    return -NORMAL.inv_cdf(1.0 - confidence) * deviation(positions, covariance)


def component_value_at_risk(positions: FloatArray, covariance: FloatArray, confidence: float) -> FloatArray:
    """What each position adds to ``normal_value_at_risk``; they sum to it, and a hedge's is negative."""
    whole = deviation(positions, covariance)
    if whole == 0.0:
        return np.zeros(len(positions))
    found: FloatArray = -NORMAL.inv_cdf(1.0 - confidence) * positions * (covariance @ positions) / whole
    return found


def monte_carlo(
    positions: FloatArray,
    covariance: FloatArray,
    confidence: float,
    *,
    mean: FloatArray | None = None,
    dof: float | None = None,
    paths: int = PATHS,
    seed: int = 0,
) -> Tail:
    """In money, from simulated returns: normal ones, or with ``dof`` those of Student's t, scaled to the covariance.
    The same seed gives the same numbers; the standard error says how far from the truth they may be."""
    _check(positions, covariance)
    if dof is not None and not dof > 2.0:
        raise ValueError(f"degrees of freedom {dof!r} are not above 2: such returns have no covariance")
    numbers = np.random.default_rng(seed)
    # A sum of joint normals, or of joint t's, is one of the same kind: only the portfolio's own draws are needed.
    drawn = numbers.standard_normal(paths)
    if dof is not None:
        drawn *= np.sqrt((dof - 2.0) / numbers.chisquare(dof, paths))
    drift = 0.0 if mean is None else float(positions @ mean)
    outcomes = np.sort(drift + deviation(positions, covariance) * drawn)
    alpha = 1.0 - confidence
    count = max(math.ceil(alpha * paths - WHOLE), 1)
    return Tail(
        method=TailMethod.MONTE_CARLO,
        confidence=confidence,
        count=paths,
        value_at_risk=-float(outcomes[count - 1]),
        expected_shortfall=-float(np.mean(outcomes[:count])),
        standard_error=_standard_error(outcomes, alpha),
    )


def herfindahl(positions: FloatArray) -> float:
    """Concentration: 1 for a single position, 1/n for n equal ones, 0 for none."""
    sizes = np.abs(positions)
    total = float(np.sum(sizes))
    return float(np.sum((sizes / total) ** 2)) if total > 0.0 else 0.0


def diversification_ratio(positions: FloatArray, covariance: FloatArray) -> float | None:
    """The sum of the positions' own deviations by their common one: 1 where all move as one."""
    whole = deviation(positions, covariance)
    alone = float(np.abs(positions) @ np.sqrt(np.diag(covariance)))
    return alone / whole if whole > 0.0 else None


def equal_risk_weights(covariance: FloatArray) -> FloatArray:
    """Weights, above 0 and summing to 1, with which every asset contributes the same risk. Minimises ½x'Σx − Σ ln x_i
    by one coordinate after the other, each in closed form. ValueError for an asset that does not move."""
    variance = np.diag(covariance)
    _check(variance, covariance)
    if not np.all(variance > 0.0):
        raise ValueError(f"asset {int(np.argmin(variance))} does not move: it can contribute no risk")
    found = 1.0 / np.sqrt(variance)
    for _ in range(ROUNDS):
        before = found.copy()
        for i in range(len(found)):
            others = float(covariance[i] @ found) - float(variance[i] * found[i])
            found[i] = (-others + math.sqrt(others * others + 4.0 * variance[i])) / (2.0 * variance[i])
        if np.max(np.abs(found - before)) <= CLOSE * np.max(found):
            break
    weights: FloatArray = found / np.sum(found)
    return weights


def _standard_error(outcomes: FloatArray, alpha: float) -> float:
    """√(α(1 − α)/n) by the density at the quantile, which is read from the outcomes around it."""
    count = len(outcomes)
    around = max(int(count * alpha / 4.0), 1)
    place = max(math.ceil(alpha * count - WHOLE), 1) - 1
    low, high = max(place - around, 0), min(place + around, count - 1)
    width = float(outcomes[high] - outcomes[low])
    return math.sqrt(alpha * (1.0 - alpha) / count) * width * count / (high - low) if high > low else math.inf


def _check(positions: FloatArray, covariance: FloatArray) -> None:
    if covariance.shape != (len(positions), len(positions)):
        raise ValueError(f"{len(positions)} positions do not fit a covariance of shape {covariance.shape}")
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(covariance))):
        raise ValueError("positions and covariances must be finite numbers")
