"""The port of the bus: publish a fact with its transaction, handle each event once per consumer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from mastertrade.domain.events import Event
from mastertrade.shared.postgres_manager import Transaction

MAX_ATTEMPTS = 5
"""Tries before an event is set aside as a dead letter; a sixth would only delay its key's other events further."""

Handler = Callable[[Any, Transaction], Awaitable[None]]
"""Takes the event and the transaction in which its effect must be written. What must happen outside of the database
(a call to a venue) is registered with ``transaction.on_commit`` and runs once the effect is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One consumer of one or more event types. ``on_dead_letter`` writes, in the transaction that sets an event
    aside, what its loss means for the books (a signal is disposed as failed)."""

    consumer: str
    handlers: Mapping[type[Event], Handler]
    on_dead_letter: Handler | None = None
    workers: int = 1
    """Events of different keys handled at the same time in one process; each holds one database connection."""
    durable: bool = True
    """False: the commit does not wait for the disk. A crash of the server may then undo the last moments of this
    consumer, effect and inbox row together, and the events are handled again. Only where every effect is a row."""
    is_bounded: bool = False
    """A handling that takes long is ended by the database, and tried again: for handlers whose rows others wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    event_id: UUID
    event_type: str
    consumer: str
    attempts: int
    error: str
    died_at: datetime
    payload: dict[str, Any] = field(default_factory=dict)


class Bus(Protocol):
    """Every event reaches every consumer that subscribed to its type, at least once, in order per key, and its
    effect happens once: the effect and the inbox row commit together. A failing event blocks only its own key."""

    async def declare(self, subscriptions: Sequence[Subscription]) -> None:
        """Make the consumers known, so that events published from now on wait for them. Safe to repeat."""
        ...

    async def publish(self, *events: Event, within: Transaction) -> None:
        """Make the events part of ``within``, in this order: they exist exactly if that transaction commits."""
        ...

    async def start(self, subscriptions: Sequence[Subscription]) -> None:
        """Begin to deliver to these consumers in this process."""
        ...

    async def stop(self) -> None:
        """Finish what is in hand and deliver no more. Harmless when repeated."""
        ...

    async def drain(self, *, timeout_s: float) -> None:
        """Return once every event waiting for this process's consumers, and all that follows from it, is handled or
        dead. TimeoutError names the consumers that are still behind."""
        ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]: ...
