"""Stop-losses, alerts and metrics in the shapes of the older API: models and dicts become columns and come back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mastertrade.domain.market import legacy_symbol
from mastertrade.domain.risk import RiskLevel
from mastertrade.risk_manager.breaches import ALERT_PREFIXES
from mastertrade.risk_manager.legacy import (
    amount,
    known_member,
    optional_amount,
    position_side,
    shown_member,
    stored_symbol,
    strategy_columns,
)
from mastertrade.risk_manager.models import (
    ALERT_ALIASES,
    SEVERITY_ALIASES,
    STOP_STATUS_ALIASES,
    STOP_TYPE_ALIASES,
    AlertType,
    RiskAlert,
    StopLossConfig,
    StopLossOrder,
    StopLossStatus,
    StopLossType,
)
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import (
    AttrDict,
    coerce_enum,
    get_attr,
    parse_datetime,
    row_to_dict,
    to_serializable,
)

# --- stop-losses ---


def stop_columns(order: Any) -> dict[str, Any]:
    """The changing columns of a stop, out of a StopLossOrder or a dict."""
    return {
        "id": str(get_attr(order, "id")),
        "status": stop_status(get_attr(order, "status") or StopLossStatus.ACTIVE).value,
        "current_price": amount(get_attr(order, "current_price") or get_attr(order, "entry_price") or 0),
        "stop_price": amount(get_attr(order, "stop_price") or 0),
        "config": to_serializable(get_attr(order, "config") or {}),
        "trigger_count": int(get_attr(order, "trigger_count") or 0),
        "profit_loss": amount(get_attr(order, "profit_loss") or 0),
        "highest_price": optional_amount(get_attr(order, "highest_price") or None),
        "lowest_price": optional_amount(get_attr(order, "lowest_price") or None),
        "metadata": to_serializable(get_attr(order, "metadata") or {}),
    }


def new_stop(order: Any, *, at: datetime) -> dict[str, Any]:
    position_id = get_attr(order, "position_id")
    if not position_id or not get_attr(order, "symbol"):
        raise UsageError("a stop-loss needs position_id and symbol")
    created = get_attr(order, "created_at")
    created_at = parse_datetime(created) if created else at
    updated = get_attr(order, "last_updated") or get_attr(order, "updated_at")
    columns = stop_columns(order)
    entry = get_attr(order, "entry_price") or 0
    if not get_attr(order, "id"):
        columns["id"] = f"sl_{position_id}_{int(created_at.timestamp())}"
    side = get_attr(order, "side")
    config = get_attr(order, "config") or {}
    wanted = get_attr(order, "stop_type") or get_attr(config, "stop_type") or StopLossType.FIXED
    return columns | {
        "position_id": str(position_id),
        "symbol": stored_symbol(get_attr(order, "symbol")),
        "side": position_side(side) if side else None,
        "stop_type": known_member(StopLossType, wanted, STOP_TYPE_ALIASES).value,
        "entry_price": amount(entry),
        "initial_stop_price": amount(get_attr(order, "initial_stop_price") or get_attr(order, "stop_price") or 0),
        "quantity": amount(get_attr(order, "quantity") or 0),
        "created_at": created_at,
        "updated_at": parse_datetime(updated) if updated else created_at,
    }


def stop_status(value: Any) -> StopLossStatus:
    return known_member(StopLossStatus, value, STOP_STATUS_ALIASES)


def stop_order(row: Row) -> StopLossOrder:
    plain = row_to_dict(row)
    metadata = dict(plain["metadata"])
    orphaned = metadata.pop("legacy_position_id", None)
    stop_type = shown_member(StopLossType, plain["stop_type"], STOP_TYPE_ALIASES)
    extremes = {
        key: plain[key] if plain[key] is not None else float(metadata.get(key) or plain["entry_price"])
        for key in ("highest_price", "lowest_price")
    }
    return StopLossOrder(
        id=plain["id"],
        position_id=plain["position_id"] or str(orphaned or ""),
        symbol=legacy_symbol(plain["symbol"]),
        stop_type=stop_type,
        status=shown_member(StopLossStatus, plain["status"], STOP_STATUS_ALIASES),
        entry_price=plain["entry_price"],
        current_price=plain["current_price"],
        stop_price=plain["stop_price"],
        initial_stop_price=plain["initial_stop_price"],
        quantity=plain["quantity"],
        created_at=plain["created_at"],
        last_updated=plain["updated_at"],
        config=_stop_config(plain["config"], stop_type),
        profit_loss=plain["profit_loss"],
        trigger_count=plain["trigger_count"],
        metadata=metadata,
        **extremes,
    )


def _stop_config(config: Mapping[str, Any], stop_type: StopLossType) -> StopLossConfig:
    known = {key: config[key] for key in StopLossConfig.__dataclass_fields__ if config.get(key) is not None}
    found = coerce_enum(StopLossType, known.pop("stop_type", None), STOP_TYPE_ALIASES)
    known["initial_stop_percent"] = float(known.get("initial_stop_percent", 0.0))
    return StopLossConfig(stop_type=found if isinstance(found, StopLossType) else stop_type, **known)


# --- alerts and metrics ---


def alert_columns(alert: Any, *, at: datetime) -> dict[str, Any]:
    """The columns of an alert, out of a RiskAlert or a dict. A missing id is made of its kind, symbol and second."""
    kind = coerce_enum(AlertType, get_attr(alert, "alert_type"), ALERT_ALIASES)
    if not kind:
        raise UsageError("an alert needs alert_type")
    created = get_attr(alert, "created_at") or get_attr(alert, "timestamp")
    created_at = parse_datetime(created) if created else at
    symbol, resolved = get_attr(alert, "symbol"), get_attr(alert, "resolved_at")
    status = "resolved" if resolved else get_attr(alert, "status")
    is_resolved = status == "resolved"
    parts = [ALERT_PREFIXES.get(kind, str(kind)), *([symbol] if symbol else []), str(int(created_at.timestamp()))]
    return {
        "id": str(get_attr(alert, "id") or "_".join(parts)),
        "created_at": created_at,
        "alert_type": str(getattr(kind, "value", kind)),
        "severity": known_member(RiskLevel, get_attr(alert, "severity") or RiskLevel.MEDIUM, SEVERITY_ALIASES).value,
        "title": get_attr(alert, "title"),
        "message": get_attr(alert, "message") or get_attr(alert, "title") or "",
        "symbol": stored_symbol(symbol) if symbol else None,
        "current_value": _number(get_attr(alert, "current_value")),
        "threshold_value": _number(get_attr(alert, "threshold_value")),
        "recommendation": get_attr(alert, "recommendation"),
        "metadata": to_serializable(get_attr(alert, "metadata") or {}),
        "status": status,
        "resolved_at": (parse_datetime(resolved) if resolved else at) if is_resolved else None,
        "at": at,
        **strategy_columns(get_attr(alert, "strategy_id")),
    }


def risk_alert(row: Row) -> RiskAlert:
    recommendation = row["recommendation"] or row["metadata"].get("recommendation") or ""
    return RiskAlert(
        id=row["id"],
        alert_type=shown_member(AlertType, row["alert_type"], ALERT_ALIASES),
        severity=shown_member(RiskLevel, row["severity"], SEVERITY_ALIASES),
        title=row["title"] or "",
        message=row["message"] or "",
        symbol=legacy_symbol(row["symbol"]) if row["symbol"] else None,
        current_value=float(row["current_value"] or 0.0),
        threshold_value=float(row["threshold_value"] or 0.0),
        recommendation=recommendation,
        created_at=row["timestamp"],
        resolved_at=row["resolved_at"],
        metadata=row["metadata"],
    )


def alert_row(row: Row) -> AttrDict:
    plain = AttrDict(row_to_dict(row))
    plain["symbol"] = legacy_symbol(plain["symbol"]) if plain["symbol"] else None
    plain["created_at"] = plain["timestamp"]
    plain["alert_type"] = shown_member(AlertType, plain["alert_type"], ALERT_ALIASES)
    plain["severity"] = shown_member(RiskLevel, plain["severity"], SEVERITY_ALIASES)
    return plain


def metrics_row(row: Row) -> AttrDict:
    plain = AttrDict({**row["metrics"], "id": str(row["id"]), "date": row["date"], "timestamp": row["timestamp"]})
    for key in ("created_at", "updated_at"):
        if plain.get(key):
            plain[key] = parse_datetime(plain[key])
    if plain.get("risk_level") is not None:
        plain["risk_level"] = shown_member(RiskLevel, plain["risk_level"], SEVERITY_ALIASES)
    return plain


def _number(value: Any) -> float | None:
    number: float | None = to_serializable(None if value is None else float(value))
    return number
