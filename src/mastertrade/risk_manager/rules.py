"""The pre-trade checks. Each is a pure function of a case and the limits; all of them are evaluated for every signal,
so that a verdict shows every reason and not just the first.

A check that limits the size passes with ``reduced_to`` when a smaller quantity would do; the checks after it see that
quantity. An exit passes every check that guards against taking risk: giving risk up must always be possible.

To add a check: write the function here and name it in ``RULES`` at the foot.
"""

from collections.abc import Callable
from decimal import Decimal

from mastertrade.domain.market import InstrumentStatus
from mastertrade.domain.orders import round_down
from mastertrade.domain.risk import Check, TradingMode
from mastertrade.risk_manager.case import Case, Limits
from mastertrade.risk_manager.checks import EXIT_PASSES, exempt_check, number_text, size_check
from mastertrade.risk_manager.sizing import HUNDRED, QUOTE_UNIT, affordable_quantity, buy_cost_rate, whole_lots

Rule = Callable[[Case, Limits], Check]

SIGNAL_AGE = "signal_age"
_TIGHTNESS = {TradingMode.RUNNING: 0, TradingMode.REDUCE_ONLY: 1, TradingMode.HALTED: 2}


def trading_state(case: Case, limits: Limits) -> Check:
    """Neither the platform nor the account, strategy or instrument is halted."""
    allowed = TradingMode.HALTED if case.is_exit else TradingMode.RUNNING
    tightness, limit = _TIGHTNESS[case.mode], _TIGHTNESS[allowed]
    return Check(
        name="trading_state",
        value=float(tightness),
        limit=float(limit),
        unit="tightness",
        passed=tightness <= limit,
        detail=case.halts or f"trading is {case.mode}",
    )


def signal_age(case: Case, limits: Limits) -> Check:
    """The signal is still wanted: before its own deadline, not too old for us, and not from the future."""
    signal = case.signal
    age_s = (case.now - signal.raised_at).total_seconds()
    limit_s = min((signal.valid_until - signal.raised_at).total_seconds(), limits.max_signal_age_s)
    return Check(
        name=SIGNAL_AGE,
        value=age_s,
        limit=limit_s,
        unit="s",
        passed=-limits.max_clock_skew_s <= age_s <= limit_s,
        detail=f"raised {age_s:.3f} s ago, allowed {limit_s:.3f} s",
    )


def strategy_enabled(case: Case, limits: Limits) -> Check:
    """The operator has not switched the strategy off on its account."""
    return Check(
        name="strategy_enabled",
        value=float(case.strategy_is_enabled),
        limit=1.0,
        unit="flag",
        passed=case.strategy_is_enabled or case.is_exit,
        detail="the strategy is enabled" if case.strategy_is_enabled else "the strategy is disabled on its account",
    )


def instrument_tradable(case: Case, limits: Limits) -> Check:
    """The venue trades the instrument, and the account can pay for it."""
    instrument = case.instrument
    if instrument.status is not InstrumentStatus.TRADABLE:
        detail = f"{instrument.symbol} is {instrument.status} on {instrument.venue}"
    elif instrument.venue != case.account_venue:
        detail = f"{instrument.symbol} trades on {instrument.venue}, the account on {case.account_venue}"
    elif instrument.quote != case.account_quote:
        detail = f"{instrument.symbol} is paid in {instrument.quote}, the account counts in {case.account_quote}"
    else:
        detail = ""
    return Check(
        name="instrument_tradable",
        value=float(not detail),
        limit=1.0,
        unit="flag",
        passed=not detail,
        detail=detail or f"{instrument.symbol} is tradable on {instrument.venue}",
    )


def price_age(case: Case, limits: Limits) -> Check:
    """The price everything below is computed with is recent. Exits do not wait for data to come back."""
    age_s = (case.now - case.price_as_of).total_seconds()
    return Check(
        name="price_age",
        value=age_s,
        limit=limits.max_price_age_s,
        unit="s",
        passed=case.is_exit or (-limits.max_clock_skew_s <= age_s <= limits.max_price_age_s),
        detail=EXIT_PASSES if case.is_exit else f"{number_text(case.price)} as of {case.price_as_of.isoformat()}",
    )


