"""Were the forecasts right? Today's holdings are taken through the past, each day forecast from the days before it, and
the losses beyond the forecasts are counted; the same for the forecasts that were kept day by day. Pure.

Source: Basel Committee, Supervisory Framework for the Use of Backtesting (1996), hypothetical and actual outcomes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.risk.forecasts import Light, independence, traffic_light, unconditional_coverage
from mastertrade.quant.risk.tails import METHODS, TailMethod, tail_of
from mastertrade.risk_manager.portfolio import LOSSES_DAYS

TESTED_DAYS: Final = 250
FEWEST_TESTED: Final = 20
KEPT: Final = "kept"
"""The method's name where forecasts were stored before their day came."""
SURPRISE: Final = 0.05
"""A test whose chance is below says that the forecast is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarBacktest:
    """``hits`` of ``days`` lost more than forecast, where ``expected`` should have. ``worst`` is the largest loss
    beyond a forecast, in percent of what was held."""

    method: str
    confidence: float
    days: int
    hits: int
    expected: float
    worst: float
    coverage_p: float
    independence_p: float | None
    light: Light

    @property
    def words(self) -> str:
        if self.coverage_p < SURPRISE:
            often = "too often" if self.hits > self.expected else "too seldom"
            return f"losses beyond it come {often}"
        if self.independence_p is not None and self.independence_p < SURPRISE:
            return "losses beyond it come in clusters"
        return "as forecast"


def backtest_holdings(
    returns: FloatArray,
    *,
    window: int,
    confidences: Sequence[float],
    methods: Sequence[TailMethod] = tuple(METHODS),
    days: int = TESTED_DAYS,
) -> list[VarBacktest]:
    """``returns`` of today's holdings, oldest first, as fractions of what is held. The last ``days`` are forecast, each
    from at most ``window`` and at least 60 days before it. Empty with fewer than 20 days to test."""
    first = max(LOSSES_DAYS, len(returns) - days)
    if len(returns) - first < FEWEST_TESTED:
        return []
    losses = -returns[first:]
    found = []
    for method in methods:
        for confidence in confidences:
            forecasts = np.array(list(_forecasts(method, returns, first, window, confidence)))
            found.append(evaluate(str(method), confidence, losses, forecasts))
    return found


def evaluate(method: str, confidence: float, losses: FloatArray, forecasts: FloatArray) -> VarBacktest:
    """``losses`` and the ``forecasts`` of them as fractions; nan where there was no forecast. ValueError where there
    is none at all."""
    known = ~np.isnan(forecasts)
    beyond = losses[known] - forecasts[known]
    hits: NDArray[np.bool_] = beyond > 0.0
    count, number, expected = len(hits), int(np.sum(hits)), 1.0 - confidence
    clusters = independence(hits)
    return VarBacktest(
        method=method,
        confidence=confidence,
        days=count,
        hits=number,
        expected=count * expected,
        worst=float(np.max(beyond)) * 100.0 if number else 0.0,
        coverage_p=unconditional_coverage(number, count, expected).p_value,
        independence_p=None if clusters is None else clusters.p_value,
        light=traffic_light(number, count, expected),
    )


def _forecasts(method: TailMethod, returns: FloatArray, first: int, window: int, confidence: float) -> Iterator[float]:
    for day in range(first, len(returns)):
        value = tail_of(method, returns[max(day - window, 0) : day], confidence).value_at_risk
        yield float("nan") if value is None else value
