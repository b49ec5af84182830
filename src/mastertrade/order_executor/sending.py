"""From an approved order to the wire: at most one write an attempt, and nothing sent that is not written down."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from mastertrade.domain.orders import Order, OrderStatus
from mastertrade.exchanges.exchange import OrderTicket, Venue, VenueRefused
from mastertrade.order_executor.books import Books
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import THE_VENUE, Begin, Begun
from mastertrade.order_executor.writing import Writer
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import Transaction

log = logging.getLogger(__name__)


class Sender:
    """``is_quiet``, ``broke_off`` and ``has_fills`` are for whoever looks at the venues: whether anything was begun,
    left half done, or filled as it was sent, since they were last set."""

    def __init__(
        self,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        database: ExecutorPostgresDatabase,
        writer: Writer,
        books: Books,
        venues: Mapping[UUID, Venue],
        failpoints: Failpoints,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._writer = writer
        self._books = books
        self._venues = venues
        self._failpoints = failpoints
        self._sending: dict[UUID, asyncio.Event] = {}
        self._left: set[UUID] = set()
        self.is_quiet = False
        self.broke_off = False
        self.has_fills = asyncio.Event()

    def is_sending(self, order_id: UUID) -> bool:
        return order_id in self._sending

    def has_left(self, order_id: UUID) -> bool:
        """Sending it broke off half way, and it was asked for the first time since."""
        is_left = order_id in self._left
        self._left.discard(order_id)
        return is_left

    async def submit(self, order_id: UUID) -> None:
        """Send an order that was left unsent. Whoever comes while it is being sent waits for that."""
        if (sending := self._sending.get(order_id)) is not None:
            await sending.wait()
            return

        async def begin_and_send() -> None:
            order = await self.begin(order_id)
            if order is not None:
                await self.send(order)

        await self._marked(order_id, begin_and_send())

    async def send_begun(self, order: Order) -> None:
        """Send an order that this process has just committed as SUBMITTING."""
        self._failpoints.reach("executor.submitting")
        await self._marked(order.id, self.send(order))

    async def _marked(self, order_id: UUID, work: Coroutine[Any, Any, None]) -> None:
        ended = self._sending[order_id] = asyncio.Event()
        # Here and not where the order is made: a look that began before its commit would not see it, and call it quiet.
        self.is_quiet = False
        try:
            await work
        except BaseException:
            self.broke_off = True
            self._left.add(order_id)
            raise
        finally:
            del self._sending[order_id]
            ended.set()

    async def begin_within(self, tx: Transaction, order_id: UUID) -> Begun:
        """The order becomes SUBMITTING with ``tx``, with its send-by time; or the outcome says why not."""
        (begun,) = await self._database.begin_sends(tx, [self._beginning(order_id)])
        return begun

    async def begin(self, order_id: UUID) -> Order | None:
        """Commit SUBMITTING with its send-by time; None when the order may not leave, or not yet."""
        begun = await self._writer.begin(self._beginning(order_id))
        self._failpoints.reach("executor.submitting")
        if begun.outcome != "send":
            log.info("order not sent", extra={"order_id": str(order_id), "outcome": begun.outcome})
            return None
        return begun.order

    def _beginning(self, order_id: UUID) -> Begin:
        now = self._clock.now()
        return Begin(order_id=order_id, at=now, send_by=now + timedelta(seconds=self._settings.send_window_s))

    async def send(self, order: Order) -> None:
        """One write to the venue. Only a definite refusal is a refusal; everything else is no answer."""
        ticket = ticket_of(order)
        if self._clock.now() > ticket.send_by:  # this process stood still in between
            payload = {"reason": "its time to be sent was over before it was sent"}
            await self._books.move(order, OrderStatus.EXPIRED, payload=payload)
            return
        try:
            async with asyncio.timeout(self._settings.venue_timeout_s):
                answer = await self._venues[order.account_id].place(ticket)
        except VenueRefused as refusal:
            await self._books.move(order, OrderStatus.REJECTED, source=THE_VENUE, payload={"reason": str(refusal)})
        except Exception as error:  # noqa: BLE001 whatever it is, it is no answer: the order stays unknown until asked
            payload = {"reason": "no definite answer", "error": f"{type(error).__name__}: {error}"}
            log.warning("order outcome unknown", extra={"order_id": str(order.id), **payload})
            await self._books.move(order, OrderStatus.UNKNOWN, payload=payload)
        else:
            self._failpoints.reach("executor.answered")
            await self._books.hear(order, answer)
            if answer.filled_quantity > 0:
                self.has_fills.set()


def ticket_of(order: Order) -> OrderTicket:
    assert order.signed_at is not None and order.send_by is not None, "begin_send wrote both"
    return OrderTicket(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        limit_price=order.price,
        signed_at=order.signed_at,
        send_by=order.send_by,
        terms=order.terms,
    )
