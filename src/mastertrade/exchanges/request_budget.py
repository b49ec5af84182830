"""Requests to a venue, counted across all processes of the platform: who may ask now, who waits, and who goes first.

A venue counts what comes from one address, and a client of ccxt knows only of itself. So each request asks one row of
the database before it goes. Of what a venue allows, an even flow of 70 % is for whoever comes, and the rest is a burst
that orders may use up: however busy a download is, it leaves that to them. What a request costs, and how much a venue
allows, are ccxt's figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from mastertrade.exchanges.market_feed import FeedDown
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("request_budget.sql"))

KEPT_FOR_ORDERS: Final = 0.3
"""Of what a venue allows within its window. The even flow is the rest, so that both together never exceed it."""
WITHOUT_WINDOW: Final = 20
"""Units of a window where ccxt knows the pace of a venue and no window; Bitget and HTX count as many within theirs."""
LONGEST_PAUSE_S: Final = 600.0
"""A venue that asks for more is not worth waiting for: a person should look."""
PAUSE_WITHOUT_WORD_S: Final = 5.0
"""After an answer of "too many requests" that does not say for how long."""
LONGEST_BLOCK_S: Final = 7 * 86_400.0
"""No venue bans for longer; a header that says more is a mistake."""
TOO_MANY: Final = frozenset({418, 429})
TOO_OFTEN: Final = "access too frequent"
"""Bybit says so with 403, and lifts the ban after so long without any request (docs/v5/rate-limit)."""
PAUSE_OF_BYBIT_S: Final = 600.0
LONGEST_WORDS: Final = 1_000


class NotCounted(FeedDown):
    """The requests to a venue cannot be counted, because the database does not answer; nothing was asked."""


class Purpose(StrEnum):
    """What a request is for, which decides how much of the burst it may use."""

    DATA = "data"
    ACCOUNT = "account"
    """Fills, balances, orders asked for: behind orders, before market data."""
    ORDER = "order"


BURST: Final[Mapping[Purpose, float]] = {Purpose.DATA: 0.1, Purpose.ACCOUNT: 0.5, Purpose.ORDER: 1.0}


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many units within any ``window_s``. One unit is what ccxt counts a cheap request as."""

    units: float
    window_s: float

    @property
    def burst(self) -> float:
        return self.units * KEPT_FOR_ORDERS

    @property
    def per_s(self) -> float:
        return (self.units - self.burst) / self.window_s

    def room(self, purpose: Purpose, cost: float) -> float:
        """Units that may be unpaid before a request. It does not depend on the cost of data: the dear ones would wait
        for ever behind the cheap ones of others."""
        burst = self.burst
        return max(burst * BURST[Purpose.DATA], burst * BURST[purpose] - cost)


def allowance_of(client: Any, share: float = 1.0) -> Allowance:
    """What ccxt knows: a unit every ``rateLimit`` milliseconds, counted by the venue over its window."""
    pace_ms = float(client.rateLimit)
    window_ms = float(client.rollingWindowSize or 0) or pace_ms * WITHOUT_WINDOW
    return Allowance(units=window_ms / pace_ms * share, window_s=window_ms / 1000)


@dataclass(frozen=True, slots=True)
class Wait:
    """After ``seconds`` to ask again; 0: go. ``is_blocked``: the venue wants to be left alone until then."""

    seconds: float
    is_blocked: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """A venue that wants to be left alone, and what it said."""

    venue: str
    until: datetime
    said: str


class RequestBudget:
    """``share``: of what a venue allows, so much is ours. ``counts_local``: servers of this machine are counted like
    the venues they stand for, which is for tests."""

    def __init__(self, manager: PostgresManager, *, share: float = 1.0, counts_local: bool = False) -> None:
        self._manager = manager
        self.share = share
        self.counts_local = counts_local

    async def take(self, venue: str, cost: float, allowance: Allowance, purpose: Purpose) -> Wait:
        row = await QUERIES.fetchrow(
            self._manager,
            "take_request",
            venue=venue,
            cost=float(cost),
            per_s=allowance.per_s,
            room=allowance.room(purpose, cost),
            window_s=allowance.window_s,
        )
        assert row is not None, "a function is always one row"
        return Wait(row["wait_s"], row["is_blocked"])

    async def block(self, venue: str, for_s: float, said: str) -> None:
        """No process asks ``venue`` for so long; a longer pause that it asked for before stays."""
        await QUERIES.execute(
            self._manager, "block_requests", venue=venue, for_s=min(for_s, LONGEST_BLOCK_S), said=said
        )

    async def blocked(self) -> list[Blocked]:
        rows = await QUERIES.fetch(self._manager, "blocked_venues")
        return [Blocked(row["venue"], row["blocked_until"], row["blocked_by"]) for row in rows]


def pause_asked_for(status: int, headers: Mapping[str, str], body: str, now: float) -> float | None:
    """Seconds, when the answer asks for a pause."""
    if status == 403 and TOO_OFTEN in body[:LONGEST_WORDS].lower():
        return PAUSE_OF_BYBIT_S
    told_s = seconds_of(next((value for name, value in headers.items() if name.lower() == "retry-after"), None), now)
    if status in TOO_MANY or (status == 503 and told_s is not None):
        return PAUSE_WITHOUT_WORD_S if told_s is None else told_s
    return None


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """Of a Retry-After header: seconds, or a date."""
    if retry_after is None:
        return None
    try:
        return min(max(0.0, float(retry_after)), LONGEST_BLOCK_S)
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None
