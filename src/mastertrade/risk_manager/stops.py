"""Stops: where a position is given up, and how that price follows the market. Pure. Rules are the older system's, for
longs; shorts are their mirror. A stop only ever moves in favour of its position."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from mastertrade.risk_manager.models import StopLossConfig, StopLossType
from mastertrade.shared.errors import UsageError

TRAILING_DISTANCE, PROFIT_BEFORE_TRAIL = 3.0, 1.0
MULTIPLIER, BUFFER = 2.0, 0.5
"""Of rules that do not say their own: percent, percent, times, percent."""
SMALLEST_MOVE: Final = Decimal("0.001")
"""Of the stop: a smaller change is not worth a row."""
BREAKEVEN_PROFIT, BREAKEVEN_ABOVE = Decimal("1.02"), Decimal("1.001")
DECAY_AFTER: Final = timedelta(hours=24)
DECAY_A_DAY: Final = 0.001
UNKNOWN_SUPPORT: Final = Decimal("0.95")
NERVOUS, NERVOUS_MARGIN = 1.5, Decimal("1.005")
"""A volatility stop already acts this near its price when a day swings so many times the threshold."""
BOUNDS: Final = {
    "initial_stop_percent": (0.1, 20.0),
    "trailing_distance_percent": (0.1, 10.0),
    "min_profit_before_trail": (0.0, 100.0),
    "max_loss_percent": (1.0, 50.0),
    "volatility_multiplier": (0.5, 5.0),
    "support_resistance_buffer": (0.1, 2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StopMarket:
    """What a stop looks at. ``price`` is the last close, ``high`` and ``low`` the extremes since the last look.
    ``volatility`` is a day's as a fraction, ``true_range`` the ATR of 14 bars in quote, ``support`` the lowest low and
    ``resistance`` the highest high of 20 bars; None where the market is too young."""

    price: Decimal
    high: Decimal
    low: Decimal
    volatility: float | None = None
    swing: float | None = None
    """The volatility of the last 24 hours."""
    true_range: float | None = None
    support: Decimal | None = None
    resistance: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One live stop of one position. ``best`` is the highest price since it was opened for a long, the lowest for a
    short; ``entry_volatility`` that of when it was attached."""

    is_long: bool
    entry: Decimal
    price: Decimal
    best: Decimal
    opened_at: datetime
    config: StopLossConfig
    entry_volatility: float | None = None

    def profit(self, price: Decimal, quantity: Decimal) -> Decimal:
        return (price - self.entry) * quantity * (1 if self.is_long else -1)


def check_config(config: StopLossConfig) -> StopLossConfig:
    """UsageError names the number that is outside its bounds."""
    for name, (lowest, highest) in BOUNDS.items():
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and lowest <= value <= highest):
            raise UsageError(f"{name} {value} of a stop is outside {lowest:g} to {highest:g}")
    return config


def check_price(price: Decimal, *, market: Decimal, is_long: bool) -> Decimal:
    """UsageError for a stop on the wrong side of the market, which would act at once."""
    if not price > 0 or (price >= market if is_long else price <= market):
        side = "below" if is_long else "above"
        raise UsageError(f"a stop at {price:f} must be {side} the market, which is at {market:f}")
    return price


def first_price(
    config: StopLossConfig, entry: Decimal, market: StopMarket, *, is_long: bool, class_factor: Decimal
) -> Decimal:
    """Where the stop of a new position stands; never on the far side of the entry."""
    sign = -1 if is_long else 1
    percent = Decimal(repr(config.initial_stop_percent)) / 100
    if config.stop_type is StopLossType.VOLATILITY_BASED and market.volatility is not None:
        percent = Decimal(repr(market.volatility * _multiplier(config))) * class_factor
    elif config.stop_type is StopLossType.ATR_BASED:
        return _positive(entry + sign * _range(config, market))
    elif config.stop_type is StopLossType.SUPPORT_RESISTANCE:
        return _at_support(config, market, is_long=is_long)
    price = _positive(entry * (1 + sign * percent))
    return _within_loss(config, entry, price, is_long=is_long)


def follow(stop: Stop, market: StopMarket, *, at: datetime) -> Stop:
    """The stop after a look at the market: ``best`` moved, and the price where a rule moves it in favour."""
    best = max(stop.best, market.high) if stop.is_long else min(stop.best, market.low)
    moved = replace(stop, best=best)
    wanted = _tightest(stop.is_long, [_by_type(moved, market), *_by_time(moved, market, at), stop.price])
    wanted = _within_loss(stop.config, stop.entry, wanted, is_long=stop.is_long)
    wanted = _tightest(stop.is_long, [wanted, stop.price])
    is_worth_it = abs(wanted - stop.price) >= SMALLEST_MOVE * stop.price
    return replace(moved, price=wanted if is_worth_it else stop.price)


