"""A seeded market that can start anywhere: every minute is computed from the seed and its number alone.

A price is a chain of Brownian bridges. Every 512 days it passes an anchor near the base price; between two anchors the
price at each midnight is found by halving the span, each middle a normal draw around the mean of its ends; within a day
the minutes lead from one midnight to the next. So no walk from the beginning is needed, and the price stays plausible
for ever. Volatility follows a slow and a fast component, part of it shared by all pairs, which makes calm and wild
hours come in clusters. All pairs lean on the draws of the leading pair, which makes them move together.

The draws come from a counter-based generator (the SplitMix64 finisher), written out here so that a seed means the same
market under every version of numpy.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars, FloatArray

DAY_MINUTES = 1440
SPAN_DAYS = 512
"""Days between two anchors; a power of two, so that halving ends at single days."""
ANCHOR_DEVIATION = 0.25
YEAR_MINUTES = 365 * DAY_MINUTES
MEMORY_MINUTES = 1024
"""How far back the fast volatility remembers; what is older weighs less than one percent."""
MEMORY_DECAY = 0.995
FAST_DEVIATION, SLOW_DEVIATION = 0.45, 0.30
COMMON_SHARE = 0.6
"""Part of the volatility's variance that all pairs share."""
BASIS_MEMORY, BASIS_DECAY, BASIS_DEVIATION = 64, 0.9, 0.0002
DISLOCATIONS_PER_HOUR = 0.03
DISLOCATION_FROM, DISLOCATION_TO = 0.004, 0.010
LEADER = 0
"""Stream of the pair whose draws the others lean on."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPair:
    """``stream`` numbers the pair's own draws (0 is the leader), ``correlation`` is the share of the leader in them."""

    stream: int
    base_price: float
    annual_volatility: float
    correlation: float
    price_decimals: int
    volume_decimals: int
    minute_volume: float


def simulate_day(pair: SimulatedPair, *, seed: int, day: int, venue: int = 0) -> Bars:
    """The 1,440 one-minute bars of a day, counted in days since 1970 UTC. Venue 0 has the price itself; every other
    venue follows it at a small distance, and now and then leaves it for some minutes."""
    minutes = np.arange(day * DAY_MINUTES, (day + 1) * DAY_MINUTES, dtype=np.int64)
    start, end = _midnight(pair, seed, day), _midnight(pair, seed, day + 1)
    volatility = _volatility(pair, seed, day, minutes)
    steps = volatility * _draws(pair, seed, "minute", minutes)
    walked, variance = np.cumsum(steps), np.cumsum(volatility**2)
    close = start + walked + variance / variance[-1] * (end - start - walked[-1])
    open_ = np.concatenate(([start], close[:-1]))
    spread = 2.0 * volatility**2
    middle, distance = (open_ + close) / 2.0, (close - open_) ** 2
    high = middle + np.sqrt(distance - spread * np.log(_uniform(_key(seed, pair.stream, "high"), minutes))) / 2.0
    low = middle - np.sqrt(distance - spread * np.log(_uniform(_key(seed, pair.stream, "low"), minutes))) / 2.0
    if venue:
        basis = _basis(pair, seed, venue, day)
        before, after = basis[:-1], basis[1:]
        open_, close = open_ + before, close + after
        high, low = high + np.maximum(before, after), low + np.minimum(before, after)
    typical = pair.annual_volatility / math.sqrt(YEAR_MINUTES)
    excitement = volatility / typical + np.abs(steps) / typical
    noise = np.exp(0.6 * _normal(_key(seed, pair.stream, "volume", venue), minutes))
    volume = pair.minute_volume / (1.0 + venue) * excitement * noise / 2.0
    return Bars(
        interval_s=60,
        time=minutes * 60_000,
        open=_price(pair, open_),
        high=_price(pair, high),
        low=_price(pair, low),
        close=_price(pair, close),
        volume=np.round(volume, pair.volume_decimals),
    )


def _price(pair: SimulatedPair, log_price: FloatArray) -> FloatArray:
    tick = 10.0**-pair.price_decimals
    rounded: FloatArray = np.maximum(np.round(pair.base_price * np.exp(log_price), pair.price_decimals), tick)
    return rounded


@lru_cache(maxsize=4096)
def _midnight(pair: SimulatedPair, seed: int, day: int) -> float:
    """Log price, relative to the base price, at the start of a day."""
    span, target = divmod(day, SPAN_DAYS)
    anchors = ANCHOR_DEVIATION * _draws(pair, seed, "anchor", np.array([span, span + 1], dtype=np.int64))
    low, high = 0, SPAN_DAYS
    at_low, at_high = float(anchors[0]), float(anchors[1])
    day_volatility = pair.annual_volatility / math.sqrt(365.0)
    while target != low:
        middle = (low + high) // 2
        draw = float(_draws(pair, seed, "day", np.array([span * SPAN_DAYS + middle], dtype=np.int64))[0])
        at_middle = (at_low + at_high) / 2.0 + day_volatility * math.sqrt(high - low) / 2.0 * draw
        if target < middle:
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    return at_low


