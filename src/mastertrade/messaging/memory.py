"""The bus without a database: for pure tests and the simulation. Nothing in it outlives its store."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from mastertrade.domain.events import Event
from mastertrade.messaging.attempts import Claim
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.messaging.delivery import DeliveringBus
from mastertrade.messaging.lines import Line, Waiting
from mastertrade.messaging.memory_store import Delivery, MemoryStore
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseError
from mastertrade.shared.postgres_manager import Transaction
from mastertrade.shared.serialization import to_json_object
from mastertrade.shared.statements import Limits

POLL_S = 0.05
"""Ends back-offs; everything else is woken at once."""


class MemoryBus(DeliveringBus):
    """``transaction`` makes the transactions handlers run in: ``memory_transaction``, or a manager's on a real
    database. Events appear when the publishing transaction commits. There is no chance in it and no time of its own:
    the same clock and the same order of tasks give the same deliveries."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: MemoryStore | None = None,
        transaction: Callable[[], AbstractAsyncContextManager[Transaction]] | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__(clock=clock, poll_s=poll_s)
        self.store = store or MemoryStore()
        self._transaction = transaction or memory_transaction
        self._outcomes: dict[tuple[str, str], Callable[[], None]] = {}

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        for subscription in subscriptions:
            self.store.declare(subscription)

    async def publish(self, *events: Event, within: Transaction) -> None:
        for event in events:
            to_json_object(event)  # what cannot travel is refused here, as by every other transport

        async def appear() -> None:
            for event in events:
                self.store.add(event)

        within.on_commit(appear)

    async def start(self, subscriptions: Sequence[Subscription]) -> None:
        self.store.detach(self._lines.wake)
        self.store.attach(self._lines.wake)
        await super().start(subscriptions)

    async def stop(self) -> None:
        await super().stop()
        self.store.detach(self._lines.wake)

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return list(reversed(self.store.dead))[:limit]

    # --- what delivery needs ---

    def begin(self, subscription: Subscription) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    async def claim(self, tx: Transaction, line: Line) -> Claim | None:
        queue = self.store.queues[line.consumer]
        delivery = queue.oldest_due(self._clock.monotonic())
        if delivery is None:
            return None
        published = delivery.published
        queue.keys_in_hand.add(published.event.key)
        claim = Claim(
            consumer=line.consumer,
            sequence=published.sequence,
            event_id=published.event.id,
            event_type=type(published.event).__name__,
            key=published.event.key,
            payload=published.payload,
            is_seen=(line.consumer, published.event.id) in self.store.inbox,
            started=delivery.started,
            excused=delivery.excused,
            last_error=delivery.last_error,
        )
        tx.on_commit(partial(self._conclude, claim.consumer, claim.key))  # before what the handler wants to follow
        return claim

    async def count_attempt(self, claim: Claim) -> None:
        self._head(claim).started += 1

    async def finish(self, tx: Transaction, claim: Claim) -> bool:
        self._outcomes[claim.consumer, claim.key] = partial(self.store.inbox.add, (claim.consumer, claim.event_id))
        return True

    async def bury(self, tx: Transaction, claim: Claim, *, error: str, died_at: datetime) -> None:
        letter = DeadLetter(
            event_id=claim.event_id,
            event_type=claim.event_type,
            consumer=claim.consumer,
            attempts=claim.attempts,
            error=error,
            died_at=died_at,
            payload=dict(claim.payload) if isinstance(claim.payload, Mapping) else {},
        )
        self._outcomes[claim.consumer, claim.key] = partial(self.store.dead.append, letter)

    async def _conclude(self, consumer: str, key: str) -> None:
        self._outcomes.pop((consumer, key))()
        self.store.queues[consumer].drop_head(key)

    async def fail(self, claim: Claim, *, delay_s: float, excused: bool, error: str | None) -> None:
        delivery = self._head(claim)
        delivery.available_at = self._clock.monotonic() + delay_s
        delivery.excused += excused
        delivery.last_error = error or delivery.last_error

    async def waiting(self, consumers: Collection[str]) -> list[Waiting]:
        now = self._clock.monotonic()
        found = []
        for consumer in consumers:
            queue = self.store.queues[consumer]
            if queue.by_key:
                count = sum(len(deliveries) for deliveries in queue.by_key.values())
                due_in_s = min(queue.head(key).available_at for key in queue.by_key) - now
                found.append(Waiting(consumer=consumer, waiting=count, due_in_s=max(0.0, due_in_s)))
        return found

    def release(self, claim: Claim) -> None:
        self._outcomes.pop((claim.consumer, claim.key), None)
        self.store.queues[claim.consumer].keys_in_hand.discard(claim.key)
        if claim.key in self.store.queues[claim.consumer].by_key:
            self.store.wake([claim.consumer])

    def _head(self, claim: Claim) -> Delivery:
        return self.store.queues[claim.consumer].head(claim.key)


@asynccontextmanager
async def memory_transaction() -> AsyncIterator[Transaction]:
    """A transaction of nothing but its ``on_commit`` calls and savepoints."""
    tx = Transaction(_NoDatabase(), "memory", Limits())
    try:
        yield tx
    except BaseException:
        await tx.roll_back()
        raise
    await tx.commit()
    await tx.run_on_commit()


class _NoDatabase:
    """Stands where a driver's connection would: knows how transactions begin and end, and no table."""

    def is_in_transaction(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        word = query.split(maxsplit=1)[0]
        if word in ("COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"):
            return word
        return await self._refuse(query)

    async def _refuse(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        raise DatabaseError(f"a memory transaction holds no tables: {query[:80]}")

    executemany = fetch = fetchrow = fetchval = _refuse
