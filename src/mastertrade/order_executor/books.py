"""What the executor writes down: steps of orders, fills, and what could not be booked. Each with its event, or not at
all."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.events import OrderApproved, RiskAlertChanged
from mastertrade.domain.orders import Fill, Order, OrderStatus
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.messaging.bus import Bus
from mastertrade.order_executor.answers import move_for
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.reconciliation import is_ours
from mastertrade.order_executor.steps import INFERRED, THE_VENUE, Book, Move
from mastertrade.order_executor.writing import Writer, order_updated
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id, to_json_object

log = logging.getLogger(__name__)
OURSELVES = "order_executor"


class Books:
    def __init__(
        self,
        *,
        clock: Clock,
        bus: Bus,
        manager: PostgresManager,
        database: ExecutorPostgresDatabase,
        writer: Writer,
        failpoints: Failpoints,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._database = database
        self._writer = writer
        self._failpoints = failpoints

    async def move(
        self,
        order: Order,
        to: OrderStatus,
        *,
        source: str = OURSELVES,
        payload: Mapping[str, Any],
        exchange_order_id: str | None = None,
    ) -> None:
        """An order that went elsewhere in the meantime stays there."""
        await self._writer.move(
            Move(
                order=order,
                to=to,
                at=self._clock.now(),
                source=source,
                payload=payload,
                exchange_order_id=exchange_order_id,
            )
        )

    async def hear(self, order: Order, answer: VenueOrder) -> None:
        """Make the move that a venue's answer asks for."""
        to = move_for(order, answer, at=self._clock.now())
        if to is not None:
            payload = {"status": answer.status.value, "reason": answer.reason}
            await self.move(order, to, source=THE_VENUE, payload=payload, exchange_order_id=answer.exchange_order_id)

    async def tell_created(
        self, tx: Transaction, order_id: UUID, status: OrderStatus, approved: OrderApproved, *, reason: str = ""
    ) -> None:
        approval, at = approved.approval, self._clock.now()
        update = order_updated(
            order_id, approval.account_id, approval.instrument_id, status, at=at, cause=approved, reason=reason
        )
        await self._bus.publish(update, within=tx)

    async def apply(self, account_id: UUID, fills: Sequence[Fill]) -> list[str]:
        """Book fills in their order. Of each: applied, duplicate, or why it could not be booked. What is neither is
        for ``quarantine``."""
        now = self._clock.now()
        steps = [Book(account_id=account_id, fill=fill, fill_id=new_id(now), at=now) for fill in fills]
        try:
            outcomes = await self._writer.book(steps)
        finally:
            self._failpoints.reach("executor.filled")
        return [f"refused: {one}" if isinstance(one, Exception) else one.outcome for one in outcomes]

    async def infer(self, order: Order, answer: VenueOrder, price: Decimal) -> None:
        """Book what the venue counted in an order and tells no fills of. Nobody knows its fee. Its identity follows
        from what was known and what was told, so that nothing is inferred twice."""
        at = self._clock.now()
        fill = inferred_fill(order, answer.exchange_order_id, answer.filled_quantity, price, at)
        step = Book(account_id=order.account_id, fill=fill, fill_id=new_id(at), at=at, source=INFERRED)
        (outcome,) = await self._writer.book([step])
        found = outcome if isinstance(outcome, Exception) else outcome.outcome
        log.warning("fill inferred", extra={"outcome": str(found), "fill": to_json_object(fill)})

    async def quarantine(self, account_id: UUID, fill: Fill, problem: str) -> None:
        """Keep a fill that could not be booked. Until somebody has looked nothing more is opened in its market."""
        payload = to_json_object(fill)
        log.error("fill quarantined", extra={"problem": problem, "fill": payload})
        async with self._manager.transaction(is_bounded=True) as tx:
            now = self._clock.now()
            await self._database.quarantine_fill(tx, account_id, reason=problem, payload=payload, at=now)
            instrument_id = await self._database.instrument_of(tx, fill.client_order_id)
        if instrument_id is not None:
            await self.halt(instrument_id, f"fill {fill.exchange_trade_id} could not be booked: {problem}")

    async def adopt(self, account_id: UUID, theirs: VenueOrder) -> bool:
        """Take over an order that is at the venue and not in our books. One that carries our mark was lost by us, and
        its market opens nothing more until somebody has looked. False when it cannot be taken over."""
        origin = "orphan" if is_ours(theirs.client_order_id) else "external"
        async with self._manager.transaction(is_bounded=True) as tx:
            instrument_id = await self._database.adopt_order(
                tx, account_id, theirs, origin=origin, at=self._clock.now()
            )
        log.warning("order adopted", extra={"origin": origin, "order": to_json_object(theirs)})
        if instrument_id is not None and origin == "orphan":
            await self.halt(instrument_id, f"order {theirs.client_order_id} was ours and missing from our books")
        return instrument_id is not None

    async def settle_alerts(self, account_id: UUID) -> None:
        """Tell people what is wrong with orders and books, once for each condition, until it is right again."""
        async with self._manager.transaction(is_bounded=True) as tx:
            now = self._clock.now()
            for change, alert in await self._database.settle_alerts(tx, account_id, at=now):
                event = RiskAlertChanged.of_row(change, alert, account_id, id=new_id(now), at=now)
                await self._bus.publish(event, within=tx)
                log.warning("order alert %s: %s", change, event.message, extra={"alert_id": event.alert_id})

    async def halt(self, instrument_id: int, reason: str) -> None:
        """In a transaction of its own: one that already holds balances would wait for judges who wait for them. The
        cursor of fills moves on only after this."""
        async with self._manager.transaction(is_bounded=True) as tx:
            await self._database.halt_instrument(tx, instrument_id, reason=reason, at=self._clock.now())


def inferred_fill(order: Order, exchange_order_id: str, filled: Decimal, price: Decimal, at: datetime) -> Fill:
    """What brings the order to ``filled``."""
    return Fill(
        client_order_id=order.client_order_id,
        exchange_order_id=exchange_order_id,
        exchange_trade_id=f"inferred:{order.filled_quantity}:{filled}",
        symbol=order.symbol,
        side=order.side,
        quantity=filled - order.filled_quantity,
        price=price,
        commission=Decimal(0),
        commission_asset=order.symbol.partition("/")[2].partition(":")[0],
        is_maker=False,
        trade_time=at,
    )
