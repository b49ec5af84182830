"""The pre-trade checks. Each is a pure function of a case and the limits; all of them are evaluated for every signal,
so that a verdict shows every reason and not just the first.

A check that limits the size passes with ``reduced_to`` when a smaller quantity would do; the checks after it see that
quantity. An exit passes every check that guards against taking risk: giving risk up must always be possible.

To add a check: write the function in the file it belongs to and name it in ``RULES``.
"""

from collections.abc import Callable

from mastertrade.domain.risk import Check
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.rules import admission, losses, portfolio, size

Rule = Callable[[Case, Limits], Check]

RULES: tuple[Rule, ...] = (
    admission.trading_state,
    admission.locks,
    losses.circuit_breaker,
    admission.signal_age,
    admission.price_age,
    admission.nothing_in_flight,
    admission.strategy_enabled,
    admission.instrument_tradable,
    admission.exit_has_position,
    admission.one_direction,
    admission.price_sanity,
    admission.order_rate,
    size.order_quantity,
    size.order_notional,
    size.free_balance,
    portfolio.position_size,
    portfolio.exposure,
    portfolio.leverage,
    portfolio.open_positions,
    portfolio.class_exposure,
    portfolio.stablecoins,
    portfolio.venue_share,
    portfolio.concentration,
    portfolio.correlated_exposure,
    portfolio.adjusted_exposure,
    losses.daily_loss,
    losses.weekly_loss,
    losses.drawdown,
    portfolio.value_at_risk,
    size.liquidity,
    portfolio.liquidation_distance,
    size.risk_per_trade,
    size.min_notional,
)
"""Every check, the cheap and absolute ones first. ``min_notional`` is last: it judges what the cuts have left."""
