"""``mastertrade backtest sweep``: many trials, each a row, with what the best of them is worth."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import typer

from mastertrade.backtest.objective import CONVINCING, GUIDE
from mastertrade.backtest.samplers import SAMPLERS
from mastertrade.backtest.sweep import Pool
from mastertrade.backtest.trials import Evaluate
from mastertrade.backtest.workers import Limits, Workers
from mastertrade.cli.application import Json, run, settings_of_process
from mastertrade.cli.backtest_options import (
    NAMES_A_STRATEGY,
    Given,
    Page,
    Set,
    with_given,
)
from mastertrade.cli.backtest_run import SHORT_ID, present, tell_notes
from mastertrade.cli.output import dim, say, show
from mastertrade.cli.progress import Screen
from mastertrade.platform import open_database
from mastertrade.research.asking import find
from mastertrade.research.spaces import parameters_of, space_of
from mastertrade.research.stored_sweep import Desk, SweepPlan
from mastertrade.research.studies import Show
from mastertrade.research.sweeping import check_names
from mastertrade.research.table import SweepTable
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import find as find_strategy
from mastertrade.strategies.rule_reading import read
from mastertrade.strategy_service.backtests import BacktestDatabase

ENGINES: Final = ("local", "ray")
LIMITS: Final = Limits()

Try = Annotated[
    list[str] | None,
    typer.Option(
        "--try",
        "-t",
        metavar="NAME=VALUES",
        help="What to vary: fast=5:50:5, slow=20,50,100, or level=log:1:100; again for each parameter.",
    ),
]
SamplerName = Annotated[
    str, typer.Option("--sampler", metavar="NAME", help=f"{', '.join(SAMPLERS)}; the last two need --trials.")
]
Trials = Annotated[
    int | None, typer.Option("--trials", metavar="NUMBER", min=1, help="How many to make, where the sampler draws.")
]
Objective = Annotated[
    str, typer.Option("--objective", metavar="FIGURE", help="The figure that is sought; more is better.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", help="The same seed makes the same trials.")]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", metavar="NUMBER", min=1, help="Processes; one a core unless given.")
]
Engine = Annotated[str, typer.Option("--engine", metavar="NAME", help="local, or ray: a Ray cluster.")]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="HOST:PORT", help="The cluster; without it one of this machine's cores."),
]
TrialSeconds = Annotated[
    float, typer.Option("--trial-seconds", metavar="S", min=0.1, help="A trial that runs longer fails.")
]
TrialMemory = Annotated[
    int, typer.Option("--trial-memory", metavar="MB", min=64, help="A trial that needs more fails.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Where the trials run, as somebody typed it."""

    engine: str
    ray_address: str | None
    workers: int | None
    seconds: float
    memory_mb: int

    @property
    def limits(self) -> Limits:
        if self.engine not in ENGINES:
            raise UsageError(f"engine {self.engine!r} is unknown; there are {', '.join(ENGINES)}")
        if self.ray_address is not None and self.engine != "ray":
            raise UsageError("--ray-address is for --engine ray")
        return Limits(seconds=self.seconds, memory_mb=self.memory_mb)

    def pool(self, evaluate: Evaluate, limits: Limits) -> AbstractContextManager[Pool]:
        if self.engine == "ray":
            from mastertrade.backtest.ray_pool import RayPool

            return RayPool(evaluate, address=self.ray_address, limits=limits)
        return Workers(evaluate, count=self.workers, limits=limits)


@asynccontextmanager
async def open_desk(cores: Cores, show_progress: Show) -> AsyncIterator[Desk]:
    """Its connections have a name of their own, by which others see whether our claims are alive."""
    claimer = f"backtest {uuid4()}"
    async with open_database(settings_of_process(), name=claimer) as opened:
        yield Desk(manager=opened.manager, claimer=claimer, clock=SystemClock(), pools=cores.pool, show=show_progress)


