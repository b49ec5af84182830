"""Trying again within bounds, with pauses that double."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses from ``first_s`` doubling up to ``longest_s``, until ``for_s`` have passed since the beginning.

    ``jitter`` shortens each pause by up to that fraction, so that many who failed together do not return together."""

    first_s: float = 0.05
    longest_s: float = 1.0
    for_s: float = 5.0
    jitter: float = 0.25

    def pauses_s(self) -> Iterator[float]:
        """Endless; the deadline is kept by ``retry``."""
        pause_s = self.first_s
        while True:
            yield pause_s * (1 - self.jitter * random.random())
            pause_s = min(2 * pause_s, self.longest_s)


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    when: Callable[[Exception], bool],
    backoff: Backoff,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> T:
    """The result of ``call``. It is repeated after an error for which ``when`` is true; the last error is raised when
    the next pause would end after the deadline."""
    deadline = monotonic() + backoff.for_s
    for pause_s in backoff.pauses_s():
        try:
            return await call()
        except Exception as error:
            if not when(error) or monotonic() + pause_s > deadline:
                raise
        await sleep(pause_s)
    raise AssertionError("pauses are endless")
