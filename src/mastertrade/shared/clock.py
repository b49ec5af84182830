"""Time is handed in: the machine's clock, or one that moves when the market says so."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC. Never goes back within one process."""
        ...

    def monotonic(self) -> float:
        """Seconds for measuring durations; unrelated to ``now``."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MarketClock(Clock, Protocol):
    """A clock that whoever plays a market may move."""

    def advance(self, to: datetime) -> None: ...


class LiveClock(SystemClock):
    """The machine's time where the market played is the present one: it moves by itself."""

    def advance(self, to: datetime) -> None:
        """Nothing to do: the market's time has come already."""


class ReplayClock:
    """Stands still until the market it follows moves it; durations and sleeps stay those of the machine."""

    def __init__(self, start: datetime) -> None:
        self._now = _aware(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, to: datetime) -> None:
        """Move forward to ``to``; an earlier time leaves the clock where it is."""
        self._now = max(self._now, _aware(to))

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; times are aware UTC")
    return moment.astimezone(UTC)
