"""What must hold of swaps when everything has healed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.simulation.swap_venue import SimulatedSwapVenue
from tests.simulation.virtual import RealDatabase


def check_contracts(real: RealDatabase, account: UUID, venue: SimulatedSwapVenue, balances: Sequence[Any]) -> list[str]:
    """What is held, what it locks, and that the books rebuild from their own fills."""
    run, manager = real.run, real.manager
    one = "SELECT quantity, margin, cost FROM contract_positions WHERE account_id = $1"
    row = run(manager.fetchrow(one, account))
    quantity, margin, cost = (Decimal(0),) * 3 if row is None else tuple(row.values())
    held = "SELECT sum(signed_quantity(side, quantity)) FROM strategy_positions WHERE account_id = $1"
    of_strategies = run(manager.fetchval(held, account)) or Decimal(0)
    funding = "SELECT coalesce(sum(amount), 0) FROM funding_payments WHERE account_id = $1"
    paid = run(manager.fetchval(funding, account))
    wrong = []
    if not quantity == of_strategies == venue.net():
        wrong.append(f"ledger: {quantity} contracts, {of_strategies} by strategies, {venue.net()} at the venue")
    if abs(2 * margin - abs(cost)) > Decimal("1e-7") or sum(row["locked_balance"] for row in balances) != margin:
        wrong.append(f"ledger: {margin} locked for contracts that cost {cost}: {[dict(row) for row in balances]}")
    if paid != venue.paid():
        wrong.append(f"ledger: {paid} of funding in our books, {venue.paid()} at the venue")
    rebuilt = "SELECT is_equal FROM rebuild_contracts() WHERE account_id = $1 UNION ALL "
    rebuilt += "SELECT is_equal FROM rebuild_positions() WHERE account_id = $1"
    if not all(one["is_equal"] for one in run(manager.fetch(rebuilt, account))):
        wrong.append("ledger: contracts or positions do not rebuild from fills")
    return wrong