@with_given
def sweep(
    *,
    given: Given,
    strategy: Annotated[str | None, typer.Argument(metavar="STRATEGY", help=NAMES_A_STRATEGY)] = None,
    choices: Try = None,
    parameters: Set = None,
    sampler: SamplerName = "grid",
    trials: Trials = None,
    objective: Objective = "sharpe_ratio",
    seed: Seed = 0,
    workers: WorkerCount = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    trial_seconds: TrialSeconds = LIMITS.seconds,
    trial_memory: TrialMemory = LIMITS.memory_mb,
    join: Annotated[
        str | None,
        typer.Option(
            "--join",
            metavar="ID",
            help="Go on with this sweep, or help the process that works on it; needs nothing else.",
        ),
    ] = None,
    html: Page = None,
    as_json: Json = False,
) -> None:
    """Try many parameters of a strategy on every core, and say what the best of them is worth.

    Every trial is a row before it is tried. What was interrupted goes on when the same command is given again, and
    several processes that are given it share the trials.
    """
    cores = Cores(
        engine=engine, ray_address=ray_address, workers=workers, seconds=trial_seconds, memory_mb=trial_memory
    )
    searched = {"sampler": sampler, "trials": trials, "objective": objective, "seed": seed}
    run(_sweep(strategy, choices, parameters, given, searched, cores, join, html, as_json), as_json=as_json)


async def _sweep(
    strategy: str | None,
    choices: Sequence[str] | None,
    parameters: Sequence[str] | None,
    given: Given,
    searched: dict[str, Any],
    cores: Cores,
    join: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    plan = None if join else sweep_plan_of(strategy, choices, parameters, given, searched, cores.limits)
    await work_on(plan, cores, join, html, as_json)


async def work_on(plan: SweepPlan | None, cores: Cores, join: str | None, html: Path | None, as_json: bool) -> None:
    """Make the trials of a plan, or those that are left of the study ``join``, and show what came of them."""
    screen = Screen(is_quiet=as_json)
    with screen.progress("trials", total=None) as advance:
        async with open_desk(cores, advance) as desk:
            at = desk.clock.now()
            study = None
            if plan is None:
                assert join is not None, "a study is named where there is no plan"
                study = await BacktestDatabase().study(desk.manager, join)
                plan = SweepPlan.of_study(study)
            found = await find(plan.asked, desk.manager, as_of=None if study is None else study.created_at)
            if study is None:
                study, was_there = await desk.begin(plan, found, at)
                if was_there and not as_json:
                    show(dim(f"going on with sweep {str(study.id)[:SHORT_ID]}"))
            table, best = await desk.sweep(plan, study, found)
    tell_notes(found.notes, as_json)
    present(table.report(), html, as_json)
    if not as_json:
        _tell_rule(table)
        short = str(study.id)[:SHORT_ID]
        kept = f", its best as run {str(best.id)[:SHORT_ID]}" if best else ""
        show("", dim(f"kept as sweep {short}{kept}; see it again with: mastertrade backtest report {short}"))


def _tell_rule(table: SweepTable) -> None:
    """What the best trial does, where it is a rule."""
    best = table.best_trial
    if best is not None and "rule" in best.trial.parameters:
        say("", f"best: {read(best.trial.parameters['rule'])}")


def sweep_plan_of(
    strategy: str | None,
    choices: Sequence[str] | None,
    parameters: Sequence[str] | None,
    given: Given,
    searched: dict[str, Any],
    limits: Limits,
) -> SweepPlan:
    if strategy is None:
        raise UsageError("a sweep needs a strategy, such as ma_cross; or --join ID to go on with one")
    space, fixed = space_of(choices or []), parameters_of(parameters or [])
    sought = GUIDE if searched["objective"] == CONVINCING else searched["objective"]
    template = find_strategy(strategy)
    check_names(template, {**space, **{name: [value] for name, value in fixed.items()}}, sought)
    return SweepPlan(
        strategy=template,
        space=space,
        fixed=fixed,
        asked=given.asked(),
        options=given.options(),
        limits=limits,
        **searched,
    )
