"""Volatility breakout: buy a bar that gains more than is usual; leave on one that loses as much, or below average."""

from dataclasses import dataclass
from typing import Annotated

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators import ago
from mastertrade.quant.targets import held_between
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

BASE_CONFIDENCE = 60.0
CONFIDENCE_OF_A_RANGE = 15.0
MAX_CONFIDENCE = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VolatilityBreakoutParameters(Parameters):
    """A move counts when it is ``ranges`` average true ranges (those known before it) from the close before; a held
    position is also left below the average of ``exit`` closes."""

    period: Annotated[int, Range(low=2, high=500)] = 14
    ranges: Annotated[float, Range(low=0.1, high=10)] = 1.5
    exit: Annotated[int, Range(low=2, high=1000)] = 20


class VolatilityBreakout:
    name = "volatility_breakout"
    legacy_type = "volatility"
    parameter_type = VolatilityBreakoutParameters

    def warm_up(self, params: VolatilityBreakoutParameters) -> int:
        """The usual range is that of the bar before."""
        return params.period

    def positions(self, columns: Columns, params: VolatilityBreakoutParameters) -> FloatArray:
        move = self._move(columns, params)
        leaves = (move < -params.ranges) | (columns.close < columns.sma(params.exit))
        return held_between((move > params.ranges) & ~leaves, leaves)

    def evidence(self, columns: Columns, params: VolatilityBreakoutParameters, i: int) -> dict[str, float]:
        average = columns.sma(params.exit)
        move = self._move(columns, params)
        return known_values(i, {"close": columns.close, "move_in_ranges": move, f"sma_{params.exit}": average})

    def confidence(self, columns: Columns, params: VolatilityBreakoutParameters, i: int) -> float:
        """Grows with the size of the move, in usual ranges."""
        if not changes_at(self.positions(columns, params), i):
            return SIGNAL_FREE
        size = abs(float(self._move(columns, params)[i]))
        return min(MAX_CONFIDENCE, BASE_CONFIDENCE + CONFIDENCE_OF_A_RANGE * size)

    def _move(self, columns: Columns, params: VolatilityBreakoutParameters) -> FloatArray:
        return columns.once((self.name, params.period), lambda: _in_ranges(columns, columns.atr(params.period)))


def _in_ranges(columns: Columns, average_range: FloatArray) -> FloatArray:
    """Each close's distance from the one before in average ranges of then; nothing usual, nothing moved."""
    usual = ago(average_range, 1)
    moved = columns.close - ago(columns.close, 1)
    moved[usual > 0.0] /= usual[usual > 0.0]
    moved[~(usual > 0.0)] *= 0.0
    return moved
