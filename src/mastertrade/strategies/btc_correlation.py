"""BTC correlation: hold a coin that follows Bitcoin while Bitcoin rises."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators import correlation
from mastertrade.quant.targets import held_between
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, as_of, changes_at, known_values

BITCOIN = ("BTC", "XBT")
BASE_CONFIDENCE = 50.0
CONFIDENCE_OF_ONE = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BtcCorrelationParameters(Parameters):
    """``lead`` counts the bars by which Bitcoin's returns come before the coin's: 0 holds what moves with it, 1 and
    more what moves after it. Below ``release`` the coin no longer follows."""

    window: Annotated[int, Range(low=3, high=5000)] = 60
    correlation: Annotated[float, Range(low=-1, high=1)] = 0.7
    release: Annotated[float, Range(low=-1, high=1)] = 0.5
    momentum: Annotated[int, Range(low=1, high=5000)] = 12
    lead: Annotated[int, Range(low=0, high=500)] = 0

    def contradictions(self) -> list[str]:
        if self.release <= self.correlation:
            return []
        return [f"release {self.release:g} must not be above correlation {self.correlation:g}"]


class BtcCorrelation:
    """Bitcoin is read as it was known at each bar of the coin: where its bar is missing, its last one stands. Bitcoin
    itself is never held."""

    name = "btc_correlation"
    legacy_type = "btc_correlation"
    parameter_type = BtcCorrelationParameters
    reads_markets = True

    def warm_up(self, params: BtcCorrelationParameters) -> int:
        return params.window

    def positions(self, columns: Columns, params: BtcCorrelationParameters) -> FloatArray:
        bitcoin = bitcoin_of(columns)
        if bitcoin is columns:
            return np.zeros(len(columns))
        together, gain = self._together(columns, bitcoin, params), self._gain(columns, bitcoin, params)
        leaves = ~(gain > 0.0) | (together < params.release)
        return held_between((together >= params.correlation) & (gain > 0.0), leaves)

    def evidence(self, columns: Columns, params: BtcCorrelationParameters, i: int) -> dict[str, float]:
        bitcoin = bitcoin_of(columns)
        if bitcoin is columns:
            return known_values(i, {"close": columns.close})
        series = {
            "close": columns.close,
            "correlation": self._together(columns, bitcoin, params),
            "btc_gain": self._gain(columns, bitcoin, params),
        }
        return known_values(i, series)

    def confidence(self, columns: Columns, params: BtcCorrelationParameters, i: int) -> float:
        """Grows with the correlation, and when it is left, with what is missing of it."""
        targets = self.positions(columns, params)
        if not changes_at(targets, i):
            return SIGNAL_FREE
        strength = float(self._together(columns, bitcoin_of(columns), params)[i])
        if np.isnan(strength):
            return BASE_CONFIDENCE
        return BASE_CONFIDENCE + CONFIDENCE_OF_ONE * max(0.0, strength if targets[i] else 1.0 - abs(strength))

    def _together(self, columns: Columns, bitcoin: Columns, params: BtcCorrelationParameters) -> FloatArray:
        key = (self.name, columns.symbol, bitcoin.symbol, params.window, params.lead)
        return columns.markets.once(key, lambda: _correlation(columns, bitcoin, params))

    def _gain(self, columns: Columns, bitcoin: Columns, params: BtcCorrelationParameters) -> FloatArray:
        key = (self.name, columns.symbol, bitcoin.symbol, params.momentum)
        return columns.markets.once(key, lambda: _known(bitcoin, bitcoin.rate_of_change(params.momentum), columns.time))


def bitcoin_of(columns: Columns) -> Columns:
    """Bitcoin among the markets, best in the quote of the coin; UsageError when it is not there."""
    found = [one for symbol, one in columns.markets.items() if symbol.partition("/")[0].upper() in BITCOIN]
    if not found:
        raise UsageError(
            "btc_correlation reads Bitcoin beside the markets it trades, and there is none among"
            f" {', '.join(map(repr, columns.markets))}; add one such as BTC/USDT"
        )
    quote = columns.symbol.partition("/")[2]
    return next((one for one in found if one.symbol.partition("/")[2] == quote), found[0])


def _correlation(columns: Columns, bitcoin: Columns, params: BtcCorrelationParameters) -> FloatArray:
    """Of the returns from bar to bar of the coin, and of Bitcoin over the same time, ``lead`` bars before."""
    led = _known(bitcoin, bitcoin.close, columns.time - params.lead * columns.interval_s * 1000)
    ours, theirs = (np.diff(np.log(series), prepend=np.nan) for series in (columns.close, led))
    return correlation(ours, theirs, params.window)


def _known(bars: Columns, values: FloatArray, time: TimeArray) -> FloatArray:
    """The values of these bars as known at other times; NaN before the first."""
    place = as_of(time, bars)
    known: FloatArray = np.full(len(time), np.nan)
    known[place >= 0] = values[place[place >= 0]]
    return known
