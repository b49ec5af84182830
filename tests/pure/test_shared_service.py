"""The service contract: start, periodic jobs, stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from mastertrade.shared.clock import SystemClock
from mastertrade.shared.service import Job, Service


class SteppedClock(SystemClock):
    """Sleeps end only when the test says so."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._sleepers: list[asyncio.Future[None]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        await sleeper

    async def let_everyone_wake(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            sleeper.set_result(None)
        for _ in range(20):
            await asyncio.sleep(0)


class Sample(Service):
    name = "sample"

    def __init__(self, clock: SystemClock, *jobs: Job) -> None:
        super().__init__(clock=clock)
        self._jobs = jobs
        self.calls: list[str] = []

    def jobs(self) -> Sequence[Job]:
        return self._jobs

    async def on_start(self) -> None:
        self.calls.append("start")

    async def on_stop(self) -> None:
        self.calls.append("stop")


def counting(counter: list[int], error: Exception | None = None) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        counter.append(1)
        if error is not None:
            raise error

    return run


async def test_starting_and_stopping_twice_is_harmless() -> None:
    service = Sample(SystemClock())
    await service.stop()
    await service.start()
    await service.start()
    assert service.is_running
    await service.stop()
    await service.stop()
    assert service.calls == ["start", "stop"]
    assert not service.is_running


async def test_a_stopped_service_can_start_again() -> None:
    service = Sample(SystemClock())
    for _ in range(2):
        await service.start()
        await service.stop()
    assert service.calls == ["start", "stop"] * 2


async def test_jobs_run_by_the_clock_they_were_given() -> None:
    clock, count = SteppedClock(), list[int]()
    service = Sample(clock, Job("review", 3600, counting(count)))
    await service.start()
    await clock.let_everyone_wake()
    assert count == []
    await clock.let_everyone_wake()
    assert count == [1]
    await clock.let_everyone_wake()
    assert count == [1, 1]
    assert set(clock.slept) == {3600}
    await service.stop()


async def test_a_job_can_run_at_once() -> None:
    clock, count = SteppedClock(), list[int]()
    service = Sample(clock, Job("review", 3600, counting(count), runs_at_start=True))
    await service.start()
    await clock.let_everyone_wake()
    assert count[0] == 1
    await service.stop()


async def test_a_failing_job_is_logged_tried_again_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    clock, bad, good = SteppedClock(), list[int](), list[int]()
    service = Sample(clock, Job("bad", 1, counting(bad, ValueError("broken"))), Job("good", 1, counting(good)))
    await service.start()
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            await clock.let_everyone_wake()
    assert len(bad) == len(good) == 3
    state = service.job_states()["bad"]
    assert (state.runs, state.failures, state.last_error) == (3, 3, "broken")
    assert service.job_states()["good"].failures == 0
    assert "job bad failed" in caplog.text
    assert service.is_running
    await service.stop()


async def test_a_job_that_hangs_is_cancelled_at_its_limit() -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    service = Sample(SystemClock(), Job("hang", 0.01, hang, runs_at_start=True, timeout_s=0.02))
    await service.start()
    await asyncio.sleep(0.1)
    assert service.job_states()["hang"].failures >= 1
    await service.stop()


async def test_stopping_waits_for_a_job_to_clean_up() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)
            cleaned.set()

    service = Sample(SystemClock(), Job("work", 1, work, runs_at_start=True))
    await service.start()
    await asyncio.sleep(0.01)
    await service.stop()
    assert cleaned.is_set()


async def test_a_start_that_fails_can_be_tried_again() -> None:
    class Moody(Sample):
        async def on_start(self) -> None:
            await super().on_start()
            if len(self.calls) == 1:
                raise ConnectionError("not yet")

    service = Moody(SystemClock())
    with pytest.raises(ConnectionError):
        await service.start()
    assert not service.is_running
    await service.start()
    assert service.is_running
    await service.stop()


async def test_two_jobs_of_one_name_are_refused() -> None:
    job = Job("same", 1, counting([]))
    with pytest.raises(ValueError, match="same name"):
        await Sample(SystemClock(), job, job).start()


def test_a_job_without_pause_is_refused() -> None:
    with pytest.raises(ValueError, match="every_s 0 must be above 0"):
        Job("busy", 0, counting([]))