def nothing_in_flight(case: Case, limits: Limits) -> Check:
    """No order or approval of this strategy and instrument can still trade; an UNKNOWN order can."""
    return Check(
        name="nothing_in_flight",
        value=float(bool(case.in_flight)),
        limit=0.0,
        unit="orders",
        passed=not case.in_flight,
        detail=case.in_flight or "nothing in flight",
    )


def exit_has_position(case: Case, limits: Limits) -> Check:
    """A sale closes what the strategy holds: at least one lot of it."""
    held, lot = case.position_quantity, case.instrument.lot_size
    return Check(
        name="exit_has_position",
        value=float(held),
        limit=float(lot) if case.is_exit else None,
        unit=case.instrument.base,
        passed=held >= lot or not case.is_exit,
        detail=f"holds {number_text(held)} {case.instrument.base}, the lot is {number_text(lot)}"
        if case.is_exit
        else "an entry needs no position",
    )


def daily_loss(case: Case, limits: Limits) -> Check:
    """Equity, unrealised results included, has not lost more since the start of the UTC day."""
    return _loss("daily_loss", case, case.day_start_equity, limits.max_daily_loss_percent, "the day's start")


def drawdown(case: Case, limits: Limits) -> Check:
    """Equity is not further below its highest value ever."""
    return _loss("drawdown", case, case.high_water_mark, limits.max_drawdown_percent, "the high-water mark")


def position_size(case: Case, limits: Limits) -> Check:
    """What the account would hold of the instrument, pending buys included, is at most a share of its equity."""
    name, limit = "position_size", limits.max_position_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    taken = case.base_held * case.price + case.pending_buys
    room = case.equity * limit / HUNDRED - taken
    share = (taken + case.quantity * case.price) / case.equity * HUNDRED
    return size_check(
        case,
        name,
        share,
        limit,
        "%",
        affordable_quantity(case, room),
        f"{share:.4f} % of equity, allowed {number_text(limit)} %",
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
    """The free balance, less what stays in reserve, pays for the order with its fee and room for slippage."""
    name, unit = "free_balance", case.instrument.quote
    if case.is_exit:
        base, held = case.instrument.base, case.base_free
        detail = f"sells {number_text(case.quantity)} {base}, free are {number_text(held)}"
        return size_check(case, name, case.quantity, held, base, whole_lots(case, held), detail)
    rate = buy_cost_rate(case, limits)
    cost = case.quantity * case.price * (1 + rate)
    available = case.quote_free - case.equity * limits.reserve_percent / HUNDRED
    # A reservation is rounded up to its unit, so only whole units can be spent.
    allowed = affordable_quantity(case, round_down(available, QUOTE_UNIT), rate)
    detail = f"costs {number_text(cost)} {unit}, free beyond the reserve are {number_text(available)}"
    return size_check(case, name, cost, available, unit, allowed, detail)


def min_notional(case: Case, limits: Limits) -> Check:
    """What is left after every cut is worth sending: above the venue's minimum, and for entries above ours."""
    venue = case.instrument.min_notional
    limit = venue if case.is_exit else max(venue, limits.min_notional)
    if case.is_exit and case.quantity == 0:
        return exempt_check("min_notional", limit, case.instrument.quote, "nothing to sell, as exit_has_position says")
    notional = case.quantity * case.price
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


def _loss(name: str, case: Case, reference: Decimal, limit: Decimal, since: str) -> Check:
    if case.is_exit:
        return exempt_check(name, limit, "%")
    if not reference > 0:
        raise ValueError(f"equity at {since} is {reference}, not above 0")
    loss = max(Decimal(0), (reference - case.equity) / reference * HUNDRED)
    return Check(
        name=name,
        value=float(loss),
        limit=float(limit),
        unit="%",
        passed=loss < limit,
        detail=f"equity {number_text(case.equity)} is {loss:.4f} % below {since}, {number_text(reference)}",
    )


RULES: tuple[Rule, ...] = (
    trading_state,
    signal_age,
    strategy_enabled,
    instrument_tradable,
    price_age,
    nothing_in_flight,
    exit_has_position,
    daily_loss,
    drawdown,
    position_size,
    order_quantity,
    order_notional,
    free_balance,
    min_notional,
)
"""Every check, in the order it is shown. ``min_notional`` is last: it judges what the cuts before it have left."""
