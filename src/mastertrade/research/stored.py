"""Results and the rows they are kept in: a stored run holds all it takes to make it again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from mastertrade.backtest.report import Luck, Provenance, RunReport
from mastertrade.backtest.report.luck import verdict
from mastertrade.research.asking import Asked, Found, find
from mastertrade.research.options import Options
from mastertrade.research.provenance import code_hash
from mastertrade.research.result import Result
from mastertrade.research.statistics import statistics
from mastertrade.shared.errors import Refused
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import new_id
from mastertrade.strategies import Strategy, Template, build, file_hash, reference
from mastertrade.strategies import find as find_strategy
from mastertrade.strategy_service.backtests import StoredRun


@dataclass(frozen=True, kw_only=True)
class Job:
    """A strategy on the bars that were found, at these costs; ``at`` is when they were looked for."""

    strategy: Strategy
    parameters: Mapping[str, Any]
    asked: Asked
    found: Found
    options: Options
    at: datetime

    @cached_property
    def template(self) -> Template[Any]:
        """Read once: what runs is what the code hash is of, whatever becomes of a user's file meanwhile."""
        return find_strategy(self.strategy)

    def run(self) -> Result:
        built = build(self.template, self.parameters)
        run = self.found.on(self.options).run(self.found.markets, self.template, built.parameters)
        return Result(run, strategy=self.template.name, parameters=built.parameters, markets=self.found.markets)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "bars": self.asked.to_settings(),
            "options": self.options.to_settings(),
            **settings_of_file(self.template),
        }


def to_row(job: Job, result: Result, *, luck: Luck | None = None, study: Any = None) -> StoredRun:
    """``study`` is the id of the sweep that chose the parameters, and ``luck`` what it makes of the result."""
    run = result.run
    return StoredRun(
        id=new_id(job.at),
        study_id=study,
        strategy=reference(job.template),
        parameters=result.parameters,
        result=run,
        costs=job.options.to_settings()["costs"],
        settings=job.settings,
        data_source=job.found.source,
        data_hash=job.found.hash,
        code_hash=code_hash(job.template),
        metrics={**result.metrics, **statistics(run)},
        verdict=verdict(luck or result.luck),
        legacy_type=job.template.legacy_type,
    )


def report_of(
    job: Job, result: Result, stored: StoredRun, *, run_id: str | None = None, luck: Luck | None = None
) -> RunReport:
    """``run_id`` where the row is there already."""
    return replace(
        result.report(),
        provenance=Provenance(
            strategy=stored.strategy,
            parameters=result.parameters,
            settings=job.options.chosen,
            run_id=run_id or str(stored.id),
            data_source=stored.data_source,
            snapshot_hash=stored.data_hash,
            code_hash=stored.code_hash,
        ),
        luck=luck or result.luck,
    )


async def again(row: Row, manager: PostgresManager) -> tuple[Job, Result]:
    """Run a stored run once more, on the bars as they were known then. Refused when they cannot be had any more."""
    asked = Asked.from_settings(row["settings"]["bars"])
    if not asked.files:
        asked = replace(asked, since=row["period_start"], until=row["period_end"])
    found = await find(asked, manager, as_of=row["created_at"])
    require_same_bars(f"run {row['id']}", row["data_hash"], found)
    options = Options.from_settings(row["settings"]["options"])
    job = Job(
        strategy=row["strategy"],
        parameters=row["parameters"],
        asked=asked,
        found=found,
        options=options,
        at=row["created_at"],
    )
    require_same_file(f"run {row['id']}", row["settings"], job.template)
    return job, job.run()


def settings_of_file(template: Template[Any]) -> dict[str, Any]:
    """What tells later whether a user's strategy is still the same."""
    found = file_hash(template)
    return {} if found is None else {"file_hash": found}


def require_same_file(name: str, settings: Mapping[str, Any], template: Template[Any]) -> None:
    """Refused when the file of the strategy is not the one of which a result was made."""
    was, is_now = settings.get("file_hash"), file_hash(template)
    if was != is_now:
        raise Refused(
            f"{name}: its strategy {reference(template)} has changed since ({str(was)[:12]} then, {str(is_now)[:12]} "
            "now), so it cannot be drawn again; its figures stay in `mastertrade backtest list --json`"
        )


def require_same_bars(name: str, was: str, found: Found) -> None:
    """Refused when the bars are not those of which a result was made."""
    is_now = found.hash
    if was != is_now:
        raise Refused(
            f"{name}: its bars, or the rules or funding of its markets, have changed since ({was[:12]} then, "
            f"{is_now[:12]} now), so it cannot be drawn again; its figures stay in `mastertrade backtest list --json`"
        )
