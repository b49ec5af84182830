"""The default objective: the deflated Sharpe, taken down where there are few trades to show for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mastertrade.backtest.trials import Tried
from mastertrade.quant import significance

CONVINCING: Final = "deflated_sharpe"
"""Deflated Sharpe × min(1, trades/100). It looks at all trials of a study, so it is known when they are all made."""
ENOUGH_TRADES: Final = 100
GUIDE: Final = "sharpe_ratio"
"""What guides a sampler while the study is under way and the objective is not known yet."""


def with_deflated_sharpe(rows: Sequence[Tried]) -> list[Tried]:
    """The rows with the objective among their figures."""
    moments = [
        None if row.outcome.daily_returns is None else significance.moments(row.outcome.daily_returns) for row in rows
    ]
    made = sum(row.outcome.daily_returns is not None for row in rows)
    variance = significance.variance_of([of.sharpe if of else None for of in moments])
    scored = []
    for row, of in zip(rows, moments, strict=True):
        figures = {**row.outcome.figures, CONVINCING: _value(row, of, made, variance)}
        scored.append(row if row.outcome.failure else replace(row, outcome=replace(row.outcome, figures=figures)))
    return scored


def _value(row: Tried, of: significance.Moments | None, trials: int, variance: float) -> float | None:
    deflated = None if of is None else significance.deflated_sharpe(of, trials, variance)
    trades = row.outcome.figures.get("total_trades") or 0.0
    return None if deflated is None else deflated * min(1.0, trades / ENOUGH_TRADES)
