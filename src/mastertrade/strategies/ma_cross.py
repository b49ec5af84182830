"""Moving-average cross: hold from the bar where the fast average crosses above the slow one until it is back."""

from dataclasses import dataclass
from typing import Annotated

from mastertrade.quant import masks
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.targets import held_above
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

    def positions(self, columns: Columns, params: MaCrossParameters) -> FloatArray:
        return held_above(columns.sma(params.fast), columns.sma(params.slow))

    def mask(self, columns: Columns, params: MaCrossParameters) -> masks.Words:
        fast, slow = params.fast, params.slow
        return columns.once(("ma_cross", fast, slow), lambda: masks.held_above(columns.sma(fast), columns.sma(slow)))

    def evidence(self, columns: Columns, params: MaCrossParameters, i: int) -> dict[str, float]:
        fast, slow = columns.sma(params.fast), columns.sma(params.slow)
        return known_values(i, {"close": columns.close, f"sma_{params.fast}": fast, f"sma_{params.slow}": slow})

    def confidence(self, columns: Columns, params: MaCrossParameters, i: int) -> float:
        return CROSS_CONFIDENCE if changes_at(self.positions(columns, params), i) else SIGNAL_FREE
