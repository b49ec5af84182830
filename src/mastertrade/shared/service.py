"""What every service is: something that starts, handles events, does its periodic jobs, and stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mastertrade.shared.clock import Clock

STOP_TIMEOUT_S = 10.0
"""Given to jobs in the middle of their work after they were cancelled, before stopping is called a failure."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work repeated ``every_s`` after its end. A run longer than ``timeout_s`` is cancelled and counts as failed."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]
    runs_at_start: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.every_s > 0 and self.timeout_s > 0):
            raise ValueError(f"job {self.name}: every_s {self.every_s} must be above 0, as timeout_s {self.timeout_s}")


@dataclass(slots=True)
class JobState:
    """How a job is doing; ``last_error`` is empty after a run that succeeded."""

    runs: int = 0
    failures: int = 0
    last_ended_at: datetime | None = None
    last_error: str = ""


class Service:
    """Base of the services. A service overrides ``subscriptions`` and ``jobs``, and ``on_start`` and ``on_stop`` when
    it has more to do than them. The bus is told of the subscriptions by whoever started the service.

    A failing job is logged and tried again next time: it never ends the others."""

    name: str = ""

    def __init__(self, *, clock: Clock) -> None:
        if not self.name:
            raise TypeError(f"{type(self).__name__} has no name")
        self._clock = clock
        self._running: asyncio.Task[None] | None = None
        self._job_states: dict[str, JobState] = {}

    def subscriptions(self) -> Sequence[Any]:
        """The bus subscriptions of this service."""
        return ()

    def jobs(self) -> Sequence[Job]:
        return ()

    async def on_start(self) -> None:
        """Recovery: whatever must be settled before the first event or job."""

    async def on_stop(self) -> None:
        """Let go of what ``on_start`` took."""

    @property
    def is_running(self) -> bool:
        """Started, not stopped, and its jobs did not break down."""
        running = self._running
        return running is not None and not (running.done() and (running.cancelled() or running.exception() is not None))

    def job_states(self) -> dict[str, JobState]:
        return dict(self._job_states)

    async def start(self) -> None:
        """Does nothing when already started."""
        if self._running is not None:
            return
        await self.on_start()
        jobs = list(self.jobs())
        self._job_states = {job.name: JobState() for job in jobs}
        if len(self._job_states) < len(jobs):
            raise ValueError(f"{self.name}: two jobs have the same name")
        self._running = asyncio.create_task(self._run_jobs(jobs), name=f"{self.name}.jobs")
        self._running.add_done_callback(self._ended)
        log.info("%s started", self.name)

    async def stop(self) -> None:
        """Cancel the jobs and wait for them. Harmless when repeated or never started."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        _, pending = await asyncio.wait([running], timeout=STOP_TIMEOUT_S)
        if pending:
            log.error("%s: jobs did not stop within %g s", self.name, STOP_TIMEOUT_S)
        await self.on_stop()
        log.info("%s stopped", self.name)

    async def _run_jobs(self, jobs: Sequence[Job]) -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._repeat(job), name=f"{self.name}.{job.name}")

    async def _repeat(self, job: Job) -> None:
        if not job.runs_at_start:
            await self._clock.sleep(job.every_s)
        while True:
            await self._run_once(job)
            await self._clock.sleep(job.every_s)

    async def _run_once(self, job: Job) -> None:
        state = self._job_states[job.name]
        state.runs += 1
        try:
            async with asyncio.timeout(job.timeout_s):
                await job.run()
            state.last_error = ""
        except Exception as error:
            state.failures += 1
            state.last_error = str(error) or type(error).__name__
            log.exception("%s: job %s failed, next try in %g s", self.name, job.name, job.every_s)
        finally:
            state.last_ended_at = self._clock.now()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s: its jobs ended: %s", self.name, error, exc_info=error)
