"""What people decide about differences between our books and a venue."""

from uuid import UUID

from mastertrade.order_executor.postgres_database import QUERIES
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager


class Differences:
    """Works with the database alone; the executor's next look finds what was decided. Without ``break_id`` every open
    difference of the account is meant."""

    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock

    async def waive(self, account_id: UUID, break_id: UUID | None, *, actor: str, reason: str) -> int:
        """Let the account trade although they stand, for as long as they stay what they are; how many were not waived
        before."""
        return await self._decide("waive_breaks", account_id, break_id, actor, reason)

    async def book(self, account_id: UUID, break_id: UUID | None, *, actor: str, reason: str) -> int:
        """Take the venue's balances for true: each difference becomes an adjustment in the ledger. How many did."""
        return await self._decide("book_balance_breaks", account_id, break_id, actor, reason)

    async def _decide(self, name: str, account_id: UUID, break_id: UUID | None, actor: str, reason: str) -> int:
        async with self._manager.transaction() as tx:
            count: int = await QUERIES.fetchval(
                tx,
                name,
                account_id=account_id,
                break_id=break_id,
                actor=actor,
                reason=reason,
                at=self._clock.now(),
            )
        return count
