"""What a broker would keep, in memory: what was published, who waits for what, what is handled and what is dead."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mastertrade.domain.events import Event
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.shared.serialization import to_json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    sequence: int
    event: Event
    payload: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Delivery:
    published: Published
    available_at: float = 0.0
    started: int = 0
    excused: int = 0
    last_error: str | None = None


@dataclass(slots=True)
class Queue:
    """What one consumer has not handled, by key and in order."""

    by_key: dict[str, deque[Delivery]] = field(default_factory=dict)
    keys_in_hand: set[str] = field(default_factory=set)

    def add(self, delivery: Delivery) -> None:
        self.by_key.setdefault(delivery.published.event.key, deque()).append(delivery)

    def head(self, key: str) -> Delivery:
        return self.by_key[key][0]

    def drop_head(self, key: str) -> None:
        self.by_key[key].popleft()
        if not self.by_key[key]:
            del self.by_key[key]

    def oldest_due(self, now: float) -> Delivery | None:
        heads = [self.head(key) for key in self.by_key if key not in self.keys_in_hand]
        return min(
            (head for head in heads if head.available_at <= now), key=lambda head: head.published.sequence, default=None
        )


class MemoryStore:
    """What a broker would keep. Several buses over one store are several processes; it survives the end of each."""

    def __init__(self) -> None:
        self._published: dict[UUID, Published] = {}
        self._consumers: dict[str, set[str]] = {}
        self._wakes: list[Callable[[Collection[str]], None]] = []
        self.queues: dict[str, Queue] = {}
        self.inbox: set[tuple[str, UUID]] = set()
        self.dead: list[DeadLetter] = []

    def declare(self, subscription: Subscription) -> None:
        types = {kind.__name__ for kind in subscription.handlers}
        for event_type in types | self._consumers.keys():
            consumers = self._consumers.setdefault(event_type, set())
            (consumers.add if event_type in types else consumers.discard)(subscription.consumer)
        self.queues.setdefault(subscription.consumer, Queue())

    def add(self, event: Event) -> None:
        if event.id in self._published:
            return
        consumers = sorted(self._consumers.get(type(event).__name__, ()))
        sequence = len(self._published) + 1
        self._published[event.id] = Published(sequence=sequence, event=event, payload=to_json_object(event))
        for consumer in consumers:
            self.deliver(event.id, consumer)

    def deliver(self, event_id: UUID, consumer: str) -> None:
        """Once for each consumer when an event appears; a second time is what a broker may do after a lost answer."""
        self.queues[consumer].add(Delivery(published=self._published[event_id]))
        self.wake([consumer])

    def attach(self, wake: Callable[[Collection[str]], None]) -> None:
        """``wake`` is called with the consumers that have reason to look."""
        self._wakes.append(wake)

    def detach(self, wake: Callable[[Collection[str]], None]) -> None:
        self._wakes = [other for other in self._wakes if other != wake]

    def wake(self, consumers: Collection[str]) -> None:
        for wake in self._wakes:
            wake(consumers)
