"""Backtests: templates against stored bars, with every cost counted."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from mastertrade.backtest.engine import run
from mastertrade.backtest.report import format_summary, summarise
from mastertrade.backtest.result import BacktestResult, BacktestTrade, ExitReason, Rules

__all__ = ["BacktestResult", "BacktestTrade", "ExitReason", "Rules", "format_summary", "run", "summarise"]


class _Room(ModuleType):
    """``mt.backtest(…)`` has the name of this room, and importing anything from here would hide a function of that
    name; so the room itself can be called, and hands the call up to whoever answers it."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return import_module("mastertrade.research.backtesting").backtest(*args, **options)


sys.modules[__name__].__class__ = _Room
