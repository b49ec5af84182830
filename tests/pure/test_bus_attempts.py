"""What becomes of an event after each failure, and what a wake-up means."""

from typing import Any
from uuid import UUID

import pytest

from mastertrade.messaging.attempts import (
    BACKOFF_S,
    ENDED_WITHOUT_AN_ERROR,
    ERROR_LIMIT,
    MAX_STARTS,
    Claim,
    cause_of_death,
    delay_s_after,
    error_text,
    is_excused,
)
from mastertrade.messaging.bus import MAX_ATTEMPTS
from mastertrade.messaging.notifier import PAYLOAD_LIMIT, Notifier
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import BadData, DatabaseBusy, DatabaseDown, DependencyDown, Refused
from mastertrade.shared.postgres_manager import PostgresManager


def claim(**fields: Any) -> Claim:
    known: dict[str, Any] = {
        "consumer": "a", "sequence": 1, "event_id": UUID(int=1), "event_type": "OrderApproved", "key": "k",
        "payload": {}, "is_seen": False, "started": 0, "excused": 0, "last_error": None,
    }  # fmt: skip
    return Claim(**{**known, **fields})


def test_the_pauses_grow_and_after_the_last_failure_there_is_none() -> None:
    pauses = [delay_s_after(claim(started=started), excused=False) for started in range(MAX_ATTEMPTS)]
    assert pauses == [*BACKOFF_S, 0.0]


def test_excused_tries_pause_too_and_never_less() -> None:
    pauses = [delay_s_after(claim(started=started, excused=started), excused=True) for started in range(8)]
    assert pauses == [*BACKOFF_S, *([BACKOFF_S[-1]] * 4)]


@pytest.mark.parametrize(
    ("error", "excused"),
    [
        (DatabaseDown(), True),
        (DatabaseBusy(), True),
        (DependencyDown("the venue"), True),
        (BadData(), False),
        (Refused(), False),
        (ValueError(), False),
        (TimeoutError(), False),
        (ConnectionError(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_an_error_that_leaves_hope_is_excused(error: Exception, excused: bool) -> None:
    assert is_excused(error) is excused


@pytest.mark.parametrize(
    ("started", "excused", "dead", "hook_spent", "attempts"),
    [
        (MAX_ATTEMPTS - 1, 0, False, False, MAX_ATTEMPTS - 1),
        (MAX_ATTEMPTS, 0, True, False, MAX_ATTEMPTS),
        (MAX_ATTEMPTS, 1, False, False, MAX_ATTEMPTS),
        (MAX_ATTEMPTS + 3, 3, True, False, MAX_ATTEMPTS),
        (2 * MAX_ATTEMPTS - 1, 0, True, False, MAX_ATTEMPTS),
        (2 * MAX_ATTEMPTS, 0, True, True, MAX_ATTEMPTS),
        (MAX_STARTS - 1, MAX_STARTS - 1, False, False, MAX_STARTS - 1),
        (MAX_STARTS, MAX_STARTS, True, False, MAX_STARTS),
        (MAX_STARTS + MAX_ATTEMPTS, MAX_STARTS, True, True, MAX_ATTEMPTS),
        (MAX_STARTS + MAX_ATTEMPTS, MAX_STARTS + MAX_ATTEMPTS, True, True, MAX_STARTS),
    ],
)
def test_death_comes_after_five_failures_or_two_hundred_starts(
    started: int, excused: int, dead: bool, hook_spent: bool, attempts: int
) -> None:
    event = claim(started=started, excused=excused)
    assert (event.is_dead, event.is_hook_spent, event.attempts) == (dead, hook_spent, attempts)


def test_the_cause_of_death_is_the_last_error_of_the_handler_and_that_of_the_hook() -> None:
    assert cause_of_death(claim(started=5)) == ENDED_WITHOUT_AN_ERROR
    first = error_text(claim(started=4), ValueError("no"))
    assert first == "ValueError: no"
    second = error_text(claim(started=5, last_error=first), KeyError("hook"))
    third = error_text(claim(started=6, last_error=second), KeyError("hook again"))
    assert third == "ValueError: no; on_dead_letter failed: KeyError: 'hook again'"
    assert len(error_text(claim(), ValueError("x" * 10_000))) == ERROR_LIMIT


def test_a_notification_wakes_those_it_names_and_an_empty_one_everybody() -> None:
    mine = Notifier(PostgresManager("postgresql://u@h/d"), clock=SystemClock(), sender="me")
    assert list(mine.understood("other|a,b", ["b", "c"])) == ["b"]
    assert list(mine.understood("other|", ["b", "c"])) == ["b", "c"]
    assert list(mine.understood("", ["b", "c"])) == ["b", "c"]
    assert list(mine.understood("me|b", ["b", "c"])) == []
    assert PAYLOAD_LIMIT < 8000
