"""How much to buy: amounts in quote, quantities in base, weights as fractions of equity."""

import math

SIGNAL_STEPS = ((0.8, 1.0), (0.6, 0.8), (0.4, 0.6), (0.2, 0.4))
"""From this signal strength on, this part of the full size."""
WEAKEST_SIGNAL = 0.2
MAX_KELLY_SHARE = 0.25
"""A quarter of Kelly keeps 44 % of its growth and survives a wrong estimate; more does not."""
STEP_TOLERANCE = 1e-9
"""How far below a whole number of steps, in steps, a quantity still counts as that number: 0.3 / 0.1 is not 3."""


def signal_multiplier(strength: float) -> float:
    """The part of the full size that a signal of this strength (0..1) deserves."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"signal strength {strength!r} is outside 0..1")
    return next((part for least, part in SIGNAL_STEPS if strength >= least), WEAKEST_SIGNAL)


def fixed_fraction(equity: float, fraction: float, strength: float = 1.0) -> float:
    """The amount in quote: a fraction of equity, less for a weaker signal."""
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"position fraction {fraction!r} is outside 0..1")
    return max(equity, 0.0) * fraction * signal_multiplier(strength)


def fixed_fractional(
    equity: float,
    risk_fraction: float,
    entry: float,
    stop: float,
    *,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    lot: float = 0.0,
) -> float:
    """The quantity of a long position that loses ``risk_fraction`` of equity when stopped, costs of both sides
    included."""
    if not 0.0 < stop < entry:
        raise ValueError(f"stop {stop!r} is not between 0 and the entry {entry!r}")
    loss_per_unit = (entry - stop) + fee_rate * (entry + stop) + slippage_rate * stop
    return floor_to_step(max(equity, 0.0) * risk_fraction / loss_per_unit, lot)


def volatility_target(target: float, volatility: float, *, limit: float = 1.0) -> float:
    """The weight at which an asset contributes the target volatility, both over the same span, up to ``limit``."""
    if not volatility > 0.0 or math.isinf(volatility):
        raise ValueError(f"volatility {volatility!r} is no measurement; without one there is no size")
    return min(target / volatility, limit)


def kelly_binary(win_rate: float, payoff: float) -> float:
    """The growth-optimal weight of a bet that wins ``payoff`` times its stake or loses it; negative means no edge."""
    if not 0.0 <= win_rate <= 1.0:
        raise ValueError(f"win rate {win_rate!r} is outside 0..1")
    if not payoff > 0.0:
        raise ValueError(f"payoff {payoff!r} is not above 0")
    return win_rate - (1.0 - win_rate) / payoff


def fractional_kelly(kelly: float, *, share: float = MAX_KELLY_SHARE, limit: float = 1.0) -> float:
    """The part of a Kelly weight worth betting: never negative, never above ``limit``."""
    return min(max(share * kelly, 0.0), limit)


def floor_to_step(quantity: float, step: float) -> float:
    """The largest multiple of ``step`` in the quantity; a step of 0 means any quantity will do."""
    if step <= 0.0:
        return quantity
    return math.floor(quantity / step + STEP_TOLERANCE) * step
