"""``mastertrade backtest walk-forward``: chosen on the past, traded on what came after, again and again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mastertrade.backtest.objective import CONVINCING
from mastertrade.backtest.walk_forward import SCHEMES, Plan
from mastertrade.cli.application import Json, run
from mastertrade.cli.backtest_options import (
    Given,
    Page,
    Set,
    Strategy,
    with_given,
)
from mastertrade.cli.backtest_run import SHORT_ID, present, tell_notes
from mastertrade.cli.backtest_sweep import (
    LIMITS,
    Cores,
    Engine,
    Objective,
    RayAddress,
    SamplerName,
    Seed,
    TrialMemory,
    Trials,
    TrialSeconds,
    Try,
    WorkerCount,
    open_desk,
    sweep_plan_of,
)
from mastertrade.cli.output import dim, show
from mastertrade.cli.progress import Screen
from mastertrade.research.asking import find
from mastertrade.research.stored_walk import WalkPlan, walk_forward

TrainDays = Annotated[float, typer.Option("--train-days", metavar="DAYS", min=0.01, help="History that chooses.")]
TestDays = Annotated[
    float, typer.Option("--test-days", metavar="DAYS", min=0.01, help="What is traded with the choice.")
]
SchemeName = Annotated[
    str,
    typer.Option(
        "--scheme", metavar="NAME", help=f"{', '.join(SCHEMES)}: the beginning of the history moves along, or stays."
    ),
]
PurgeDays = Annotated[
    float,
    typer.Option("--purge-days", metavar="DAYS", min=0.0, help="Gap before the test, as long as a position may last."),
]
EmbargoDays = Annotated[
    float,
    typer.Option("--embargo-days", metavar="DAYS", min=0.0, help="Gap besides, for what markets remember longer."),
]


@with_given
def walk_forward_command(
    *,
    given: Given,
    strategy: Strategy,
    train_days: TrainDays,
    test_days: TestDays,
    choices: Try = None,
    scheme: SchemeName = SCHEMES[0],
    purge_days: PurgeDays = 0.0,
    embargo_days: EmbargoDays = 0.0,
    parameters: Set = None,
    sampler: SamplerName = "grid",
    trials: Trials = None,
    objective: Objective = CONVINCING,
    seed: Seed = 0,
    workers: WorkerCount = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    trial_seconds: TrialSeconds = LIMITS.seconds,
    trial_memory: TrialMemory = LIMITS.memory_mb,
    html: Page = None,
    as_json: Json = False,
) -> None:
    """Choose parameters on the past, trade them on what came after, and go on to the end.

    What is counted is only what the choice had not seen. Every trial of every window is a row; what was interrupted
    goes on when the same command is given again.
    """
    cores = Cores(
        engine=engine, ray_address=ray_address, workers=workers, seconds=trial_seconds, memory_mb=trial_memory
    )
    searched = {"sampler": sampler, "trials": trials, "objective": objective, "seed": seed}
    windows = {
        "train_days": train_days, "test_days": test_days, "scheme": scheme, "purge_days": purge_days,
        "embargo_days": embargo_days,
    }  # fmt: skip
    run(_walk(strategy, choices, parameters, given, searched, windows, cores, html, as_json), as_json=as_json)


async def _walk(
    strategy: str,
    choices: Sequence[str] | None,
    parameters: Sequence[str] | None,
    given: Given,
    searched: dict[str, Any],
    windows: dict[str, Any],
    cores: Cores,
    html: Path | None,
    as_json: bool,
) -> None:
    sweep_plan = sweep_plan_of(strategy, choices, parameters, given, searched, cores.limits)
    plan = WalkPlan(sweep=sweep_plan, windows=Plan(**windows))
    screen = Screen(is_quiet=as_json)
    with screen.progress("windows", total=None) as advance:
        async with open_desk(cores, lambda done, planned: None) as desk:
            at = desk.clock.now()
            found = await find(sweep_plan.asked, desk.manager)
            made, row = await walk_forward(desk, plan, found, at=at, show=advance)
    tell_notes(found.notes, as_json)
    present(made.report(), html, as_json)
    if not as_json and row is not None:
        short = str(row.id)[:SHORT_ID]
        show("", dim(f"kept as run {short}; see it again with: mastertrade backtest report {short}"))
