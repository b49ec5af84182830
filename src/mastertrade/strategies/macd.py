"""MACD: hold from the bar where the line crosses above its signal until it is back."""

from dataclasses import dataclass
from typing import Annotated

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.targets import held_above
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

CROSS_CONFIDENCE = 70.0
CONFIRMED_CONFIDENCE = 85.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MacdParameters(Parameters):
    fast: Annotated[int, Range(low=2, high=500)] = 12
    slow: Annotated[int, Range(low=3, high=1000)] = 26
    signal: Annotated[int, Range(low=1, high=500)] = 9

    def contradictions(self) -> list[str]:
        return [] if self.fast < self.slow else [f"fast {self.fast} must be below slow {self.slow}"]


class MacdCross:
    name = "macd"
    legacy_type = "MACD"
    parameter_type = MacdParameters

    def warm_up(self, params: MacdParameters) -> int:
        """A cross needs the bar before it, so the first bar with a signal cannot be one."""
        return params.slow + params.signal - 1

    def positions(self, columns: Columns, params: MacdParameters) -> FloatArray:
        lines = columns.macd(params.fast, params.slow, params.signal)
        return held_above(lines.line, lines.signal)

    def evidence(self, columns: Columns, params: MacdParameters, i: int) -> dict[str, float]:
        lines = columns.macd(params.fast, params.slow, params.signal)
        return known_values(i, {"close": columns.close, "macd": lines.line, "macd_signal": lines.signal})

    def confidence(self, columns: Columns, params: MacdParameters, i: int) -> float:
        """More when the line is on the side of zero that the cross points to."""
        targets = self.positions(columns, params)
        if not changes_at(targets, i):
            return SIGNAL_FREE
        line = columns.macd(params.fast, params.slow, params.signal).line[i]
        return CONFIRMED_CONFIDENCE if bool(targets[i]) == bool(line > 0.0) else CROSS_CONFIDENCE
