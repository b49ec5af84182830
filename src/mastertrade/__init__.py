"""MasterTrade: a self-hosted crypto trading platform on one PostgreSQL.

In a notebook or a script::

    import mastertrade as mt

    bars = mt.bars("BTC_USDT-5m.csv.gz")
    result = mt.backtest(bars, "ma_cross", fast=10, slow=50)
    table = mt.sweep(bars, "ma_cross", {"fast": range(5, 30, 5), "slow": [50, 100, 200]})
    walk = mt.walk_forward(bars, "ma_cross", {"fast": [5, 10, 20], "slow": [50, 100]}, train_days=60, test_days=20)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastertrade.backtest.options import Funding as Funding
    from mastertrade.backtest.options import RulesVersion as RulesVersion
    from mastertrade.backtest.options import Sizing as Sizing
    from mastertrade.backtest.result import Rules as Rules
    from mastertrade.backtest.samplers import Span as Span
    from mastertrade.quant.bars import Bars as Bars
    from mastertrade.quant.costs import FREE as FREE
    from mastertrade.quant.costs import Costs as Costs
    from mastertrade.research.backtesting import backtest as backtest
    from mastertrade.research.generating import generate as generate
    from mastertrade.research.loading import bars as bars
    from mastertrade.research.loading import folder_of_bars as folder
    from mastertrade.research.options import Options as Options
    from mastertrade.research.sweeping import sweep as sweep
    from mastertrade.research.walking import walk_forward as walk_forward

__version__ = "0.1.0"

_HOMES = {
    "Bars": ("mastertrade.quant.bars", "Bars"),
    "Costs": ("mastertrade.quant.costs", "Costs"),
    "FREE": ("mastertrade.quant.costs", "FREE"),
    "Funding": ("mastertrade.backtest.options", "Funding"),
    "Options": ("mastertrade.research.options", "Options"),
    "Result": ("mastertrade.research.result", "Result"),
    "Rules": ("mastertrade.backtest.result", "Rules"),
    "RulesVersion": ("mastertrade.backtest.options", "RulesVersion"),
    "Sizing": ("mastertrade.backtest.options", "Sizing"),
    "Span": ("mastertrade.backtest.samplers", "Span"),
    "bars": ("mastertrade.research.loading", "bars"),
    "folder": ("mastertrade.research.loading", "folder_of_bars"),
    "generate": ("mastertrade.research.generating", "generate"),
    "sweep": ("mastertrade.research.sweeping", "sweep"),
    "walk_forward": ("mastertrade.research.walking", "walk_forward"),
}
"""Public names and where they live; nothing is imported before somebody asks for it."""

__all__ = [
    "FREE",
    "Bars",
    "Costs",
    "Funding",
    "Options",
    "Result",
    "Rules",
    "RulesVersion",
    "Sizing",
    "Span",
    "__version__",
    "backtest",
    "bars",
    "folder",
    "generate",
    "sweep",
    "walk_forward",
]


def __getattr__(name: str) -> Any:
    if name == "backtest":  # the room of that name, which can be called (see its __init__)
        return import_module("mastertrade.backtest")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
