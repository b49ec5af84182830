"""The shapes of the older API: what its callers pass in becomes exact values, and rows become what its callers read."""

from typing import Any

from mastertrade.domain.market import canonical_symbol, legacy_symbol
from mastertrade.domain.orders import LEGAL_MOVES, Environment, OrderStatus
from mastertrade.order_executor.models import Order
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import row_to_dict, to_serializable

DEFAULT_POSITION_SIZE = 0.1
"""Base units of an order of a strategy without a limit of its own, as in the older system."""
ENVIRONMENT_NAMES = {"live": "production", "sandbox": "testnet"}
STATUS_WORDS = {
    "new": OrderStatus.OPEN,
    "pending": OrderStatus.OPEN,
    "pending_new": OrderStatus.OPEN,
    "accepted": OrderStatus.OPEN,
    "partial": OrderStatus.PARTIALLY_FILLED,
    "closed": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELED,
    "timeout": OrderStatus.EXPIRED,
    "expired_in_match": OrderStatus.EXPIRED,
    "failed": OrderStatus.REJECTED,
} | {status.value.lower(): status for status in OrderStatus if status is not OrderStatus.NEW}
"""What exchanges and older callers call our states. Their ``new`` is an order that rests, our NEW one not yet sent."""
SEEN_AS_NEW = frozenset(
    {
        OrderStatus.SUBMITTING,
        OrderStatus.UNKNOWN,
        OrderStatus.OPEN,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }
)
ORDER_KEYS = tuple(Order.model_fields)


def text_of(value: object) -> str:
    """An id of any kind as text that PostgreSQL can hold."""
    text = str(value).strip().replace("\x00", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def environment_of(name: str | None) -> Environment:
    """The environment by its name or the older one; paper when none is given."""
    if name is None:
        return Environment.PAPER
    text = str(name).strip().lower()
    try:
        return Environment(ENVIRONMENT_NAMES.get(text, text))
    except ValueError:
        raise UsageError(f"environment {name!r} is unknown; known: {', '.join(Environment)}") from None


def symbol_of(symbol: str) -> str:
    try:
        return canonical_symbol(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None


def status_of(word: str) -> OrderStatus:
    text = str(getattr(word, "value", word)).strip().lower()
    if text not in STATUS_WORDS:
        raise UsageError(f"order status {word!r} is unknown; known: {', '.join(sorted(STATUS_WORDS))}")
    return STATUS_WORDS[text]


def seen_status_of(word: str) -> str:
    """The status an older reader filters by."""
    status = status_of(word)
    if status in SEEN_AS_NEW:
        return OrderStatus.NEW.value
    return (OrderStatus.REJECTED if status is OrderStatus.NOT_FOUND else status).value


def moves_to(order: Row, wanted: OrderStatus) -> tuple[OrderStatus, ...]:
    """The legal way from where the order stands; empty when there is none. An order that older callers sent themselves
    passes SUBMITTING on its way; one with an approval leaves NEW that way through the executor alone. What is filled
    is said by fills, not by a word."""
    status, filled = OrderStatus(order["status"]), order["filled_quantity"]
    is_ours = order["approval_id"] is not None
    if wanted is OrderStatus.SUBMITTING and is_ours:
        return ()
    if wanted is OrderStatus.FILLED and filled < order["quantity"]:
        return ()
    if wanted is OrderStatus.PARTIALLY_FILLED and not filled:
        return ()
    if wanted in LEGAL_MOVES[status]:
        return (wanted,)
    if status is OrderStatus.NEW and not is_ours and wanted in LEGAL_MOVES[OrderStatus.SUBMITTING]:
        return (OrderStatus.SUBMITTING, wanted)
    return ()


def order_model(row: Row) -> Order:
    return Order(**_order_data(row))


def order_dict(row: Row) -> dict[str, Any]:
    return {key: to_serializable(value) for key, value in _order_data(row).items()}


def plain_dict(row: Row) -> dict[str, Any]:
    """Every column, in JSON's types and with the older symbol."""
    data = {key: to_serializable(value) for key, value in row_to_dict(row).items()}
    return data | {"symbol": legacy_symbol(data["symbol"])} if "symbol" in data else data


def _order_data(row: Row) -> dict[str, Any]:
    """The columns older readers know; a strategy or signal we do not have shows under the id its caller gave."""
    data = row_to_dict(row)
    data |= {
        "symbol": legacy_symbol(data["symbol"]),
        "status": data["seen_status"],
        "strategy_id": data["strategy_id"] or data["strategy_ref"],
        "signal_id": data["signal_id"] or data["metadata"].get("legacy_signal_id"),
    }
    return {key: data[key] for key in ORDER_KEYS}
