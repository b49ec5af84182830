"""The order executor: turns approvals into orders, orders into venue effects, and venue answers into booked facts."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

from mastertrade.domain.events import Event, OrderApproved, OrderFilled, OrderUpdated
from mastertrade.domain.orders import Fill, Order, OrderStatus
from mastertrade.exchanges.exchange import OrderTicket, Venue, VenueOrder, VenueRefused
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.order_executor.answers import Silence, is_absent, move_for
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase, FillOutcome
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, ConstraintViolated, DatabaseBusy, DatabaseDown, DatabaseError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id, to_json_object

log = logging.getLogger(__name__)
T = TypeVar("T")

SENDERS = 3
"""Orders of different instruments sent at once, so that a venue silent about one does not hold up the others. Each
takes one of the pool's ten connections."""
LATE_FILLS = timedelta(days=1)
"""So long after its end an order's market is looked at for fills nobody has heard of."""


class NoAnswer(Exception):
    """A venue did not answer a question. Nothing is known by that, and the other questions are asked."""


class Lease(Protocol):
    """Proof that this process may send: the database refuses writes of an older epoch."""

    @property
    def role(self) -> str: ...

    @property
    def epoch(self) -> int: ...


class OrderExecutor:
    """One executor for the accounts in ``venues``. The orders table is its only memory: whatever dies, ``sync`` reads
    there what is open and asks the venue, never guessing."""

    name = "order_executor"

    def __init__(
        self,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        bus: Bus,
        manager: PostgresManager,
        venues: Mapping[UUID, Venue],
        lease: Lease,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._venues = venues
        self._lease = lease
        self._failpoints = failpoints or Failpoints()
        self._database = ExecutorPostgresDatabase()
        self._sending: dict[UUID, asyncio.Event] = {}
        self._cursors: dict[UUID, str] = {}
        self._is_quiet = False
        self._broke_off = False
        self._looking = asyncio.Lock()
        self._monitor: asyncio.Task[None] | None = None

    def subscriptions(self) -> list[Subscription]:
        return [
            Subscription(
                consumer=self.name,
                handlers={OrderApproved: self.on_order_approved},
                on_dead_letter=self.on_dead_letter,
                workers=SENDERS,
            )
        ]

    async def start(self) -> None:
        """Reconcile every open order with its venue before the first new one, then keep looking."""
        await self.sync()
        if self._monitor is None:
            self._monitor = asyncio.create_task(self._keep_looking(), name="order_executor.monitor")

    async def stop(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.cancel()
            await asyncio.gather(monitor, return_exceptions=True)

    async def on_order_approved(self, event: OrderApproved, tx: Transaction) -> None:
        order_id = await self._database.create_order(tx, event.approval, at=self._clock.now())
        if order_id is None:
            return
        approval = event.approval
        await self._publish_update(tx, order_id, approval.account_id, approval.instrument_id, OrderStatus.NEW, event)

        async def send() -> None:
            await self._submit(order_id)

        if approval.account_id in self._venues:
            tx.on_commit(send)
        else:
            log.warning("order waits: its account is not served here", extra={"account_id": str(approval.account_id)})

    async def on_dead_letter(self, event: OrderApproved, tx: Transaction) -> None:
        await self._database.release_reservation(tx, event.approval.reservation_id, at=self._clock.now())

    async def sync(self) -> None:
        """Bring our books and each venue together: send what was left unsent, mark what was left without an answer,
        book new fills, resolve what is unknown, cancel what is too old. Running it twice changes nothing."""
        async with self._looking:
            await self._look()

    async def follow(self) -> bool:
        """``sync``, unless the last one left no order open and none was made since: then a venue has nothing to say
        that could not wait for the next regular look. True when it looked."""
        async with self._looking:  # a look that is under way has not found out yet
            if self._is_quiet:
                return False
            await self._look()
            return True

    async def catch_up(self) -> bool:
        """``sync`` if the last one or the sending of an order broke off, as when the database was lost on the way: then
        an order may stand between two steps. True when it looked."""
        async with self._looking:
            if not self._broke_off:
                return False
            await self._look()
            return True

    async def _look(self) -> None:
        self._is_quiet, self._broke_off = True, False
        try:
            for account_id, venue in self._venues.items():
                if await self._sync_account(account_id, venue):
                    self._is_quiet = False
        except BaseException:
            self._is_quiet, self._broke_off = False, True
            raise

    async def _sync_account(self, account_id: UUID, venue: Venue) -> bool:
        """True while orders are still open, or while the venue does not tell its fills."""
        unwanted = await self._database.wanted_cancelled(self._manager, account_id)
        for order in await self._database.active_orders(self._manager, account_id):
            if order.id in self._sending:
                continue
            if order.status is OrderStatus.NEW and order.id in unwanted:
                payload = {"reason": f"cancelled before it was sent, {unwanted[order.id]}"}
                await self._move(order, OrderStatus.CANCELED, source="order_executor", payload=payload)
            elif order.status is OrderStatus.NEW and order.approval_id is not None:
                await self._submit(order.id)
            elif order.status is OrderStatus.SUBMITTING:
                await self._move(
                    order, OrderStatus.UNKNOWN, source="order_executor", payload={"reason": "left without an answer"}
                )
        has_told = await self._book_fills(account_id, venue)
        remaining = await self._database.active_orders(self._manager, account_id)
        for order in remaining:
            if order.id not in self._sending and order.status not in (OrderStatus.NEW, OrderStatus.SUBMITTING):
                await self._ask(order, venue, unwanted.get(order.id), has_told)
        return bool(remaining) or not has_told

    async def _submit(self, order_id: UUID) -> None:
        """Whoever comes while the order is being sent waits for that."""
        if (sending := self._sending.get(order_id)) is not None:
            await sending.wait()
            return
        ended = self._sending[order_id] = asyncio.Event()
        # Here and not where the order is made: a look that began before its commit would not see it, and call it quiet.
        self._is_quiet = False
        try:
            order = await self._begin(order_id)
            if order is not None:
                await self._send(order)
        except BaseException:
            self._broke_off = True
            raise
        finally:
            del self._sending[order_id]
            ended.set()

    async def _begin(self, order_id: UUID) -> Order | None:
        """Commit SUBMITTING with its send-by time; None when the order may not leave."""
        self._failpoints.reach("executor.created")
        now = self._clock.now()
        send_by = now + timedelta(seconds=self._settings.send_window_s)
        async with self._manager.transaction() as tx:
            outcome = await self._database.begin_send(
                tx, order_id, at=now, send_by=send_by, role=self._lease.role, epoch=self._lease.epoch
            )
            order = await self._database.order_by_id(tx, order_id)
            if order is not None and outcome in ("expired", "halted"):
                await self._publish_update(
                    tx, order.id, order.account_id, order.instrument_id, order.status, None, outcome
                )
        self._failpoints.reach("executor.submitting")
        if outcome != "send":
            log.info("order not sent", extra={"order_id": str(order_id), "outcome": outcome})
            return None
        return order

    async def _send(self, order: Order) -> None:
        """One write to the venue. Only a definite refusal is a refusal; everything else is no answer."""
        assert order.signed_at is not None and order.send_by is not None, "begin_send wrote both"
        if self._clock.now() > order.send_by:  # this process stood still in between
            payload = {"reason": "its time to be sent was over before it was sent"}
            await self._move(order, OrderStatus.EXPIRED, source="order_executor", payload=payload)
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
        )
        try:
            async with asyncio.timeout(self._settings.venue_timeout_s):
                answer = await self._venues[order.account_id].place(ticket)
        except VenueRefused as refusal:
            await self._move(order, OrderStatus.REJECTED, source="venue", payload={"reason": str(refusal)})
        except Exception as error:  # noqa: BLE001 whatever it is, it is no answer: the order stays unknown until asked
            payload = {"reason": "no definite answer", "error": f"{type(error).__name__}: {error}"}
            log.warning("order outcome unknown", extra={"order_id": str(order.id), **payload})
            await self._move(order, OrderStatus.UNKNOWN, source="order_executor", payload=payload)
        else:
            self._failpoints.reach("executor.answered")
            await self._hear(order, answer)

    async def _hear(self, order: Order, answer: VenueOrder) -> None:
        to = move_for(order, answer)
        if to is not None:
            payload = {"status": answer.status.value, "reason": answer.reason}
            await self._move(order, to, source="venue", payload=payload, exchange_order_id=answer.exchange_order_id)

    async def _ask(self, order: Order, venue: Venue, unwanted: str | None, has_told: bool) -> None:
        """Look one open order up at its venue and do what the answer asks for. ``unwanted``: who wants it cancelled.
        While the venue ``has_told`` not all of its fills, no order counts as absent: one of them may be its."""
        try:
            answer = await self._answer(venue.find(order.client_order_id, order.symbol))
            if answer is None:
                if has_told:
                    await self._consider_absent(order, venue)
                return
        except NoAnswer as silence:
            log.warning("venue did not answer a query", extra={"order_id": str(order.id), "error": str(silence)})
            return
        await self._hear(order, answer)
        too_old = order.order_time + timedelta(minutes=self._settings.order_timeout_minutes) < self._clock.now()
        if too_old and unwanted is None:
            unwanted = f"open for over {self._settings.order_timeout_minutes} minutes"
        if (
            unwanted is not None
            and answer.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
            and order.status is not OrderStatus.UNKNOWN
        ):
            await self._cancel(order, venue, unwanted)

    async def _answer(self, question: Awaitable[T]) -> T:
        """What a venue tells in time, or NoAnswer. A database that is lost meanwhile is no matter of the venue's."""
        try:
            async with asyncio.timeout(self._settings.venue_timeout_s):
                return await question
        except (DatabaseDown, DatabaseBusy, DatabaseError):
            raise
        except Exception as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    async def _consider_absent(self, order: Order, venue: Venue) -> None:
        if order.status is not OrderStatus.UNKNOWN or order.send_by is None:
            log.error("venue no longer knows an open order", extra={"order_id": str(order.id)})
            return
        await self._database.note_absent(self._manager, order.id, at=self._clock.now())
        resting = await self._answer(venue.open_orders([order.symbol]))
        silence = Silence(
            send_by=order.send_by,
            venue_now=await self._answer(venue.now()),
            processing_limit=timedelta(seconds=self._settings.venue_processing_limit_s),
            absent_answers=await self._database.absent_answers(self._manager, order.id),
            is_among_open_orders=any(theirs.client_order_id == order.client_order_id for theirs in resting),
            has_fills=order.filled_quantity > 0,
        )
        if is_absent(silence):
            payload = {"reason": "the venue never had it", "answers": len(silence.absent_answers)}
            await self._move(order, OrderStatus.NOT_FOUND, source="order_executor", payload=payload)

    async def _cancel(self, order: Order, venue: Venue, reason: str) -> None:
        if order.status is not OrderStatus.PENDING_CANCEL:
            payload = {"reason": reason}
            await self._move(order, OrderStatus.PENDING_CANCEL, source="order_executor", payload=payload)
        try:
            await self._answer(venue.cancel(order.client_order_id, order.symbol))
        except NoAnswer as silence:
            log.warning(
                "cancel not confirmed; asked again at the next look",
                extra={"order_id": str(order.id), "error": str(silence)},
            )

    async def _book_fills(self, account_id: UUID, venue: Venue) -> bool:
        """Apply the venue's fills from where we stopped; the cursor moves on only when all of a page is booked. False
        when the venue did not tell them all."""
        if account_id not in self._cursors:
            self._cursors[account_id] = await self._database.cursor(self._manager, account_id)
        symbols = await self._database.traded_symbols(self._manager, account_id, since=self._clock.now() - LATE_FILLS)
        while True:
            try:
                page = await self._answer(venue.fills(self._cursors[account_id], symbols))
            except NoAnswer as silence:
                log.warning("venue did not tell its fills", extra={"venue": venue.name, "error": str(silence)})
                return False
            for fill in page.fills:
                await self._book(account_id, fill)
            if page.cursor == self._cursors[account_id]:
                return True
            await self._database.save_cursor(self._manager, account_id, page.cursor, at=self._clock.now())
            self._cursors[account_id] = page.cursor

    async def _book(self, account_id: UUID, fill: Fill) -> None:
        """Apply one fill. One that cannot be booked is kept in quarantine, and the next ones are not held up by it."""
        now = self._clock.now()
        fill_id = new_id(now)
        instrument_id: int | None = None
        try:
            async with self._manager.transaction() as tx:
                result = await self._database.apply_fill(tx, account_id, fill, fill_id=fill_id, at=now)
                if result.outcome == "applied":
                    await self._bus.publish(_filled(fill_id, account_id, fill, result), within=tx)
            problem, instrument_id = result.outcome, result.instrument_id
        except (BadData, ConstraintViolated) as refusal:
            problem = f"refused: {refusal}"
        if problem not in ("applied", "duplicate"):
            await self._quarantine(account_id, fill, problem, instrument_id)
        self._failpoints.reach("executor.filled")

    async def _quarantine(self, account_id: UUID, fill: Fill, problem: str, instrument_id: int | None) -> None:
        payload = to_json_object(fill)
        log.error("fill quarantined", extra={"problem": problem, "fill": payload})
        async with self._manager.transaction() as tx:
            now = self._clock.now()
            await self._database.quarantine_fill(tx, account_id, reason=problem, payload=payload, at=now)
            if instrument_id is None:
                instrument_id = await self._database.instrument_of(tx, fill.client_order_id)
        if instrument_id is not None:
            await self._halt(instrument_id, f"fill {fill.exchange_trade_id} could not be booked: {problem}")

    async def _halt(self, instrument_id: int, reason: str) -> None:
        """Until somebody has looked nothing more is opened there. In a transaction of its own: one that already holds
        balances would wait for judges who wait for them. The cursor moves on only after this."""
        async with self._manager.transaction() as tx:
            await self._database.halt_instrument(tx, instrument_id, reason=reason, at=self._clock.now())

    async def _move(
        self,
        order: Order,
        to: OrderStatus,
        *,
        source: str,
        payload: Mapping[str, Any],
        exchange_order_id: str | None = None,
    ) -> None:
        async with self._manager.transaction() as tx:
            now = self._clock.now()
            moved = await self._database.move_order(
                tx, order, to, at=now, source=source, payload=payload, exchange_order_id=exchange_order_id
            )
            if moved:
                reason = str(payload.get("reason", ""))
                await self._publish_update(tx, order.id, order.account_id, order.instrument_id, to, None, reason)

    async def _publish_update(
        self,
        tx: Transaction,
        order_id: UUID,
        account_id: UUID,
        instrument_id: int,
        status: OrderStatus,
        cause: Event | None,
        reason: str = "",
    ) -> None:
        now = self._clock.now()
        update = OrderUpdated(
            id=new_id(now),
            occurred_at=now,
            correlation_id=None if cause is None else cause.correlation_id,
            causation_id=order_id if cause is None else cause.id,
            order_id=order_id,
            account_id=account_id,
            instrument_id=instrument_id,
            status=status,
            reason=reason,
        )
        await self._bus.publish(update, within=tx)

    async def _keep_looking(self) -> None:
        while True:
            await self._clock.sleep(self._settings.order_monitor_interval_s)
            try:
                await self.sync()
            except Exception:
                log.exception("a look at the venues failed; the next one follows")


def _filled(fill_id: UUID, account_id: UUID, fill: Fill, result: FillOutcome) -> OrderFilled:
    assert result.order_id and result.instrument_id and result.symbol and result.side and result.status
    return OrderFilled(
        id=fill_id,
        occurred_at=fill.trade_time,
        correlation_id=result.signal_id,
        causation_id=result.order_id,
        fill_id=fill_id,
        order_id=result.order_id,
        strategy_id=result.strategy_id,
        account_id=account_id,
        instrument_id=result.instrument_id,
        symbol=result.symbol,
        side=result.side,
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        realized_pnl=result.realized_pnl,
        position_quantity=result.position_quantity,
        position_entry_price=result.position_entry_price,
        status=result.status,
    )
