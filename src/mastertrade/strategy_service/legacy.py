"""The shapes of the older API: what its callers pass in becomes columns, and rows become what its callers read."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from mastertrade.domain.market import canonical_symbol, legacy_symbol
from mastertrade.domain.strategy import StrategyStatus
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import ensure_uuid, get_attr, legacy_uuid, row_to_dict, to_serializable

TIMEFRAMES = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
DEFAULT_TIMEFRAME_S = 900
EDITABLE = ("name", "type", "parameters", "configuration", "metadata", "enabled", "allocation")
"""Columns a partial update may set directly; status, is_active and symbols have rules of their own."""
STRATEGY_KEYS = (
    "id",
    "name",
    "type",
    "parameters",
    "configuration",
    "metadata",
    "symbols",
    "is_active",
    "status",
    "enabled",
    "allocation",
    "activation_state",
    "created_at",
    "updated_at",
    "activated_at",
    "deactivated_at",
    "replaced_at",
    "replaced_by",
    "replaces",
    "legacy_id",
)
SIGNAL_KEYS = (
    "id",
    "strategy_id",
    "symbol",
    "signal_type",
    "confidence",
    "price",
    "quantity",
    "metadata",
    "timestamp",
    "created_at",
)


def reference_of(strategy_id: object) -> str:
    """An id of any kind as text that PostgreSQL can hold."""
    text = str(strategy_id).strip().replace("\x00", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def new_strategy(config: Any, fresh_id: UUID) -> dict[str, Any]:
    """The columns of a new strategy out of a StrategyConfig or a generator's dict; a text id of the dict is kept as
    ``legacy_id`` and gives the same UUID in every process (rule R1)."""
    given = get_attr(config, "id")
    reference = "" if given is None else reference_of(given)
    id = ensure_uuid(reference) if reference else fresh_id
    parameters = to_serializable(get_attr(config, "parameters") or {})
    status = status_of(get_attr(config, "status"), get_attr(config, "is_active", True))
    kind = get_attr(config, "type")
    if not kind:
        raise UsageError("a strategy needs a type, such as SMA or RSI")
    return {
        "id": id,
        "legacy_id": reference if reference and id == legacy_uuid("strategies", reference) else None,
        "name": get_attr(config, "name") or reference or str(kind),
        "type": str(kind),
        "timeframe_s": timeframe_of(parameters),
        "parameters": parameters,
        "configuration": to_serializable(get_attr(config, "configuration") or {}),
        "metadata": to_serializable(get_attr(config, "metadata") or {}),
        "status": status,
        "enabled": bool(get_attr(config, "enabled", True)),
        "allocation": float(get_attr(config, "allocation", 1.0)),
        "activation_state": str(get_attr(config, "activation_state", "paper")),
    }


def merged_strategy(row: Row, updates: Mapping[str, Any]) -> dict[str, Any]:
    """The row with a partial update laid over it. A new status decides ``is_active``, not the other way round."""
    merged = {key: to_serializable(updates.get(key, row[key])) for key in EDITABLE}
    if "status" in updates or "is_active" in updates:
        merged["status"] = status_of(updates.get("status"), updates.get("is_active"))
    else:
        merged["status"] = row["status"]
    has_timeframe = "parameters" in updates and "timeframe" in merged["parameters"]
    merged["timeframe_s"] = timeframe_of(merged["parameters"]) if has_timeframe else row["timeframe_s"]
    return merged


def status_of(status: Any, is_active: Any) -> str:
    """The life-cycle status, checked; without one it follows the older flag."""
    if status is None:
        return (StrategyStatus.ACTIVE if is_active else StrategyStatus.INACTIVE).value
    try:
        return StrategyStatus(str(getattr(status, "value", status)).lower()).value
    except ValueError:
        raise UsageError(f"strategy status {status!r} is unknown; known: {', '.join(StrategyStatus)}") from None


def timeframe_of(parameters: Mapping[str, Any]) -> int:
    """Seconds of a bar; a generated strategy states its timeframe among its parameters."""
    name = parameters.get("timeframe")
    if name is None:
        return DEFAULT_TIMEFRAME_S
    if name not in TIMEFRAMES:
        raise UsageError(f"timeframe {name!r} is unknown; known: {', '.join(TIMEFRAMES)}")
    return TIMEFRAMES[name]


def symbol_entries(symbols: Any) -> list[dict[str, Any]]:
    """Symbols given as text or as ``{symbol, weight, metadata}``, in the platform's spelling."""
    entries = [symbol if isinstance(symbol, Mapping) else {"symbol": symbol} for symbol in symbols or ()]
    return [
        {
            "symbol": canonical_symbol(str(entry["symbol"])),
            "weight": float(entry.get("weight", 1.0)),
            "metadata": entry.get("metadata") or {},
        }
        for entry in entries
    ]


def strategy_dict(row: Row) -> dict[str, Any]:
    data = row_to_dict(row)
    data["symbols"] = [entry | {"symbol": legacy_symbol(entry["symbol"])} for entry in data["symbols"]]
    return {key: to_serializable(data[key]) for key in STRATEGY_KEYS}


def signal_dict(row: Row) -> dict[str, Any]:
    """``metadata`` also shows the stored evidence, where older readers look for indicator values."""
    data = row_to_dict(row)
    data |= {"symbol": legacy_symbol(data["symbol"]), "metadata": data["evidence"] | data["metadata"]}
    return {key: to_serializable(data[key]) for key in SIGNAL_KEYS}


def plain_dict(row: Row) -> dict[str, Any]:
    """Every column, in JSON's types."""
    return {key: to_serializable(value) for key, value in row_to_dict(row).items()}
