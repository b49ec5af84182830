"""A ccxt client that asks for its turn before each request, and tells everybody when the venue wants a pause."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from mastertrade.exchanges.exchange import NotSent
from mastertrade.exchanges.market_feed import FeedRefused, RateLimited
from mastertrade.exchanges.request_budget import (
    LONGEST_PAUSE_S,
    NotCounted,
    Purpose,
    RequestBudget,
    Wait,
    allowance_of,
    pause_asked_for,
)
from mastertrade.shared.errors import DependencyDown, MasterTradeError

log = logging.getLogger(__name__)

LONGEST_PAUSE_OF_ACCOUNT_S: Final = 10.0
"""Whoever trades must know soon that the venue cannot be asked."""
ASK_TIMEOUT_S: Final = 1.0
"""How long an order waits for the database before it goes by the client's own pace."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is being done. ``left_s`` tells how long it still makes sense to send something."""

    purpose: Purpose
    left_s: Callable[[], float] | None = None


_errand: ContextVar[Errand | None] = ContextVar("errand", default=None)


@contextmanager
def errand(purpose: Purpose, left_s: Callable[[], float] | None = None) -> Iterator[None]:
    """Whatever is asked within is asked for that."""
    token = _errand.set(Errand(purpose, left_s))
    try:
        yield
    finally:
        _errand.reset(token)


_pauses: ContextVar[list[tuple[float, str]] | None] = ContextVar("pauses", default=None)
"""Of the request that is under way."""


class Paced:
    """A ccxt client whose requests are counted with those of everybody else.

    Whoever has to wait asks again when the wait is over; of one client one data request at a time. Between processes
    nobody stands in a queue, so none is left behind by one that dies."""

    def __init__(self, client: Any, venue: str, budget: RequestBudget, purpose: Purpose = Purpose.DATA) -> None:
        self._client = client
        self._venue = venue
        self._budget = budget
        self._purpose = purpose
        self._own_throttle, self._fetch = client.throttle, client.fetch
        self._on_rest_response = client.on_rest_response
        self._turns: Mapping[Purpose, asyncio.Lock] = {
            one: asyncio.Lock() for one in Purpose if one is not Purpose.ORDER
        }
        self._closed_until = 0.0
        self._is_counting = True
        client.throttle, client.fetch, client.on_rest_response = self.throttle, self.fetch, self._note_answer

    async def throttle(self, cost: float | None = None) -> None:
        """Returns when the request may go. An order that could not go in time is NotSent, at once.

        When the database does not answer, data is not asked for: NotCounted. An order goes by the pace that ccxt's
        client keeps by itself: it is approved and written down as being sent, its time is short, and a position that
        cannot be closed costs more than a request too many, which the venue would refuse."""
        given = _errand.get() or Errand(self._purpose)
        async with self._turn(given.purpose):
            while True:
                wait = await self._wait(1.0 if cost is None else float(cost), given.purpose)
                if wait is None:
                    return await self._own_throttle(cost)  # type: ignore[no-any-return]
                if wait.seconds <= 0:
                    return
                self._require_patience(wait, given)
                await asyncio.sleep(wait.seconds)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """A pause the venue asks for is told to everybody, whatever becomes of the answer."""
        pauses: list[tuple[float, str]] = []
        token = _pauses.set(pauses)
        try:
            return await self._fetch(url, method, headers, body)
        finally:
            _pauses.reset(token)
            for for_s, said in pauses:
                await self._tell(for_s, said)

    @asynccontextmanager
    async def _turn(self, purpose: Purpose) -> AsyncIterator[None]:
        """Orders never stand behind one another: each has a time of its own."""
        turn = self._turns.get(purpose)
        if turn is None:
            yield
        else:
            async with turn:
                yield

    async def _wait(self, cost: float, purpose: Purpose) -> Wait | None:
        """None: nobody counts, and it is an order."""
        if (closed_s := self._closed_until - time.monotonic()) > 0:
            return Wait(closed_s, is_blocked=True)
        allowance = allowance_of(self._client, self._budget.share)
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S if purpose is Purpose.ORDER else None):
                wait = await self._budget.take(self._venue, cost, allowance, purpose)
        except (MasterTradeError, TimeoutError) as error:
            if purpose is not Purpose.ORDER:
                if not isinstance(error, DependencyDown):
                    raise
                raise NotCounted(
                    f"{self._venue}: its requests cannot be counted, so nothing was asked: {error}; "
                    "mastertrade doctor tells more about the database"
                ) from error
            if self._is_counting:
                log.error("orders go uncounted, by the client's own pace", extra={"venue": self._venue}, exc_info=error)
            self._is_counting = False
            return None
        self._is_counting = True
        return wait

    def _require_patience(self, wait: Wait, given: Errand) -> None:
        seconds = wait.seconds
        why = "the venue wants to be left alone" if wait.is_blocked else "what the venue allows is used up"
        if given.left_s is not None:
            if seconds >= given.left_s():
                raise NotSent(f"{self._venue}: {why} for {seconds:.1f} s, and the order's time is over before that")
        elif not wait.is_blocked:
            return
        elif given.purpose is Purpose.DATA and seconds > LONGEST_PAUSE_S:
            raise FeedRefused(
                f"{self._venue}: {why} for {seconds:.0f} s, longer than {LONGEST_PAUSE_S:.0f} s: it has banned this "
                "address; go on later with the same command"
            )
        elif given.purpose is not Purpose.DATA and seconds > LONGEST_PAUSE_OF_ACCOUNT_S:
            raise RateLimited(
                f"{self._venue}: {why} for {seconds:.0f} s, longer than {LONGEST_PAUSE_OF_ACCOUNT_S:.0f} s: "
                "nothing was sent",
                retry_after_s=seconds,
            )

    def _note_answer(
        self, status: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *more: Any
    ) -> str:
        if (pause_s := pause_asked_for(status, headers, body, time.time())) is not None:
            self._closed_until = max(self._closed_until, time.monotonic() + pause_s)
            if (pauses := _pauses.get()) is not None:
                pauses.append((pause_s, f"HTTP {status}"))
        passed_on: str = self._on_rest_response(status, reason, url, method, headers, body, *more)
        return passed_on

    async def _tell(self, for_s: float, said: str) -> None:
        """Where the database does not answer, this client keeps the pause by itself."""
        log.warning("a venue wants a pause", extra={"venue": self._venue, "seconds": for_s, "said": said})
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self._budget.block(self._venue, for_s, said)
        except (MasterTradeError, TimeoutError) as error:
            log.error("others do not know of the pause", extra={"venue": self._venue}, exc_info=error)
