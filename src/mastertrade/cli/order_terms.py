"""What people write about how long an order stands and what it must not do."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mastertrade.domain.orders import Side, Terms, TimeInForce
from mastertrade.shared.errors import UsageError
from mastertrade.shared.exact_numbers import shortened
from mastertrade.shared.serialization import parse_datetime

_DURATION: Final = re.compile(r"([0-9]+)(s|m|h|d)")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def read_terms(
    side: Side, *, tif: str, until: str, post_only: bool, reduce_only: bool, has_limit: bool, is_swap: bool = False
) -> Terms:
    """UsageError for words that are none, and for what does not go together. A time alone means GTD. A time that counts
    from the market's present is for ``read_lasts``, and leaves the terms without one."""
    if read_lasts(until) is not None:
        if tif.strip().upper() not in ("", "GTD"):
            raise UsageError(f"--tif {tif} does not end at a time; leave --until {until} out, or use --tif gtd")
        tif, until = "gtc", ""
        if not has_limit:
            raise UsageError("--until: a market order cannot have it; give a limit price (--limit), or leave it out")
    name = tif.strip().upper() or ("GTD" if until else "GTC")
    if name not in TimeInForce.__members__:
        raise UsageError(f"--tif {tif!r}: must be one of {', '.join(one.lower() for one in TimeInForce)}")
    try:
        terms = Terms(
            time_in_force=TimeInForce(name),
            expires_at=read_time(until) if until else None,
            post_only=post_only,
            reduce_only=reduce_only,
        )
        terms.require_fit(side, has_limit=has_limit, is_swap=is_swap)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return terms


def read_lasts(text: str) -> timedelta | None:
    """Of 90m, 8h or 1d12h; None for anything else."""
    parts = _DURATION.findall(text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        return None
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    except (OverflowError, ValueError):
        raise UsageError(f"{shortened(text)} is no time anybody waits for; write it like 90m, 8h or 1d12h") from None


def terms_words(row: Mapping[str, Any]) -> str:
    """Of an order's row, as the end of a sentence; nothing for an ordinary order."""
    terms = Terms(
        time_in_force=TimeInForce(row["time_in_force"]),
        expires_at=row["expires_at"],
        post_only=row["post_only"],
        reduce_only=row["reduce_only"],
    )
    return f", {terms}" if str(terms) else ""


def read_time(text: str) -> datetime:
    try:
        found = parse_datetime(text).astimezone(UTC)
        if not 1900 <= found.year < 2200:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--until {shortened(text)} is no time; write it like 2026-01-05T13:00, in UTC, or like 8h"
        ) from None
    return found
