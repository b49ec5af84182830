"""Bars for pure tests: hand-written, random, and recorded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyarrow import csv

from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import Columns, together

START_MS = 1_609_459_200_000
"""2021-01-01 00:00 UTC, the first minute of a day and of a month."""
MINUTE_S = 60
VOLUME = 1e6
"""So much that no order of a test moves the price by much, or has to wait."""


def written_bars(
    opens: Sequence[float],
    closes: Sequence[float],
    *,
    interval_s: int = MINUTE_S,
    places: Sequence[int] | None = None,
) -> Bars:
    """Bars of these prices; ``places`` says on which steps of the grid they stand, when some are missing."""
    open_, close = np.array(opens, dtype=np.float64), np.array(closes, dtype=np.float64)
    steps = np.arange(len(open_)) if places is None else np.array(places, dtype=np.int64)
    return Bars(
        interval_s=interval_s,
        time=START_MS + steps * interval_s * 1000,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=np.full(len(open_), VOLUME),
    )


def random_walk(
    count: int, seed: int, *, interval_s: int = MINUTE_S, deviation: float = 0.01, gaps: bool = True
) -> Bars:
    """A geometric random walk whose opens jump a little off the last close, with bars missing here and there."""
    numbers = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(numbers.normal(0.0, deviation, count)))
    open_ = np.concatenate(([100.0], close[:-1])) * np.exp(numbers.normal(0.0, deviation / 10, count))
    steps = np.cumsum(1 + (numbers.random(count) < 0.05) * numbers.integers(1, 20, count)) if gaps else range(count)
    return written_bars(open_.tolist(), close.tolist(), interval_s=interval_s, places=list(steps))


def among_others(bars: Bars, seed: int = 0) -> Columns:
    """The bars as ETH/USDT, beside a BTC/USDT that it follows with noise and holes of its own, and a SOL/USDT that
    began earlier and goes its own way."""
    numbers, count = np.random.default_rng(seed), len(bars)
    moves = np.diff(np.log(bars.close), prepend=np.log(100.0) if count else 0.0)
    close = 30_000.0 * np.exp(np.cumsum(moves[:count] + numbers.normal(0.0, 0.003, count)))
    places = (bars.time - START_MS) // (bars.interval_s * 1000)
    kept = numbers.random(count) > 0.03
    bitcoin = written_bars(
        close[kept].tolist(), close[kept].tolist(), interval_s=bars.interval_s, places=places[kept].tolist()
    )
    other = random_walk(count + 40, seed + 1, interval_s=bars.interval_s)
    earlier = replace(other, time=other.time - 30 * bars.interval_s * 1000)
    return together({"BTC/USDT": bitcoin, "ETH/USDT": bars, "SOL/USDT": earlier})["ETH/USDT"]


def recorded_bars(folder: Path, pair: str) -> Bars:
    """One-minute bars of a pair of the recorded month, such as ``BTC_USDT``."""
    table = csv.read_csv(next(folder.rglob(f"{pair}-1m.csv.gz")))
    columns = {name: table[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close", "volume")}
    return Bars(interval_s=MINUTE_S, time=table["timestamp_ms"].to_numpy().astype(np.int64), **columns)
