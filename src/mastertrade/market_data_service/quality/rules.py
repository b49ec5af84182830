"""The rules a stored candle can break without being impossible, as masks over arrays. What is impossible (low above
high, off the grid, a negative volume, the future) never gets in: imports reject it, the database refuses it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.importing.jumps import DAY_MS, FEWEST_RETURNS, LEAST, MADS
from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.quant.resample import join

BoolArray = NDArray[np.bool_]

FROZEN_BARS = 30
LIQUID_SHARE = 0.5
"""A market is liquid when its price moves in more than half of its bars."""
DEAD_SHARE = 0.95
"""With so many frozen bars it is not quiet, it is dead."""
APART = 0.02
APART_FOR_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``weight``: how many sound bars one bar of this finding takes from the score."""

    name: str
    severity: Severity
    what: str
    weight: float


GAP = Rule(name="gap", severity=Severity.WARNING, what="candles are missing", weight=1)
MOVED_WITHOUT_VOLUME = Rule(
    name="zero volume", severity=Severity.WARNING, what="the price moved while nothing was traded", weight=1
)
NO_VOLUME = Rule(name="no volume", severity=Severity.INFO, what="nothing was traded and nothing moved", weight=0)
LEAP = Rule(
    name="leap", severity=Severity.INFO, weight=0,
    what="the price leapt by more than ten deviations of the day before, and stayed there",
)  # fmt: skip
FROZEN = Rule(
    name="frozen", severity=Severity.WARNING, weight=1,
    what=f"the price of a market that moves stood still for {FROZEN_BARS} candles or more",
)  # fmt: skip
DEAD = Rule(name="dead", severity=Severity.WARNING, weight=1, what="the price never moves: the market is dead")
QUIET = Rule(
    name="quiet", severity=Severity.INFO, weight=0, what=f"a quiet market stood still for {FROZEN_BARS} candles or more"
)
APART_FROM_OTHERS = Rule(
    name="apart", severity=Severity.WARNING, weight=1,
    what=f"the price is more than {APART:.0%} away from that of most other venues for more than {APART_FOR_S} s",
)  # fmt: skip
NOT_ITS_TRADES = Rule(
    name="trades", severity=Severity.ERROR, weight=10,
    what="the candle differs by more than a tick from the trades it is made of",
)  # fmt: skip
HELD_BACK = Rule(
    name="held back", severity=Severity.WARNING, weight=1, what="candles wait in quarantine for a decision"
)
REVISED = Rule(name="revised", severity=Severity.INFO, weight=0, what="candles were stored with other numbers before")
LATE = Rule(
    name="late", severity=Severity.INFO, weight=0, what="candles came late; it is known since when they are there"
)
SYNTHETIC = Rule(name="synthetic", severity=Severity.INFO, weight=0, what="candles are a fill that somebody asked for")
RULES = (
    NOT_ITS_TRADES, GAP, MOVED_WITHOUT_VOLUME, FROZEN, DEAD, APART_FROM_OTHERS, HELD_BACK, LEAP, NO_VOLUME, QUIET,
    REVISED, LATE, SYNTHETIC,
)  # fmt: skip
"""The worst first."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What one rule found in one series. ``rows`` are the candles it is about, ``places`` the unbroken stretches of
    them; times are epoch milliseconds. ``detail`` says more than the rule does."""

    rule: Rule
    rows: int = 0
    places: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    detail: str = ""

    def add(self, first_ms: int, last_ms: int, *, rows: int, places: int = 1) -> None:
        self.rows += rows
        self.places += places
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)


