"""The order executor: turns approvals into orders, orders into venue effects, and venue answers into booked facts."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import OrderStatus
from mastertrade.exchanges.exchange import StreamingVenue, Venue
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.order_executor.books import Books
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.listening import Listener
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase, Lease
from mastertrade.order_executor.sending import Sender
from mastertrade.order_executor.settling import Settling
from mastertrade.order_executor.watching import Watcher
from mastertrade.order_executor.writing import Writer
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, LeaseLost
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

log = logging.getLogger(__name__)

SENDERS = 3
"""Orders of different instruments sent at once, so that a venue silent about one does not hold up the others. Each
takes one of the pool's ten connections."""
SOONEST_LOOK_S = 1.0
"""Between two looks, whatever happens: each costs a venue's patience some requests."""


class OrderExecutor:
    """One executor for the accounts in ``venues``. With ``listens`` it hears the streams of those that have one. The
    orders table is its only memory: whatever dies, ``sync`` reads there what is open and asks the venue, never
    guessing. Once another process has taken its lease it can write nothing and raises LeaseLost."""

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
        listens: bool = False,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._venues = venues
        self._database = database = ExecutorPostgresDatabase(lease)
        failpoints = failpoints or Failpoints()
        writer = Writer(clock=clock, bus=bus, manager=manager, database=database)
        self._books = books = Books(
            clock=clock, bus=bus, manager=manager, database=database, writer=writer, failpoints=failpoints
        )
        self._sender = sender = Sender(
            settings=settings,
            clock=clock,
            database=database,
            writer=writer,
            books=books,
            venues=venues,
            failpoints=failpoints,
        )
        settling = Settling(
            clock=clock,
            bus=bus,
            manager=manager,
            database=database,
            processing_limit=timedelta(seconds=settings.venue_processing_limit_s),
        )
        self._watchers = [
            Watcher(
                account_id,
                venue,
                settings=settings,
                clock=clock,
                manager=manager,
                database=database,
                books=books,
                sender=sender,
                settling=settling,
                listens=listens and isinstance(venue, StreamingVenue),
            )
            for account_id, venue in venues.items()
        ]
        self._listeners = [
            Listener(
                account_id,
                venue,
                clock=clock,
                manager=manager,
                database=database,
                watcher=watcher,
                wake=sender.has_fills.set,
            )
            for (account_id, venue), watcher in zip(venues.items(), self._watchers, strict=True)
            if listens and isinstance(venue, StreamingVenue)
        ]
        self._listening: list[asyncio.Task[None]] = []
        self._looking = asyncio.Lock()
        self._monitor: asyncio.Task[None] | None = None

    def subscriptions(self) -> list[Subscription]:
        return [
            Subscription(
                consumer=self.name,
                handlers={OrderApproved: self.on_order_approved},
                on_dead_letter=self.on_dead_letter,
                workers=SENDERS,
                is_bounded=True,
            )
        ]

    async def start(self) -> None:
        """Reconcile every account with its venue before the first new order, then keep looking. An account whose venue
        does not answer sends nothing until it has been compared; the others do not wait for it."""
        await self.sync()
        if self._monitor is None:
            self._monitor = asyncio.create_task(self._keep_looking(), name="order_executor.monitor")
            self._listening = [
                asyncio.create_task(one.keep(), name="order_executor.listener") for one in self._listeners
            ]

    async def stop(self) -> None:
        tasks = [*self._listening, *([] if self._monitor is None else [self._monitor])]
        self._monitor, self._listening = None, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self) -> None:
        """Wait for as long as this executor may write. LeaseLost when another process has taken over."""
        assert self._monitor is not None, "start begins the looks"
        await self._monitor

    async def on_order_approved(self, event: OrderApproved, tx: Transaction) -> None:
        """The order is written as one that is being sent, and sent once that is committed."""
        approval = event.approval
        order_id = await self._database.create_order(tx, approval, at=self._clock.now())
        if order_id is None:
            return
        if approval.account_id not in self._venues:
            log.warning("order waits: its account is not served here", extra={"account_id": str(approval.account_id)})
            await self._books.tell_created(tx, order_id, OrderStatus.NEW, event)
            return
        begun = await self._sender.begin_within(tx, order_id)
        assert begun.order is not None, "it was created just now"
        reason = begun.outcome if begun.order.status.is_final else ""
        await self._books.tell_created(tx, order_id, begun.order.status, event, reason=reason)
        if begun.outcome == "send":
            tx.on_commit(partial(self._sender.send_begun, begun.order))
        elif not begun.order.status.is_final:
            tx.on_commit(partial(self._sender.submit, order_id))

    async def on_dead_letter(self, event: OrderApproved, tx: Transaction) -> None:
        try:
            await self._database.give_up(tx, event.approval, at=self._clock.now())
        except BadData as error:
            log.error("nothing is released for an approval that is not ours", extra={"reason": str(error)})

    async def sync(self) -> None:
        """Bring our books and each venue together: mark what was left without an answer, book new fills, resolve what
        is unknown, cancel what is too old or unwanted, compare, and send what was left unsent. Running it twice changes
        nothing."""
        async with self._looking:
            await self._look()

    async def follow(self) -> bool:
        """``sync``, unless the last one left no order open and none was made since: then a venue has nothing to say
        that could not wait for the next regular look. True when it looked."""
        async with self._looking:  # a look that is under way has not found out yet
            if self._sender.is_quiet:
                return False
            await self._look()
            return True

    async def catch_up(self) -> bool:
        """``sync`` if the last one or the sending of an order broke off, as when the database was lost on the way: then
        an order may stand between two steps. True when it looked."""
        async with self._looking:
            if not self._sender.broke_off:
                return False
            await self._look()
            return True

    async def _look(self) -> None:
        self._sender.is_quiet, self._sender.broke_off = True, False
        try:
            for watcher in self._watchers:
                if await watcher.look():
                    self._sender.is_quiet = False
        except BaseException:
            self._sender.is_quiet, self._sender.broke_off = False, True
            raise

    async def _keep_looking(self) -> None:
        while True:
            await self._until_next_look()
            try:
                await self.sync()
            except LeaseLost:
                log.critical("another executor has taken over; this one has stopped")
                for task in self._listening:
                    task.cancel()
                raise
            except Exception:
                log.exception("a look at the venues failed; the next one follows")

    async def _until_next_look(self) -> None:
        """After the interval, or soon after a venue's answer that tells of fills."""
        interval_s = self._settings.order_monitor_interval_s
        await self._clock.sleep(min(interval_s, SOONEST_LOOK_S))
        with suppress(TimeoutError):
            async with asyncio.timeout(interval_s - SOONEST_LOOK_S):
                await self._sender.has_fills.wait()
        self._sender.has_fills.clear()
