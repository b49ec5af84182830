"""A sweep from its settings to its verdict, with everything kept; and the same again from its rows."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from mastertrade.backtest.report import Provenance, SweepReport
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.samplers import Choice, Sampler, Space, Span, make_sampler
from mastertrade.backtest.sweep import Pool
from mastertrade.backtest.trials import Evaluate, Tried
from mastertrade.backtest.workers import Limits
from mastertrade.research.asking import Asked, Found
from mastertrade.research.evaluation import Evaluation
from mastertrade.research.generating import KIND, make_generated
from mastertrade.research.options import Options
from mastertrade.research.provenance import code_hash
from mastertrade.research.spaces import from_settings, to_settings
from mastertrade.research.stored import Job, settings_of_file, to_row
from mastertrade.research.studies import Show, StudyWork, open_study
from mastertrade.research.table import SweepTable
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import Refused, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from mastertrade.strategies import Strategy, Template, find, reference, short_name
from mastertrade.strategy_service.backtests import BacktestDatabase, StoredRun, Study

Pools: TypeAlias = Callable[[Evaluate, Limits], AbstractContextManager[Pool]]
"""Makes the workers of an evaluation: child processes here, or those of a cluster."""


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """All that decides what a sweep tries and what comes of it."""

    strategy: Strategy
    space: Space
    sampler: str = "grid"
    trials: int | None = None
    objective: str = "sharpe_ratio"
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    asked: Asked
    options: Options
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def template(self) -> Template[Any]:
        """Read once, for the trials and for the hash of the code they are made with."""
        return find(self.strategy)

    def make_sampler(self) -> Sampler:
        if self.sampler == KIND:
            return make_generated(self.trials, self.seed)
        return make_sampler(self.sampler, self.space, trials=self.trials, objective=self.objective, seed=self.seed)

    def evaluation(self, found: Found) -> Evaluation:
        return Evaluation(
            markets=found.markets,
            strategy=self.template,
            fixed=self.fixed,
            options=found.on(self.options),
        )

    def to_study(self, found: Found, at: datetime, **more: Any) -> Study:
        """``more`` settings tell it from other studies of the same plan."""
        settings = {
            "space": to_settings(self.space),
            "trials": self.trials,
            "fixed": dict(self.fixed),
            "bars": self.asked.to_settings(),
            "options": self.options.to_settings(),
            "limits": {"seconds": self.limits.seconds, "memory_mb": self.limits.memory_mb},
            **settings_of_file(self.template),
            **more,
        }
        return Study(
            id=new_id(at),
            kind=self.sampler,
            strategy=reference(self.template),
            settings=settings,
            objective=self.objective,
            planned=self.make_sampler().planned,
            seed=self.seed,
            data_hash=found.hash,
            code_hash=code_hash(self.template),
        )

    @classmethod
    def of_study(cls, study: Study) -> "SweepPlan":
        settings = study.settings
        return cls(
            strategy=study.strategy,
            space=from_settings(settings["space"]),
            sampler=study.kind,
            trials=settings["trials"],
            objective=study.objective,
            seed=study.seed,
            fixed=settings["fixed"],
            asked=Asked.from_settings(settings["bars"]),
            options=Options.from_settings(settings["options"]),
            limits=Limits(**settings["limits"]),
        )


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where stored sweeps are worked on. ``claimer`` is the application name of ``manager``'s connections alone."""

    manager: PostgresManager
    claimer: str
    clock: Clock
    pools: Pools
    show: Show | None = None

    async def trials_of(self, plan: SweepPlan, study: Study, evaluate: Evaluate) -> list[Tried]:
        """All trials of the study, made here or by others."""
        work = StudyWork(manager=self.manager, study=study, claimer=self.claimer, clock=self.clock, show=self.show)
        with self.pools(evaluate, plan.limits) as pool:
            return await work.run(plan.make_sampler(), pool)

    async def sweep(self, plan: SweepPlan, study: Study, found: Found) -> tuple[SweepTable, StoredRun | None]:
        """Make what is left of the study, keep the verdict, and keep the best of it as a run with all its trades."""
        require_same(study, found, plan)
        rows = await self.trials_of(plan, study, plan.evaluation(found))
        table = table_of(plan, study, rows)
        at = self.clock.now()
        best = None
        if table.best_trial is not None:
            tried = {**plan.fixed, **table.best_trial.trial.parameters}
            options, parameters = plan.options.varied(plan.template, tried)
            job = Job(
                strategy=plan.template,
                parameters=parameters,
                asked=plan.asked,
                found=found,
                options=options,
                at=at,
            )
            best = to_row(job, job.run(), luck=table.luck, study=study.id)
            await BacktestDatabase().save_run(self.manager, best, at=study.created_at or at)
        await BacktestDatabase().finish_study(self.manager, study.id, verdict=verdict(table.luck), at=at)
        return table, best

    async def begin(self, plan: SweepPlan, found: Found, at: datetime, **more: Any) -> tuple[Study, bool]:
        """A new study, or the unfinished one of the same plan; and whether it was there."""
        wanted = replace(plan.to_study(found, at, **more), created_at=at)
        return await open_study(self.manager, wanted, at)


def require_same(study: Study, found: Found, plan: SweepPlan) -> None:
    """Refused when going on would compare trials of different bars or of different programs."""
    for name, was, is_now in (
        ("bars", study.data_hash, found.hash),
        ("code", study.code_hash, code_hash(plan.template)),
    ):
        if was != is_now:
            raise Refused(
                f"sweep {study.id}: its {name} changed since it began ({was[:12]} then, {is_now[:12]} now), and trials "
                "of both would be compared; begin a new sweep"
            )


def table_of(plan: SweepPlan, study: Study, rows: list[Tried]) -> SweepTable:
    return SweepTable(
        rows,
        objective=plan.objective,
        title=f"{short_name(study.strategy)} sweep",
        sampler=study.kind,
        planned=study.planned,
        provenance=provenance_of(plan, study, run_id=str(study.id)),
    )


def _words(choice: Choice) -> str:
    """As it is written on a command line."""
    if not isinstance(choice, Span):
        return ",".join(str(value) for value in choice)
    step = "" if choice.step is None else f":{choice.step:g}"
    return f"{'log:' if choice.is_log else ''}{choice.low:g}:{choice.high:g}{step}"


def provenance_of(plan: SweepPlan, study: Study, *, run_id: str, data_hash: str | None = None) -> Provenance:
    """What it takes to make a sweep again, or, with the hash of all its bars, a walk-forward of such sweeps."""
    asked = plan.asked
    bars = ", ".join(asked.files) if asked.files else f"{', '.join(asked.symbols)} {asked.interval}"
    return Provenance(
        strategy=study.strategy,
        parameters={**plan.fixed, **{name: _words(choice) for name, choice in plan.space.items()}},
        run_id=run_id,
        data_source=f"{bars} of {asked.venue}" if asked.venue else bars,
        snapshot_hash=data_hash or study.data_hash,
        code_hash=study.code_hash,
        seed=study.seed,
        settings=plan.options.chosen,
    )


async def report_of_study(study: Study, manager: PostgresManager) -> SweepReport:
    """A stored sweep as it is now, finished or not."""
    if "window" in study.settings:
        raise UsageError(f"{study.id} is one window of a walk-forward; show the run of the whole instead")
    rows = await BacktestDatabase().trials(manager, study.id)
    over = [tried for tried, status in rows if status in ("done", "failed")]
    return table_of(SweepPlan.of_study(study), study, over).report()
