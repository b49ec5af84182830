"""``mt.sweep``: one strategy with many parameters, one row a trial."""

from collections.abc import Mapping
from typing import Any

from mastertrade.backtest.samplers import Space, make_sampler
from mastertrade.backtest.sweep import Show
from mastertrade.backtest.sweep import sweep as run_sweep
from mastertrade.backtest.workers import Limits
from mastertrade.quant.costs import Costs
from mastertrade.research.evaluation import FIGURES, Evaluation
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import Options
from mastertrade.research.table import SweepTable
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import TEMPLATES
from mastertrade.strategies.template import nearest_name, ranges


def sweep(
    bars: Any,
    strategy: str,
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
    trial, ``options`` are those of ``mt.backtest``. A trial that raises, runs longer than ``trial_seconds`` or needs
    more than ``trial_memory_mb`` is a row with its reason. The rows are the same on any number of ``workers``.
    """
    check_names(strategy, grid, objective)
    evaluation = Evaluation(
        markets=by_symbol(bars),
        strategy=strategy,
        fixed=parameters or {},
        options=Options(costs=costs or Costs(), **options),
    )
    chosen = make_sampler(sampler, grid, trials=trials, objective=objective, seed=seed)
    limits = Limits(seconds=trial_seconds, memory_mb=trial_memory_mb)
    rows = run_sweep(evaluation, chosen, seed=seed, workers=workers, limits=limits, show=show)
    return SweepTable(rows, objective=objective, title=f"{strategy} sweep", sampler=chosen.kind, planned=chosen.planned)


def check_names(strategy: str, space: Space, objective: str) -> None:
    """What is misspelt would only make every trial fail; it is said before the first."""
    known_strategy(strategy)
    known = ranges(TEMPLATES[strategy].parameter_type)
    for name in space:
        if name not in known:
            raise UsageError(f"{strategy}: parameter {nearest_name(name, known)}")
    if objective not in FIGURES:
        raise UsageError(f"objective {nearest_name(objective, dict.fromkeys(FIGURES))}")


def known_strategy(strategy: str) -> None:
    if strategy not in TEMPLATES:
        raise UsageError(f"strategy template {nearest_name(strategy, TEMPLATES)}")
