"""Trades, funding rates, books and tickers on their way into the database. Times are UTC epoch microseconds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mastertrade.market_data_service.validation import EARLIEST_MS, LARGEST

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Levels = list[tuple[float, float]]
"""Price and amount, the best first."""

NO_TIME = "the time cannot be read"
TOO_OLD = "the time lies before 2009"
FUTURE = "the time lies in the future"
NOT_A_PRICE = "a price must be a finite number above zero"
NOT_AN_AMOUNT = "an amount must be a finite number above zero"
NEGATIVE = "a price or amount must be a finite number and not below zero"
NOT_A_RATE = "a funding rate must be a finite fraction below 1"
NOTHING_SAID = "neither bid nor ask nor last price"
NO_SYMBOL = "the market is not named"


def moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


def _time_fault(time_us: int | None, now_us: int) -> str | None:
    if time_us is None:
        return NO_TIME
    if time_us < EARLIEST_MS * 1000:
        return TOO_OLD
    return FUTURE if time_us > now_us else None


def _is_number(value: float | None, *, least: float) -> bool:
    return value is not None and least <= value < LARGEST


_SMALLEST = math.nextafter(0.0, 1.0)


@dataclass(slots=True)
class Trade:
    """``is_buy``: the taker bought; None where it is not known. ``row`` is its place in a file."""

    time_us: int | None
    id: str
    price: float
    amount: float
    is_buy: bool | None
    row: int = 0

    def fault(self, now_us: int) -> str | None:
        if not _is_number(self.price, least=1 / LARGEST):
            return NOT_A_PRICE
        if not _is_number(self.amount, least=_SMALLEST):
            return NOT_AN_AMOUNT
        return _time_fault(self.time_us, now_us)


@dataclass(slots=True)
class Funding:
    time_us: int | None
    rate: float
    row: int = 0

    def fault(self, now_us: int) -> str | None:
        return NOT_A_RATE if not abs(self.rate) < 1 else _time_fault(self.time_us, now_us)


@dataclass(slots=True)
class Book:
    """A snapshot, or the levels that changed. ``rows`` is how many rows of a file it was made of."""

    time_us: int | None
    sequence: int
    is_snapshot: bool
    bids: Levels
    asks: Levels
    first_sequence: int | None = None
    row: int = 0
    rows: int = 1

    def fault(self, now_us: int) -> str | None:
        for side in (self.bids, self.asks):
            for price, amount in side:
                if not (_is_number(price, least=0) and _is_number(amount, least=0)):
                    return NEGATIVE
        return _time_fault(self.time_us, now_us)


@dataclass(slots=True)
class Ticker:
    """``symbol`` is as the venue's list names it; a number that is not said is None."""

    symbol: str
    time_us: int | None
    sequence: int = 0
    bid: float | None = None
    bid_amount: float | None = None
    ask: float | None = None
    ask_amount: float | None = None
    last: float | None = None
    volume: float | None = None
    row: int = 0

    def fault(self, now_us: int) -> str | None:
        if not self.symbol:
            return NO_SYMBOL
        # Indices and spreads, which are named in other ways than markets are, may well stand below zero.
        least = 0 if "/" in self.symbol else -LARGEST
        prices = [self.bid, self.ask, self.last]
        if any(value is not None and not _is_number(value, least=least) for value in prices) or any(
            value is not None and not _is_number(value, least=0)
            for value in (self.bid_amount, self.ask_amount, self.volume)
        ):
            return NEGATIVE
        return _time_fault(self.time_us, now_us)


@dataclass(slots=True)
class Batch:
    """What a piece of a file, or a moment of a stream, brought; by market, except for tickers."""

    trades: dict[str, list[Trade]] = field(default_factory=dict)
    funding: dict[str, list[Funding]] = field(default_factory=dict)
    books: dict[str, list[Book]] = field(default_factory=dict)
    tickers: list[Ticker] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(1 for _ in self.rows())

    def rows(self) -> Iterator[Trade | Funding | Book | Ticker]:
        for group in (self.trades, self.funding, self.books):
            for rows in group.values():
                yield from rows
        yield from self.tickers
