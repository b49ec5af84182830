"""Walk-forward: parameters are chosen on one stretch of time and traded on the next, which the choice has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from mastertrade.quant.bars import Bars
from mastertrade.quant.metrics import DAY_MS
from mastertrade.shared.errors import UsageError

Scheme = Literal["rolling", "anchored"]
SCHEMES: Final = ("rolling", "anchored")
MOST_WINDOWS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``train_days`` of history choose the parameters for the next ``test_days``. ``rolling`` moves the beginning of
    the training time along, ``anchored`` keeps it at the first bar.

    Between the two lies a gap that belongs to neither: ``purge_days``, as long as a position may last, so that none is
    open in both, and ``embargo_days`` for what markets remember longer than positions last."""

    train_days: float
    test_days: float
    scheme: Scheme = "rolling"
    purge_days: float = 0.0
    embargo_days: float = 0.0

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UsageError(f"walk-forward scheme {self.scheme!r} is unknown; there are {', '.join(SCHEMES)}")
        if not (self.train_days > 0 and self.test_days > 0 and self.purge_days >= 0 and self.embargo_days >= 0):
            raise UsageError(
                f"a walk-forward needs days to train and to test, not {self.train_days:g} and {self.test_days:g}, and "
                f"no gap below 0 ({self.purge_days:g} and {self.embargo_days:g})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One step. Times are epoch milliseconds, the ends exclusive; the gap lies between ``train_end`` and
    ``test_start``."""

    train_start: int
    train_end: int
    test_start: int
    test_end: int


def stretches(start_ms: int, end_ms: int, plan: Plan) -> list[Stretch]:
    """Every step that fits; the last test ends where the bars end, and is at least half as long as the others."""
    train, test = round(plan.train_days * DAY_MS), round(plan.test_days * DAY_MS)
    gap = round((plan.purge_days + plan.embargo_days) * DAY_MS)
    found: list[Stretch] = []
    test_start = start_ms + train + gap
    while test_start + test // 2 <= end_ms:
        train_end = test_start - gap
        train_start = start_ms if plan.scheme == "anchored" else train_end - train
        test_end = min(test_start + test, end_ms)
        found.append(Stretch(train_start=train_start, train_end=train_end, test_start=test_start, test_end=test_end))
        test_start += test
        if len(found) > MOST_WINDOWS:
            raise UsageError(
                f"more than {MOST_WINDOWS:,} windows; make the test time longer than {plan.test_days:g} days"
            )
    if not found:
        days = (end_ms - start_ms) / DAY_MS
        needed = (train + gap + test // 2) / DAY_MS
        raise UsageError(
            f"{days:.1f} days of bars are too few for one window of {plan.train_days:g} days to train and "
            f"{plan.test_days:g} to test: it takes {needed:.1f}"
        )
    return found


def between(markets: Mapping[str, Bars], start_ms: int, end_ms: int) -> dict[str, Bars]:
    """Bars that start in that time; copies, so that nothing outside can be reached through them. Markets without any
    are left out."""
    found = {}
    for symbol, bars in markets.items():
        first, last = np.searchsorted(bars.time, (start_ms, end_ms), side="left")
        if last > first:
            found[symbol] = Bars(
                interval_s=bars.interval_s,
                time=bars.time[first:last].copy(),
                open=bars.open[first:last].copy(),
                high=bars.high[first:last].copy(),
                low=bars.low[first:last].copy(),
                close=bars.close[first:last].copy(),
                volume=bars.volume[first:last].copy(),
            )
    return found


def span(markets: Mapping[str, Bars]) -> tuple[int, int]:
    """From the start of the first bar to the end of the last, over all markets."""
    filled = [bars for bars in markets.values() if len(bars)]
    if not filled:
        raise UsageError("there are no bars")
    return (
        min(int(bars.time[0]) for bars in filled),
        max(int(bars.time[-1]) + bars.interval_s * 1000 for bars in filled),
    )
