"""Regimes of a market: how wild it is, where it goes, and what is left of the limits then. Pure; the older system's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

import numpy as np

from mastertrade.quant.bars import FloatArray

DAYS: Final = 30
"""Daily returns a regime is made of; with fewer there is none."""
FEWEST_DAYS: Final = 20
DAYS_A_YEAR: Final = 365
FEARFUL: Final = 20.0
WILD, RESTLESS, TREND = 0.6, 0.4, 0.001
"""A year's volatility from where on a market is wild or restless, and the mean daily return that is a direction."""


class Regime(StrEnum):
    UNKNOWN = "unknown"
    LOW_VOL_BULLISH = "low_vol_bullish"
    LOW_VOL_BEARISH = "low_vol_bearish"
    HIGH_VOL_BULLISH = "high_vol_bullish"
    HIGH_VOL_BEARISH = "high_vol_bearish"
    EXTREME_VOLATILITY = "extreme_volatility"
    CRISIS = "crisis"

    @property
    def factor(self) -> Decimal:
        """What is left of the limits that adapt."""
        return FACTORS.get(self, Decimal(1))


FACTORS: Final[Mapping[Regime, Decimal]] = {
    Regime.HIGH_VOL_BULLISH: Decimal("0.5"),
    Regime.HIGH_VOL_BEARISH: Decimal("0.5"),
    Regime.EXTREME_VOLATILITY: Decimal("0.25"),
    Regime.CRISIS: Decimal("0.25"),
}
ADAPTING: Final = ("position_percent", "max_position_percent", "max_class_percent", "max_adjusted_percent")
"""Limits that follow the regime: how large a position may be, alone and together with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """A regime and what it was made of. ``volatility`` is a year's, ``mean`` a day's return."""

    regime: Regime
    volatility: float | None
    mean: float | None
    fear_greed: float | None


def weather_of(returns: FloatArray, fear_greed: float | None) -> Weather:
    """Of the last 30 daily returns of the reference market, and an index of fear and greed (0..100) if there is one. A
    market in between two directions counts as falling."""
    last = returns[-DAYS:]
    if len(last) < FEWEST_DAYS:
        regime = Regime.CRISIS if fear_greed is not None and fear_greed < FEARFUL else Regime.UNKNOWN
        return Weather(regime=regime, volatility=None, mean=None, fear_greed=fear_greed)
    volatility, mean = float(np.std(last, ddof=1)) * math.sqrt(DAYS_A_YEAR), float(np.mean(last))
    is_rising = mean > TREND
    if fear_greed is not None and fear_greed < FEARFUL:
        regime = Regime.CRISIS
    elif volatility > WILD:
        regime = Regime.EXTREME_VOLATILITY
    elif volatility > RESTLESS:
        regime = Regime.HIGH_VOL_BULLISH if is_rising else Regime.HIGH_VOL_BEARISH
    else:
        regime = Regime.LOW_VOL_BULLISH if is_rising else Regime.LOW_VOL_BEARISH
    return Weather(regime=regime, volatility=volatility, mean=mean, fear_greed=fear_greed)
