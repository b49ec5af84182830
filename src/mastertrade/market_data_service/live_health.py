"""How alive a stream is: the age of every price, and how often something had to be mended."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

STALE_AFTER = timedelta(seconds=60)
"""A price older than this is called stale."""


@dataclass(slots=True)
class LiveHealth:
    """What is known about a stream of some markets; the ages are by the clock that was handed in."""

    heard: dict[str, datetime] = field(default_factory=dict)
    price: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    breaks: int = 0
    is_streaming: bool = False
    repaired: int = 0
    """Bars or trades that the stream had not brought and that were asked for as pages."""
    last_break: str = ""

    def hear(self, symbol: str, now: datetime, price: str | None) -> None:
        self.heard[symbol] = now
        if price is not None:
            self.price[symbol] = price

    def age_s(self, symbol: str, now: datetime) -> float | None:
        """None: nothing was ever heard of it."""
        heard = self.heard.get(symbol)
        return None if heard is None else max(0.0, (now - heard).total_seconds())

    def stale(self, symbols: Iterable[str], now: datetime, *, after: timedelta = STALE_AFTER) -> list[str]:
        limit = after.total_seconds()
        return [symbol for symbol in symbols if (age := self.age_s(symbol, now)) is None or age > limit]
