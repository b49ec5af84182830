"""Closes that leap away and are disowned by the next bar: held back until somebody confirms them."""

from collections.abc import Iterator

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.resample import empty_bars, join

DAY_MS = 86_400_000
MADS = 10 * 1.4826
"""Ten standard deviations, of normal returns: 1.4826 median absolute deviations are one."""
LEAST = 0.1
"""A log return below this is never held back: in quiet markets the deviation is zero."""
FEWEST_RETURNS = 20
LEAST_WITHOUT_HISTORY = 0.4
"""With fewer returns before it than that, only a leap by half the price counts."""


class JumpFilter:
    """Hands on the bars of one series in order, one late: a bar is judged by the next one.

    A return beyond ten deviations of the day before is a bad print only if the next bar opens where the price was: real
    crashes trade on from where they got to. On 1.3 million real candles the plain rule would hold back over a thousand
    true ones, this one none.
    """

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self._context = empty_bars(interval_s)
        self._pending = empty_bars(interval_s)

    def judge(self, bars: Bars) -> tuple[Bars, Bars]:
        """Of the bars that can be judged now: those to store, and those to hold back."""
        if len(bars) == 0:
            return bars, bars
        latest = self._pending if len(self._pending) else self._context
        if len(latest) and bars.time[0] <= latest.time[-1]:
            # Older than what was seen: a series of its own as far as leaps are concerned.
            rest = self.end()
            self._context = empty_bars(self._interval_s)
            good, held = self.judge(bars)
            return _merged(rest, good), held
        work = join(self._pending, bars)
        self._pending = work[len(work) - 1 :]
        return self._split(work[: len(work) - 1], following=self._pending)

    def end(self) -> Bars:
        """The last bar, which nothing follows that could disown it."""
        last, self._pending = self._pending, empty_bars(self._interval_s)
        self._context = join(self._context, last)
        return last

    def _split(self, bars: Bars, *, following: Bars) -> tuple[Bars, Bars]:
        whole = join(join(self._context, bars), following)
        start = len(self._context)
        is_held = np.zeros(len(whole), dtype=np.bool_)
        for index in disowned(whole, start, len(whole) - 1):
            is_held[index] = True
        self._remember(whole, is_held)
        chosen = is_held[start : len(whole) - 1]
        return _where(bars, ~chosen), _where(bars, chosen)

    def _remember(self, whole: Bars, is_held: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        kept = _where(whole[: len(whole) - 1], ~is_held[:-1])
        first = max(0, int(np.searchsorted(kept.time, kept.time[-1] - DAY_MS))) if len(kept) else 0
        self._context = kept[first:]


def disowned(bars: Bars, start: int, stop: int) -> Iterator[int]:
    """The places from ``start`` to before ``stop`` whose close is a leap that the following open takes back."""
    step_ms = bars.interval_s * 1000
    closes = np.log(bars.close)
    opens = np.log(bars.open)
    steps = np.diff(closes)
    follows = np.diff(bars.time) == step_ms
    held: set[int] = set()
    begin = max(1, start)
    leaps = np.flatnonzero((np.abs(steps[begin - 1 :]) > LEAST) & follows[begin - 1 :]) + begin
    for index in leaps.tolist():
        before = index - 1
        while before in held and before > 0:
            before -= 1
        leap = closes[index] - closes[before]
        if index >= stop or before in held or not follows[index]:
            continue
        limit = _limit(steps, follows, bars, before)
        back = opens[index + 1] - closes[index]
        is_back = abs(opens[index + 1] - closes[before]) < limit
        if abs(leap) > limit and abs(back) > limit and back * leap < 0 and is_back:
            held.add(index)
            yield index


def _limit(steps: FloatArray, follows: "np.ndarray[tuple[int], np.dtype[np.bool_]]", bars: Bars, last: int) -> float:
    """Ten deviations of the returns of the day up to the bar ``last``."""
    first = int(np.searchsorted(bars.time, bars.time[last] - DAY_MS))
    returns = steps[first:last][follows[first:last]]
    if len(returns) < FEWEST_RETURNS:
        return LEAST_WITHOUT_HISTORY
    deviation = float(np.median(np.abs(returns - np.median(returns))))
    return max(LEAST, MADS * deviation)


def _where(bars: Bars, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Bars:
    values = {name: getattr(bars, name)[chosen] for name in ("open", "high", "low", "close", "volume")}
    return Bars(interval_s=bars.interval_s, time=bars.time[chosen], **values)


def _merged(first: Bars, second: Bars) -> Bars:
    """Both in the order of time."""
    both = join(first, second) if not len(second) or not len(first) or first.time[-1] < second.time[0] else None
    if both is not None:
        return both
    order = np.argsort(np.concatenate((first.time, second.time)), kind="stable")
    values = {
        name: np.concatenate((getattr(first, name), getattr(second, name)))[order]
        for name in ("open", "high", "low", "close", "volume")
    }
    return Bars(interval_s=first.interval_s, time=np.concatenate((first.time, second.time))[order], **values)