def _volatility(pair: SimulatedPair, seed: int, day: int, minutes: NDArray[np.int64]) -> FloatArray:
    """Standard deviation of each minute's log return."""
    days = np.array([day, day + 1], dtype=np.int64)
    slow_ends = _shared(seed, pair.stream, "slow", days)
    progress = np.arange(DAY_MINUTES) / DAY_MINUTES
    slow = slow_ends[0] + (slow_ends[1] - slow_ends[0]) * progress
    history = np.arange(minutes[0] - MEMORY_MINUTES + 1, minutes[-1] + 1, dtype=np.int64)
    weights = MEMORY_DECAY ** np.arange(MEMORY_MINUTES) * math.sqrt(1.0 - MEMORY_DECAY**2)
    fast = np.convolve(_shared(seed, pair.stream, "fast", history), weights, mode="valid")
    hours = 1.0 + 0.3 * np.cos(2.0 * math.pi * (progress - 14.5 / 24.0))
    level = SLOW_DEVIATION * slow + FAST_DEVIATION * fast - (SLOW_DEVIATION**2 + FAST_DEVIATION**2)
    volatility: FloatArray = pair.annual_volatility / math.sqrt(YEAR_MINUTES) * hours * np.exp(level)
    return volatility


def _basis(pair: SimulatedPair, seed: int, venue: int, day: int) -> FloatArray:
    """Log distance of a venue from the first one, from the last minute of the day before to the end of this day."""
    first, count = day * DAY_MINUTES - 1, DAY_MINUTES + 1
    minutes = np.arange(first, first + count, dtype=np.int64)
    history = np.arange(first - BASIS_MEMORY + 1, first + count, dtype=np.int64)
    weights = BASIS_DECAY ** np.arange(BASIS_MEMORY) * math.sqrt(1.0 - BASIS_DECAY**2)
    quiet = np.convolve(_normal(_key(seed, pair.stream, "basis", venue), history), weights, mode="valid")
    hour, minute = np.divmod(minutes, 60)

    def chance(name: str) -> FloatArray:
        return _uniform(_key(seed, pair.stream, name, venue), hour)

    length = np.floor(4.0 + 11.0 * chance("length"))
    begin = np.floor(40.0 * chance("begin"))
    size = DISLOCATION_FROM + (DISLOCATION_TO - DISLOCATION_FROM) * chance("size")
    sign = np.where(chance("sign") < 0.5, -1.0, 1.0)
    fading = np.clip(1.0 - (minute - begin) / length, 0.0, 1.0) * (minute >= begin)
    away = np.where(chance("dislocated") < DISLOCATIONS_PER_HOUR, sign * size * fading, 0.0)
    return BASIS_DEVIATION * quiet + away


def _draws(pair: SimulatedPair, seed: int, purpose: str, counter: NDArray[np.int64]) -> FloatArray:
    """Normal draws that lean on the leader's."""
    leading = _normal(_key(seed, LEADER, purpose), counter)
    if pair.stream == LEADER:
        return leading
    own = _normal(_key(seed, pair.stream, purpose), counter)
    return pair.correlation * leading + math.sqrt(1.0 - pair.correlation**2) * own


def _shared(seed: int, stream: int, purpose: str, counter: NDArray[np.int64]) -> FloatArray:
    """Normal draws of which ``COMMON_SHARE`` of the variance is the same for every pair."""
    common = _normal(_key(seed, -1, purpose), counter)
    own = _normal(_key(seed, stream, purpose), counter)
    return math.sqrt(COMMON_SHARE) * common + math.sqrt(1.0 - COMMON_SHARE) * own


def _normal(key: int, counter: NDArray[np.int64]) -> FloatArray:
    radius = np.sqrt(-2.0 * np.log(_uniform(key, counter)))
    normal: FloatArray = radius * np.cos(2.0 * math.pi * _uniform(key ^ _GOLDEN, counter))
    return normal


def _uniform(key: int, counter: NDArray[np.int64]) -> FloatArray:
    """One number strictly between 0 and 1 for each value of the counter."""
    bits = (counter.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) + np.uint64(key)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    uniform: FloatArray = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return uniform


@lru_cache(maxsize=4096)
def _key(seed: int, stream: int, purpose: str, venue: int = 0) -> int:
    """A 64-bit key for one kind of draw; unrelated for any two different arguments."""
    key = seed & _MASK
    for part in (stream + 2, venue, *purpose.encode()):
        key = (key ^ part) * 0x100000001B3 & _MASK
        key = (key ^ key >> 29) * 0xBF58476D1CE4E5B9 & _MASK
    return key ^ key >> 32
