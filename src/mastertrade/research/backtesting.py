"""``mt.backtest``: one strategy on one market, or on several that share the cash."""

from collections.abc import Mapping
from typing import Any

from mastertrade import strategies
from mastertrade.backtest.result import Rules
from mastertrade.quant.costs import Costs
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import CASH, POSITION_FRACTION, Options
from mastertrade.research.result import Result


def backtest(
    bars: Any,
    strategy: str,
    *,
    costs: Costs | None = None,
    cash: float = CASH,
    position_fraction: float = POSITION_FRACTION,
    rules: Mapping[str, Rules] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **more_parameters: Any,
) -> Result:
    """Trade ``strategy`` on ``bars``: whatever ``mt.bars`` takes, or a mapping of symbols to it.

    Parameters of the strategy go by name (``fast=10``), or in ``parameters``. Costs are on unless you take them away:
    0.1 % fee a side and 0.05 % by which a market order is worse than the price it meets.
    """
    built = strategies.build(strategy, {**(parameters or {}), **more_parameters})
    options = Options(costs=costs or Costs(), cash=cash, position_fraction=position_fraction, rules=rules)
    markets = by_symbol(bars)
    run = options.run(markets, strategy, built.parameters)
    return Result(run, strategy=strategy, parameters=built.parameters, markets=markets)
