"""The port to a venue's public market data as it happens; what has already happened is asked of ``MarketFeed``."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mastertrade.exchanges.market_feed import BookSnapshot, CandleRow, FeedKind, TickerRow, TradeRow


@dataclass(frozen=True, slots=True)
class LiveCandle:
    """A bar as it stands. ``is_final``: the venue says that it will not change; None where it never says so, and the
    next bar is the only sign."""

    symbol: str
    row: CandleRow
    is_final: bool | None


@dataclass(frozen=True, slots=True)
class LiveTrade:
    symbol: str
    row: TradeRow


class MarketStreams(Protocol):
    """One venue. Each call is a connection of its own, and ends with ``FeedDown`` when the connection does: connecting
    again, and asking for what was missed, is the caller's. Nothing is yielded twice; what came while nobody asked comes
    together, of bars, tickers and books only the newest state."""

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[FeedKind]:
        """What there are streams of: candles, trades, tickers, books."""
        ...

    def candles(self, symbols: Sequence[str], interval_s: int) -> AsyncGenerator[Sequence[LiveCandle]]: ...

    def trades(self, symbols: Sequence[str]) -> AsyncGenerator[Sequence[LiveTrade]]: ...

    def tickers(self, symbols: Sequence[str]) -> AsyncGenerator[Sequence[TickerRow]]: ...

    def books(self, symbols: Sequence[str], *, depth: int = 20) -> AsyncGenerator[Sequence[BookSnapshot]]:
        """Whole books, kept by snapshot and changes; a break in the sequence starts over with a new snapshot."""
        ...

    @property
    def resynchronised(self) -> int:
        """How often a break in the sequence of a book's changes made it start over."""
        ...

    async def close(self) -> None:
        """Harmless when repeated."""
        ...
