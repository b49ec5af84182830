"""Sizing: how much a signal asks for, what it would cost, and how much a given amount buys."""

from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal, localcontext

from mastertrade.domain.orders import round_down, round_up
from mastertrade.domain.risk import Check
from mastertrade.risk_manager.asset_classes import MULTIPLIERS
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.exposure import ASSUMED_VOLATILITY
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.sizing_methods import Wish, amount_of

HUNDRED = Decimal(100)
QUOTE_UNIT = Decimal("0.00000001")
"""Reservations are whole units of this, rounded up."""
SHORTEST_STOP_PERCENT, LONGEST_STOP_PERCENT = Decimal("0.5"), Decimal(10)
DIGITS = 60
"""Enough for an amount with 18 decimals times another: nothing is rounded on the way; quotients are cut downwards."""


def requested_quantity(case: Case, limits: Limits) -> tuple[Decimal, tuple[Check, ...]]:
    """What the signal asks for before any limit, and the steps that led there: an exit all its strategy holds, an entry
    what the strategy's sizing method says, times the strategy's own multiplier.

    By default that is a fixed fraction: ``position_percent`` times the part its strength deserves. An ordinary signal
    (confidence 60 to 80) asks for 6 % x 0.8 = 4.8 % of equity, a little less than the position cap of 5 %, so that it
    passes whole; a stronger one asks for 6 % and is cut to the cap.
    """
    if case.is_exit:
        return whole_lots(case, case.to_give_up), ()
    loss = loss_per_unit(case, limits)
    with localcontext(prec=DIGITS):
        costs = loss - case.price * stop_percent(case, limits) / HUNDRED
    wish = Wish(
        sizing=case.sizing,
        equity=max(float(case.equity), 0.0),
        price=float(case.price),
        strength=case.signal.confidence / 100,
        position_fraction=float(limits.position_percent / HUNDRED),
        risk_fraction=float(limits.risk_per_trade_percent / HUNDRED),
        loss_per_unit=float(loss),
        costs_per_unit=float(costs),
        exposure=case.exposure,
        at=case.now,
    )
    amount, steps = amount_of(wish)
    # Decimals of a float that is a product of a few decimals: what is noise beyond the fifteenth digit is cut.
    wanted = Decimal(f"{amount:.15g}") * Decimal(str(case.risk_multiplier))
    if case.risk_multiplier != 1.0:
        told = f"{case.risk_multiplier:g} times that: the strategy's risk multiplier"
        steps = (*steps, replace(steps[-1], name="sizing_multiplier", value=float(wanted), detail=told))
    return affordable_quantity(case, wanted), steps


def affordable_quantity(case: Case, amount: Decimal, cost_rate: Decimal = Decimal(0)) -> Decimal:
    """Whole lots that ``amount`` of quote buys at the case's price and a cost rate on top; 0 when it buys none."""
    with localcontext(prec=DIGITS, rounding=ROUND_FLOOR):
        return round_down(max(amount, Decimal(0)) / (case.price * (1 + cost_rate)), case.instrument.lot_size)


def whole_lots(case: Case, quantity: Decimal) -> Decimal:
    """``quantity`` cut to the instrument's lot."""
    with localcontext(prec=DIGITS):
        return round_down(quantity, case.instrument.lot_size)


def entry_cost_rate(case: Case, limits: Limits) -> Decimal:
    """What an entry at the market's price sets aside, as a fraction of its notional: its price, of a swap the margin
    for it, with room for slippage, and the fee."""
    with localcontext(prec=DIGITS):
        return (1 + limits.slippage_percent / HUNDRED) / case.leverage + case.instrument.taker_fee


def reservation(case: Case, limits: Limits) -> tuple[str, Decimal]:
    """Asset and amount to set aside for the case's quantity: quote for an entry, the sold units for a sale. To give up
    contracts takes no money."""
    if case.is_exit:
        return (case.instrument.quote, Decimal(0)) if case.is_swap else (case.instrument.base, case.quantity)
    limit = case.signal.limit_price
    with localcontext(prec=DIGITS):
        if limit is None or case.sign < 0:  # a short may trade far above its limit
            price, rate = max(case.price, limit or case.price), entry_cost_rate(case, limits)
        else:
            price, rate = limit, 1 / case.leverage + case.instrument.taker_fee
        cost = case.quantity * price * rate
        fee_of_closing = case.closes * price * case.instrument.taker_fee
        return case.instrument.quote, round_up(cost + fee_of_closing, QUOTE_UNIT)


def stop_percent(case: Case, limits: Limits) -> Decimal:
    """How far the stop of an entry is away: two daily volatilities, more for wilder classes, between half a percent and
    ten; the limit's own distance where the market is not known well enough."""
    if case.exposure.assumed and case.exposure.volatility == ASSUMED_VOLATILITY:
        return limits.stop_percent
    away = Decimal(repr(200.0 * case.exposure.volatility)) * MULTIPLIERS[case.exposure.asset_class]
    return min(max(away, SHORTEST_STOP_PERCENT), LONGEST_STOP_PERCENT)


def stop_price(case: Case, limits: Limits) -> Decimal:
    """Of an entry, on the instrument's tick, rounded towards the price."""
    rounded = round_up if case.sign > 0 else round_down
    with localcontext(prec=DIGITS):
        return rounded(case.price * (1 - case.sign * stop_percent(case, limits) / HUNDRED), case.instrument.tick_size)


def loss_per_unit(case: Case, limits: Limits) -> Decimal:
    """What one unit loses between its price and its stop, with the fees of both ways and slippage at the stop."""
    with localcontext(prec=DIGITS):
        stop = case.price * (1 - case.sign * stop_percent(case, limits) / HUNDRED)
        fees = case.instrument.taker_fee * (case.price + stop)
        return abs(case.price - stop) + fees + limits.slippage_percent / HUNDRED * stop
