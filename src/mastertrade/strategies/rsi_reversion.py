"""RSI reversion: buy when the sellers tire, leave when the price has come back or the buyers tire."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mastertrade.quant import masks
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.targets import Truths, held_between
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

BASE_CONFIDENCE = 50.0
MAX_CONFIDENCE = 95.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RsiReversionParameters(Parameters):
    """``exit`` 100 waits for the overbought side."""

    period: Annotated[int, Range(low=2, high=200)] = 14
    oversold: Annotated[float, Range(low=1, high=50)] = 30.0
    exit: Annotated[float, Range(low=30, high=100)] = 55.0
    overbought: Annotated[float, Range(low=50, high=99)] = 70.0

    def contradictions(self) -> list[str]:
        return [] if self.oversold < self.exit else [f"oversold {self.oversold:g} must be below exit {self.exit:g}"]


class RsiReversion:
    name = "rsi_reversion"
    legacy_type = "RSI"
    parameter_type = RsiReversionParameters

    def warm_up(self, params: RsiReversionParameters) -> int:
        """Leaving a zone needs the strength of two bars."""
        return params.period + 1

    def positions(self, columns: Columns, params: RsiReversionParameters) -> FloatArray:
        return held_between(*self._changes(columns, params))

    def mask(self, columns: Columns, params: RsiReversionParameters) -> masks.Words:
        enters, leaves = self._changes(columns, params)
        return masks.held_between(masks.packed(enters), masks.packed(leaves), len(columns))

    def _changes(self, columns: Columns, params: RsiReversionParameters) -> tuple[Truths, Truths]:
        strength = columns.rsi(params.period)
        before = _before(strength)
        leaves = (strength >= params.exit) | ((before > params.overbought) & (strength <= params.overbought))
        enters = (before < params.oversold) & (strength >= params.oversold) & ~leaves
        return enters, leaves

    def evidence(self, columns: Columns, params: RsiReversionParameters, i: int) -> dict[str, float]:
        strength = columns.rsi(params.period)
        name = f"rsi_{params.period}"
        return known_values(i, {"close": columns.close, name: strength, f"{name}_before": _before(strength)})

    def confidence(self, columns: Columns, params: RsiReversionParameters, i: int) -> float:
        """Grows with each point by which the strength is past the level it crossed."""
        targets = self.positions(columns, params)
        if not changes_at(targets, i):
            return SIGNAL_FREE
        strength = float(columns.rsi(params.period)[i])
        if targets[i]:
            beyond = strength - params.oversold
        elif strength >= params.exit:
            beyond = strength - params.exit
        else:
            beyond = params.overbought - strength
        return min(MAX_CONFIDENCE, BASE_CONFIDENCE + beyond)


def _before(values: FloatArray) -> FloatArray:
    return np.concatenate(([np.nan], values[:-1])) if len(values) else values
