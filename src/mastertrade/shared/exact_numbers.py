"""Exact numbers: what may be a Decimal of ours, looked at before anything is computed with it."""

import re
from decimal import Decimal

from mastertrade.shared.errors import BadData

MAX_WHOLE_DIGITS = 24
MAX_SCALE = 18
"""Bounds of every exact number, as in the schema's amount domains: below 1e24 with at most 18 decimals."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)


def exact_decimal(value: Decimal | int | float | str) -> Decimal:
    """The value as a finite Decimal within the bounds, with nothing rounded. Exponents are looked at before anything is
    computed: one hostile number could otherwise hold the process for minutes. A float counts as its shortest text."""
    number = value if type(value) is Decimal else _decimal_of(value)
    if not number.is_finite():
        raise BadData(f"{number} is not a finite number")
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if not number:
        return Decimal((sign, (0,), min(0, max(exponent, -MAX_SCALE))))
    if number.adjusted() >= MAX_WHOLE_DIGITS:
        raise BadData(f"{shortened(number)} is too large: the limit is below 1e{MAX_WHOLE_DIGITS}")
    surplus = -exponent - MAX_SCALE
    if surplus <= 0:
        return number
    if surplus >= len(digits) or any(digits[-surplus:]):
        raise BadData(
            f"{shortened(number)} has {-exponent} decimals: the limit is {MAX_SCALE}; round it knowingly first"
        )
    return Decimal((sign, digits[:-surplus], -MAX_SCALE))


def decimal_of(value: float) -> Decimal:
    """A float as the shortest decimal that is it; digits past the 18th are noise of tiny numbers and are rounded."""
    exact = Decimal(repr(float(value)))
    return exact if int(exact.as_tuple().exponent) >= -MAX_SCALE else round(exact, MAX_SCALE)


def _decimal_of(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        raise BadData(f"{shortened(value)} is not a number but {type(value).__name__}; pass a Decimal")
    if isinstance(value, float):
        return Decimal(float.__repr__(value))
    if isinstance(value, int) and value.bit_length() > 100:
        raise BadData(
            f"a whole number of {value.bit_length()} bits is too large: the limit is below 1e{MAX_WHOLE_DIGITS}"
        )
    if isinstance(value, str) and not (len(value) <= 64 and _NUMBER.fullmatch(value)):
        raise BadData(f"{shortened(value)} is not a plain decimal number such as 12.5 or -3e-7")
    return Decimal(value)


def shortened(value: object) -> str:
    """The value for a message, never longer than a line."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
