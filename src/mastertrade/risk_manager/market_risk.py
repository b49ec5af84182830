"""How markets move alone and together, as was known at the last midnight: the same for every judgement of a day, before
and after a restart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from mastertrade.quant.bars import Bars, BarSource, FloatArray
from mastertrade.quant.risk.covariance import shrink_to_constant_correlation
from mastertrade.quant.risk.volatility import ewma_volatility
from mastertrade.risk_manager.exposure import ASSUMED_VOLATILITY
from mastertrade.risk_manager.portfolio import FEWEST_DAYS, Daily, daily_returns, together
from mastertrade.shared.postgres_manager import Database

DAY: Final = timedelta(days=1)
DAY_S: Final = 86_400
RANGE_DAYS: Final = 14
"""Of the average true range."""

BarsOf = Callable[[Database], BarSource]
"""Reads within the transaction that judges: a second connection could be the one that nobody has left."""


@dataclass(frozen=True, slots=True)
class Market:
    """``volatility`` is a day's, EWMA, None with too short a history; ``volume`` is quote of the last whole day."""

    daily: Daily
    volatility: float | None
    true_range: float | None
    volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Together:
    """Correlations and daily volatilities of some markets in their order. ``assumed`` names those that are guessed."""

    correlation: FloatArray
    volatilities: FloatArray
    assumed: tuple[int, ...]


class MarketRisk:
    """Keeps one day's numbers; another day's replace them. Markets with fewer than 20 daily returns count as wild and
    as moving with everything."""

    def __init__(self, *, bars_of: BarsOf, window_days: int) -> None:
        self._bars_of = bars_of
        self._window_days = window_days
        self._midnight: datetime | None = None
        self._markets: dict[int, Market] = {}
        self._together: dict[tuple[int | None, ...], Together] = {}

    async def market(self, db: Database, instrument_id: int, now: datetime) -> Market:
        midnight = self._turn_to(now)
        if (known := self._markets.get(instrument_id)) is not None:
            return known
        start = midnight - DAY * (self._window_days + 1)
        bars = await self._bars_of(db).read(instrument_id, DAY_S, start, midnight, as_of=midnight)
        self._markets[instrument_id] = market = _market(bars, midnight)
        return market

    async def together(self, db: Database, instruments: Sequence[int | None], now: datetime) -> Together:
        """None is an asset without a market: unknown in everything."""
        self._turn_to(now)
        key = tuple(instruments)
        if (known := self._together.get(key)) is None:
            markets = [None if one is None else await self.market(db, one, now) for one in instruments]
            if len(self._together) > 256:  # of one day: only what was asked for lately is asked for again
                self._together.clear()
            known = self._together[key] = _together(markets)
        return known

    def _turn_to(self, now: datetime) -> datetime:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight != self._midnight:
            self._midnight, self._markets, self._together = midnight, {}, {}
        return midnight


def _market(bars: Bars, midnight: datetime) -> Market:
    daily = daily_returns(bars.time, bars.close)
    is_long = len(daily.returns) >= FEWEST_DAYS
    is_of_yesterday = len(bars) > 0 and int(bars.time[-1]) == int((midnight - DAY).timestamp() * 1000)
    volume = Decimal(repr(float(bars.volume[-1] * bars.close[-1]))) if is_of_yesterday else None
    return Market(
        daily=daily,
        volatility=ewma_volatility(daily.returns) if is_long else None,
        true_range=_true_range(bars),
        volume=volume,
    )


def _true_range(bars: Bars) -> float | None:
    """The mean of the last days' true ranges as a fraction of the last close."""
    if len(bars) <= RANGE_DAYS:
        return None
    before, high, low = bars.close[:-1], bars.high[1:], bars.low[1:]
    ranges = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    return float(np.mean(ranges[-RANGE_DAYS:]) / bars.close[-1])


def _together(markets: Sequence[Market | None]) -> Together:
    known = [at for at, one in enumerate(markets) if one is not None and one.volatility is not None]
    correlation = np.ones((len(markets), len(markets)))
    returns = together([one.daily for at in known if (one := markets[at]) is not None])
    if len(known) > 1 and len(returns) >= FEWEST_DAYS:
        correlation[np.ix_(known, known)] = shrink_to_constant_correlation(returns).correlation
    volatilities = np.array(
        [ASSUMED_VOLATILITY if one is None or one.volatility is None else one.volatility for one in markets]
    )
    return Together(correlation, volatilities, tuple(at for at in range(len(markets)) if at not in known))