@dataclass(slots=True)
class Checks:
    """The rules over one series, chunk by chunk in the order of time. What a rule must see of earlier bars is kept."""

    interval_s: int
    has_volume: bool = True
    found: dict[str, Found] = field(default_factory=dict)
    rows: int = 0
    _moves: int = 0
    _day: Bars | None = None
    _frozen: "_Runs" = field(default_factory=lambda: _Runs(FROZEN_BARS))

    def look(self, bars: Bars) -> None:
        if len(bars) == 0:
            return
        before = self._day[len(self._day) - 1 :] if self._day is not None and len(self._day) else bars[:1]
        follows = np.diff(np.concatenate((before.time, bars.time))) == self.interval_s * 1000
        previous = np.concatenate((before.close, bars.close[:-1]))
        is_flat = (bars.high == bars.low) & (~follows | (bars.close == previous))
        self.rows += len(bars)
        self._moves += int((~is_flat).sum())
        if self.has_volume:
            empty = bars.volume == 0
            self._note(MOVED_WITHOUT_VOLUME, bars, empty & ~is_flat)
            self._note(NO_VOLUME, bars, empty & is_flat)
        for first, last, length in self._frozen.add(bars, is_flat & follows):
            self._add(QUIET, first, last, length)
        self._leaps(bars)
        self._remember(bars)

    def end(self) -> list[Found]:
        """Once all bars were looked at."""
        for first, last, length in self._frozen.end():
            self._add(QUIET, first, last, length)
        still = self.found.pop(QUIET.name, None)
        if still is not None:
            is_dead = still.rows >= DEAD_SHARE * self.rows
            is_liquid = self._moves > LIQUID_SHARE * (self.rows - still.rows)
            still.rule = DEAD if is_dead else FROZEN if is_liquid else QUIET
            self.found[still.rule.name] = still
        return list(self.found.values())

    def _leaps(self, bars: Bars) -> None:
        context = self._day if self._day is not None else bars[:0]
        closes = np.log(np.concatenate((context.close, bars.close)))
        times = np.concatenate((context.time, bars.time))
        steps, follows = np.diff(closes), np.diff(times) == self.interval_s * 1000
        start = max(1, len(context))
        candidates = np.flatnonzero((np.abs(steps[start - 1 :]) > LEAST) & follows[start - 1 :]) + start
        is_leap = np.zeros(len(times), dtype=np.bool_)
        for index in candidates.tolist():
            is_leap[index] = abs(steps[index - 1]) > _limit(steps, follows, times, index - 1)
        self._note(LEAP, bars, is_leap[len(context) :])

    def _remember(self, bars: Bars) -> None:
        whole = bars if self._day is None else join(self._day, bars)
        first = int(np.searchsorted(whole.time, whole.time[-1] - DAY_MS))
        self._day = whole[first:]

    def _note(self, rule: Rule, bars: Bars, mask: BoolArray) -> None:
        if mask.any():
            times = bars.time[mask]
            places = 1 + int((np.diff(times) != self.interval_s * 1000).sum())
            self._add(rule, int(times[0]), int(times[-1]), len(times), places)

    def _add(self, rule: Rule, first_ms: int, last_ms: int, rows: int, places: int = 1) -> None:
        self.found.setdefault(rule.name, Found(rule=rule)).add(first_ms, last_ms, rows=rows, places=places)


def _limit(steps: FloatArray, follows: BoolArray, times: TimeArray, last: int) -> float:
    """Ten deviations of the returns of the day before the one at ``last``."""
    first = int(np.searchsorted(times, times[last] - DAY_MS))
    returns = steps[first:last][follows[first:last]]
    if len(returns) < FEWEST_RETURNS:
        return float("inf")
    deviation = float(np.median(np.abs(returns - np.median(returns))))
    return max(LEAST, MADS * deviation)


class _Runs:
    """Unbroken runs of bars over chunks, those of at least ``least`` bars."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._first_ms = self._last_ms = self._length = 0

    def add(self, bars: Bars, mask: BoolArray) -> Iterator[tuple[int, int, int]]:
        """The runs that end in this chunk."""
        edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if start > 0 or self._length == 0:
                yield from self.end()
                self._first_ms = int(bars.time[start])
            self._length += stop - start
            self._last_ms = int(bars.time[stop - 1])
        if len(mask) and not mask[-1]:
            yield from self.end()

    def end(self) -> Iterator[tuple[int, int, int]]:
        if self._length >= self._least:
            yield self._first_ms, self._last_ms, self._length
        self._length = 0


def apart(bars: Bars, others: Sequence[Bars]) -> tuple[list[tuple[int, int, int]], float]:
    """Stretches in which the close is too far from those of most other venues for too long, as first, last and bars;
    and how far at most, as a fraction. Most of them, so that one dead venue does not blacken the others."""
    distance = np.zeros((len(others), len(bars)))
    is_known = np.zeros((len(others), len(bars)), dtype=np.bool_)
    for row, other in enumerate(others):
        _, mine, its = np.intersect1d(bars.time, other.time, assume_unique=True, return_indices=True)
        distance[row, mine] = np.abs(bars.close[mine] / other.close[its] - 1)
        is_known[row, mine] = True
    is_apart = 2 * (distance > APART).sum(axis=0) > is_known.sum(axis=0)
    runs = _Runs(APART_FOR_S // bars.interval_s + 1)
    found = [*runs.add(bars, is_apart), *runs.end()]
    return found, max((float(distance[:, _within(bars, first, last)].max()) for first, last, _ in found), default=0.0)


def _within(bars: Bars, first_ms: int, last_ms: int) -> slice:
    return slice(*np.searchsorted(bars.time, (first_ms, last_ms + 1)).tolist())


def score(rows: int, found: list[Found]) -> float:
    """100 for a series in which nothing is wrong; the share of bars that are there and sound, where an error weighs as
    much as ten bars that are missing."""
    missing = sum(one.rows for one in found if one.rule is GAP)
    expected = rows + missing
    lost = sum(one.rule.weight * one.rows for one in found)
    return 100.0 if expected == 0 else max(0.0, 100.0 * (1 - lost / expected))
