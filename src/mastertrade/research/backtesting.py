"""``mt.backtest``: one strategy on one market, or on several that share the cash."""

from collections.abc import Mapping
from typing import Any

from mastertrade import strategies
from mastertrade.backtest.engine import run
from mastertrade.backtest.result import Rules
from mastertrade.quant.bars import Bars
from mastertrade.quant.costs import Costs
from mastertrade.research.loading import bars as bars_of
from mastertrade.research.result import Result

CASH = 10_000.0
POSITION_FRACTION = 0.02


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
    result = run(
        markets_of(bars),
        built.template,
        built.params,
        costs=costs,
        cash=cash,
        position_fraction=position_fraction,
        rules=rules,
    )
    return Result(result, strategy=strategy, parameters=built.parameters)


def markets_of(bars: Any) -> Bars | dict[str, Bars]:
    """One market's bars, or bars by symbol."""
    if isinstance(bars, Bars):
        return bars
    if isinstance(bars, Mapping) and bars and not any(_is_column(value) for value in bars.values()):
        return {str(symbol): bars_of(source) for symbol, source in bars.items()}
    return bars_of(bars)


def _is_column(value: Any) -> bool:
    """A mapping of columns holds plain sequences of values; one of markets holds bars, frames, paths or mappings."""
    is_market = isinstance(value, Bars | Mapping | str) or hasattr(value, "columns") or hasattr(value, "__fspath__")
    return not is_market
