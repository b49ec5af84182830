"""The rows of a sweep: one a trial, by number, with what the best of them is worth after so many tries."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from mastertrade.backtest.report import Luck, Provenance, SweepReport, to_text
from mastertrade.backtest.report import Trial as ReportTrial
from mastertrade.backtest.sweep import best_of
from mastertrade.backtest.trials import Tried
from mastertrade.quant import bootstrap, metrics, significance
from mastertrade.quant.bars import FloatArray
from mastertrade.research.reported import Reported

INTERVAL: Final = 0.95
MOST_COLUMNS_TO_SPLIT: Final = 5_000
"""Trials up to which overfitting is measured: 252 splits over as many columns take seconds."""


class SweepTable(Reported, Sequence[dict[str, Any]]):
    """A row is a dictionary: number, status, reason, the parameters, the figures. ``best()`` is the row with the
    highest ``objective``, ``luck`` what it is worth."""

    def __init__(
        self,
        rows: Sequence[Tried],
        *,
        objective: str,
        title: str,
        sampler: str = "grid",
        planned: int | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.tried = tuple(rows)
        self.objective = objective
        self.title = title
        self.sampler = sampler
        self.planned = len(rows) if planned is None else planned
        self.provenance = provenance or Provenance()

    def __len__(self) -> int:
        return len(self.tried)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (row_of(one) for one in self.tried)

    def __getitem__(self, place: Any) -> Any:
        return [row_of(one) for one in self.tried[place]] if isinstance(place, slice) else row_of(self.tried[place])

    def to_rows(self) -> list[dict[str, Any]]:
        return list(self)

    def to_frame(self) -> Any:
        """The rows as a pandas frame; pandas must be installed."""
        import pandas

        return pandas.DataFrame(self.to_rows())

    def best(self, count: int | None = None) -> Any:
        """The best row, None when no trial succeeded; or the ``count`` best, the best first."""
        if count is None:
            return row_of(self.best_trial) if self.best_trial else None
        valued = [one for one in self.tried if one.outcome.value(self.objective) is not None]
        valued.sort(key=lambda one: (-(one.outcome.value(self.objective) or 0.0), one.number))
        return [row_of(one) for one in valued[:count]]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [row_of(one) for one in self.tried if one.outcome.failure]

    @cached_property
    def best_trial(self) -> Tried | None:
        return best_of(self.tried, self.objective)

    @cached_property
    def luck(self) -> Luck:
        return luck_of(self.tried, self.best_trial)

    def report(self) -> SweepReport:
        trials = [
            ReportTrial(
                number=one.number,
                parameters=one.trial.parameters,
                metrics=one.outcome.figures,
                failure=one.outcome.failure,
            )
            for one in self.tried
        ]
        return SweepReport(
            provenance=self.provenance,
            title=self.title,
            objective=self.objective,
            trials=trials,
            planned=self.planned,
            sampler=self.sampler,
            luck=self.luck,
        )

    def __repr__(self) -> str:
        return to_text(self.report())


def row_of(tried: Tried) -> dict[str, Any]:
    outcome = tried.outcome
    return {
        "number": tried.number,
        **tried.trial.parameters,
        **outcome.figures,
        "status": "failed" if outcome.failure else "done",
        "reason": outcome.failure,
        "seed": tried.trial.seed,
        "seconds": outcome.seconds,
    }


def luck_of(rows: Sequence[Tried], chosen: Tried | None) -> Luck:
    """What the chosen trial proves, given every trial that was made."""
    made = [one for one in rows if one.outcome.daily_returns is not None]
    if chosen is None or chosen.outcome.daily_returns is None:
        return Luck(trials=len(made), sentence="No verdict: no trial succeeded.")
    returns = chosen.outcome.daily_returns
    of = significance.moments(returns)
    variance = significance.variance_of([metrics.sharpe(one.outcome.daily_returns, 1.0) for one in made])  # type: ignore[arg-type]
    matrix = matrix_of(made)
    overfitting = None if matrix is None else significance.probability_of_overfitting(matrix)
    spread = bootstrap.interval(metrics.sharpe, returns, level=INTERVAL)
    return Luck(
        trials=len(made),
        deflated_sharpe=None if of is None else significance.deflated_sharpe(of, len(made), variance),
        probabilistic_sharpe=None if of is None else significance.probabilistic_sharpe(of),
        overfitting=overfitting,
        sharpe_interval=None if spread is None else (spread.low, spread.high),
        sentence=significance.sentence(
            of=of,
            trades=int(chosen.outcome.figures.get("total_trades") or 0),
            trials=len(made),
            variance=variance,
            overfitting=overfitting,
        ),
    )


def matrix_of(made: Sequence[Tried]) -> FloatArray | None:
    """A row a day and a column a trial; None when they are too many, or not over the same days."""
    columns = [one.outcome.daily_returns for one in made if one.outcome.daily_returns is not None]
    if len(columns) < 2 or len(columns) > MOST_COLUMNS_TO_SPLIT or len({len(column) for column in columns}) != 1:
        return None
    return np.column_stack(columns)
