"""How a strategy is traded: costs, cash, size and exits, by the names people use for them everywhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mastertrade import strategies
from mastertrade.backtest.engine import run
from mastertrade.backtest.result import BacktestResult, Rules
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.costs import Costs

CASH = 10_000.0
POSITION_FRACTION = 0.02


@dataclass(frozen=True)
class _Late:
    """A template that holds nothing before a bar."""

    template: Any
    from_ms: int

    def positions(self, bars: Bars, params: Any) -> FloatArray:
        targets: FloatArray = np.where(bars.time >= self.from_ms, self.template.positions(bars, params), 0.0)
        return targets


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything about a run that is neither the market nor the strategy. Costs are on unless taken away."""

    costs: Costs = field(default_factory=Costs)
    cash: float = CASH
    position_fraction: float = POSITION_FRACTION
    rules: Mapping[str, Rules] | None = None

    def to_settings(self) -> dict[str, Any]:
        """For storing, without the rules of the markets, which are stored with these; ``from_settings`` reads it."""
        return {"costs": asdict(self.costs), "cash": self.cash, "position_fraction": self.position_fraction}

    @classmethod
    def from_settings(cls, stored: Mapping[str, Any]) -> "Options":
        return cls(**{**stored, "costs": Costs(**stored["costs"])})

    def run(
        self,
        markets: Mapping[str, Bars],
        strategy: str,
        parameters: Mapping[str, Any],
        *,
        trade_from_ms: int | None = None,
    ) -> BacktestResult:
        """``trade_from_ms``: the strategy sees the bars before it and holds nothing there."""
        built = strategies.build(strategy, parameters)
        return run(
            markets,
            built.template if trade_from_ms is None else _Late(built.template, trade_from_ms),
            built.params,
            costs=self.costs,
            cash=self.cash,
            position_fraction=self.position_fraction,
            rules=self.rules,
        )
