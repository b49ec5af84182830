"""The default bus: rows in the platform's own database. See bus.sql for the functions behind it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from mastertrade.domain.events import Event
from mastertrade.messaging.attempts import Claim
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.messaging.delivery import DeliveringBus
from mastertrade.messaging.lines import Line, Waiting
from mastertrade.messaging.notifier import CHANNEL, Notifier
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, ConfigurationError
from mastertrade.shared.exact_numbers import shortened
from mastertrade.shared.listening import Listening
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import load_json, to_json_object

QUERIES = load_queries(__file__)

POLL_S = 0.1
"""Wake-ups are a convenience, this is the promise: one query over all idle consumers of the process."""
KEPT_CONNECTIONS = 2
"""Left to others when all workers are busy; counting an attempt needs one beside the worker's own."""
RETENTION = timedelta(days=7)
PRUNE_LIMIT = 10_000


class PostgresBus(DeliveringBus):
    """Publishing is one call inside of the caller's transaction. Each worker claims one event at a time and handles it
    in the transaction that holds the claim. Several processes may serve one consumer. ``manager`` needs at least 3
    connections, better 2 more than there are workers."""

    def __init__(self, manager: PostgresManager, *, clock: Clock, poll_s: float = POLL_S) -> None:
        super().__init__(clock=clock, poll_s=poll_s)
        self._manager = manager
        self._seats: asyncio.Semaphore | None = None
        self._notifier = Notifier(manager, clock=clock, sender=uuid4().hex)
        self._listening: Listening | None = None

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        for each in subscriptions:
            types = sorted(kind.__name__ for kind in each.handlers)
            await QUERIES.execute(self._manager, "declare_subscription", consumer=each.consumer, event_types=types)

    async def publish(self, *events: Event, within: Transaction) -> None:
        rows = await QUERIES.fetch(
            within,
            "publish_events",
            event_ids=[event.id for event in events],
            event_types=[type(event).__name__ for event in events],
            keys=[event.key for event in events],
            payloads=[to_json_object(event) for event in events],
            occurred_ats=[event.occurred_at for event in events],
            correlation_ids=[event.correlation_id for event in events],
            causation_ids=[event.causation_id for event in events],
        )
        keys_of: dict[str, set[str]] = {}
        for row, event in zip(rows, events, strict=True):
            for consumer in row["consumers"]:
                keys_of.setdefault(consumer, set()).add(event.key)
        if keys_of:
            within.on_commit(partial(self._announce, keys_of))

    async def start(self, subscriptions: Sequence[Subscription]) -> None:
        if self._seats is None:
            self._seats = asyncio.Semaphore(self._seat_count())
        await super().start(subscriptions)
        if self._listening is None:
            self._listening = await self._manager.listen(CHANNEL, self._heard)

    async def stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()
        await super().stop()
        await self._notifier.flush()

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        rows = await QUERIES.fetch(self._manager, "dead_letters", limit=limit)
        return [DeadLetter(**{**row, "payload": _shown(row["payload"])}) for row in rows]

    async def prune(self, *, older_than: timedelta = RETENTION, limit: int = PRUNE_LIMIT) -> int:
        """Forget up to ``limit`` old rows each of the outbox and the inbox; returns how many went. For a periodic job.
        An event published a second time after that long would be handled again."""
        events = await QUERIES.execute(self._manager, "prune_outbox", older_than=older_than, limit=limit)
        handled = await QUERIES.execute(self._manager, "prune_inbox", older_than=older_than, limit=limit)
        return int(events.split()[-1]) + int(handled.split()[-1])

    # --- what delivery needs ---

    @asynccontextmanager
    async def begin(self, subscription: Subscription) -> AsyncIterator[Transaction]:
        assert self._seats is not None
        async with (
            self._seats,
            self._manager.transaction(durable=subscription.durable, is_bounded=subscription.is_bounded) as tx,
        ):
            yield tx

    async def claim(self, tx: Transaction, line: Line) -> Claim | None:
        row = await QUERIES.fetchrow(tx, "claim_delivery", consumer=line.consumer, busy_keys=list(line.busy_keys))
        if row is None:
            return None
        return Claim(
            consumer=line.consumer,
            sequence=row["outbox_id"],
            event_id=row["event_id"],
            event_type=row["event_type"],
            key=row["key"],
            payload=row["payload"],
            is_seen=row["is_seen"],
            started=row["started"],
            excused=row["excused"],
            last_error=row["last_error"],
            has_others=row["has_others"],
        )

    async def count_attempt(self, claim: Claim) -> None:
        await QUERIES.execute(self._manager, "count_attempt", outbox_id=claim.sequence, consumer=claim.consumer)

    async def finish(self, tx: Transaction, claim: Claim) -> bool:
        more: bool = await QUERIES.fetchval(
            tx,
            "finish_delivery",
            outbox_id=claim.sequence,
            consumer=claim.consumer,
            event_id=claim.event_id,
            is_seen=claim.is_seen,
        )
        return more

    async def bury(self, tx: Transaction, claim: Claim, *, error: str, died_at: datetime) -> None:
        await QUERIES.execute(
            tx,
            "bury_delivery",
            outbox_id=claim.sequence,
            consumer=claim.consumer,
            attempts=claim.attempts,
            error=error,
            died_at=died_at,
        )

    async def fail(self, claim: Claim, *, delay_s: float, excused: bool, error: str | None) -> None:
        await QUERIES.execute(
            self._manager,
            "fail_delivery",
            outbox_id=claim.sequence,
            consumer=claim.consumer,
            delay_s=delay_s,
            excused=int(excused),
            error=error,
        )

    async def waiting(self, consumers: Collection[str]) -> list[Waiting]:
        if not consumers:
            return []
        rows = await QUERIES.fetch(self._manager, "waiting_deliveries", consumers=list(consumers))
        return [Waiting(**row) for row in rows]

    def release(self, claim: Claim) -> None:
        """The row lock ended with the transaction."""

    # --- waking ---

    async def _announce(self, keys_of: Mapping[str, Collection[str]]) -> None:
        self._lines.hear_of(keys_of)
        elsewhere = [consumer for consumer in keys_of if consumer not in self._lines.consumers]
        if elsewhere:
            self._notifier.tell(elsewhere)

    def _heard(self, payload: str) -> None:
        self._lines.wake(self._notifier.understood(payload, self._lines.consumers))

    def _seat_count(self) -> int:
        size = self._manager.statistics().max_size
        if size <= KEPT_CONNECTIONS:
            raise ConfigurationError(
                f"the bus needs at least {KEPT_CONNECTIONS + 1} database connections and has {size}: "
                "raise POSTGRES_POOL_MAX_SIZE"
            )
        return size - KEPT_CONNECTIONS


def _shown(payload: str) -> dict[str, Any]:
    """Of a dead letter, whatever was in it."""
    try:
        data = load_json(payload)
    except BadData:
        return {"unreadable": shortened(payload)}
    return data if isinstance(data, dict) else {"no object": data}
