"""``mastertrade backtest generate``: strategies made by chance, each tried and kept as a row."""

from typing import Annotated

import typer

from mastertrade.backtest.objective import CONVINCING, GUIDE
from mastertrade.cli.application import Json, run
from mastertrade.cli.backtest_options import Given, Page, with_given
from mastertrade.cli.backtest_sweep import (
    LIMITS,
    Cores,
    Engine,
    Objective,
    RayAddress,
    Seed,
    TrialMemory,
    TrialSeconds,
    WorkerCount,
    work_on,
)
from mastertrade.research.generating import KIND, TEMPLATE
from mastertrade.research.stored_sweep import SweepPlan
from mastertrade.research.sweeping import check_names
from mastertrade.strategies import find as find_strategy


@with_given
def generate(
    *,
    given: Given,
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, help="How many strategies.")] = 100,
    objective: Objective = "sharpe_ratio",
    seed: Seed = 0,
    workers: WorkerCount = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    trial_seconds: TrialSeconds = LIMITS.seconds,
    trial_memory: TrialMemory = LIMITS.memory_mb * 2,
    html: Page = None,
    as_json: Json = False,
) -> None:
    """Generate strategies, try each, and say what the best of them is worth.

    Rules over indicators with stops and targets of their own, the same for the same seed, no two alike. Every one is a
    row before it is tried; what was interrupted goes on when the same command is given again.
    """
    cores = Cores(
        engine=engine, ray_address=ray_address, workers=workers, seconds=trial_seconds, memory_mb=trial_memory
    )
    template = find_strategy(TEMPLATE)
    check_names(template, {}, GUIDE if objective == CONVINCING else objective)
    plan = SweepPlan(
        strategy=template,
        space={},
        sampler=KIND,
        trials=count,
        objective=objective,
        seed=seed,
        asked=given.asked(),
        options=given.options(),
        limits=cores.limits,
    )
    run(work_on(plan, cores, None, html, as_json), as_json=as_json)
