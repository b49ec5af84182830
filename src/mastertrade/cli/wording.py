"""Numbers and times as people read them; machines get them exactly, as JSON."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

NOTHING: Final = "-"
PRICE_DIGITS: Final = 8
"""Significant digits of a price: more than any venue quotes, fewer than a division leaves behind."""
MEASURE_DIGITS: Final = 6
SMALL_DIGITS: Final = 4
"""Of a measure below 1, where zeros take the room."""
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def counted(value: int, noun: str, plural: str = "") -> str:
    """``1 gap``, ``2 gaps``."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def amount(value: Decimal | float | int | str | None) -> str:
    """A quantity or booking to its last digit: ``1234.50000`` as ``1,234.5``."""
    if value is None:
        return NOTHING
    text = f"{Decimal(str(value)):,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def money(value: Decimal | float | int | str | None) -> str:
    """Of an account's quote asset, to the cent."""
    return NOTHING if value is None else f"{Decimal(str(value)):,.2f}"


def price(value: Decimal | float | int | str | None) -> str:
    return _significant(value, PRICE_DIGITS)


def measure(value: Decimal | float | int | str | None) -> str:
    """A statistic or the value of a check."""
    is_small = value is not None and abs(Decimal(str(value))) < 1
    return _significant(value, SMALL_DIGITS if is_small else MEASURE_DIGITS)


def _significant(value: Decimal | float | int | str | None, digits: int) -> str:
    """Rounded to that many significant digits, but never before the point, and without an exponent."""
    if value is None:
        return NOTHING
    exact = Decimal(str(value))
    if not exact.is_finite() or exact == 0:
        return amount(value)
    return amount(f"{exact:.{max(0, digits - 1 - exact.adjusted())}f}")


def signed_share(value: float | Decimal) -> str:
    """A fraction as a percentage with its sign; no ``-0.00%``."""
    text = f"{value:+.2%}"
    return text if text.strip("+-0.%") else "0.00%"


def moment(value: datetime | str | None) -> str:
    """A time to the second, UTC."""
    at = _time(value)
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def clock_time(value: datetime | str | None) -> str:
    """The time of a day to the millisecond, UTC."""
    at = _time(value)
    return NOTHING if at is None else f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def milliseconds(earlier: datetime | str | None, later: datetime | str | None) -> str:
    begin, end = _time(earlier), _time(later)
    return "" if begin is None or end is None else f"+{(end - begin).total_seconds() * 1000:,.1f} ms"


def seconds(value: float) -> str:
    """A duration as a clock shows it from a minute on."""
    if value < 60:
        return f"{value:.0f} s"
    hours, rest = divmod(int(value), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def interval(value_s: int | None) -> str:
    """``900`` as ``15m``."""
    if not value_s:
        return NOTHING
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if value_s % length == 0:
            return f"{value_s // length}{unit}"
    return f"{value_s}s"


def size(value: int) -> str:
    number, unit = float(value), UNITS[0]
    for unit in UNITS:
        if number < 1024 or unit == UNITS[-1]:
            break
        number /= 1024
    return f"{number:,.0f} {unit}"


def words(name: Any) -> str:
    """A name of the program as people say it: ``min_notional`` as ``min notional``."""
    return str(name).replace("_", " ")


def _time(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
