"""The venue's own clock: it runs with the machine's, faster, or only when told to."""

import time
from collections.abc import Callable


class VenueTime:
    """Milliseconds since 1970 UTC. ``speed`` is venue seconds per second; 0 stands still until ``advance``."""

    def __init__(
        self, start_ms: int | None = None, *, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._start_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._began = monotonic()

    def now_ms(self) -> int:
        return self._start_ms + int((self._monotonic() - self._began) * self._speed * 1000)

    def advance(self, seconds: float) -> None:
        self._start_ms += int(seconds * 1000)
