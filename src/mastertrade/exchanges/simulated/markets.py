"""What the venue trades: candles from a seed or handed in, and trades, books and tickers that agree with them.

Everything is a function of the market and the moment: the same question about the same moment has the same answer, from
any process, so a test can ask the market what the venue should have said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

import numpy as np

from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import empty_bars, join
from mastertrade.quant.simulated_pairs import PAIRS
from mastertrade.quant.simulator import simulate_day
from mastertrade.shared.errors import UsageError

MINUTE_MS = 60_000
DAY_MS = 86_400_000
TRADES_A_MINUTE = 8
BOOK_STEP_MS = 1_000
"""The book changes once a venue second."""
UPDATES_A_STEP = 3
"""Update ids that one change of the book spans, so that first and last id of a message differ."""
BOOK_LEVELS = 25
FUNDING_MS = 8 * 3_600_000
_MASK = (1 << 64) - 1


class Candles(Protocol):
    """Whole one-minute candles of one market."""

    @property
    def from_ms(self) -> int:
        """When the market was listed."""
        ...

    def minutes(self, from_ms: int, to_ms: int) -> Bars:
        """Those with ``from_ms <= bar start < to_ms``."""
        ...


class SimulatedCandles:
    """The seed's market, which is the same for every venue of that seed."""

    def __init__(self, symbol: str, *, seed: int, from_ms: int) -> None:
        if symbol not in PAIRS:
            raise UsageError(f"the simulated market has no {symbol}; it has {', '.join(PAIRS)}")
        self._pair = PAIRS[symbol]
        self._seed = seed
        self.from_ms = from_ms // MINUTE_MS * MINUTE_MS
        self._day = lru_cache(maxsize=64)(self._simulate)

    def minutes(self, from_ms: int, to_ms: int) -> Bars:
        from_ms = max(from_ms, self.from_ms)
        bars = empty_bars(60)
        for day in range(from_ms // DAY_MS, -(-to_ms // DAY_MS)):
            whole = self._day(day)
            first, last = np.searchsorted(whole.time, (from_ms, to_ms))
            bars = join(bars, whole[int(first) : int(last)])
        return bars

    def _simulate(self, day: int) -> Bars:
        return simulate_day(self._pair, seed=self._seed, day=day)


class GivenCandles:
    """Candles handed in, with whatever holes they have."""

    def __init__(self, bars: Bars) -> None:
        if bars.interval_s != 60 or len(bars) == 0:
            raise UsageError(
                f"{len(bars)} candles of {bars.interval_s} s: the venue trades candles of 60 s, at least one"
            )
        self._bars = bars
        self.from_ms = int(bars.time[0])

    def minutes(self, from_ms: int, to_ms: int) -> Bars:
        first, last = np.searchsorted(self._bars.time, (from_ms, to_ms))
        return self._bars[int(first) : int(last)]


@dataclass(frozen=True, slots=True)
class VenueTrade:
    id: int
    time_ms: int
    price: float
    quantity: float
    is_buyer_maker: bool


@dataclass(frozen=True, slots=True)
class VenueCandle:
    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class VenueBook:
    update_id: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMarket:
    """One pair, traded spot and as a perpetual swap at the same prices."""

    base: str
    quote: str
    price_decimals: int
    volume_decimals: int
    candles: Candles
    min_notional: Decimal = Decimal(10)

    @property
    def id(self) -> str:
        return self.base + self.quote

    @property
    def symbol(self) -> str:
        return f"{self.base}/{self.quote}"

    def bars(
        self, interval_s: int, *, now_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[VenueCandle]:
        """As Binance chooses: the first ones from the start on, or the last ones before the end or now. The bar that is
        still forming is among them."""
        step_ms = interval_s * 1000
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        if start_ms is None:
            return self._last_bars(interval_s, last_ms, limit, now_ms)
        found: list[VenueCandle] = []
        from_ms = -(-max(start_ms, self.candles.from_ms // step_ms * step_ms) // step_ms) * step_ms
        while from_ms <= last_ms and len(found) < limit:
            to_ms = min(last_ms, from_ms + limit * step_ms - 1)
            found += self._merged(from_ms, to_ms, interval_s, now_ms)
            from_ms = to_ms // step_ms * step_ms + step_ms
        return found[:limit]

    def _last_bars(self, interval_s: int, last_ms: int, limit: int, now_ms: int) -> list[VenueCandle]:
        step_ms, wanted = interval_s * 1000, limit
        while True:
            begin_ms = max(self.candles.from_ms, last_ms - wanted * step_ms) // step_ms * step_ms
            found = self._merged(begin_ms, last_ms, interval_s, now_ms)
            if len(found) >= limit or begin_ms <= self.candles.from_ms:
                return found[-limit:]
            wanted *= 4

    def bar_at(self, interval_s: int, time_ms: int, *, now_ms: int) -> VenueCandle | None:
        """The bar that opens at ``time_ms`` as far as it has come at ``now_ms``."""
        bars = self._merged(time_ms, time_ms, interval_s, now_ms)
        return bars[0] if bars else None

    def _merged(self, from_ms: int, last_ms: int, interval_s: int, now_ms: int) -> list[VenueCandle]:
        """Bars that open from ``from_ms`` (on the grid) to ``last_ms``, from what had been traded at ``now_ms``."""
        step_ms = interval_s * 1000
        now_minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        end_ms = last_ms // step_ms * step_ms + step_ms
        minutes = self.candles.minutes(from_ms, min(end_ms, now_minute_ms))
        rows = list(
            map(
                VenueCandle,
                *(getattr(minutes, name).tolist() for name in ("time", "open", "high", "low", "close", "volume")),
            )
        )
        forming = self._forming(now_ms) if from_ms <= now_minute_ms < end_ms else None
        if forming is not None:
            rows.append(forming)
        return rows if interval_s == 60 else list(_merge(rows, step_ms, self.volume_decimals))

    def _forming(self, now_ms: int) -> VenueCandle | None:
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        trades = [trade for trade in self._trades_of_minute(minute_ms) if trade.time_ms <= now_ms]
        if not trades:
            return None
        prices = [trade.price for trade in trades]
        volume = round(sum(trade.quantity for trade in trades), self.volume_decimals)
        return VenueCandle(minute_ms, prices[0], max(prices), min(prices), prices[-1], volume)

    def trades(self, from_ms: int, to_ms: int) -> Iterator[VenueTrade]:
        """Those with ``from_ms <= time < to_ms``, oldest first."""
        for minute_ms in range(from_ms // MINUTE_MS * MINUTE_MS, to_ms, MINUTE_MS):
            for trade in self._trades_of_minute(minute_ms):
                if from_ms <= trade.time_ms < to_ms:
                    yield trade

    def time_of_trade(self, trade_id: int) -> int:
        """The start of the minute in which a trade of this number is or would be."""
        return trade_id // TRADES_A_MINUTE * MINUTE_MS

    def _trades_of_minute(self, minute_ms: int) -> Sequence[VenueTrade]:
        bars = self.candles.minutes(minute_ms, minute_ms + MINUTE_MS)
        if len(bars) == 0:
            return ()
        open_, high, low, close, volume = (
            float(getattr(bars, name)[0]) for name in ("open", "high", "low", "close", "volume")
        )
        minute = minute_ms // MINUTE_MS
        draws = [_hash(minute, place) for place in range(TRADES_A_MINUTE)]
        middle = [low, high] if draws[0] % 2 else [high, low]
        prices = [open_, middle[0], open_, middle[0], close, middle[1], open_, close]
        scale = 10**self.volume_decimals
        lots = _shares(round(volume * scale), [1 + draw % 97 for draw in draws])
        slot_ms = MINUTE_MS // TRADES_A_MINUTE
        return tuple(
            VenueTrade(
                minute * TRADES_A_MINUTE + place,
                minute_ms + place * slot_ms + draws[place] % (slot_ms - 1),
                prices[place],
                lots[place] / scale,
                draws[place] % 3 == 0,
            )
            for place in range(TRADES_A_MINUTE)
            if lots[place]
        )

    def price(self, now_ms: int) -> float:
        """The last one traded; the first one there will be, where nothing has been traded yet."""
        forming = self._forming(now_ms)
        if forming is not None:
            return forming.close
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        before = self.candles.minutes(minute_ms - DAY_MS, minute_ms)
        if len(before):
            return float(before.close[-1])
        return float(self.candles.minutes(self.candles.from_ms, self.candles.from_ms + DAY_MS).open[0])

    def day(self, now_ms: int) -> VenueCandle:
        """The last 24 hours as one bar."""
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        rows = self._merged(minute_ms - DAY_MS + MINUTE_MS, minute_ms, 60, now_ms)
        price = self.price(now_ms)
        if not rows:
            return VenueCandle(now_ms - DAY_MS, price, price, price, price, 0.0)
        return _one(rows, now_ms - DAY_MS, self.volume_decimals)

    def book(self, now_ms: int) -> VenueBook:
        step = now_ms // BOOK_STEP_MS
        tick = 10.0**-self.price_decimals
        middle = round(self.price(step * BOOK_STEP_MS) / tick)
        spread = 1 + _hash(step, 7) % 2

        def side(sign: int) -> tuple[tuple[float, float], ...]:
            places = (middle + sign * (spread + level) for level in range(BOOK_LEVELS))
            return tuple((round(place * tick, self.price_decimals), self._depth(place, step)) for place in places)

        return VenueBook(step * UPDATES_A_STEP, side(-1), side(1))

    def _depth(self, place: int, step: int) -> float:
        """What rests at a price; it changes every few steps, at each price at another time."""
        epoch = (step + _hash(place, 1) % 8) // 8
        return (1 + _hash(place, epoch) % 5_000) / float(10**self.volume_decimals)

    def funding(self, time_ms: int) -> float:
        return (_hash(time_ms // FUNDING_MS, len(self.id)) % 6_001 - 3_000) / 1e7


def simulated_market(symbol: str, *, seed: int, from_ms: int) -> LocalMarket:
    base, _, quote = symbol.partition("/")
    candles = SimulatedCandles(symbol, seed=seed, from_ms=from_ms)
    pair = PAIRS[symbol]
    return LocalMarket(
        base=base,
        quote=quote,
        price_decimals=pair.price_decimals,
        volume_decimals=pair.volume_decimals,
        candles=candles,
    )


def book_changes(before: VenueBook, after: VenueBook) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Bids and asks that turn one book into the other; what is gone has the quantity 0."""
    return _changes(before.bids, after.bids), _changes(before.asks, after.asks)


def _changes(
    before: tuple[tuple[float, float], ...], after: tuple[tuple[float, float], ...]
) -> list[tuple[float, float]]:
    was, is_ = dict(before), dict(after)
    gone = [(price, 0.0) for price in was if price not in is_]
    return gone + [(price, quantity) for price, quantity in is_.items() if was.get(price) != quantity]


def _merge(rows: Sequence[VenueCandle], step_ms: int, volume_decimals: int) -> Iterator[VenueCandle]:
    first = 0
    for place in range(1, len(rows) + 1):
        start_ms = rows[first].time_ms // step_ms
        if place == len(rows) or rows[place].time_ms // step_ms != start_ms:
            yield _one(rows[first:place], start_ms * step_ms, volume_decimals)
            first = place


def _one(rows: Sequence[VenueCandle], time_ms: int, volume_decimals: int) -> VenueCandle:
    return VenueCandle(
        time_ms,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        round(sum(row.volume for row in rows), volume_decimals),
    )


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` divided by the weights, to the last unit."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    shares[0] += total - sum(shares)
    return shares


def _hash(*parts: int) -> int:
    """A number that looks drawn at random from its arguments (the SplitMix64 finisher)."""
    value = 0
    for part in parts:
        value = (value ^ part) * 0x9E3779B97F4A7C15 & _MASK
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
    return value