def is_hit(stop: Stop, market: StopMarket, *, wild: float) -> bool:
    """Whether the market touched the stop as it stood before this look. ``wild`` is the daily volatility from where a
    market counts as nervous."""
    margin = Decimal(1)
    is_nervous = market.swing is not None and market.swing > NERVOUS * wild
    if stop.config.stop_type is StopLossType.VOLATILITY_BASED and is_nervous:
        margin = NERVOUS_MARGIN
    return market.low <= stop.price * margin if stop.is_long else market.high >= stop.price / margin


def _by_type(stop: Stop, market: StopMarket) -> Decimal:
    config, kind, sign = stop.config, stop.config.stop_type, -1 if stop.is_long else 1
    if kind is StopLossType.TRAILING:
        least = _percent(config.min_profit_before_trail, PROFIT_BEFORE_TRAIL)
        gained = (stop.best / stop.entry - 1) * -sign
        distance = _percent(config.trailing_distance_percent, TRAILING_DISTANCE)
        return stop.best * (1 + sign * distance) if gained >= least else stop.price
    if kind is StopLossType.VOLATILITY_BASED and market.volatility is not None:
        grown = market.volatility / stop.entry_volatility if stop.entry_volatility else 1.0
        away = Decimal(repr(market.volatility * _multiplier(config) * grown))
        return market.price * (1 + sign * away)
    if kind is StopLossType.ATR_BASED:
        return market.price + sign * _range(config, market)
    if kind is StopLossType.SUPPORT_RESISTANCE:
        return _at_support(config, market, is_long=stop.is_long)
    return stop.price


def _by_time(stop: Stop, market: StopMarket, at: datetime) -> list[Decimal]:
    """Break-even and decay, which hold for every type."""
    found, gain = [], market.price / stop.entry if stop.is_long else stop.entry / market.price
    if stop.config.breakeven_protection and gain > BREAKEVEN_PROFIT:
        found.append(stop.entry * BREAKEVEN_ABOVE if stop.is_long else stop.entry / BREAKEVEN_ABOVE)
    if stop.config.time_decay_enabled and gain < 1 and at - stop.opened_at > DECAY_AFTER:
        days = (at - stop.opened_at) / timedelta(days=1)
        percent = Decimal(repr(stop.config.initial_stop_percent / 100.0 / (1.0 + DECAY_A_DAY * days)))
        found.append(stop.entry * (1 - percent) if stop.is_long else stop.entry * (1 + percent))
    return found


def _at_support(config: StopLossConfig, market: StopMarket, *, is_long: bool) -> Decimal:
    """Below the support that is below the price; where there is none, below what nobody has measured."""
    buffer = _percent(config.support_resistance_buffer, BUFFER)
    if is_long:
        known = market.support if market.support is not None and market.support < market.price else None
        return (known or market.price * UNKNOWN_SUPPORT) * (1 - buffer)
    known = market.resistance if market.resistance is not None and market.resistance > market.price else None
    return (known or market.price / UNKNOWN_SUPPORT) * (1 + buffer)


def _within_loss(config: StopLossConfig, entry: Decimal, price: Decimal, *, is_long: bool) -> Decimal:
    """Never further from the entry than the most that may be lost."""
    if config.max_loss_percent is None:
        return price
    most = _percent(config.max_loss_percent, 0.0)
    return max(price, entry * (1 - most)) if is_long else min(price, entry * (1 + most))


def _range(config: StopLossConfig, market: StopMarket) -> Decimal:
    """The multiple of the ATR; without candles of the volatility, without that nothing is known and 2 % stand in."""
    measured = market.true_range
    if measured is None:
        measured = float(market.price) * (market.volatility if market.volatility is not None else 0.02)
    return Decimal(repr(measured * _multiplier(config)))


def _multiplier(config: StopLossConfig) -> float:
    return MULTIPLIER if config.volatility_multiplier is None else config.volatility_multiplier


def _percent(value: float | None, usual: float) -> Decimal:
    return Decimal(repr(usual if value is None else value)) / 100


def _tightest(is_long: bool, prices: list[Decimal]) -> Decimal:
    return max(prices) if is_long else min(prices)


def _positive(price: Decimal) -> Decimal:
    return max(price, Decimal("1e-18"))
