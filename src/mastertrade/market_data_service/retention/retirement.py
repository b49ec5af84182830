"""Taking units out of the database. Nothing is deleted before it stands proven in a file, or a policy says that it may
go; whenever the process dies, the same call goes on where it was."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.retention.archive_files import only_one
from mastertrade.market_data_service.retention.due import Due, RuleOf, due_units
from mastertrade.market_data_service.retention.policies import QUERIES, Action, DataKind
from mastertrade.market_data_service.retention.proving import ProvenFiles
from mastertrade.market_data_service.retention.units import TABLES, Retired, Unit
from mastertrade.market_data_service.rollups import DAY_S, USUAL_INTERVALS_S, Rollups
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseBusy
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id

RETIRE_TIMEOUT_S = 120.0
ATTEMPTS = 3
"""A unit that changes while it is written is written again, so many times in all."""
CHANGED, NOT_ROLLED_UP, GONE = "changed", "not rolled up", "gone"

Progress = Callable[[int, int], None]
"""Called with the rows that have left or stay, and all that are due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``state`` is archived, dropped or kept; ``why`` says what keeps a unit."""

    unit: Unit
    state: str
    why: str | None = None
    file: str | None = None
    bytes: int = 0


class Retirement:
    """``folder`` is where files go."""

    def __init__(
        self, *, manager: PostgresManager, clock: Clock, folder: Path, failpoints: Failpoints | None = None
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._folder = folder.resolve()
        self._failpoints = failpoints or Failpoints()
        self._files = ProvenFiles(manager=manager, clock=clock, folder=self._folder, failpoints=self._failpoints)

    async def plan(
        self, selection: Selection, rule_of: RuleOf, *, latest: datetime, kinds: Sequence[DataKind] = tuple(DataKind)
    ) -> list[Due]:
        return await due_units(self._manager, selection, rule_of, latest=latest, kinds=kinds)

    async def prepare(self, due: Sequence[Due]) -> None:
        """Roll up what is about to leave, in the usual lengths where nobody asked for others."""
        candles = [one.unit for one in due if one.unit.kind is DataKind.CANDLES and one.unit.interval_s < DAY_S]
        ids = sorted({unit.instrument_id for unit in candles if unit.instrument_id is not None})
        if not ids:
            return
        rollups = Rollups(manager=self._manager, clock=self._clock)
        wanted = {(unit.instrument_id, unit.interval_s): unit for unit in candles}
        for row in await QUERIES.fetch(self._manager, "series_without_rollups", instrument_ids=ids):
            unit = wanted.get((row["instrument_id"], row["interval_s"]))
            if unit is not None:
                one = Selection(venues=(unit.venue,), symbols=(unit.symbol,), intervals_s=(unit.interval_s,))
                await rollups.ask(one, USUAL_INTERVALS_S)
        await rollups.follow(ids)

    async def run(
        self,
        selection: Selection,
        rule_of: RuleOf,
        *,
        latest: datetime,
        kinds: Sequence[DataKind] = tuple(DataKind),
        progress: Progress | None = None,
    ) -> AsyncIterator[Outcome]:
        """Each unit's outcome as it is committed."""
        with only_one(self._folder):
            await self.prepare(await self.plan(selection, rule_of, latest=latest, kinds=kinds))
            due = await self.plan(selection, rule_of, latest=latest, kinds=kinds)
            done, total = 0, sum(one.unit.rows for one in due)
            for (kind, _), group in groupby(due, key=_together):
                leaving = list(group)
                outcomes = await (self._month(leaving) if kind is DataKind.CANDLES else self._each(leaving))
                done += sum(one.unit.rows for one in outcomes)
                if progress is not None:
                    progress(done, total)
                for one in outcomes:
                    yield one

    async def _month(self, due: list[Due]) -> list[Outcome]:
        """Candles of one month leave together."""
        kept = [_kept(one.unit, one.unit.obstacle) for one in due if _stays(one)]
        waiting = [one for one in due if not _stays(one)]
        outcomes: list[Outcome] = []
        for attempt in range(1, ATTEMPTS + 1):
            if not waiting:
                break
            if attempt > 1:
                await self.prepare(waiting)  # what changed is rolled up again
            files: dict[int, Retired] = {}
            found: dict[int, str] = {}
            for one in waiting:
                file = await self._files.of(one) if one.rule.action is Action.ARCHIVE else None
                if file is not None:
                    files[id(one)] = file
                elif one.rule.action is Action.ARCHIVE:
                    outcomes.append(_kept(one.unit, GONE))
            waiting = [one for one in waiting if id(one) in files or one.rule.action is Action.DROP]
            for part in await self._parts(waiting):
                found |= await self._retire_candles(part, files)
            changed = []
            for one in waiting:
                state = found[id(one)]
                if attempt < ATTEMPTS and _may_pass(one.unit, state):
                    changed.append(one)
                elif state == "retired":
                    outcomes.append(_left(one, files.get(id(one))))
                else:
                    outcomes.append(_kept(one.unit, state))
            waiting = changed
        if outcomes:
            await self._tidy("candles", due[0].unit.starts)
        return kept + outcomes

    async def _parts(self, due: list[Due]) -> list[list[Due]]:
        """All at once where nothing of the month stays: it is emptied in one stroke. Else one by one, since deleting
        rows takes long, and live writers wait no more than two seconds for their series."""
        if not due:
            return []
        series = await QUERIES.fetchval(self._manager, "series_of_month", month=due[0].unit.starts.date())
        return [due] if series == len(due) else [[one] for one in due]

    async def _retire_candles(self, due: list[Due], files: dict[int, Retired]) -> dict[int, str]:
        at = self._clock.now()
        async with self._manager.transaction(statement_timeout_s=RETIRE_TIMEOUT_S) as tx:
            row = await QUERIES.fetchrow(
                tx,
                "retire_candles",
                month=due[0].unit.starts.date(),
                instrument_ids=[one.unit.instrument_id for one in due],
                intervals_s=[one.unit.interval_s for one in due],
                versions=[files[id(one)].version if id(one) in files else None for one in due],
                at=at,
                timeout_s=RETIRE_TIMEOUT_S,
            )
            assert row is not None, "the function returns one row"
            for one, state in zip(due, row["outcomes"], strict=True):
                if state == "retired":
                    await self._record(tx, one, files.get(id(one)), at)
            self._failpoints.reach("retention.retired")
        self._failpoints.reach("retention.committed")
        return {id(one): state for one, state in zip(due, row["outcomes"], strict=True)}

    async def _each(self, due: list[Due]) -> list[Outcome]:
        """Other kinds, unit by unit."""
        outcomes = []
        for one in due:
            unit, state = one.unit, CHANGED
            for _ in range(ATTEMPTS):
                file = await self._files.of(one) if one.rule.action is Action.ARCHIVE else None
                if file is None and one.rule.action is Action.ARCHIVE:
                    state = GONE
                    break
                if await self._retire_kind(one, file):
                    state = "retired"
                    break
            outcomes.append(_left(one, file) if state == "retired" else _kept(unit, state))
            if unit.kind in TABLES:
                await self._tidy(TABLES[unit.kind], unit.starts)
        return outcomes

    async def _retire_kind(self, one: Due, file: Retired | None) -> bool:
        at, unit = self._clock.now(), one.unit
        async with self._manager.transaction(statement_timeout_s=RETIRE_TIMEOUT_S) as tx:
            is_retired: bool = await QUERIES.fetchval(
                tx,
                "retire_kind",
                kind=unit.kind.value,
                venue=unit.venue,
                symbol=unit.symbol,
                instrument_id=unit.instrument_id,
                first=unit.starts,
                last=unit.ends,
                rows=unit.rows if file is None else file.rows,
                at=at,
                timeout_s=RETIRE_TIMEOUT_S,
            )
            if is_retired:
                await self._record(tx, one, file, at)
            self._failpoints.reach("retention.retired")
        self._failpoints.reach("retention.committed")
        return is_retired

    async def _record(self, tx: Transaction, one: Due, file: Retired | None, at: datetime) -> None:
        if file is not None:
            await QUERIES.execute(tx, "finish_archive", id=file.id, at=at)
            return
        unit = one.unit
        values: dict[str, Any] = {"ends": unit.ends, "rows": unit.rows, "reason": one.rule.reason}
        await QUERIES.execute(tx, "record_drop", id=new_id(at), **unit.key, **values, at=at)

    async def _tidy(self, table: str, month: datetime) -> None:
        """Drop the month's partition if nothing is left of it; another time if somebody reads the table just now."""
        with suppress(DatabaseBusy):
            await QUERIES.fetchval(self._manager, "drop_empty_month", table=table, month=month.date().replace(day=1))


