"""The shapes of the older API: venues as dicts and text keys, rows as its callers read them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import decimal_of, row_to_dict, to_serializable

CHAIN_TYPE = "intra_chain"
OPPORTUNITY_KEYS = (
    "id",
    "pair",
    "buy_venue",
    "sell_venue",
    "buy_price",
    "sell_price",
    "profit_percent",
    "estimated_profit_usd",
    "trade_amount",
    "gas_cost",
    "arbitrage_type",
    "timestamp",
    "executed",
    "execution_id",
    "metadata",
)
STATUSES = ("pending", "success", "failed", "partial")


def venue_key(venue: Mapping[str, Any]) -> str:
    """``cex:binance`` or ``dex:gnosis:honeyswap`` of a venue as the older system describes it."""
    if str(venue.get("type", "")).lower() == "dex" or venue.get("dex"):
        return f"dex:{venue.get('chain') or 'unknown'}:{venue.get('dex') or venue.get('name') or 'unknown'}"
    return f"cex:{venue.get('exchange') or venue.get('name') or 'unknown'}"


def venue_dict(key: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The venue as it was given; what only has a key is described from it."""
    if data:
        return dict(data)
    kind, _, rest = key.partition(":")
    if kind != "dex":
        return {"type": "cex", "exchange": rest or key}
    chain, _, dex = rest.partition(":")
    return {"type": "dex", "chain": chain, "dex": dex}


def split_type(arbitrage_type: str) -> tuple[str, str | None]:
    """``intra_chain_gnosis`` is the type ``intra_chain`` on the chain ``gnosis``."""
    prefix = f"{CHAIN_TYPE}_"
    if arbitrage_type.startswith(prefix):
        return CHAIN_TYPE, arbitrage_type.removeprefix(prefix)
    return arbitrage_type, None


def status_of(result: Mapping[str, Any]) -> str:
    """How an attempt ended; without a status it failed, unless the result says that it succeeded."""
    status = result.get("status")
    if status is None:
        return "success" if result.get("success") else "failed"
    text = str(getattr(status, "value", status)).lower()
    text = {"completed": "success"}.get(text, text)
    if text not in STATUSES:
        raise UsageError(f"execution status {status!r} is unknown; known: {', '.join(STATUSES)}")
    return text


def opportunity_dict(row: Row) -> dict[str, Any]:
    data = row_to_dict(row)
    data["buy_venue"] = venue_dict(data["buy_venue"], data["buy_venue_data"])
    data["sell_venue"] = venue_dict(data["sell_venue"], data["sell_venue_data"])
    return {key: to_serializable(data[key]) for key in OPPORTUNITY_KEYS}


def triangular_dict(row: Row) -> dict[str, Any]:
    data = plain_dict(row)
    route = data.pop("route")
    return data | {"path": route.get("path", []), "prices": route.get("prices", [])}


def plain_dict(row: Row) -> dict[str, Any]:
    """Every column, in JSON's types."""
    return {key: to_serializable(value) for key, value in row_to_dict(row).items()}


def optional_decimal(value: float | None) -> Decimal | None:
    return None if value is None else decimal_of(value)
