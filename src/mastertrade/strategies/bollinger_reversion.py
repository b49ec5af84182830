"""Bollinger reversion: buy when the price is back above the lower band, leave when it has come back to the average."""

from dataclasses import dataclass
from typing import Annotated

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators import ago
from mastertrade.quant.targets import held_between
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

BASE_CONFIDENCE = 60.0
CONFIDENCE_OF_A_BAND = 30.0
MAX_CONFIDENCE = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BollingerReversionParameters(Parameters):
    """``exit`` is counted in deviations above the average; at or beyond ``deviations`` only a price that is back below
    the upper band leaves."""

    period: Annotated[int, Range(low=2, high=500)] = 20
    deviations: Annotated[float, Range(low=0.1, high=10)] = 2.0
    exit: Annotated[float, Range(low=-5, high=10)] = 0.0

    def contradictions(self) -> list[str]:
        if self.exit > -self.deviations:
            return []
        return [f"exit {self.exit:g} must be above the lower band, {-self.deviations:g}"]


class BollingerReversion:
    name = "bollinger_reversion"
    legacy_type = "BOLLINGER_BANDS"
    parameter_type = BollingerReversionParameters

    def warm_up(self, params: BollingerReversionParameters) -> int:
        """Coming back needs the bands of two bars."""
        return params.period

    def positions(self, columns: Columns, params: BollingerReversionParameters) -> FloatArray:
        bands, close = columns.bollinger(params.period, params.deviations), columns.close
        before, lower, upper = ago(close, 1), ago(bands.lower, 1), ago(bands.upper, 1)
        leaves = (before > upper) & (close <= bands.upper)
        if params.exit < params.deviations:
            leaves |= close >= bands.middle + params.exit * columns.deviation(params.period)
        enters = (before < lower) & (close >= bands.lower) & ~leaves
        return held_between(enters, leaves)

    def evidence(self, columns: Columns, params: BollingerReversionParameters, i: int) -> dict[str, float]:
        bands = columns.bollinger(params.period, params.deviations)
        return known_values(i, {"close": columns.close, **{f"band_{name}": v for name, v in bands._asdict().items()}})

    def confidence(self, columns: Columns, params: BollingerReversionParameters, i: int) -> float:
        """Grows with the way to the average, as a part of the way from a band to it."""
        if not changes_at(self.positions(columns, params), i):
            return SIGNAL_FREE
        bands = columns.bollinger(params.period, params.deviations)
        width = float(bands.upper[i] - bands.middle[i])
        share = abs(float(columns.close[i] - bands.middle[i])) / width if width > 0.0 else 0.0
        return min(MAX_CONFIDENCE, BASE_CONFIDENCE + CONFIDENCE_OF_A_BAND * share)
