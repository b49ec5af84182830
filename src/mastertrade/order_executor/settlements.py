"""What only accounts for swaps have: settlements of funding, and contracts that are compared with the venue's."""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from mastertrade.exchanges.exchange import SwapVenue
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id, to_json_object

log = logging.getLogger(__name__)

LATE_PAYMENTS: Final = timedelta(days=1)
"""So long after a position has closed its market is asked for payments nobody has heard of."""


class Settlements:
    """Of one account. Asking twice books nothing twice."""

    def __init__(
        self, account_id: UUID, *, clock: Clock, manager: PostgresManager, database: ExecutorPostgresDatabase
    ) -> None:
        self._account_id = account_id
        self._clock = clock
        self._manager = manager
        self._database = database
        self._cursor: str | None = None

    async def contracts(self, *, since: datetime | None = None) -> dict[str, Decimal]:
        """What our books say the account holds, shorts below 0; with ``since`` also what it held until then."""
        return await self._database.contracts(self._manager, self._account_id, since=since or self._clock.now())

    async def claimed(self) -> dict[str, Decimal]:
        """What strategies take for theirs of what the account holds, or did not long ago."""
        since = self._clock.now() - LATE_PAYMENTS
        return await self._database.claimed_contracts(self._manager, self._account_id, since=since)

    async def symbols(self) -> list[str]:
        """Markets in which the account holds something, or did not long ago."""
        return list(await self.contracts(since=self._clock.now() - LATE_PAYMENTS))

    async def book(self, venue: SwapVenue, symbols: list[str]) -> int:
        """Book what the venue paid and took since the last time; how many payments were new. What cannot be booked is
        kept in quarantine, and its difference shows in the balance."""
        if self._cursor is None:
            self._cursor = await self._database.funding_cursor(self._manager, self._account_id)
        booked = 0
        while symbols:
            page = await venue.funding(self._cursor, symbols)
            async with self._manager.transaction(is_bounded=True) as tx:
                now = self._clock.now()
                ids = [new_id(now) for _ in page.payments]
                outcomes = await self._database.apply_funding(tx, self._account_id, page.payments, ids, at=now)
                for payment, outcome in zip(page.payments, outcomes, strict=True):
                    if outcome not in ("applied", "duplicate"):
                        payload = to_json_object(payment)
                        log.error("funding payment quarantined", extra={"problem": outcome, "payment": payload})
                        await self._database.quarantine_fill(
                            tx, self._account_id, reason=f"funding: {outcome}", payload=payload, at=now
                        )
                if page.cursor != self._cursor:
                    await self._database.save_funding_cursor(tx, self._account_id, page.cursor, at=now)
            booked += outcomes.count("applied")
            if page.cursor == self._cursor:
                break
            self._cursor = page.cursor
        return booked
