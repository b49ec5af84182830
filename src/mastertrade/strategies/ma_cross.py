"""Moving-average cross: hold from the bar where the fast average crosses above the slow one until it is back."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.indicators import sma
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

CROSS_CONFIDENCE = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MaCrossParameters(Parameters):
    fast: Annotated[int, Range(low=2, high=500)] = 20
    slow: Annotated[int, Range(low=3, high=1000)] = 50

    def contradictions(self) -> list[str]:
        return [] if self.fast < self.slow else [f"fast {self.fast} must be below slow {self.slow}"]


class MaCross:
    name = "ma_cross"
    legacy_type = "SMA"
    parameter_type = MaCrossParameters

    def warm_up(self, params: MaCrossParameters) -> int:
        """A cross needs the bar before it, so the first bar with both averages cannot be one."""
        return params.slow

    def positions(self, bars: Bars, params: MaCrossParameters) -> FloatArray:
        fast, slow = sma(bars.close, params.fast), sma(bars.close, params.slow)
        above = fast > slow
        # An average that starts above has not crossed: the crossing lies before our data, and is not ours to trade.
        has_been_below = np.logical_or.accumulate(fast <= slow)
        return (above & has_been_below).astype(np.float64)

    def evidence(self, bars: Bars, params: MaCrossParameters, i: int) -> dict[str, float]:
        fast, slow = sma(bars.close, params.fast), sma(bars.close, params.slow)
        return known_values(i, {"close": bars.close, f"sma_{params.fast}": fast, f"sma_{params.slow}": slow})

    def confidence(self, bars: Bars, params: MaCrossParameters, i: int) -> float:
        return CROSS_CONFIDENCE if changes_at(self.positions(bars, params), i) else SIGNAL_FREE
