"""Generated strategies as the trials of a sweep: drawn by a seed, tried on the same bars, each a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mastertrade import strategies
from mastertrade.backtest.samplers import MOST_TRIALS
from mastertrade.backtest.sweep import Show
from mastertrade.backtest.sweep import sweep as run_sweep
from mastertrade.backtest.trials import Parameters, Tried
from mastertrade.backtest.workers import Limits
from mastertrade.quant.costs import Costs
from mastertrade.research.evaluation import Evaluation
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import Options
from mastertrade.research.sweeping import check_names
from mastertrade.research.table import SweepTable
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.generator import generate as draw

KIND: Final = "generated"
TEMPLATE: Final = "rule"
USUAL: Final[Mapping[str, Any]] = {"max_positions": 3}
"""Of several markets that share the cash, as the older system held them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedSampler:
    """``planned`` strategies of the generator, all in one round: a round that needs no outcome."""

    planned: int
    seed: int = 0
    kind: str = KIND

    def next_round(self, before: Sequence[Tried]) -> list[Parameters]:
        return [] if before else [one.parameters for one in draw(self.planned, seed=self.seed)]


def make_generated(count: int | None, seed: int) -> GeneratedSampler:
    if count is None or not 0 < count <= MOST_TRIALS:
        raise UsageError(f"from 1 to {MOST_TRIALS:,} strategies can be generated, not {count}")
    return GeneratedSampler(planned=count, seed=seed)


def generate(
    bars: Any,
    count: int = 100,
    *,
    seed: int = 0,
    objective: str = "sharpe_ratio",
    workers: int | None = None,
    trial_seconds: float = 60.0,
    trial_memory_mb: int = 4096,
    show: Show | None = None,
    costs: Costs | None = None,
    **options: Any,
) -> SweepTable:
    """Draw ``count`` strategies and try each on ``bars``, on every core: rules over indicators with stops and targets
    of their own, the same for the same seed, no two alike. Several markets share the cash, three positions at most
    unless ``max_positions`` says otherwise. Each is a row; ``luck`` says what the best is worth after so many tries."""
    template = strategies.find(TEMPLATE)
    check_names(template, {}, objective)
    markets = by_symbol(bars)
    chosen = {**(USUAL if len(markets) > 1 else {}), **options}
    evaluation = Evaluation(markets=markets, strategy=template, options=Options.of({"costs": costs, **chosen}))
    sampler = make_generated(count, seed)
    limits = Limits(seconds=trial_seconds, memory_mb=trial_memory_mb)
    rows = run_sweep(evaluation, sampler, seed=seed, workers=workers, limits=limits, show=show)
    return SweepTable(rows, objective=objective, title="generated strategies", sampler=KIND, planned=count)
