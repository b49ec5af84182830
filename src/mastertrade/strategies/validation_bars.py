"""The bars a strategy is validated on: lively ones for the law of look-ahead, awkward ones for everything else."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import merge
from mastertrade.quant.simulated_pairs import PAIRS
from mastertrade.quant.simulator import simulate_day

FIRST_DAY = 18_993
"""2022-01-01 in days since 1970."""
OUTAGE = slice(1_100, 1_160)
MOST_BARS = 3_000
"""Of a market somebody brings: enough for every pattern of a day, few enough to be computed hundreds of times."""


@lru_cache(maxsize=4)
def simulated(pair: str = "BTC/USDT", days: int = 8, interval_s: int = 300) -> Bars:
    """A simulated market with an outage of the venue and a few bars missing besides."""
    minutes = joined([simulate_day(PAIRS[pair], seed=20_220_101, day=FIRST_DAY + day) for day in range(days)])
    bars, _ = merge(minutes, interval_s)
    keep = np.ones(len(bars), dtype=bool)
    keep[OUTAGE] = False
    keep[::97] = False
    return chosen(bars, keep)


def flat(count: int = 300) -> Bars:
    """A market that stands still, without a trade: every deviation is 0, and so is the volume."""
    still = np.full(count, 100.0)
    time = FIRST_DAY * 86_400_000 + np.arange(count, dtype=np.int64) * 300_000
    return Bars(interval_s=300, time=time, open=still, high=still, low=still, close=still, volume=np.zeros(count))


def wild(bars: Bars) -> Bars:
    """The same with a price that falls to a thousandth at one bar, and comes back."""
    factor = np.ones(len(bars))
    factor[len(bars) // 2 : len(bars) // 2 + 20] = 0.001
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return Bars(interval_s=bars.interval_s, time=bars.time, volume=bars.volume, **prices)


def chosen(bars: Bars, keep: NDArray[np.bool_]) -> Bars:
    columns = {name: getattr(bars, name)[keep] for name in ("time", "open", "high", "low", "close", "volume")}
    return Bars(interval_s=bars.interval_s, **columns)


def joined(parts: list[Bars]) -> Bars:
    names = ("time", "open", "high", "low", "close", "volume")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Bars(interval_s=parts[0].interval_s, **columns)
