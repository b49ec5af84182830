"""What people say became of orders whose fate is unknown: written down, and held against the venue's word by whichever
executor looks next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.orders import Order, OrderStatus
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.order_executor.postgres_database import QUERIES
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager

VERDICTS: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.NOT_FOUND)
VENUE_HAS: Final = timedelta(seconds=60)
"""To answer about the order, before a person's word counts without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A person's word about an order whose fate is unknown. ``price``: of what has filled."""

    id: UUID
    order_id: UUID
    verdict: OrderStatus
    price: Decimal | None
    reason: str
    actor: str


class Outcome(StrEnum):
    APPLIED = "applied"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """CONFIRMED: the venue says so as well, and it is its word that is booked."""

    outcome: Outcome
    explanation: str


def decide(
    order: Order,
    said: Resolution,
    *,
    answer: VenueOrder | None,
    unanswered_since: datetime | None,
    settled_at: datetime,
    now: datetime,
) -> Decision | None:
    """None: not yet. ``answer``: the order as the venue has it, or None where it has none, or does not answer
    (``unanswered_since``). ``settled_at``: from then on the venue takes the order no more. Pure."""
    if answer is not None:
        if answer.status is said.verdict:
            return Decision(Outcome.CONFIRMED, "the venue says so too")
        filled = f", {answer.filled_quantity} of {answer.quantity} filled" if answer.filled_quantity else ""
        return Decision(Outcome.REFUSED, f"the venue has it: {answer.status}{filled}")
    if said.verdict is OrderStatus.NOT_FOUND and order.filled_quantity > 0:
        return Decision(Outcome.REFUSED, f"{order.filled_quantity} of it have filled, so the venue had it")
    if now <= settled_at:
        return Decision(
            Outcome.REFUSED, f"the venue may still take it, until {settled_at:%H:%M:%S} UTC; say it after that"
        )
    if unanswered_since is not None:
        if now - unanswered_since < VENUE_HAS:
            return None
        return Decision(Outcome.APPLIED, "the venue did not answer")
    return Decision(Outcome.APPLIED, "the venue knows of no such order")


class Resolutions:
    """The door for people. Works with the database alone."""

    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock

    async def want(
        self, order_id: UUID, verdict: OrderStatus, *, price: Decimal | None = None, reason: str, actor: str
    ) -> UUID:
        """Keep what somebody says. UsageError says why it is not taken."""
        if verdict not in VERDICTS:
            raise UsageError(f"{verdict} is not settled by hand; say one of {', '.join(VERDICTS)}")
        if not reason.strip():
            raise UsageError("a reason is needed: it is kept with the order")
        if (verdict is OrderStatus.FILLED) != (price is not None):
            raise UsageError("what has filled needs its price, and nothing else has one")
        row = await QUERIES.fetchrow(
            self._manager,
            "want_resolved",
            order_id=order_id,
            verdict=verdict.value,
            price=price,
            reason=reason.strip(),
            actor=actor,
            at=self._clock.now(),
        )
        assert row is not None, "a function returns a row"
        if row["id"] is None:
            raise UsageError(f"this order is not settled: {row['refusal']}")
        found: UUID = row["id"]
        return found

    async def outcome(self, resolution_id: UUID) -> Mapping[str, Any]:
        """``outcome`` and ``explanation`` are None until the executor has looked."""
        row = await QUERIES.fetchrow(self._manager, "resolution_outcome", id=resolution_id)
        assert row is not None, "it was kept"
        return row
