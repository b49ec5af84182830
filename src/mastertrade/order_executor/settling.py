"""What a person says became of an order whose fate is unknown, held against the venue's word and carried out."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from mastertrade.domain.orders import Order, OrderStatus
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.messaging.bus import Bus
from mastertrade.order_executor.books import inferred_fill
from mastertrade.order_executor.postgres_database import QUERIES, ExecutorPostgresDatabase
from mastertrade.order_executor.resolutions import Decision, Outcome, Resolution, decide
from mastertrade.order_executor.steps import A_PERSON, INFERRED, Book, Move
from mastertrade.order_executor.writing import order_filled, order_updated
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)
PAGE: Final = 1_000


class Settling:
    """``processing_limit``: how long a venue may still work on an order after its send-by time."""

    def __init__(
        self,
        *,
        clock: Clock,
        bus: Bus,
        manager: PostgresManager,
        database: ExecutorPostgresDatabase,
        processing_limit: timedelta,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._database = database
        self._processing_limit = processing_limit
        self._unanswered: dict[UUID, datetime] = {}

    async def said_of(self, orders: Sequence[Order]) -> dict[UUID, Resolution]:
        """What is to be held against the venue's word, by order."""
        ids = [order.id for order in orders if order.status is OrderStatus.UNKNOWN]
        rows = await QUERIES.fetch(self._manager, "resolutions", order_ids=ids, page=PAGE) if ids else []
        return {row["order_id"]: Resolution(**{**row, "verdict": OrderStatus(row["verdict"])}) for row in rows}

    async def settle(
        self, order: Order, said: Resolution, answer: VenueOrder | None, *, has_answered: bool = True
    ) -> None:
        if order.send_by is None:
            return
        now = self._clock.now()
        decision = decide(
            order,
            said,
            answer=answer,
            unanswered_since=None if has_answered else self._unanswered.setdefault(said.id, now),
            settled_at=order.send_by + self._processing_limit,
            now=now,
        )
        if decision is not None:
            self._unanswered.pop(said.id, None)
            async with self._manager.transaction() as tx:
                await self._carry_out(tx, order, said, decision, now)

    async def _carry_out(
        self, tx: Transaction, order: Order, said: Resolution, decision: Decision, at: datetime
    ) -> None:
        """Either the order moves with its event, or it is only kept what became of the word. What somebody says has
        filled is booked as inferred, so that the venue's own fills take its place when they come."""
        outcome, explanation = decision.outcome, decision.explanation
        if outcome is Outcome.APPLIED and not await self._move(tx, order, said, at):
            outcome, explanation = Outcome.REFUSED, "its fate has become known meanwhile"
        await QUERIES.fetchval(
            tx,
            "settle_resolution",
            id=said.id,
            outcome=outcome.value,
            explanation=explanation,
            at=at,
            **self._database.fence,
        )
        facts = {"order_id": str(order.id), "actor": said.actor, "verdict": said.verdict, "explanation": explanation}
        log.warning("a person's word about an order: %s", outcome, extra=facts)

    async def _move(self, tx: Transaction, order: Order, said: Resolution, at: datetime) -> bool:
        if said.verdict is OrderStatus.FILLED:
            assert said.price is not None, "a fill has a price"
            fill = inferred_fill(
                order, order.exchange_order_id or order.client_order_id, order.quantity, said.price, at
            )
            step = Book(account_id=order.account_id, fill=fill, fill_id=new_id(at), at=at, source=INFERRED)
            (booked,) = await self._database.apply_fills(tx, [step])
            if booked.outcome != "applied":
                return False
            await self._bus.publish(order_filled(step, booked), within=tx)
            return True
        payload = {"reason": said.reason, "actor": said.actor}
        move = Move(order=order, to=said.verdict, at=at, source=A_PERSON, payload=payload)
        (has_moved,) = await self._database.move_orders(tx, [move])
        if has_moved:
            update = order_updated(
                order.id, order.account_id, order.instrument_id, said.verdict, at=at, reason=said.reason
            )
            await self._bus.publish(update, within=tx)
        return has_moved
