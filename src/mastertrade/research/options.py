"""How a strategy is traded: costs, cash, size and exits, by the names people use for them everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mastertrade import strategies
from mastertrade.backtest.engine import run
from mastertrade.backtest.result import BacktestResult, Rules
from mastertrade.quant.bars import Bars
from mastertrade.quant.costs import Costs

CASH = 10_000.0
POSITION_FRACTION = 0.02


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything about a run that is neither the market nor the strategy. Costs are on unless taken away."""

    costs: Costs = field(default_factory=Costs)
    cash: float = CASH
    position_fraction: float = POSITION_FRACTION
    rules: Mapping[str, Rules] | None = None

    def run(self, markets: Mapping[str, Bars], strategy: str, parameters: Mapping[str, Any]) -> BacktestResult:
        built = strategies.build(strategy, parameters)
        return run(
            markets,
            built.template,
            built.params,
            costs=self.costs,
            cash=self.cash,
            position_fraction=self.position_fraction,
            rules=self.rules,
        )
