"""May anything be traded now: states, locks, ages, what is under way, the market, its price and the pace."""

from decimal import Decimal

from mastertrade.domain.market import InstrumentStatus
from mastertrade.domain.orders import Side, round_down
from mastertrade.domain.risk import Check, TradingMode
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.checks import EXIT_PASSES, exempt_check, number_text
from mastertrade.risk_manager.limits import Limits

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
    limit_s = min((signal.valid_until - signal.raised_at).total_seconds(), float(limits.max_signal_age_s))
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
    elif instrument.kind is not case.account_kind:
        detail = f"{instrument.symbol} is a {instrument.kind} market, the account is for {case.account_kind}"
    elif instrument.settle not in (None, instrument.quote):
        detail = (
            f"{instrument.symbol} settles in {instrument.settle}; swaps that settle in their quote asset are traded"
        )
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
        limit=float(limits.max_price_age_s),
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
    """An exit closes what the strategy holds: at least one lot of it, and a reduce-only one no more than all of it."""
    held, lot = case.to_give_up if case.is_swap else case.position_quantity, case.instrument.lot_size
    is_too_much = case.is_exit and case.signal.terms.reduce_only and case.quantity > held
    side = "" if not case.is_swap else " short" if case.side is Side.BUY else " long"
    return Check(
        name="exit_has_position",
        value=float(held),
        limit=float(lot) if case.is_exit else None,
        unit=case.instrument.base,
        passed=held >= lot or not case.is_exit,
        detail=f"holds {number_text(held)} {case.instrument.base}{side}, the lot is {number_text(lot)}"
        if case.is_exit
        else "an entry needs no position",
        reduced_to=round_down(held, lot) if is_too_much else None,
    )


def one_direction(case: Case, limits: Limits) -> Check:
    """All that an account holds of a swap points to one side: a venue nets what does not, and strategies that pay fees
    against each other help nobody."""
    others = case.others_quantity
    is_opposite = others != 0 and (others > 0) != (case.sign > 0)
    held = f"other strategies hold {number_text(others)} {case.instrument.base}"
    return Check(
        name="one_direction",
        value=float(others),
        limit=None,
        unit=case.instrument.base,
        passed=case.is_exit or not case.is_swap or not is_opposite,
        detail=EXIT_PASSES
        if case.is_exit
        else f"{held} on the other side; that takes an account of its own"
        if is_opposite
        else held
        if others
        else "nothing is held on the other side",
    )


def locks(case: Case, limits: Limits) -> Check:
    """No protection holds entries back."""
    return Check(
        name="locks",
        value=float(bool(case.locks)),
        limit=0.0,
        unit="locks",
        passed=case.is_exit or not case.locks,
        detail=EXIT_PASSES if case.is_exit else case.locks or "nothing is locked",
    )


def price_sanity(case: Case, limits: Limits) -> Check:
    """The signal was raised on a price that the market knows, and the market did not just jump there: one bar far from
    those before it may be anything, and is believed once others confirm it."""
    name, limit = "price_sanity", limits.max_price_deviation_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    if case.market_price is None:
        return Check(
            name=name, value=None, limit=float(limit), unit="%", passed=False, detail="no stored price to compare with"
        )
    signalled = Decimal(repr(case.signal.price))
    apart = abs(signalled / case.market_price - 1) * 100
    usual, most = case.usual_price, limits.max_price_jump_percent
    if apart <= limit and usual is not None and (jump := abs(case.market_price / usual - 1) * 100) > most:
        detail = f"the market jumped to {number_text(case.market_price)}, its last bars were at {number_text(usual)}"
        return Check(name=name, value=float(jump), limit=float(most), unit="%", passed=False, detail=detail)
    return Check(
        name=name,
        value=float(apart),
        limit=float(limit),
        unit="%",
        passed=apart <= limit,
        detail=f"raised at {number_text(signalled)}, the market is at {number_text(case.market_price)}",
    )


def order_rate(case: Case, limits: Limits) -> Check:
    """The account is not approving orders faster than it may, within the second, the minute and the day."""
    paces = (
        ("second", case.orders_this_second, limits.max_orders_per_second),
        ("minute", case.orders_this_minute, limits.max_orders_per_minute),
        ("day", case.orders_this_day, limits.max_orders_per_day),
    )
    span, made, most = min(paces, key=lambda pace: pace[2] - pace[1])
    if case.is_exit:
        return exempt_check("order_rate", most, "orders")
    return Check(
        name="order_rate",
        value=float(made),
        limit=float(most),
        unit="orders",
        passed=made < most,
        detail=f"{made} approved this {span}, allowed {number_text(most)}",
    )
