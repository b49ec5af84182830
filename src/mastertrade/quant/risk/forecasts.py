"""Was the value at risk right? Tests of how often, and how close together, losses went beyond it.

Sources: Kupiec, Techniques for Verifying the Accuracy of Risk Measurement Models (1995); Christoffersen, Evaluating
Interval Forecasts (1998); Basel Committee, Supervisory Framework for the Use of Backtesting (1996).
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

GREEN_BELOW: Final = 0.95
YELLOW_BELOW: Final = 0.9999
"""Of the chance that a right forecast has this many hits or fewer: 5 and 10 of 250 days at 99 % are the first that are
not green and not yellow."""


class Light(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodTest:
    """``statistic`` follows a chi-squared distribution of one degree where the forecast is right; ``p_value`` is the
    chance of one as large by luck."""

    statistic: float
    p_value: float


def unconditional_coverage(hits: int, count: int, expected: float) -> LikelihoodTest:
    """Kupiec's test: did losses beyond the forecast come as often as they should?"""
    if not 0 <= hits <= count or not count or not 0.0 < expected < 1.0:
        raise ValueError(f"{hits} hits of {count} at a rate of {expected!r} are no test")
    return _test(_log_likelihood(count - hits, hits, expected), _log_likelihood(count - hits, hits, hits / count))


def independence(hits: NDArray[np.bool_]) -> LikelihoodTest | None:
    """Christoffersen's test: does a hit make another one the next day likelier? None where there are no two days, or no
    day follows one of the two kinds."""
    counts = transitions(hits)
    (calm, first), (after, again) = counts
    if calm + first == 0 or after + again == 0:
        return None
    alike = (first + again) / (calm + first + after + again)
    apart = _log_likelihood(calm, first, first / (calm + first)) + _log_likelihood(
        after, again, again / (after + again)
    )
    return _test(_log_likelihood(calm + after, first + again, alike), apart)


def transitions(hits: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """How often no hit was followed by none and by one, and a hit by none and by one."""
    before, after = hits[:-1], hits[1:]
    return (
        (int(np.sum(~before & ~after)), int(np.sum(~before & after))),
        (int(np.sum(before & ~after)), int(np.sum(before & after))),
    )


def traffic_light(hits: int, count: int, expected: float) -> Light:
    """The Committee's zones for any number of days and any rate of hits."""
    if not 0 <= hits <= count or not 0.0 < expected < 1.0:
        raise ValueError(f"{hits} hits of {count} at a rate of {expected!r} have no light")
    as_many = math.fsum(
        math.exp(_log_choose(count, k) + k * math.log(expected) + (count - k) * math.log1p(-expected))
        for k in range(hits + 1)
    )
    return Light.GREEN if as_many < GREEN_BELOW else Light.YELLOW if as_many < YELLOW_BELOW else Light.RED


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)


def _log_likelihood(misses: int, hits: int, rate: float) -> float:
    """Of hits at this rate; what never happens counts nothing where its rate is 0."""
    found = hits * math.log(rate) if hits else 0.0
    return found + (misses * math.log1p(-rate) if misses else 0.0)


def _test(alike: float, apart: float) -> LikelihoodTest:
    statistic = max(-2.0 * (alike - apart), 0.0)
    return LikelihoodTest(statistic=statistic, p_value=math.erfc(math.sqrt(statistic / 2.0)))
