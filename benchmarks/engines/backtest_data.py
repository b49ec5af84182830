"""The input of the backtest benchmark, the same for everybody: seeded walks with gaps, as arrays in files."""

from pathlib import Path
from typing import Any

import numpy as np

FAST, SLOW, STOP, TARGET, FEE, CASH = 10, 50, 0.02, 0.04, 0.001, 1_000_000.0
SIZES = {
    "run": 1_000_000,
    "sweep": 130_000,
    "start": 20_000,
    "slow": 200_000,
    **{f"symbol{n}": 100_000 for n in range(10)},
}
"""Bars of each series; ``slow`` is for engines that would need minutes for a million."""
DAY = {"run": 1440, "sweep": 288}
INTERVAL_S = {"sweep": 300}
NAMES = ("open", "high", "low", "close", "volume")


def write(folder: Path) -> None:
    for number, (name, count) in enumerate(SIZES.items()):
        np.savez(folder / f"{name}.npz", **walk(number, count, INTERVAL_S.get(name, 60)))


def walk(seed: int, count: int, interval_s: int) -> dict[str, Any]:
    """A geometric random walk of 0.1 % a bar, small gaps at each open and rare ones of 1 %."""
    chance = np.random.default_rng(seed)
    gaps = chance.normal(0.0, 1e-4, count) + (chance.random(count) < 0.001) * chance.normal(0.0, 0.01, count)
    inside = chance.normal(0.0, 1e-3, count)
    close = 100.0 * np.exp(np.cumsum(gaps + inside))
    opened = close / np.exp(inside)
    reach = np.abs(chance.normal(0.0, 5e-4, (2, count)))
    return {
        "time": 1_600_000_000_000 // 86_400_000 * 86_400_000 + np.arange(count, dtype=np.int64) * interval_s * 1000,
        "open": opened,
        "high": np.maximum(opened, close) * (1.0 + reach[0]),
        "low": np.minimum(opened, close) * (1.0 - reach[1]),
        "close": close,
        "volume": np.full(count, 1e6),
    }


def load(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz") as found:
        return {column: np.ascontiguousarray(found[column]) for column in ("time", *NAMES)}


def pairs(count: int) -> list[tuple[int, int]]:
    """Of a fast and a slow average: 40 by 25."""
    return [(fast, slow) for fast in range(5, 45) for slow in range(50, 300, 10)][:count]
