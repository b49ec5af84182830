"""Orders that people want cancelled: written down, and carried out by whichever executor looks next."""

from uuid import UUID

from mastertrade.order_executor.postgres_database import QUERIES
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseBusy
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff, retry

BUSY = Backoff(for_s=10)
"""A person's wish outlasts fills that hold the same orders, also where each waits for the other."""


class Cancels:
    """Works with the database alone. An order that is final by then stays what it is."""

    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock

    async def want(
        self,
        *,
        order_id: UUID | None = None,
        symbol: str | None = None,
        account_id: UUID | None = None,
        reason: str,
        actor: str,
    ) -> int:
        """One order, or every one that may still trade, of a market or account where one is named; how many were not
        wanted cancelled before."""

        async def keep() -> int:
            count: int = await QUERIES.fetchval(
                self._manager,
                "want_cancelled",
                order_id=order_id,
                symbol=symbol,
                account_id=account_id,
                reason=reason,
                actor=actor,
                at=self._clock.now(),
            )
            return count

        return await retry(keep, when=lambda error: isinstance(error, DatabaseBusy), backoff=BUSY)
