"""How markets move together: correlations that a short history does not exaggerate.

Sources: Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices (2004), and Honey, I
Shrunk the Sample Covariance Matrix (2004).
"""

from dataclasses import dataclass

import numpy as np

from mastertrade.quant.bars import FloatArray

FEWEST_PERIODS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """A covariance pulled by ``intensity`` (0: the sample's, 1: the target) towards something simpler."""

    covariance: FloatArray
    intensity: float

    @property
    def correlation(self) -> FloatArray:
        return correlation_of(self.covariance)

    @property
    def condition(self) -> float:
        """Of the correlations: the ratio of their largest to their smallest eigenvalue. Beyond some thousands an
        inverse is noise."""
        values = np.linalg.eigvalsh(self.correlation)
        return float("inf") if values[0] <= 0.0 else float(values[-1] / values[0])


def shrink_to_identity(returns: FloatArray) -> Shrunk:
    """Towards equal variances without correlation: stable, but it makes joint risk look smaller than it is; use it to
    invert, not for limits."""
    centred, sample = _sample(returns)
    count, assets = centred.shape
    mean_variance = float(np.trace(sample)) / assets
    target = mean_variance * np.eye(assets)
    distance = float(np.sum((sample - target) ** 2)) / assets
    # The sum over periods of ‖xx' − S‖² is Σ(x'x)² − n‖S‖².
    noise = (float(np.sum(np.sum(centred**2, axis=1) ** 2)) - count * float(np.sum(sample**2))) / (count**2 * assets)
    intensity = min(max(noise / distance, 0.0), 1.0) if distance > 0.0 else 0.0
    return Shrunk(covariance=(1.0 - intensity) * sample + intensity * target, intensity=intensity)


def shrink_to_constant_correlation(returns: FloatArray) -> Shrunk:
    """Towards one correlation for all pairs, each keeping its variance: what coins look like, and what limits use."""
    centred, sample = _sample(returns)
    count, assets = centred.shape
    deviation = np.sqrt(np.diag(sample))
    if assets < 2 or not np.all(deviation > 0.0):
        return Shrunk(covariance=sample, intensity=0.0)
    scale = np.outer(deviation, deviation)
    mean = float((np.sum(sample / scale) - assets) / (assets * (assets - 1)))
    target = mean * scale
    np.fill_diagonal(target, np.diag(sample))
    # π_ij is the variance of x_i x_j and θ_ii,ij its covariance with x_i². Only sums of them are wanted, and a sum over
    # pairs of products is a product of sums: no matrix but the sample's is ever made.
    squared = centred**2
    own = float(np.sum(np.mean(squared**2, axis=0) - np.diag(sample) ** 2))
    pi = float(np.mean(np.sum(squared, axis=1) ** 2)) - float(np.sum(sample**2))
    theta = float(np.mean((squared * centred @ (1.0 / deviation)) * (centred @ deviation)))
    theta -= float(deviation @ sample @ deviation)
    rho = own + mean * (theta - own)
    gamma = float(np.sum((target - sample) ** 2))
    intensity = min(max((pi - rho) / gamma / count, 0.0), 1.0) if gamma > 0.0 else 0.0
    return Shrunk(covariance=intensity * target + (1.0 - intensity) * sample, intensity=intensity)


def correlation_of(covariance: FloatArray) -> FloatArray:
    """Correlations; 0 with an asset that does not move, 1 with itself."""
    deviation = np.sqrt(np.diag(covariance))
    scale = np.outer(deviation, deviation)
    found: FloatArray = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0.0)
    np.fill_diagonal(found, 1.0)
    return found


def adjusted_exposure(weights: FloatArray, correlation: FloatArray) -> float:
    """√(w'Rw): what positions amount to together. Equal to the sum of their sizes where all move as one, less where
    they do not."""
    return float(np.sqrt(max(float(weights @ correlation @ weights), 0.0)))


def _sample(returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    if returns.ndim != 2 or len(returns) < FEWEST_PERIODS or not returns.shape[1]:
        raise ValueError(f"returns of shape {returns.shape}: at least {FEWEST_PERIODS} periods of one asset are needed")
    if not np.all(np.isfinite(returns)):
        raise ValueError("returns have holes; leave out periods in which an asset has none")
    centred = returns - returns.mean(axis=0)
    return centred, centred.T @ centred / len(returns)
