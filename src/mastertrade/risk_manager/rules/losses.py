"""Has too much been lost for taking new risk: in the day, the week, and from the highest equity ever."""

from decimal import Decimal

from mastertrade.domain.risk import Check
from mastertrade.risk_manager.breaker import breaker_level, loss_percent
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.checks import exempt_check, number_text, size_check
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.sizing import HUNDRED, whole_lots


def daily_loss(case: Case, limits: Limits) -> Check:
    """Equity, unrealised results included, has not lost more since the start of the UTC day."""
    return _loss("daily_loss", case, case.day_start_equity, limits.max_daily_loss_percent, "the day's start")


def weekly_loss(case: Case, limits: Limits) -> Check:
    """The same since Monday."""
    return _loss("weekly_loss", case, case.week_start_equity, limits.max_weekly_loss_percent, "the week's start")


def drawdown(case: Case, limits: Limits) -> Check:
    """Equity is not further below its highest value ever."""
    return _loss("drawdown", case, case.high_water_mark, limits.max_drawdown_percent, "the high-water mark")


def circuit_breaker(case: Case, limits: Limits) -> Check:
    """The deeper the account is down, the smaller its entries; from the second level on there are none."""
    name, limit = "circuit_breaker", limits.breaker_level_2_percent
    if case.is_exit:
        return exempt_check(name, limit, "%")
    down = loss_percent(case.high_water_mark, case.equity)
    day = loss_percent(case.day_start_equity, case.equity)
    level = breaker_level(down, day, limits)
    losses = f"{down:.2f} % below the high-water mark, {day:.2f} % in the day"
    if case.breaker_override or level.multiplier == 1:
        return Check(
            name=name,
            value=float(down),
            limit=float(limit),
            unit="%",
            passed=True,
            detail=f"{level}, {losses}" + (f"; {case.breaker_override}" if case.breaker_override else ""),
        )
    allowed = whole_lots(case, case.requested * level.multiplier)
    detail = f"{level} takes entries to {level.multiplier}: {losses}"
    return size_check(case, name, down, limit, "%", allowed, detail)


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
