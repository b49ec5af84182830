"""From an approved order to the wire: at most one write an attempt, and nothing sent that is not written down."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from mastertrade.domain.orders import Order, OrderStatus
from mastertrade.exchanges.exchange import OrderTicket, Venue, VenueRefused
from mastertrade.order_executor.books import THE_VENUE, Books
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager

log = logging.getLogger(__name__)


class Sender:
    """``is_quiet`` and ``broke_off`` are for whoever looks at the venues: whether anything was begun, or left half
    done, since they were last set."""

    def __init__(
        self,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        manager: PostgresManager,
        database: ExecutorPostgresDatabase,
        books: Books,
        venues: Mapping[UUID, Venue],
        failpoints: Failpoints,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._manager = manager
        self._database = database
        self._books = books
        self._venues = venues
        self._failpoints = failpoints
        self._sending: dict[UUID, asyncio.Event] = {}
        self.is_quiet = False
        self.broke_off = False

    def is_sending(self, order_id: UUID) -> bool:
        return order_id in self._sending

    async def submit(self, order_id: UUID) -> None:
        """Whoever comes while the order is being sent waits for that."""
        if (sending := self._sending.get(order_id)) is not None:
            await sending.wait()
            return
        ended = self._sending[order_id] = asyncio.Event()
        # Here and not where the order is made: a look that began before its commit would not see it, and call it quiet.
        self.is_quiet = False
        try:
            order = await self.begin(order_id)
            if order is not None:
                await self.send(order)
        except BaseException:
            self.broke_off = True
            raise
        finally:
            del self._sending[order_id]
            ended.set()

    async def begin(self, order_id: UUID) -> Order | None:
        """Commit SUBMITTING with its send-by time; None when the order may not leave, or not yet."""
        self._failpoints.reach("executor.created")
        now = self._clock.now()
        send_by = now + timedelta(seconds=self._settings.send_window_s)
        async with self._manager.transaction() as tx:
            outcome = await self._database.begin_send(tx, order_id, at=now, send_by=send_by)
            order = await self._database.order_by_id(tx, order_id)
            if order is not None and outcome in ("expired", "halted"):
                await self._books.publish_update(
                    tx, order.id, order.account_id, order.instrument_id, order.status, reason=outcome
                )
        self._failpoints.reach("executor.submitting")
        if outcome != "send":
            log.info("order not sent", extra={"order_id": str(order_id), "outcome": outcome})
            return None
        return order

    async def send(self, order: Order) -> None:
        """One write to the venue. Only a definite refusal is a refusal; everything else is no answer."""
        assert order.signed_at is not None and order.send_by is not None, "begin_send wrote both"
        if self._clock.now() > order.send_by:  # this process stood still in between
            payload = {"reason": "its time to be sent was over before it was sent"}
            await self._books.move(order, OrderStatus.EXPIRED, payload=payload)
            return
        ticket = OrderTicket(
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
