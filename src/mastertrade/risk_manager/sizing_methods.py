"""Methods of sizing an entry: how much of equity a signal asks for before any limit, with every step of the way. Pure.

Sources: fixed fraction, volatility target and Kelly as in ``quant.sizing``; the combined method and its numbers are the
older system's. Equal risk: Maillard, Roncalli and Teiletche, The Properties of Equally Weighted Risk Contribution
Portfolios (2010), solved for one amount beside a portfolio that is given.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import NormalDist
from typing import Final

from mastertrade.domain.risk import Check
from mastertrade.quant.sizing import fractional_kelly, kelly_binary, signal_multiplier, volatility_target
from mastertrade.risk_manager.exposure import Exposure

DAYS_A_YEAR: Final = 365
FEWEST_TRADES: Final = 20
USUAL_WIN_RATE, USUAL_PAYOFF = 0.55, 1.5
"""Of a strategy with fewer trades; nothing was measured, so nothing is shrunk."""
LOWER_BOUND: Final = NormalDist().inv_cdf(0.90)
"""Deviations below the mean that a win rate is taken at: nine times in ten it is better."""
USUAL_VOLATILITY, LEAST, MOST = 0.02, 0.1, 2.0
WILD_FACTOR, WILDEST_SHARE = 0.6, 0.20
PARITY_VOLATILITY, PARITY_SHARE = 0.03, 0.15
WEIGHTS: Final = {"volatility": 0.40, "kelly": 0.35, "parity": 0.25}
QUIET_HOURS, QUIET_FACTOR = (6, 22), 0.8
ATR_MULTIPLE: Final = 2.0


class SizingMethod(StrEnum):
    FIXED_FRACTION = "fixed_fraction"
    FIXED_RISK = "fixed_risk"
    ATR = "atr"
    VOLATILITY_TARGET = "volatility_target"
    KELLY = "kelly"
    EQUAL_RISK = "equal_risk"
    COMBINED = "combined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """How a strategy sizes, and what is known of it. ``volatility_target`` is a year's, as a fraction; ``payoff`` the
    mean win over the mean loss of ``trades`` round trips; ``holding`` how many other strategies of the account hold
    something."""

    method: SizingMethod = SizingMethod.FIXED_FRACTION
    volatility_target: float = 0.20
    wild: float = 0.05
    trades: int = 0
    win_rate: float = 0.0
    payoff: float = 0.0
    holding: int = 0


USUAL: Final = Sizing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a method looks at. Amounts in quote; ``loss_per_unit`` is what a unit loses at the stop of the risk
    decision, costs included, ``costs_per_unit`` only the costs of it."""

    sizing: Sizing
    equity: float
    price: float
    strength: float
    position_fraction: float
    risk_fraction: float
    loss_per_unit: float
    costs_per_unit: float
    exposure: Exposure
    at: datetime


