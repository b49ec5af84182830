"""``mt.walk_forward``: choose on the past, trade on what came after, again and again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mastertrade import strategies
from mastertrade.backtest.objective import CONVINCING, GUIDE, with_deflated_sharpe
from mastertrade.backtest.report import Luck, Provenance, WalkForwardReport, Window, to_text
from mastertrade.backtest.result import BacktestResult, Counts, Trades
from mastertrade.backtest.samplers import Sampler, Space, make_sampler
from mastertrade.backtest.score import FIGURES, figures_of
from mastertrade.backtest.sweep import best_of
from mastertrade.backtest.sweep import sweep as run_sweep
from mastertrade.backtest.trials import Tried
from mastertrade.backtest.walk_forward import Plan, Scheme, Stretch, between, span, stretches
from mastertrade.backtest.workers import Limits
from mastertrade.quant import bootstrap, metrics, significance
from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.quant.costs import Costs
from mastertrade.research.evaluation import Evaluation
from mastertrade.research.markets import by_symbol
from mastertrade.research.options import Options
from mastertrade.research.reported import Reported
from mastertrade.research.sweeping import check_names
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import Strategy

INTERVAL = 0.95
Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Walked:
    """One window: the trials of its training time, the chosen one, and its run over the test time."""

    stretch: Stretch
    rows: Sequence[Tried]
    chosen: Tried | None
    result: BacktestResult | None
    reason: str | None = None


class WalkForward(Reported):
    """``windows`` with what was chosen and what came of it, ``equity`` over all test times together from ``cash``,
    ``luck`` what it proves. The choice never saw the bars that are counted here."""

    def __init__(
        self,
        walked: Sequence[Walked],
        *,
        title: str,
        objective: str,
        plan: Plan,
        cash: float,
        provenance: Provenance | None = None,
    ) -> None:
        self.walked = tuple(walked)
        self.title = title
        self.objective = objective
        self.plan = plan
        self.cash = cash
        self.provenance = provenance or Provenance()

    @cached_property
    def windows(self) -> list[Window]:
        return [_window(one) for one in self.walked]

    @property
    def results(self) -> list[BacktestResult]:
        return [one.result for one in self.walked if one.result is not None]

    @cached_property
    def time(self) -> TimeArray:
        return np.concatenate([one.time for one in self.results]) if self.results else np.array([], dtype=np.int64)

    @cached_property
    def equity(self) -> FloatArray:
        return np.concatenate([one.equity for one in self.results]) if self.results else np.array([])

    @property
    def trades(self) -> Trades:
        return Trades.joined([one.trades for one in self.results])

    @property
    def trials(self) -> int:
        return sum(len(one.rows) for one in self.walked)

    @cached_property
    def daily_returns(self) -> FloatArray:
        return metrics.period_returns(metrics.daily_equity(self.cash, self.time, self.equity))

    @cached_property
    def figures(self) -> dict[str, float | None]:
        """The figures of all test times together."""
        if not self.results:
            return dict.fromkeys(FIGURES)
        return figures_of(self.whole)

    @property
    def whole(self) -> BacktestResult:
        """All test times as one run."""
        return replace(
            self.results[0],
            cash=self.cash,
            bars=sum(one.bars for one in self.results),
            time=self.time,
            equity=self.equity,
            invested=np.concatenate([one.invested for one in self.results]),
            trades=self.trades,
            counts=Counts.total([one.counts for one in self.results]),
            is_ruined=any(one.is_ruined for one in self.results),
        )

    @cached_property
    def luck(self) -> Luck:
        """The test times were not chosen by their results: they count as a single trial."""
        of = significance.moments(self.daily_returns)
        spread = bootstrap.interval(metrics.sharpe, self.daily_returns, level=INTERVAL)
        return Luck(
            probabilistic_sharpe=None if of is None else significance.probabilistic_sharpe(of),
            sharpe_interval=None if spread is None else (spread.low, spread.high),
            sentence=significance.sentence(of=of, trades=len(self.trades)),
        )

    @property
    def objective_value(self) -> float | None:
        """Probabilistic Sharpe × min(1, trades/100) over all test times."""
        sure = self.luck.probabilistic_sharpe
        return None if sure is None else sure * min(1.0, len(self.trades) / 100)

    def report(self) -> WalkForwardReport:
        return WalkForwardReport(
            provenance=self.provenance,
            title=self.title,
            objective=GUIDE if self.objective == CONVINCING else self.objective,  # known of a single run too
            windows=self.windows,
            scheme=self.plan.scheme,
            cash=self.cash,
            interval_s=self.results[0].interval_s if self.results else 60,
            time=self.time,
            equity=self.equity,
            luck=self.luck,
        )

    def __repr__(self) -> str:
        return to_text(self.report())


def walk_forward(
    bars: Any,
    strategy: Strategy,
    grid: Space,
    *,
    train_days: float,
    test_days: float,
    scheme: Scheme = "rolling",
    purge_days: float = 0.0,
    embargo_days: float = 0.0,
    sampler: str = "grid",
    trials: int | None = None,
    objective: str = CONVINCING,
    seed: int = 0,
    workers: int | None = None,
    trial_seconds: float = 60.0,
    trial_memory_mb: int = 2048,
    show: Step | None = None,
    parameters: Mapping[str, Any] | None = None,
    costs: Costs | None = None,
    **options: Any,
) -> WalkForward:
    """Choose parameters of ``grid`` on ``train_days``, trade them on the next ``test_days``, and go on to the end.

    The choice is made by ``objective``: by default the deflated Sharpe × min(1, trades/100), or any figure of a run.
    Its trials get the bars of the training time and no others. ``options`` are those of ``mt.backtest``.
    """
    template = strategies.find(strategy)
    if objective != CONVINCING:
        check_names(template, grid, objective)
    check_names(template, grid, GUIDE)
    markets = by_symbol(bars)
    plan = Plan(
        train_days=train_days,
        test_days=test_days,
        scheme=scheme,
        purge_days=purge_days,
        embargo_days=embargo_days,
    )
    walk = Walk(
        strategy=template,
        space=grid,
        plan=plan,
        sampler=sampler,
        trials=trials,
        objective=objective,
        seed=seed,
        workers=workers,
        limits=Limits(seconds=trial_seconds, memory_mb=trial_memory_mb),
        fixed=parameters or {},
        options=Options.of({"costs": costs, **options}),
    )
    steps = stretches(*span(markets), plan)
    walked = []
    for one in walk.steps(markets, steps):
        walked.append(one)
        if show is not None:
            show(len(walked), len(steps))
    return WalkForward(
        walked, title=f"{template.name} walk-forward", objective=objective, plan=plan, cash=walk.options.cash
    )


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The work: a sweep a window, and a run of what it chose."""

    strategy: Strategy
    space: Space
    plan: Plan
    sampler: str
    trials: int | None
    objective: str
    seed: int
    workers: int | None
    limits: Limits
    fixed: Mapping[str, Any]
    options: Options

    def steps(self, markets: Mapping[str, Bars], steps: Sequence[Stretch]) -> Iterator[Walked]:
        cash = self.options.cash
        for stretch in steps:
            evaluation = self.evaluation(markets, stretch)
            rows = run_sweep(evaluation, self.make_sampler(), seed=self.seed, workers=self.workers, limits=self.limits)
            walked = self.step(markets, stretch, cash, rows)
            if walked.result is not None:
                cash = walked.result.final_equity
            yield walked

    def evaluation(self, markets: Mapping[str, Bars], stretch: Stretch) -> Evaluation:
        """What tries parameters on the training time, and sees nothing else."""
        training = between(markets, stretch.train_start, stretch.train_end)
        if not training:
            raise UsageError("a training time has no bars; take longer windows, or fill the gap in the data")
        return Evaluation(markets=training, strategy=self.strategy, fixed=self.fixed, options=self.options)

    def make_sampler(self) -> Sampler:
        guide = GUIDE if self.objective == CONVINCING else self.objective
        return make_sampler(self.sampler, self.space, trials=self.trials, objective=guide, seed=self.seed)

    def step(self, markets: Mapping[str, Bars], stretch: Stretch, cash: float, tried: Sequence[Tried]) -> Walked:
        """Choose among the trials of the training time, and trade the choice from ``cash`` over the test time."""
        rows = with_deflated_sharpe(tried)
        chosen = best_of(rows, self.objective)
        if chosen is None:
            return Walked(stretch=stretch, rows=rows, chosen=None, result=None, reason="no trial gave an objective")
        if cash <= 0.0:
            return Walked(
                stretch=stretch, rows=rows, chosen=chosen, result=None, reason="nothing was left to trade with"
            )
        # The strategy may look back on the training time, as it would at work; it trades from the test's first bar on.
        seen = between(markets, stretch.train_start, stretch.test_end)
        result = replace(self.options, cash=cash).run(
            seen, self.strategy, {**self.fixed, **chosen.trial.parameters}, trade_from_ms=stretch.test_start
        )
        return Walked(stretch=stretch, rows=rows, chosen=chosen, result=_from(result, stretch.test_start))


def _from(result: BacktestResult, start_ms: int) -> BacktestResult:
    """Without the bars before the test, over which the account stood still."""
    first = int(np.searchsorted(result.time, start_ms, side="left"))
    return replace(
        result,
        bars=len(result.time) - first,
        time=result.time[first:],
        equity=result.equity[first:],
        invested=result.invested[first:],
    )


def _window(one: Walked) -> Window:
    chosen = one.chosen
    return Window(
        train_start=one.stretch.train_start,
        train_end=one.stretch.train_end,
        test_start=one.stretch.test_start,
        test_end=one.stretch.test_end,
        parameters=chosen.trial.parameters if chosen else {},
        in_sample=chosen.outcome.figures if chosen else {},
        out_of_sample=figures_of(one.result) if one.result is not None and len(one.result.time) else {},
        trials=len(one.rows),
    )
