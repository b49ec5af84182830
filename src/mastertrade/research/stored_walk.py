"""A walk-forward with everything kept: each window's trials are a study, the test times together are a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mastertrade.backtest.objective import CONVINCING, GUIDE
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.walk_forward import Plan, Stretch, span, stretches
from mastertrade.research.asking import Asked, Found, find
from mastertrade.research.provenance import code_hash
from mastertrade.research.stored import require_same_bars, require_same_file, settings_of_file
from mastertrade.research.stored_sweep import Desk, SweepPlan, provenance_of
from mastertrade.research.studies import Show
from mastertrade.research.walking import Walk, Walked, WalkForward
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import new_id
from mastertrade.strategies import reference
from mastertrade.strategy_service.backtests import BacktestDatabase, StoredRun, Study


@dataclass(frozen=True, kw_only=True)
class WalkPlan:
    """``sweep`` says what is tried in each window, ``windows`` when."""

    sweep: SweepPlan
    windows: Plan

    @property
    def guide(self) -> SweepPlan:
        """The sweep of a window: the deflated Sharpe is known only when all its trials are made, so what guides them
        is another figure."""
        pinned = replace(self.sweep, strategy=self.sweep.template)
        return replace(pinned, objective=GUIDE) if self.sweep.objective == CONVINCING else pinned

    def walk(self, found: Found) -> Walk:
        sweep = self.sweep
        return Walk(
            strategy=sweep.template,
            space=sweep.space,
            plan=self.windows,
            sampler=sweep.sampler,
            trials=sweep.trials,
            objective=sweep.objective,
            seed=sweep.seed,
            workers=None,
            limits=sweep.limits,
            fixed=sweep.fixed,
            options=found.on(sweep.options),
        )


async def walk_forward(
    desk: Desk, plan: WalkPlan, found: Found, *, at: datetime, show: Show
) -> tuple[WalkForward, StoredRun | None]:
    """Make what is left of every window; None for the run when no window could trade."""
    walk = plan.walk(found)
    steps = stretches(*span(found.markets), plan.windows)
    cash = plan.sweep.options.cash
    walked: list[Walked] = []
    studies: list[Study] = []
    for stretch in steps:
        evaluation = walk.evaluation(found.markets, stretch)
        training = replace(found, markets=evaluation.markets)
        study, _ = await desk.begin(plan.guide, training, at, window=_window(plan, stretch))
        rows = await desk.trials_of(plan.guide, study, evaluation)
        walked.append(walk.step(found.markets, stretch, cash, rows))
        studies.append(study)
        cash = walked[-1].result.final_equity if walked[-1].result is not None else cash
        show(len(walked), len(steps))
    made = _of(plan, walked)
    row = None
    if made.results:
        row = _to_row(plan, made, studies, found, at)
        made.provenance = provenance_of(plan.sweep, studies[0], run_id=str(row.id), data_hash=found.hash)
        await BacktestDatabase().save_run(desk.manager, row, at=at)
    for study in studies:
        await BacktestDatabase().finish_study(desk.manager, study.id, verdict=verdict(made.luck), at=at)
    return made, row


async def walk_again(row: Row, manager: PostgresManager) -> WalkForward:
    """A stored walk-forward out of its trials and its bars. Refused when these have changed."""
    settings = row["settings"]
    first, *_ = studies = [await BacktestDatabase().study(manager, one) for one in settings["walk"]["studies"]]
    asked = Asked.from_settings(first.settings["bars"])
    found = await find(asked, manager, as_of=row["created_at"])
    require_same_bars(f"run {row['id']}", row["data_hash"], found)
    plan = WalkPlan(
        sweep=replace(SweepPlan.of_study(first), objective=settings["walk"]["objective"]),
        windows=Plan(**settings["walk"]["windows"]),
    )
    require_same_file(f"run {row['id']}", settings, plan.sweep.template)
    walk, cash = plan.walk(found), plan.sweep.options.cash
    walked: list[Walked] = []
    for study in studies:
        rows = await BacktestDatabase().trials(manager, study.id)
        stretch = Stretch(**{name: study.settings["window"][name] for name in Stretch.__slots__})
        walked.append(walk.step(found.markets, stretch, cash, [tried for tried, _ in rows]))
        cash = walked[-1].result.final_equity if walked[-1].result is not None else cash
    made = _of(plan, walked)
    made.provenance = provenance_of(plan.sweep, first, run_id=str(row["id"]), data_hash=row["data_hash"])
    return made


def _of(plan: WalkPlan, walked: Sequence[Walked]) -> WalkForward:
    return WalkForward(
        walked,
        title=f"{plan.sweep.template.name} walk-forward",
        objective=plan.sweep.objective,
        plan=plan.windows,
        cash=plan.sweep.options.cash,
    )


def _window(plan: WalkPlan, stretch: Stretch) -> Mapping[str, Any]:
    return {name: getattr(stretch, name) for name in Stretch.__slots__} | {"scheme": plan.windows.scheme}


def _to_row(plan: WalkPlan, made: WalkForward, studies: Sequence[Study], found: Found, at: datetime) -> StoredRun:
    sweep = plan.sweep
    windows = {name: getattr(plan.windows, name) for name in Plan.__slots__}
    return StoredRun(
        id=new_id(at),
        strategy=reference(sweep.template),
        parameters=dict(sweep.fixed),
        result=made.whole,
        costs=sweep.options.to_settings()["costs"],
        settings={
            "bars": sweep.asked.to_settings(),
            "options": sweep.options.to_settings(),
            **settings_of_file(sweep.template),
            "walk": {
                "windows": windows,
                "objective": sweep.objective,
                "studies": [str(study.id) for study in studies],
            },
        },
        data_source=found.source,
        data_hash=found.hash,
        code_hash=code_hash(sweep.template),
        metrics=made.figures,
        verdict=verdict(made.luck),
    )


def is_walk(row: Row) -> bool:
    return "walk" in row["settings"]


def require_no_walk(row: Row) -> None:
    if is_walk(row):
        raise UsageError(f"{row['id']} is a walk-forward; runs are compared with runs")
