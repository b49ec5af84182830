"""The consumers served in this process: who has to look, who is at work, and when all is quiet."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mastertrade.domain.events import Event
from mastertrade.messaging.attempts import Claim
from mastertrade.messaging.bus import Subscription
from mastertrade.shared.errors import BadData
from mastertrade.shared.serialization import from_json_object, load_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What one consumer has not handled yet; ``due_in_s`` is 0 or less when it could begin."""

    consumer: str
    waiting: int
    due_in_s: float


class Line:
    """One consumer served in this process."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.consumer = subscription.consumer
        self.types: Mapping[str, type[Event]] = {kind.__name__: kind for kind in subscription.handlers}
        self.wake = asyncio.Event()
        self.busy_keys: set[str] = set()
        self.active = 0
        self._missed: set[str] = set()

    @property
    def is_quiet(self) -> bool:
        return self.active == 0 and not self.wake.is_set()

    @property
    def has_hands_free(self) -> bool:
        return self.active < self.subscription.workers

    def hear_of(self, keys: Collection[str]) -> None:
        """Events of these keys were published. Whoever has such a key in hand looks again by itself when it is done, so
        that nobody else looks in vain."""
        if self.busy_keys.issuperset(keys):
            self._missed.update(keys)
        else:
            self.wake.set()

    def has_missed(self, key: str) -> bool:
        """Whether an event of the key was published since it was taken in hand; forgets that."""
        missed = key in self._missed
        self._missed.discard(key)
        return missed

    def event_of(self, claim: Claim) -> Event:
        if claim.event_type not in self.types:
            raise BadData(f"{self.consumer} has no handler for {claim.event_type}; it handles {', '.join(self.types)}")
        data = load_json(claim.payload) if isinstance(claim.payload, str) else claim.payload
        return from_json_object(self.types[claim.event_type], data)


class Lines:
    """All of them. ``wakes`` counts the reasons to look, ``changed`` is set whenever a worker has come to rest."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self.changed = asyncio.Event()
        self.wakes = 0

    @property
    def consumers(self) -> Collection[str]:
        return self._lines.keys()

    @property
    def are_quiet(self) -> bool:
        return all(line.is_quiet for line in self._lines.values())

    def add(self, subscription: Subscription) -> Line:
        """The first look is at what was published before."""
        line = self._lines[subscription.consumer] = Line(subscription)
        line.wake.set()
        return line

    def clear(self) -> None:
        self._lines.clear()
        self.changed.set()

    def wake(self, consumers: Collection[str]) -> None:
        """Let those of them that are served here look now."""
        for consumer in list(consumers):
            if consumer in self._lines:
                self.wakes += 1
                self._lines[consumer].wake.set()

    def hear_of(self, keys_of: Mapping[str, Collection[str]]) -> None:
        """Events of these keys were published for these consumers."""
        for consumer, keys in keys_of.items():
            if consumer in self._lines:
                self.wakes += 1
                self._lines[consumer].hear_of(keys)

    def wake_due(self, found: Sequence[Waiting]) -> None:
        self.wake([each.consumer for each in found if each.due_in_s <= 0])

    def busy(self) -> list[str]:
        return [line.consumer for line in self._lines.values() if not line.is_quiet]

    def with_hands_free(self) -> list[str]:
        return [line.consumer for line in self._lines.values() if line.has_hands_free]

    async def until_quiet(self) -> None:
        while not self.are_quiet:
            self.changed.clear()
            await self.changed.wait()
