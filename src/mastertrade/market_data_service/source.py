"""What a source of candles is: its instruments, their past as arrays, and their future batch by batch."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from mastertrade.domain.market import Candle
from mastertrade.quant.bars import Bars

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


def to_datetime(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An instrument as a source describes it, before the database gives it an id."""

    venue: str
    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    rules_source: str = "assumed"
    """assumed, simulated or venue: how far the rules can be trusted."""

    @property
    def key(self) -> tuple[str, str]:
        return self.venue, self.symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedExample:
    """One refused row: where it stands, what it held and which rule it broke."""

    where: str
    row: int
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.where}: row {self.row}: {self.value}: {self.rule}"


@dataclass(slots=True)
class RefusedRows:
    """A running count of refused rows by the rule they broke, with the first of them as an example."""

    counts: dict[str, int] = field(default_factory=dict)
    first: RefusedExample | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, count: int, example: RefusedExample) -> None:
        self.counts[example.rule] = self.counts.get(example.rule, 0) + count
        if self.first is None or (example.where == self.first.where and example.row < self.first.row):
            self.first = example

    def add_all(self, others: "RefusedRows") -> None:
        for rule, count in others.counts.items():
            self.counts[rule] = self.counts.get(rule, 0) + count
        self.first = self.first or others.first


@dataclass(slots=True, kw_only=True)
class SeriesHistory:
    """The past of one series. ``chunks`` is read once, oldest first; ``refused`` is complete when it is exhausted.
    ``expected_rows`` is an estimate, for progress only."""

    listing: Listing
    interval_s: int
    expected_rows: int
    chunks: Iterator[Bars]
    refused: RefusedRows = field(default_factory=RefusedRows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleBatch:
    """All candles of one open time, over all instruments and venues."""

    interval_s: int
    open_time: datetime
    candles: tuple[Candle, ...]

    @property
    def close_time(self) -> datetime:
        return self.open_time + timedelta(seconds=self.interval_s)

    def of_venue(self, venue: str) -> tuple[Candle, ...]:
        return tuple(candle for candle in self.candles if candle.venue == venue)


class Source(Protocol):
    """Where candles come from. The same source gives the same candles each time it is asked."""

    @property
    def name(self) -> str:
        """Says which data this is; a feed that has begun with one source refuses to go on with another."""
        ...

    @property
    def interval_s(self) -> int:
        """The interval of the batches."""
        ...

    @property
    def instruments(self) -> tuple[Listing, ...]: ...

    def history(self, until: datetime) -> Iterable[SeriesHistory]:
        """Every candle that had closed at ``until``, series by series."""
        ...

    def batches(self, ids: Mapping[tuple[str, str], int], after: datetime | None) -> AsyncGenerator[CandleBatch, None]:
        """Candles with an open time later than ``after`` (None: all), in the order of time. ``ids`` gives the
        instrument id of each (venue, symbol)."""
        ...

    def refused(self) -> RefusedRows:
        """Rows that the latest pass over the batches has refused so far."""
        ...
