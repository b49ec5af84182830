"""How large this one order may be: its own bounds, what pays for it, what its stop would cost."""

from decimal import Decimal, localcontext

from mastertrade.domain.orders import round_down
from mastertrade.domain.risk import Check
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.checks import EXIT_PASSES, exempt_check, number_text, size_check
from mastertrade.risk_manager.exposure import ASSUMED_VOLUME
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.sizing import (
    DIGITS,
    HUNDRED,
    QUOTE_UNIT,
    affordable_quantity,
    entry_cost_rate,
    loss_per_unit,
    stop_percent,
    whole_lots,
)


def order_quantity(case: Case, limits: Limits) -> Check:
    """The order is within the largest quantity its strategy may order at once."""
    name, limit = "order_quantity", case.max_order_quantity
    if case.is_exit or limit is None:
        return exempt_check(
            name, limit, case.instrument.base, "the strategy has no such limit" if limit is None else EXIT_PASSES
        )
    detail = f"{number_text(case.quantity)} {case.instrument.base}, allowed {number_text(limit)}"
    return size_check(case, name, case.quantity, limit, case.instrument.base, whole_lots(case, limit), detail)


def order_notional(case: Case, limits: Limits) -> Check:
    """The order's worth is at most a fixed amount."""
    name, limit = "order_notional", limits.max_notional
    if case.is_exit:
        return exempt_check(name, limit, case.instrument.quote)
    notional = case.quantity * case.price
    detail = f"{number_text(notional)} {case.instrument.quote}, allowed {number_text(limit)}"
    return size_check(case, name, notional, limit, case.instrument.quote, affordable_quantity(case, limit), detail)


def free_balance(case: Case, limits: Limits) -> Check:
    """The free balance, less what stays in reserve, pays for the order with its fee and room for slippage; of a swap
    for its margin. Contracts are given up without money."""
    name, unit = "free_balance", case.instrument.quote
    if case.is_exit:
        base, held = case.instrument.base, case.to_give_up if case.is_swap else case.base_free
        word = "held" if case.is_swap else "free"
        detail = f"gives up {number_text(case.quantity)} {base}, {word} are {number_text(held)}"
        return size_check(case, name, case.quantity, held, base, whole_lots(case, held), detail)
    rate = entry_cost_rate(case, limits)
    cost = case.quantity * case.price * rate
    available = case.quote_free - case.equity * limits.reserve_percent / HUNDRED
    # A reservation is rounded up to its unit, so only whole units can be spent.
    allowed = affordable_quantity(case, round_down(available, QUOTE_UNIT), rate - 1)
    detail = f"costs {number_text(cost)} {unit}, free beyond the reserve are {number_text(available)}"
    return size_check(case, name, cost, available, unit, allowed, detail)


def min_notional(case: Case, limits: Limits) -> Check:
    """What is left after every cut is worth sending: above the venue's minimum, and for entries above ours. A venue
    counts a limit order at its limit."""
    venue = case.instrument.min_notional
    limit = venue if case.is_exit else max(venue, limits.min_notional)
    if case.is_exit and case.quantity == 0:
        return exempt_check("min_notional", limit, case.instrument.quote, "nothing to sell, as exit_has_position says")
    notional = case.quantity * min(case.price, case.signal.limit_price or case.price)
    units = f"{number_text(case.quantity)} {case.instrument.base}"
    detail = f"{units} are worth {number_text(notional)}, at least {number_text(limit)}"
    return Check(
        name="min_notional",
        value=float(notional),
        limit=float(limit),
        unit=case.instrument.quote,
        passed=case.quantity > 0 and notional >= limit,
        detail=detail,
    )


def liquidity(case: Case, limits: Limits) -> Check:
    """The order is a small part of what the market trades. An unknown market counts as a thin one."""
    name, unit, limit = "liquidity", case.instrument.quote, limits.max_volume_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    volume = ASSUMED_VOLUME if case.exposure.volume is None else case.exposure.volume
    part = case.quantity * case.price / volume * HUNDRED if volume > 0 else HUNDRED
    known = "assumed" if case.exposure.volume is None else "in the last whole day"
    detail = f"{part:.4f} % of {number_text(volume)} {unit} traded, {known}; allowed {number_text(limit)} %"
    return size_check(case, name, part, limit, "%", affordable_quantity(case, volume * limit / HUNDRED), detail)


def risk_per_trade(case: Case, limits: Limits) -> Check:
    """What the order loses when its stop is hit, fees and slippage included, is a small part of equity."""
    name, limit = "risk_per_trade", limits.risk_per_trade_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    away, loss = stop_percent(case, limits), loss_per_unit(case, limits)
    part = case.quantity * loss / case.equity * HUNDRED
    with localcontext(prec=DIGITS):
        allowed = whole_lots(case, max(case.equity, Decimal(0)) * limit / HUNDRED / loss)
    detail = f"{part:.4f} % of equity with a stop {number_text(away)} % away, allowed {number_text(limit)} %"
    return size_check(case, name, part, limit, "%", allowed, detail)