def _together(one: Due) -> tuple[DataKind, datetime | None]:
    return one.unit.kind, one.unit.starts if one.unit.kind is DataKind.CANDLES else None


def _stays(one: Due) -> bool:
    return one.unit.obstacle is not None and not _may_pass(one.unit, one.unit.obstacle)


def _may_pass(unit: Unit, obstacle: str) -> bool:
    """Whether rolling up and writing once more may get over it."""
    return obstacle == CHANGED or (obstacle == NOT_ROLLED_UP and unit.interval_s < DAY_S)


def _kept(unit: Unit, obstacle: str | None) -> Outcome:
    return Outcome(unit=unit, state="kept", why=explain(unit, obstacle))


def _left(one: Due, file: Retired | None) -> Outcome:
    if file is None:
        return Outcome(unit=one.unit, state="dropped")
    return Outcome(unit=one.unit, state="archived", file=file.file, bytes=file.bytes or 0)


def explain(unit: Unit, obstacle: str | None) -> str:
    """What keeps a unit, and what to do."""
    if obstacle == "pinned":
        return f"snapshot {str(unit.snapshot)[:13]} pins it; `mastertrade data snapshot remove` would free it"
    if obstacle == NOT_ROLLED_UP:
        if unit.interval_s == DAY_S:
            return "no longer bars can be made of 1d candles: they can be archived, not dropped"
        return "its longer bars are not made yet; `mastertrade data rollup` makes them"
    if obstacle == CHANGED:
        return f"it changed {ATTEMPTS} times while it was written; run this again when its feed is quiet"
    return "it left meanwhile" if obstacle == GONE else obstacle or "nothing"
