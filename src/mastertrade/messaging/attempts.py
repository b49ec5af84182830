"""What becomes of an event that could not be handled: pure decisions, the same over every transport."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mastertrade.messaging.bus import MAX_ATTEMPTS
from mastertrade.shared.errors import MasterTradeError

BACKOFF_S = (0.05, 0.2, 1.0, 5.0)
"""Pause after the first try, the second, …; short, because the events behind it in its key wait as well."""
MAX_STARTS = 200
"""Tries of an event whose failures are all excused: about a quarter of an hour. Without a limit, an event that brings
the database down each time would do so for ever."""
ERROR_LIMIT = 2000

ENDED_WITHOUT_AN_ERROR = "no error was reported: the process ended while it handled this event"
HOOK_FAILED = "; on_dead_letter failed: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One event in the hand of one consumer. ``started`` counts the tries before this one, ``excused`` those of them
    that failed for a reason outside of the event. ``has_others``: events of other keys may wait beside it.
    ``payload`` may be JSON that nobody has read yet: what cannot be read is a fault of the event, not of its queue."""

    consumer: str
    sequence: int
    event_id: UUID
    event_type: str
    key: str
    payload: Mapping[str, Any] | str
    is_seen: bool
    started: int
    excused: int
    last_error: str | None
    has_others: bool = True

    @property
    def failures(self) -> int:
        return self.started - self.excused

    @property
    def is_dead(self) -> bool:
        return self.failures >= MAX_ATTEMPTS or self.started >= MAX_STARTS

    @property
    def is_hook_spent(self) -> bool:
        """Whether ``on_dead_letter`` has failed as often as the handler: then the event is set aside without it."""
        return self.failures >= 2 * MAX_ATTEMPTS or self.started >= MAX_STARTS + MAX_ATTEMPTS

    @property
    def attempts(self) -> int:
        """Tries of the handler, without those of the hook."""
        return min(self.failures, MAX_ATTEMPTS) if self.failures >= MAX_ATTEMPTS else min(self.started, MAX_STARTS)


def is_excused(error: BaseException) -> bool:
    """Whether the failure says nothing about the event: what it needs (the database, another dependency) did not answer
    or was busy. Everything else counts, a time-out and the end of the process too."""
    return isinstance(error, MasterTradeError) and error.retryable


def delay_s_after(claim: Claim, *, excused: bool) -> float:
    """How long the event is left alone. None after the last failure: what follows is not another try but its burial."""
    if not excused and claim.failures + 1 == MAX_ATTEMPTS:
        return 0.0
    return BACKOFF_S[min(claim.started, len(BACKOFF_S) - 1)]


def error_text(claim: Claim, error: BaseException) -> str:
    """What is remembered of a failure: the handler's error, and behind it that of the hook."""
    told = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
    if not claim.is_dead:
        return told
    return cause_of_death(claim).partition(HOOK_FAILED)[0] + HOOK_FAILED + told


def cause_of_death(claim: Claim) -> str:
    return claim.last_error or ENDED_WITHOUT_AN_ERROR
