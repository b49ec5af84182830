"""What a download is asked for, how far it is, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mastertrade.exchanges.market_feed import FeedKind
from mastertrade.market_data_service.candle_store import Loaded
from mastertrade.market_data_service.source import RefusedRows
from mastertrade.shared.errors import MasterTradeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``until`` None is the present. Times of series are moved inwards to the next bar."""

    symbols: Sequence[str]
    intervals_s: Sequence[int]
    since: datetime
    until: datetime | None = None
    kind: FeedKind = FeedKind.CANDLES


@dataclass(slots=True, kw_only=True)
class SeriesDownload:
    """One series while it is downloaded, and afterwards. ``done`` of ``total`` bars were answered for by the venue;
    ``already`` were before. Gaps are those between ``since`` and ``until``, ``unconfirmed`` how many of them the venue
    has denied only once. ``failure`` says why it is not complete."""

    venue: str
    symbol: str
    interval_s: int
    since: datetime
    until: datetime
    instrument_id: int = 0
    already: int = 0
    total: int = 0
    done: int = 0
    loaded: Loaded = field(default_factory=Loaded)
    refused: RefusedRows = field(default_factory=RefusedRows)
    requests: int = 0
    retries: int = 0
    waiting_for: str = ""
    gaps: int = 0
    missing: int = 0
    unconfirmed: int = 0
    note: str = ""
    failure: MasterTradeError | None = None
    seconds: float = 0.0

    @property
    def bars(self) -> int:
        """How many the span has room for."""
        return max(0, int((self.until - self.since).total_seconds()) // self.interval_s)


Progress = Callable[[Sequence[SeriesDownload]], None]
"""Called after every answer, with all series of the download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    series: tuple[SeriesDownload, ...]
    seconds: float

    @property
    def failures(self) -> list[MasterTradeError]:
        return [one.failure for one in self.series if one.failure is not None]