def amount_of(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    """Quote to spend, and the steps that led to it."""
    return _METHODS[wish.sizing.method](wish)


def _fixed_fraction(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    part = signal_multiplier(wish.strength)
    amount = wish.equity * wish.position_fraction * part
    told = f"{wish.position_fraction:.2%} of {wish.equity:.2f}, {part:g} of it for a signal of {wish.strength:.2f}"
    return amount, (_step("sizing", amount, told),)


def _fixed_risk(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    return _by_loss(wish, wish.loss_per_unit, "at its stop")


def _atr(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    """The stop two average true ranges away; without them the one of the risk decision."""
    true_range = wish.exposure.true_range
    if true_range is None:
        return _by_loss(wish, wish.loss_per_unit, "at its stop, since no range was measured")
    return _by_loss(wish, ATR_MULTIPLE * true_range * wish.price + wish.costs_per_unit, "two average ranges away")


def _by_loss(wish: Wish, loss: float, where: str) -> tuple[float, tuple[Check, ...]]:
    if not loss > 0.0:
        raise ValueError(f"a unit loses {loss!r} at its stop; without a loss there is no size")
    part = signal_multiplier(wish.strength)
    amount = wish.equity * wish.risk_fraction / loss * wish.price * part
    told = f"loses {wish.risk_fraction:.2%} of {wish.equity:.2f} {where}, {loss:.6g} a unit; {part:g} for the signal"
    return amount, (_step("sizing", amount, told),)


def _volatility_target(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    daily = wish.sizing.volatility_target / math.sqrt(DAYS_A_YEAR)
    weight = volatility_target(daily, wish.exposure.volatility)
    part = signal_multiplier(wish.strength)
    amount = wish.equity * weight * part
    told = f"moves {daily:.2%} a day where the market moves {wish.exposure.volatility:.2%}; {part:g} for the signal"
    return amount, (_step("sizing", amount, told),)


def _kelly(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    """Never more than the fixed fraction: an edge is measured less well than it looks."""
    share, told = _kelly_share(wish, shrunk=True)
    amount = min(share * wish.strength, wish.position_fraction) * wish.equity
    return amount, (_step("sizing", amount, f"{told}, at most {wish.position_fraction:.2%} of equity"),)


def _equal_risk(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    """The amount whose part of the portfolio's variance is the mean of those held: x(c + xv) = V/n."""
    held, own = wish.exposure, wish.exposure.volatility**2
    if held.positions == 0 or held.variance <= 0.0:
        amount, (step,) = _volatility_target(wish)
        return amount, (_step("sizing", amount, f"nothing else is held: {step.detail}"),)
    mean = held.variance / held.positions
    root = math.sqrt(held.covariance**2 + 4.0 * own * mean)
    amount = (root - held.covariance) / (2.0 * own) * signal_multiplier(wish.strength)
    told = f"as much risk as each of {held.positions} holdings has on average"
    return amount, (_step("sizing", amount, told),)


def _combined(wish: Wish) -> tuple[float, tuple[Check, ...]]:
    amounts = {"volatility": _by_volatility(wish), "kelly": _by_kelly(wish), "parity": _by_parity(wish)}
    steps = [_step(f"sizing_{name}", amount, told) for name, (amount, told) in amounts.items()]
    together = sum(WEIGHTS[name] * amount for name, (amount, _) in amounts.items())
    told = ", ".join(f"{weight:g} of {name}" for name, weight in WEIGHTS.items())
    steps.append(_step("sizing_together", together, told))
    part, hour = signal_multiplier(wish.strength), wish.at.hour
    is_quiet = hour < QUIET_HOURS[0] or hour > QUIET_HOURS[1]
    amount = together * part * (QUIET_FACTOR if is_quiet else 1.0)
    quiet = f", {QUIET_FACTOR:g} at {hour} o'clock UTC" if is_quiet else ""
    return amount, (*steps, _step("sizing", amount, f"{part:g} of it for a signal of {wish.strength:.2f}{quiet}"))


def _by_volatility(wish: Wish) -> tuple[float, str]:
    sigma = wish.exposure.volatility
    factor = min(max(USUAL_VOLATILITY / sigma, LEAST), MOST)
    is_wild = sigma > wish.sizing.wild
    amount = wish.equity * wish.risk_fraction * factor * (WILD_FACTOR if is_wild else 1.0)
    told = f"{wish.risk_fraction:.2%} of equity by {factor:.3g} for {sigma:.2%} a day"
    return min(amount, WILDEST_SHARE * wish.equity), told + (f", {WILD_FACTOR:g} of it: wild" if is_wild else "")


def _by_kelly(wish: Wish) -> tuple[float, str]:
    share, told = _kelly_share(wish, shrunk=False)
    return share * wish.strength * wish.equity, told


def _by_parity(wish: Wish) -> tuple[float, str]:
    held, sigma = wish.exposure, wish.exposure.volatility
    value = float(held.gross)
    portfolio = math.sqrt(held.variance) / value if held.variance > 0.0 and value > 0.0 else PARITY_VOLATILITY
    count = wish.sizing.holding + 1
    amount = wish.equity * portfolio / count / sigma
    return min(amount, PARITY_SHARE * wish.equity), f"one of {count} equal parts of {portfolio:.2%} a day"


def _kelly_share(wish: Wish, *, shrunk: bool) -> tuple[float, str]:
    sizing = wish.sizing
    if sizing.trades < FEWEST_TRADES or not sizing.payoff > 0.0:
        rate, payoff, known = USUAL_WIN_RATE, USUAL_PAYOFF, f"{sizing.trades} trades are too few, 55 % at 1.5 assumed"
    else:
        rate, payoff = sizing.win_rate, sizing.payoff
        if shrunk:
            rate = max(rate - LOWER_BOUND * math.sqrt(rate * (1.0 - rate) / sizing.trades), 0.0)
        known = f"wins {rate:.1%} at {payoff:.3g} by {sizing.trades} trades"
    share = fractional_kelly(kelly_binary(rate, payoff), limit=0.25)
    return share, f"a quarter of Kelly is {share:.2%}: {known}"


def _step(name: str, amount: float, told: str) -> Check:
    if not math.isfinite(amount):
        raise ValueError(f"{name} gives {amount!r}: {told}")
    return Check(name=name, value=amount, limit=None, unit="quote", passed=True, detail=told)


_METHODS: Final[dict[SizingMethod, Callable[[Wish], tuple[float, tuple[Check, ...]]]]] = {
    SizingMethod.FIXED_FRACTION: _fixed_fraction,
    SizingMethod.FIXED_RISK: _fixed_risk,
    SizingMethod.ATR: _atr,
    SizingMethod.VOLATILITY_TARGET: _volatility_target,
    SizingMethod.KELLY: _kelly,
    SizingMethod.EQUAL_RISK: _equal_risk,
    SizingMethod.COMBINED: _combined,
}
