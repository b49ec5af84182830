"""How checks of one kind are written down."""

from decimal import Context, Decimal

from mastertrade.domain.risk import Check
from mastertrade.risk_manager.case import Case

EXIT_PASSES = "an exit is exempt"
SHORT = Context(prec=10)


def size_check(
    case: Case, name: str, value: Decimal, limit: Decimal, unit: str, allowed: Decimal, detail: str
) -> Check:
    """Passes whole, passes cut to ``allowed`` whole lots, or fails because not one lot is allowed."""
    fits = case.quantity <= allowed
    return Check(
        name=name,
        value=float(value),
        limit=float(limit),
        unit=unit,
        passed=fits or allowed > 0,
        detail=detail,
        reduced_to=None if fits or allowed <= 0 else allowed,
    )


def exempt_check(name: str, limit: Decimal | None, unit: str, detail: str = EXIT_PASSES) -> Check:
    return Check(
        name=name, value=None, limit=None if limit is None else float(limit), unit=unit, passed=True, detail=detail
    )


def number_text(number: Decimal) -> str:
    """For people: ten significant digits, no exponent, no trailing zeros."""
    return f"{number.normalize(SHORT):f}" if number else "0"
