"""How a report says numbers, times and lengths. Whatever the data cannot give is a dash, never NaN."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mastertrade.quant.metrics import DAY_MS

NOTHING = "–"
LONGEST_PARAMETER = 60
"""Letters of one that are shown as they are."""
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def known(value: float | None) -> float | None:
    """The value, or None where it is no number one could show."""
    return value if value is not None and math.isfinite(value) else None


def percent(fraction: float | None, digits: int = 2, *, sign: bool = True) -> str:
    if (value := known(fraction)) is None:
        return NOTHING
    return f"{_unsigned_zero(value * 100, digits):{'+' if sign else ''},.{digits}f} %"


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    if (shown := known(value)) is None:
        return NOTHING
    return f"{_unsigned_zero(shown, digits):{'+' if sign else ''},.{digits}f}"


def significant(value: float | None, digits: int = 6) -> str:
    """A price or a quantity: as many digits as tell something, none of them an exponent."""
    if (shown := known(value)) is None:
        return NOTHING
    if shown == 0.0:
        return "0"
    decimals = min(max(digits - 1 - math.floor(math.log10(abs(shown))), 0), 12)
    text = f"{shown:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parameter(value: Any) -> str:
    """A parameter as somebody would type it; one that is a whole document by its name."""
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else NOTHING
    text = str(value)
    return f"'{_name_of(text)}'" if len(text) > LONGEST_PARAMETER else text


def parameters(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={parameter(value)}" for name, value in values.items())


def day(time_ms: float | None) -> str:
    """1 Mar 2021."""
    if time_ms is None:
        return NOTHING
    time = moment_of(time_ms)
    return f"{time.day} {time:%b %Y}"


def minute(time_ms: float) -> str:
    return f"{moment_of(time_ms):%Y-%m-%d %H:%M}"


def iso(time_ms: float) -> str:
    """Exact to the millisecond."""
    return moment_of(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(time_ms: float) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def days(length_ms: float) -> str:
    """How long, in the unit a person would use."""
    if length_ms < 2 * DAY_MS:
        return f"{length_ms / 3_600_000:.1f} hours"
    return f"{length_ms / DAY_MS:,.0f} days"


def interval(seconds: int) -> str:
    """60 is 1m, 14400 is 4h."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def count(amount: int, noun: str, plural: str = "") -> str:
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def _name_of(text: str) -> str:
    try:
        name = json.loads(text)["name"]
    except (ValueError, KeyError, TypeError):
        name = ""
    return str(name) or text[: LONGEST_PARAMETER - 1] + "…"


def _unsigned_zero(value: float, digits: int) -> float:
    """-0.001 to two digits is 0.00, not -0.00."""
    return 0.0 if abs(value) < 0.5 * 10**-digits else value
