"""What a sweep keeps of a run: a few figures and the returns of its days."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from mastertrade.backtest.events import Summary
from mastertrade.backtest.report import summarise
from mastertrade.backtest.report.summary import YEAR_MS
from mastertrade.backtest.result import BacktestResult
from mastertrade.quant import metrics
from mastertrade.quant.bars import Bars, FloatArray

FIGURES: Final = (
    "final_capital",
    "total_return",
    "cagr",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "exposure",
    "total_trades",
    "win_rate",
    "profit_factor",
    "expectancy",
    "fees",
)
"""The figures of a run that a row of a sweep keeps; each may be the objective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    figures: Mapping[str, float | None]
    daily_returns: FloatArray


def figures_of(result: BacktestResult) -> dict[str, float | None]:
    summary = summarise(result)
    return {name: None if summary[name] is None else float(summary[name]) for name in FIGURES}


def daily_returns(result: BacktestResult) -> FloatArray:
    return metrics.period_returns(metrics.daily_equity(result.cash, result.time, result.equity))


def score_of(result: BacktestResult) -> Score:
    return Score(figures=figures_of(result), daily_returns=daily_returns(result))


def score_of_summary(told: Summary, bars: Bars, cash: float) -> Score:
    """What ``score_of`` says of the run that was only summed up, to the last bit: the same formulas on the same
    numbers. The sums over trades are Neumaier's there and exactly rounded here, which tells them apart in one of some
    10¹² runs, by one unit in the last place."""
    final, deepest, trades = told.final_equity, told.max_drawdown, told.trades
    daily = metrics.period_returns(told.daily_equity)
    ends = np.array([cash, final])
    years = (int(bars.time[-1]) + bars.interval_s * 1000 - int(bars.time[0])) / YEAR_MS
    growth = metrics.cagr(ends, years)
    return Score(
        figures={
            "final_capital": final,
            "total_return": metrics.total_return(ends),
            "cagr": growth,
            "sharpe_ratio": metrics.sharpe(daily),
            "sortino_ratio": metrics.sortino(daily),
            "calmar_ratio": None if growth is None else metrics.ratio(growth, deepest),
            "max_drawdown": deepest,
            "exposure": told.invested_bars / len(bars),
            "total_trades": float(trades),
            "win_rate": told.wins / trades if trades else None,
            "profit_factor": metrics.ratio(told.won, told.lost),
            "expectancy": told.net / trades if trades else None,
            "fees": told.fees,
        },
        daily_returns=daily,
    )
