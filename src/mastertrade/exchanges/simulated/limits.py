"""How much one address may ask: a weight a window, a pause when it is spent, a ban for whoever goes on asking."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Binance's own numbers. ``ban_after`` is how many questions too many are only warned about."""

    weight: int = 6_000
    window_s: float = 60.0
    ban_after: int = 10
    ban_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``status`` is 200, 429 or 418; ``retry_after_s`` says when to ask again."""

    status: int
    used: int
    retry_after_s: float = 0.0


class Meter:
    """Counts one address against the limits, on the machine's clock."""

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._window_began = monotonic()
        self._used = 0
        self._too_many = 0
        self._banned_until = 0.0

    def ask(self, weight: int) -> Verdict:
        now = self._monotonic()
        if now < self._banned_until:
            return Verdict(status=418, used=self._used, retry_after_s=self._banned_until - now)
        if now >= self._window_began + self._limits.window_s:
            self._window_began, self._used, self._too_many = now, 0, 0
        if self._used + weight <= self._limits.weight:
            self._used += weight
            return Verdict(status=200, used=self._used)
        self._too_many += 1
        if self._too_many > self._limits.ban_after:
            self._banned_until = now + self._limits.ban_s
            return Verdict(status=418, used=self._used, retry_after_s=self._limits.ban_s)
        return Verdict(status=429, used=self._used, retry_after_s=self._window_began + self._limits.window_s - now)
