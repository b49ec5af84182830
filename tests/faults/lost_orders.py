"""Orders that were in flight when something died, and what their loss explains."""

from collections.abc import Sequence
from typing import Any

from mastertrade.shared.postgres_manager import PostgresManager
from tests.platform.walk_seed import Rows

LOST_ORDERS = """
SELECT o.client_order_id, o.symbol, o.status, o.order_time, array_agg(e.to_status ORDER BY e.id) AS steps
  FROM orders o JOIN order_events e ON e.order_id = o.id
 GROUP BY o.id HAVING 'UNKNOWN' = ANY (array_agg(e.to_status)) OR o.status IN ('NOT_FOUND', 'EXPIRED')
 ORDER BY o.order_time"""


async def orders_in_flight(manager: PostgresManager) -> list[dict[str, Any]]:
    """In the order of time. Some were found again, and cost nothing."""
    return [dict(row) for row in await manager.fetch(LOST_ORDERS)]


def unexplained(ours: Rows, undisturbed: Rows, lost: Sequence[dict[str, Any]]) -> list[Any]:
    """Fills that differ although no order was lost before. From a lost order on the account holds other amounts, so
    that later quantities differ; which signals of other symbols are filled, when and for what price, does not."""
    lost = [order for order in lost if order["status"] != "FILLED"]
    if not lost:
        return [row for row in {*ours} ^ {*undisturbed}]
    first = min(order["order_time"] for order in lost)
    exact = {row for row in ours if row[2] < first} ^ {row for row in undisturbed if row[2] < first}
    rough = {_without_quantity(row) for row in ours} ^ {_without_quantity(row) for row in undisturbed}
    since = {}
    for order in reversed(lost):
        since[order["symbol"]] = order["order_time"]
    return [*exact, *(row for row in rough if row[1] not in since or row[2] < since[row[1]])]


def _without_quantity(row: tuple[Any, ...]) -> tuple[Any, ...]:
    strategy, symbol, bar_close, kind, side, _quantity, price, *_fees, trade_time, _profit = row
    return strategy, symbol, bar_close, kind, side, price, trade_time
