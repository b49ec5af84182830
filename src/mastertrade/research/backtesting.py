"""``mt.backtest``: one strategy on one market, or on several that share the cash."""

from collections.abc import Mapping
from typing import Any

from mastertrade import strategies
from mastertrade.quant.costs import Costs
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import NAMES, Options, check_parameters
from mastertrade.research.result import Result
from mastertrade.strategies import Strategy
from mastertrade.strategies.template import ranges


def backtest(
    bars: Any,
    strategy: Strategy,
    *,
    costs: Costs | None = None,
    parameters: Mapping[str, Any] | None = None,
    **named: Any,
) -> Result:
    """Trade ``strategy`` on ``bars``: whatever ``mt.bars`` takes, or a mapping of symbols to it. A strategy is the name
    of a template or of a file in your folder of strategies, or the path of a file.

    Parameters of the strategy go by name (``fast=10``), or in ``parameters``; options too (``stop_loss=0.02``), and
    ``mt.Options`` lists them. Costs are on unless you take them away: 0.1 % fee a side, 0.05 % by which a market order
    is worse than the price it meets, and what its size costs.
    """
    template = strategies.find(strategy)
    check_parameters(template, [name for name in named if name not in NAMES])
    own = ranges(template.parameter_type)
    chosen = {name: value for name, value in named.items() if name in NAMES and name not in own}
    mine = {**(parameters or {}), **{name: value for name, value in named.items() if name not in chosen}}
    options = Options.of({"costs": costs, **chosen})
    markets = by_symbol(bars)
    run = options.run(markets, template, mine)
    built = strategies.build(template, mine)
    return Result(run, strategy=template.name, parameters=built.parameters, markets=markets, settings=options.chosen)
