"""What the account would hold after the trade: shares of equity, concentration, joint movement, a bad day's loss."""

import math
from decimal import Decimal

from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.risk import Check
from mastertrade.quant.risk.tails import NORMAL
from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.checks import exempt_check, number_text, size_check
from mastertrade.risk_manager.exposure import ASSUMED_VOLATILITY, largest_within
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.sizing import HUNDRED, affordable_quantity

MAINTENANCE_MARGIN = 0.005
"""Of the notional, where a venue's tiers are not asked: the usual lowest tier of a perpetual."""


def position_size(case: Case, limits: Limits) -> Check:
    """What the account would hold of the instrument, pending buys included, is at most a share of its equity."""
    name, limit = "position_size", limits.max_position_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    return _share(case, name, Decimal(0), limit, f"of equity in {case.instrument.base}")


def exposure(case: Case, limits: Limits) -> Check:
    """Everything held, with what is reserved for buying, is at most a share of equity."""
    name, limit = "exposure", limits.max_exposure_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    return _share(case, name, case.exposure.gross, limit, "of equity in all markets")


def leverage(case: Case, limits: Limits) -> Check:
    """Exposure over equity."""
    name, limit = "leverage", limits.max_leverage
    if case.is_exit:
        return exempt_check(name, limit, "x")
    if not case.equity > 0:
        raise ValueError(f"equity is {case.equity}, not above 0")
    others = case.exposure.gross + case.taken
    ratio = (others + case.quantity * case.price) / case.equity
    allowed = affordable_quantity(case, case.equity * limit - others)
    return size_check(case, name, ratio, limit, "x", allowed, f"{ratio:.4f} x equity, allowed {number_text(limit)} x")


def open_positions(case: Case, limits: Limits) -> Check:
    """Not too many different assets at once; more of what is held is no new one."""
    name, limit = "open_positions", limits.max_open_positions
    if case.is_exit:
        return exempt_check(name, limit, "positions")
    count = case.exposure.positions + 1
    return Check(
        name=name,
        value=float(count),
        limit=float(limit),
        unit="positions",
        passed=count <= limit or case.taken > 0,
        detail=f"would be {count} assets, allowed {number_text(limit)}",
    )


def class_exposure(case: Case, limits: Limits) -> Check:
    """All assets of the same class together."""
    name, limit = "class_exposure", limits.max_class_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    of = case.exposure
    return _share(case, name, of.class_value, limit, f"of equity in class {of.asset_class}")


def stablecoins(case: Case, limits: Limits) -> Check:
    """Coins that promise to be worth a dollar break that promise together with their issuer."""
    name, limit = "stablecoins", limits.max_stablecoin_percent
    if case.is_exit or case.exposure.asset_class is not AssetClass.STABLECOIN:
        return exempt_check(name, limit, "%", f"{case.instrument.base} is no stable coin")
    return _share(case, name, case.exposure.stablecoin_value, limit, "of equity in stable coins")


def venue_share(case: Case, limits: Limits) -> Check:
    """What a venue could take down with it, as a part of the equity of all accounts."""
    name, limit, of = "venue_share", limits.max_venue_percent, case.exposure
    if case.is_exit:
        return exempt_check(name, limit, "%")
    share = of.venue_equity / of.total_equity * HUNDRED if of.total_equity > 0 else HUNDRED
    return Check(
        name=name,
        value=float(share),
        limit=float(limit),
        unit="%",
        passed=share <= limit,
        detail=f"{share:.2f} % of all equity is on {case.account_venue}, allowed {number_text(limit)} %",
    )


def concentration(case: Case, limits: Limits) -> Check:
    """The Herfindahl index over equity: the sum of the squared shares, of which cash has none."""
    name, limit = "concentration", limits.max_concentration
    if case.is_exit:
        return exempt_check(name, limit, "")
    equity = _equity(case)
    order = float(case.taken + case.quantity * case.price)
    index = (case.exposure.squares + order * order) / (equity * equity)
    most = math.sqrt(max(float(limit) * equity * equity - case.exposure.squares, 0.0))
    return _cut(case, name, index, limit, "", most, f"{index:.4f}, allowed {number_text(limit)}; 1 is a single holding")


def correlated_exposure(case: Case, limits: Limits) -> Check:
    """Markets that move with the ordered one count as one market."""
    name, limit, of = "correlated_exposure", limits.max_correlated_percent, case.exposure
    if case.is_exit:
        return exempt_check(name, limit, "%")
    equity = _equity(case)
    order = float(case.taken + case.quantity * case.price)
    share = (of.correlated_value + order) / equity * 100.0
    most = float(limit) / 100.0 * equity - of.correlated_value
    alike = f" (with {of.correlated_with})" if of.correlated_with else ""
    detail = f"{share:.4f} % of equity moves as one{alike}, allowed {number_text(limit)} %{_assumed(case)}"
    return _cut(case, name, share, limit, "%", most, detail)


