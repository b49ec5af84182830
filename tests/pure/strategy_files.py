"""Strategy files for tests, as users write them."""

from pathlib import Path

PARAMETERS = """
from dataclasses import dataclass
from typing import Annotated
from mastertrade.strategies import Parameters, Range

@dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    fast: Annotated[int, Range(low=2, high=100)] = 5
    slow: Annotated[int, Range(low=3, high=400)] = 20
"""
CROSS = (
    PARAMETERS
    + """
def positions(bars, params):
    return bars.sma(params.fast) > bars.sma(params.slow)
"""
)
TRAILING = (
    PARAMETERS
    + """
class Trailing:
    def __init__(self, params):
        self.params = params
        self.best = 0.0

    def indicators(self, ask):
        return {"fast": ask.sma(self.params.fast), "slow": ask.sma(self.params.slow)}

    def on_bar(self, bar):
        if bar.position:
            self.best = max(self.best, bar.close)
            return 0.0 if bar.close < 0.99 * self.best else None
        self.best = bar.close
        return 1.0 if bar.fast > bar.slow else 0.0
"""
)


def write_strategy(folder: Path, name: str, text: str) -> Path:
    """In the ``strategies`` of a home, or anywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
