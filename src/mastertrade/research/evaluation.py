"""What a worker does with trials: build the strategy, run it on the shared columns, and keep what fits in a row."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mastertrade.backtest.report import summarise
from mastertrade.backtest.result import BacktestResult
from mastertrade.backtest.trials import Outcome, Trial
from mastertrade.backtest.workers import reason_of, seed_everything
from mastertrade.quant import metrics
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.research.options import Options

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


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One strategy on these markets under these options; a trial brings the parameters that vary."""

    markets: Mapping[str, Bars]
    strategy: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    options: Options

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        for trial in trials:
            started = time.perf_counter()
            seed_everything(trial.seed)
            try:
                result = self.options.run(self.markets, self.strategy, {**self.fixed, **trial.parameters})
                figures, daily = figures_of(result), daily_returns(result)
            except Exception as error:  # noqa: BLE001 - a strategy is anybody's code: what it raises is its outcome
                yield Outcome(failure=reason_of(error), seconds=time.perf_counter() - started)
            else:
                yield Outcome(figures=figures, daily_returns=daily, seconds=time.perf_counter() - started)


def figures_of(result: BacktestResult) -> dict[str, float | None]:
    summary = summarise(result)
    return {name: None if summary[name] is None else float(summary[name]) for name in FIGURES}


def daily_returns(result: BacktestResult) -> FloatArray:
    return metrics.period_returns(metrics.daily_equity(result.cash, result.time, result.equity))
