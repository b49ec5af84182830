"""Backtests: templates against stored bars, with every cost counted."""

from mastertrade.backtest.engine import run
from mastertrade.backtest.report import format_summary, summarise
from mastertrade.backtest.result import BacktestResult, BacktestTrade, Rules

__all__ = ["BacktestResult", "BacktestTrade", "Rules", "format_summary", "run", "summarise"]
