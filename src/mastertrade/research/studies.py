"""Sweeps that live in the database: every trial is a row before it is tried, several processes share them, and whatever
is killed goes on where it was."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mastertrade.backtest.samplers import Sampler
from mastertrade.backtest.sweep import MOST_OF_A_BATCH, Pool
from mastertrade.backtest.trials import Outcome, Trial, Tried
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.backtests import BacktestDatabase, Study

WAIT_S: Final = 0.2
"""How long one look at the workers takes; between two the results are stored."""
LOOK_S: Final = 1.0
"""How often the others' progress is looked at."""

Show = Callable[[int, int], None]


@dataclass(kw_only=True)
class StudyWork:
    """One process's part in a study. ``claimer`` is the application name of ``manager``'s connections, and of nobody
    else's: when they are gone, so are its claims."""

    manager: PostgresManager
    study: Study
    claimer: str
    clock: Clock
    show: Show | None = None

    def __post_init__(self) -> None:
        self._database = BacktestDatabase()
        self._looked_at = 0.0
        self._finished = 0

    async def run(self, sampler: Sampler, pool: Pool) -> list[Tried]:
        """Every trial of the study, by number, whoever made it. Called again it finds them all made."""
        rows: list[Tried] = []
        while parameters := sampler.next_round(rows):
            await self._database.plan_trials(self.manager, self.study, parameters, first=len(rows))
            rows += await self._finish(pool, first=len(rows), count=len(parameters))
        return rows

    async def _finish(self, pool: Pool, *, first: int, count: int) -> list[Tried]:
        size = max(1, min(MOST_OF_A_BATCH, count // (pool.count * 4)))
        while True:
            is_open = await self._claim(pool, size)
            found = pool.results(WAIT_S) if pool.is_busy else []
            if found:
                await self._store(found)
            await self._look(always=not pool.is_busy or self._finished >= first + count)
            if self._finished >= first + count:
                return await self._read(first, count)
            if not pool.is_busy and not is_open:  # the last ones are somebody else's
                await asyncio.sleep(LOOK_S)

    async def _claim(self, pool: Pool, size: int) -> bool:
        """Give every idle worker something; False when there was nothing to take."""
        while pool.idle > 0:
            trials = await self._database.claim_trials(self.manager, self.study.id, claimer=self.claimer, count=size)
            if not trials:
                return False
            pool.submit(trials)
        return True

    async def _store(self, found: list[tuple[Trial, Outcome]]) -> None:
        await self._database.finish_trials(self.manager, self.study.id, found, at=self.clock.now())
        self._finished += len(found)
        self._tell()

    async def _look(self, *, always: bool) -> None:
        now = self.clock.monotonic()
        if always or now - self._looked_at >= LOOK_S:
            self._looked_at = now
            progress = await self._database.study_progress(self.manager, self.study.id)
            self._finished = progress["finished"]
            self._tell()

    def _tell(self) -> None:
        if self.show is not None:
            self.show(self._finished, self.study.planned)

    async def _read(self, first: int, count: int) -> list[Tried]:
        rows = await self._database.trials(self.manager, self.study.id, first=first)
        assert len(rows) >= count, "a round is over when all its trials are"
        return [tried for tried, _ in rows[:count]]


async def open_study(manager: PostgresManager, wanted: Study, at: datetime) -> tuple[Study, bool]:
    """The same study that was begun and not finished, or this one, new; and whether it was there. Two processes that
    begin the same study share it."""
    database = BacktestDatabase()
    begun = await database.unfinished_study(manager, wanted)
    if begun is not None:
        return begun, True
    await database.create_study(manager, wanted, at=at)
    return wanted, False
