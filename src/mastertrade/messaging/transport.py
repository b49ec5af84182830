"""What a transport has to know so that delivery works over it: a new one writes these methods and ``publish``."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from mastertrade.messaging.attempts import Claim
from mastertrade.messaging.bus import Subscription
from mastertrade.messaging.lines import Line, Waiting
from mastertrade.shared.postgres_manager import Transaction


class Transport(ABC):
    """How events are stored, claimed by a worker, and given back or finished."""

    @abstractmethod
    async def declare(self, subscriptions: Sequence[Subscription]) -> None: ...

    @abstractmethod
    def begin(self, subscription: Subscription) -> AbstractAsyncContextManager[Transaction]:
        """The transaction that an event is claimed, handled and finished in."""

    @abstractmethod
    async def claim(self, tx: Transaction, line: Line) -> Claim | None:
        """The next event that is due and the first of its key, until ``tx`` ends; never one of a busy key."""

    @abstractmethod
    async def count_attempt(self, claim: Claim) -> None:
        """Committed when it returns, whatever becomes of the transaction."""

    @abstractmethod
    async def finish(self, tx: Transaction, claim: Claim) -> bool:
        """The event is handled if ``tx`` commits. Returns whether more waits."""

    @abstractmethod
    async def bury(self, tx: Transaction, claim: Claim, *, error: str, died_at: datetime) -> None:
        """The event is a dead letter if ``tx`` commits."""

    @abstractmethod
    async def fail(self, claim: Claim, *, delay_s: float, excused: bool, error: str | None) -> None:
        """Leave the event alone for ``delay_s``."""

    @abstractmethod
    async def waiting(self, consumers: Collection[str]) -> list[Waiting]:
        """Those consumers for which something waits, be it in another process's hands."""

    @abstractmethod
    def release(self, claim: Claim) -> None:
        """The worker has let go of the event, whatever became of it."""
