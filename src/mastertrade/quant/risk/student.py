"""Student's t distribution: density, distribution and quantile, for any degrees of freedom above 0.

The distribution is a regularised incomplete beta function, computed by its continued fraction (Abramowitz and Stegun,
26.5.8 and 26.7.1); the quantile inverts it by bisection and Newton's steps.
"""

import math
from typing import Final

ROUNDS: Final = 400
TINY: Final = 1e-300
CLOSE: Final = 1e-15


def density(x: float, dof: float) -> float:
    _check(dof)
    log_scale = math.lgamma((dof + 1.0) / 2.0) - math.lgamma(dof / 2.0) - 0.5 * math.log(dof * math.pi)
    return math.exp(log_scale - (dof + 1.0) / 2.0 * math.log1p(x * x / dof))


def distribution(x: float, dof: float) -> float:
    """The probability of a value up to ``x``."""
    _check(dof)
    tail = 0.5 * _incomplete_beta(dof / 2.0, 0.5, dof / (dof + x * x))
    return 1.0 - tail if x > 0.0 else tail


def quantile(probability: float, dof: float) -> float:
    """The value below which this part of the distribution lies."""
    _check(dof)
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability {probability!r} is not between 0 and 1")
    if probability == 0.5:
        return 0.0
    if probability > 0.5:
        return -quantile(1.0 - probability, dof)
    low, high = -1.0, 0.0
    while distribution(low, dof) > probability:
        low, high = 2.0 * low, low
    x = (low + high) / 2.0
    for _ in range(ROUNDS):
        error = distribution(x, dof) - probability
        low, high = (low, x) if error > 0.0 else (x, high)
        step = x - error / density(x, dof)
        found = step if low < step < high else (low + high) / 2.0
        if abs(found - x) <= CLOSE * abs(x):
            return found
        x = found
    return x


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised: from 0 at x = 0 to 1 at x = 1."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    upper, lower, fraction = 1.0, 0.0, 1.0
    for place in range(ROUNDS):
        half = place // 2
        if place == 0:
            term = 1.0
        elif place % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1.0))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1.0) * (a + 2 * half))
        lower = 1.0 / _not_zero(1.0 + term * lower)
        upper = _not_zero(1.0 + term / upper)
        fraction *= upper * lower
        if abs(1.0 - upper * lower) < CLOSE:
            break
    return math.exp(log_front) * (fraction - 1.0) / a


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def _check(dof: float) -> None:
    if not dof > 0.0:
        raise ValueError(f"degrees of freedom {dof!r} are not above 0")
