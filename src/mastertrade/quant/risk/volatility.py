"""Volatility now: the exponentially weighted moving average of squared returns (RiskMetrics, 1996)."""

from typing import Final

import numpy as np

from mastertrade.quant.bars import FloatArray

DECAY: Final = 0.94
"""For daily returns: what happened 11 days ago counts half."""


def ewma_path(returns: FloatArray, decay: float = DECAY) -> FloatArray:
    """The volatility known after each return. It begins with the size of the first one, which has died away after some
    sixty periods."""
    _check(decay)
    path = np.empty(len(returns))
    variance = 0.0
    for i, value in enumerate(returns.tolist()):
        variance = value * value if i == 0 else decay * variance + (1.0 - decay) * value * value
        path[i] = variance
    return np.sqrt(path)


def ewma_volatility(returns: FloatArray, decay: float = DECAY) -> float | None:
    """The last of ``ewma_path``; None without returns."""
    return float(ewma_path(returns, decay)[-1]) if len(returns) else None


def ewma_covariance(returns: FloatArray, decay: float = DECAY) -> FloatArray:
    """Of one column an asset, by the same recursion over the products of returns."""
    _check(decay)
    if returns.ndim != 2 or not len(returns):
        raise ValueError(f"returns of shape {returns.shape} are not one row a period and one column an asset")
    weights = np.full(len(returns), 1.0 - decay)
    weights[0] = 1.0
    weights *= decay ** np.arange(len(returns))[::-1]
    found: FloatArray = (returns * weights[:, None]).T @ returns
    return found


def _check(decay: float) -> None:
    if not 0.0 < decay < 1.0:
        raise ValueError(f"decay {decay!r} is not between 0 and 1")
