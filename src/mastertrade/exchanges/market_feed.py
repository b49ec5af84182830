"""The port to a venue's public market data: what any venue can be asked, and what each answer means.

Numbers are text, as the venue wrote them: whoever stores them decides what to keep. Times are UTC milliseconds of rows
and aware times of questions. Rows come oldest first, each once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mastertrade.domain.market import ListedInstrument
from mastertrade.shared.errors import DependencyDown, NotFound, Refused, UsageError


class FeedKind(StrEnum):
    CANDLES = "candles"
    MARK = "mark"
    """Candles of the mark price of a swap."""
    FUNDING = "funding"
    TRADES = "trades"
    BOOK = "book"
    TICKERS = "tickers"


class FeedDown(DependencyDown):
    """The venue does not answer, or not in full; asking again later may succeed."""


class RateLimited(FeedDown):
    """The venue asks for a pause; ``retry_after_s`` is how long, where it said so."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class FeedRefused(Refused):
    """The venue refuses the question itself; asking again will not help."""


class UnknownVenue(NotFound):
    """There is no such venue."""


class UnknownSymbol(NotFound):
    """The venue lists no such market."""


class UnsupportedTimeframe(UsageError):
    """The venue has no candles of this length."""


class NotOffered(UsageError):
    """The venue does not offer this kind of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueMarket:
    """A market with its rules as the venue lists it now. ``assumed`` names the rules that the venue does not tell and
    that are guesses; ``listed_at`` is when it says that trading began."""

    instrument: ListedInstrument
    venue_symbol: str
    listed_at: datetime | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CandleRow:
    """One bar by the moment it opens. Volume is base units; of contracts where a swap is counted in contracts."""

    time_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One public trade; ``side`` is the taker's, buy or sell, None where the venue does not tell."""

    id: str
    time_ms: int
    price: str
    quantity: str
    side: str | None


@dataclass(frozen=True, slots=True)
class FundingRow:
    """What longs paid shorts at that moment, as a fraction of the position."""

    time_ms: int
    rate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Closed bars out of the span asked for. The venue answered for ``since <= bar start < until`` of the page: what is
    not among the rows there does not exist there. That may be less than was asked for: ask for the rest.

    ``reaches_from_ms``: the venue gives nothing older than this, whatever is asked; then nothing was answered.
    """

    rows: tuple[CandleRow, ...]
    since: datetime
    until: datetime
    reaches_from_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePage:
    """Trades from the moment asked for on, as many as the venue gives at once; before ``until_ms`` none is missing.
    ``is_last``: there are no later ones yet."""

    rows: tuple[TradeRow, ...]
    until_ms: int
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPage:
    """As a page of trades, but answered from ``since_ms`` on: some venues hand out the newest rates first."""

    rows: tuple[FundingRow, ...]
    since_ms: int
    until_ms: int
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSnapshot:
    """Price and quantity by level, the best first. ``sequence`` orders it among the venue's changes of this book."""

    symbol: str
    time_ms: int | None
    sequence: int | None
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerRow:
    """What the venue says about a market now; None is what it does not say."""

    symbol: str
    time_ms: int | None
    bid: str | None
    ask: str | None
    last: str | None
    base_volume: str | None


class MarketFeed(Protocol):
    """One venue. Every method may raise ``FeedDown`` (ask again) and its kin above (do not); each call waits its turn
    within the venue's limits, so any number of callers may ask at once. Symbols are ours: ``BTC/USDT``,
    ``BTC/USDT:USDT``."""

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[FeedKind]:
        """What can be asked for here."""
        ...

    @property
    def histories(self) -> frozenset[FeedKind]:
        """What can be asked for by time, however long ago it was; of the others the venue tells only the present."""
        ...

    @property
    def timeframes(self) -> Mapping[int, str]:
        """The seconds of each candle length the venue has, with the name it gives it; shortest first."""
        ...

    async def markets(self, *, is_fresh: bool = False) -> Mapping[str, VenueMarket]:
        """Spot markets and perpetual swaps by symbol, asked for once; again with ``is_fresh``."""
        ...

    async def candles(
        self, symbol: str, interval_s: int, *, since: datetime, until: datetime, kind: FeedKind = FeedKind.CANDLES
    ) -> CandlePage:
        """A page of bars with ``since <= bar start < until``, of trades or of the mark price. It holds the oldest ones
        wherever the venue lets one choose."""
        ...

    async def trades(self, symbol: str, *, since: datetime) -> TradePage:
        """Trades from ``since`` on. NotOffered where the venue tells only its latest ones."""
        ...

    async def funding(self, symbol: str, *, since: datetime) -> FundingPage: ...

    async def book(self, symbol: str, *, depth: int = 100) -> BookSnapshot: ...

    async def tickers(self, symbols: Sequence[str] | None = None) -> Sequence[TickerRow]:
        """Of these markets, or of all."""
        ...

    async def now(self) -> datetime:
        """The venue's time, or ours where it does not tell."""
        ...

    async def close(self) -> None:
        """Harmless when repeated."""
        ...
