"""``mt.sweep``: one strategy with many parameters, one row a trial."""

from collections.abc import Mapping
from typing import Any

from mastertrade import strategies
from mastertrade.backtest.samplers import Space, make_sampler
from mastertrade.backtest.score import FIGURES
from mastertrade.backtest.sweep import Show
from mastertrade.backtest.sweep import sweep as run_sweep
from mastertrade.backtest.workers import Limits
from mastertrade.quant.costs import Costs
from mastertrade.research.evaluation import Evaluation
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import Options, check_parameters
from mastertrade.research.table import SweepTable
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import Strategy
from mastertrade.strategies.template import nearest_name


def sweep(
    bars: Any,
    strategy: Strategy,
    grid: Space,
    *,
    sampler: str = "grid",
    trials: int | None = None,
    objective: str = "sharpe_ratio",
    seed: int = 0,
    workers: int | None = None,
    trial_seconds: float = 60.0,
    trial_memory_mb: int = 2048,
    show: Show | None = None,
    parameters: Mapping[str, Any] | None = None,
    costs: Costs | None = None,
    **options: Any,
) -> SweepTable:
    """Try the parameters of ``grid`` (name to values, or to ``mt.Span(low, high, step)``), on every core.

    ``sampler`` is grid, random or tpe; the last two need a number of ``trials``. ``parameters`` stay the same in every
    trial, ``options`` are those of ``mt.backtest``; those that are numbers may stand in the grid too. A trial that
    raises, runs longer than ``trial_seconds`` or needs more than ``trial_memory_mb`` is a row with its reason. The rows
    are the same on any number of ``workers``.
    """
    template = strategies.find(strategy)
    check_names(template, grid, objective)
    evaluation = Evaluation(
        markets=by_symbol(bars),
        strategy=template,
        fixed=parameters or {},
        options=Options.of({"costs": costs, **options}),
    )
    chosen = make_sampler(sampler, grid, trials=trials, objective=objective, seed=seed)
    limits = Limits(seconds=trial_seconds, memory_mb=trial_memory_mb)
    rows = run_sweep(evaluation, chosen, seed=seed, workers=workers, limits=limits, show=show)
    return SweepTable(
        rows, objective=objective, title=f"{template.name} sweep", sampler=chosen.kind, planned=chosen.planned
    )


def check_names(strategy: Strategy, space: Space, objective: str) -> None:
    """What is misspelt would only make every trial fail; it is said before the first."""
    check_parameters(strategy, space)
    if objective not in FIGURES:
        raise UsageError(f"objective {nearest_name(objective, dict.fromkeys(FIGURES))}")