def adjusted_exposure(case: Case, limits: Limits) -> Check:
    """The root of w'Rw: what all holdings are together worth in one market that moves as they do."""
    name, limit, of = "adjusted_exposure", limits.max_adjusted_percent, case.exposure
    if case.is_exit:
        return exempt_check(name, limit, "%")
    equity = _equity(case)
    order = float(case.taken + case.quantity * case.price)
    cross = case.sign * of.adjusted_cross
    share = math.sqrt(max(of.adjusted_square + order * (2 * cross + order), 0.0)) / equity * 100.0
    most = largest_within(of.adjusted_square, cross, 1.0, float(limit) / 100.0 * equity)
    return _cut(case, name, share, limit, "%", most, f"{share:.4f} % of equity, allowed {number_text(limit)} %")


def value_at_risk(case: Case, limits: Limits) -> Check:
    """The loss of one day that is not exceeded with a confidence, after the trade, if returns are normal."""
    name, limit, of = "value_at_risk", limits.max_value_at_risk_percent, case.exposure
    if case.is_exit:
        return exempt_check(name, limit, "%")
    equity, own = _equity(case), of.volatility * of.volatility
    order = float(case.taken + case.quantity * case.price)
    quantile = NORMAL.inv_cdf(float(limits.var_confidence))
    covariance = case.sign * of.covariance
    share = quantile * math.sqrt(max(of.variance + order * (2 * covariance + order * own), 0.0)) / equity * 100.0
    most = largest_within(of.variance, covariance, own, float(limit) / 100.0 * equity / quantile)
    confidence = f"{limits.var_confidence * 100:g} %"
    detail = f"{share:.4f} % of equity a day at {confidence}, allowed {number_text(limit)} %{_assumed(case)}"
    return _cut(case, name, share, limit, "%", most, detail)


def liquidation_distance(case: Case, limits: Limits) -> Check:
    """A leveraged position survives so many average ranges of a day; a market nobody has a day of counts as a wild one.
    Nothing liquidates what is paid in full."""
    name, limit = "liquidation_distance", limits.min_liquidation_distance
    if case.is_exit or case.instrument.kind is InstrumentKind.SPOT:
        return exempt_check(
            name, limit, "ATR", "nothing can be liquidated" if not case.is_exit else "an exit is exempt"
        )
    true_range = case.exposure.true_range or ASSUMED_VOLATILITY
    known = "" if case.exposure.true_range else " of an assumed tenth of the price"
    equity, others = _equity(case), float(case.exposure.gross + case.taken)
    order = float(case.quantity * case.price)
    margin = MAINTENANCE_MARGIN if case.maintenance_rate is None else case.maintenance_rate
    distance = max(equity / (others + order) - margin, 0.0) / true_range if order else math.inf
    most = equity / (float(limit) * true_range + margin) - others
    allowed = affordable_quantity(case, Decimal(repr(max(most, 0.0))))
    return Check(
        name=name,
        value=distance,
        limit=float(limit),
        unit="ATR",
        passed=distance >= limit or allowed > 0,
        detail=f"liquidation is {distance:.2f} average ranges{known} away, at least {number_text(limit)}",
        reduced_to=allowed if distance < limit and allowed > 0 else None,
    )


def _share(case: Case, name: str, others: Decimal, limit: Decimal, of_what: str) -> Check:
    """A share of equity: what else counts, what is held and reserved of the judged asset, and the order."""
    if not case.equity > 0:
        raise ValueError(f"equity is {case.equity}, not above 0")
    taken = others + case.taken
    share = (taken + case.quantity * case.price) / case.equity * HUNDRED
    allowed = affordable_quantity(case, case.equity * limit / HUNDRED - taken)
    return size_check(
        case, name, share, limit, "%", allowed, f"{share:.4f} % {of_what}, allowed {number_text(limit)} %"
    )


def _cut(case: Case, name: str, value: float, limit: Decimal, unit: str, most: float, detail: str) -> Check:
    """``most`` is what may be held of the judged asset at the limit, in quote."""
    amount = case.equity * 1_000_000 if math.isinf(most) else Decimal(repr(most))
    allowed = affordable_quantity(case, amount - case.taken)
    return size_check(case, name, Decimal(repr(value)), limit, unit, allowed, detail)


def _equity(case: Case) -> float:
    if not case.equity > 0:
        raise ValueError(f"equity is {case.equity}, not above 0")
    return float(case.equity)


def _assumed(case: Case) -> str:
    return f"; {case.exposure.assumed}" if case.exposure.assumed else ""
