"""Donchian breakout: buy a close above the highest high of the bars before, leave below their lowest low."""

from dataclasses import dataclass
from typing import Annotated

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators import ago
from mastertrade.quant.targets import held_between
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, changes_at, known_values

BASE_CONFIDENCE = 60.0
CONFIDENCE_OF_A_RANGE = 20.0
MAX_CONFIDENCE = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DonchianBreakoutParameters(Parameters):
    """The channel to enter and the shorter one to leave, as in the rules of the Turtles (Donchian; Faith 2007)."""

    entry: Annotated[int, Range(low=1, high=1000)] = 20
    exit: Annotated[int, Range(low=1, high=1000)] = 10


class DonchianBreakout:
    name = "donchian_breakout"
    legacy_type = "breakout"
    parameter_type = DonchianBreakoutParameters

    def warm_up(self, params: DonchianBreakoutParameters) -> int:
        """The channel is that of the bar before."""
        return params.entry

    def positions(self, columns: Columns, params: DonchianBreakoutParameters) -> FloatArray:
        top, bottom = self._channel(columns, params)
        return held_between(columns.close > top, columns.close < bottom)

    def evidence(self, columns: Columns, params: DonchianBreakoutParameters, i: int) -> dict[str, float]:
        top, bottom = self._channel(columns, params)
        return known_values(i, {"close": columns.close, f"high_{params.entry}": top, f"low_{params.exit}": bottom})

    def confidence(self, columns: Columns, params: DonchianBreakoutParameters, i: int) -> float:
        """Grows with how far the close is beyond the channel, in usual ranges of a bar."""
        targets = self.positions(columns, params)
        if not changes_at(targets, i):
            return SIGNAL_FREE
        top, bottom = self._channel(columns, params)
        beyond = columns.close[i] - top[i] if targets[i] else bottom[i] - columns.close[i]
        usual = float(columns.atr(params.entry)[i])
        share = float(beyond) / usual if usual > 0.0 else 0.0
        return min(MAX_CONFIDENCE, BASE_CONFIDENCE + CONFIDENCE_OF_A_RANGE * share)

    def _channel(self, columns: Columns, params: DonchianBreakoutParameters) -> tuple[FloatArray, FloatArray]:
        return columns.once(
            (self.name, params.entry, params.exit),
            lambda: (ago(columns.highest(params.entry, "high"), 1), ago(columns.lowest(params.exit, "low"), 1)),
        )
