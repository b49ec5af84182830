"""Positions in the shapes of the older API: what its callers pass in becomes columns, rows become what they read."""

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar

from mastertrade.domain.market import canonical_symbol, legacy_symbol
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import (
    coerce_enum,
    ensure_text_id,
    ensure_uuid,
    exact_decimal,
    row_to_dict,
    to_serializable,
)

log = logging.getLogger(__name__)
E = TypeVar("E", bound=Enum)
MAX_DECIMALS = 18
MANY_DIGITS = 400
"""Room for any float written out."""
SIDES = {"long": "long", "buy": "long", "short": "short", "sell": "short"}
MONEY_KEYS = (
    "quantity",
    "entry_price",
    "current_price",
    "unrealized_pnl",
    "realized_pnl",
    "stop_loss_price",
    "take_profit_price",
    "position_value_usd",
)
CLEARABLE = ("current_price", "stop_loss_price", "take_profit_price")
POSITION_KEYS = (
    *("id", "strategy_id", "symbol", "side", *MONEY_KEYS, "status", "current_value_usd", "size_usd"),
    *("risk_score", "metadata", "created_at", "updated_at", "closed_at"),
)
NEVER_CHANGED = frozenset(
    {"id", "strategy_id", "symbol", "created_at", "updated_at", "closed_at", "current_value_usd", "size_usd"}
    | {"update_type", "type", "timestamp", "environment", "schema_version", "message_id", "correlation_id"}
)
"""Identity, what follows from other columns, and the envelope of a message."""


def amount(value: Any) -> Decimal:
    """An exact number of what an older caller passes. A float's digits beyond the eighteenth decimal are noise of its
    own arithmetic and are cut; NaN and infinities are refused."""
    if isinstance(value, float) and isfinite(value):
        return exact_decimal(rounded(Decimal(repr(value))))
    return exact_decimal(value)


def rounded(number: Decimal) -> Decimal:
    """At most eighteen decimals, as the amount columns hold; ``round()`` would fail for large numbers."""
    with localcontext(prec=MANY_DIGITS):
        return round(number, MAX_DECIMALS).normalize()


def optional_amount(value: Any) -> Decimal | None:
    return None if value is None else amount(value)


def stored_symbol(symbol: str) -> str:
    """``BASE/QUOTE``; a name that is no pair (an index, a whole portfolio) stays as it is, in upper case."""
    try:
        return canonical_symbol(symbol)
    except ValueError:
        return symbol.strip().upper()


def strategy_columns(reference: Any) -> dict[str, Any]:
    """The id of rule R1 and the text it was made of; both empty for no strategy."""
    if reference is None or str(reference) == "":
        return {"strategy_id": None, "strategy_ref": None}
    return {"strategy_id": ensure_uuid(reference), "strategy_ref": str(reference)}


def known_member(kind: type[E], value: Any, aliases: Mapping[str, E]) -> E:
    """The member meant; what is stored must be one."""
    member = coerce_enum(kind, value, aliases)
    if not isinstance(member, kind):
        raise UsageError(f"{kind.__name__} {value!r} is unknown; known: {', '.join(str(m.value) for m in kind)}")
    return member


def shown_member(kind: type[E], value: Any, aliases: Mapping[str, E]) -> Any:
    """The member meant; text that means none stays text, and is logged once."""
    member = coerce_enum(kind, value, aliases)
    if not isinstance(member, kind):
        _log_unknown(kind.__name__, str(value))
    return member


@lru_cache(maxsize=256)
def _log_unknown(kind: str, value: str) -> None:
    log.warning("unknown %s %r is shown as it is", kind, value)


# --- positions ---


def new_position(data: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """The columns of a new position. Keys we have no column for, and a strategy's text id, go to the metadata."""
    missing = [key for key in ("symbol", "side", "quantity", "entry_price") if data.get(key) is None]
    if missing:
        raise UsageError(f"a position needs {', '.join(missing)}")
    strategy = strategy_columns(data.get("strategy_id"))
    metadata = _metadata(data)
    if strategy["strategy_ref"] and strategy["strategy_ref"] != str(strategy["strategy_id"]):
        metadata["strategy_ref"] = strategy["strategy_ref"]
    position = {key: optional_amount(data.get(key)) for key in MONEY_KEYS}
    position["current_price"] = position["current_price"] or position["entry_price"]
    position["realized_pnl"] = position["realized_pnl"] or Decimal(0)
    status = _status(data.get("status") or "open")
    columns: dict[str, Any] = {
        **position,
        "side": position_side(data["side"]),
        "status": status,
        "risk_score": float(data.get("risk_score") or 0),
        "metadata": metadata,
        "closed_at": at if status == "closed" else None,
    }
    _revalue(columns)
    identity = {"id": ensure_text_id(data.get("id")), "symbol": canonical_symbol(data["symbol"]), "at": at}
    return columns | strategy | identity


def changed_position(row: Row, updates: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """The row with a partial update laid over it; what a changed price or quantity implies is computed anew."""
    columns: dict[str, Any] = {
        key: optional_amount(updates[key])
        if key in updates and (key in CLEARABLE or updates[key] is not None)
        else row[key]
        for key in MONEY_KEYS
    }
    columns["side"] = position_side(updates.get("side") or row["side"])
    columns["status"] = _status(updates.get("status") or row["status"])
    columns["risk_score"] = float(updates["risk_score"] if updates.get("risk_score") is not None else row["risk_score"])
    columns["metadata"] = {**row["metadata"], **_metadata(updates)}
    columns["closed_at"] = (row["closed_at"] or at) if columns["status"] == "closed" else None
    if not updates.keys().isdisjoint({"quantity", "current_price", "entry_price", "side"}):
        _revalue(columns)
    return columns | {"id": row["id"], "at": at}


def profit(row: Row, price: Decimal) -> Decimal:
    """What the whole position makes when it is given up at a price."""
    direction = 1 if row["side"] == "long" else -1
    return rounded((price - row["entry_price"]) * row["quantity"] * direction)


def position_dict(row: Row) -> dict[str, Any]:
    plain = row_to_dict(row)
    plain["symbol"] = legacy_symbol(plain["symbol"])
    plain["current_value_usd"] = plain["size_usd"] = plain["position_value_usd"]
    for key in ("created_at", "updated_at", "closed_at"):
        plain[key] = plain[key].isoformat() if plain[key] else None
    return {key: plain[key] for key in POSITION_KEYS}


def _revalue(columns: dict[str, Any]) -> None:
    price = columns["current_price"] or columns["entry_price"]
    columns["position_value_usd"] = rounded(columns["quantity"] * price)
    columns["unrealized_pnl"] = profit(columns, price) if columns["status"] == "open" else Decimal(0)


def _metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    known = {*MONEY_KEYS, *NEVER_CHANGED, "side", "status", "risk_score", "metadata"}
    unknown = {key: value for key, value in data.items() if key not in known}
    merged: dict[str, Any] = to_serializable({**(data.get("metadata") or {}), **unknown})
    return merged


def position_side(value: Any) -> str:
    side = SIDES.get(str(getattr(value, "value", value)).lower())
    if side is None:
        raise UsageError(f"side {value!r} is none of {', '.join(SIDES)}")
    return side


def _status(value: Any) -> str:
    status = str(getattr(value, "value", value)).lower()
    if status not in ("open", "closed"):
        raise UsageError(f"position status {value!r} is neither open nor closed")
    return status
