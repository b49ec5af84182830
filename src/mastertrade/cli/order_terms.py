"""What people write about how long an order stands and what it must not do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mastertrade.domain.orders import Side, Terms, TimeInForce
from mastertrade.shared.errors import UsageError
from mastertrade.shared.serialization import parse_datetime


def read_terms(side: Side, *, tif: str, until: str, post_only: bool, reduce_only: bool, has_limit: bool) -> Terms:
    """UsageError for words that are none, and for what does not go together. A time alone means GTD."""
    name = tif.strip().upper() or ("GTD" if until else "GTC")
    if name not in TimeInForce.__members__:
        raise UsageError(f"--tif {tif}: must be one of {', '.join(one.lower() for one in TimeInForce)}")
    try:
        terms = Terms(
            time_in_force=TimeInForce(name),
            expires_at=read_time(until) if until else None,
            post_only=post_only,
            reduce_only=reduce_only,
        )
        terms.require_fit(side, has_limit=has_limit)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return terms


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
        return parse_datetime(text).astimezone(UTC)
    except ValueError:
        raise UsageError(f"--until {text!r} is no time; write it like 2026-01-05T13:00, in UTC") from None
