"""Trying again within bounds."""

import pytest

from mastertrade.shared.retry import Backoff, retry


class World:
    """Time that only sleeping moves, and a call that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.now, self.failures, self.pauses = 0.0, failures, list[float]()

    async def call(self) -> str:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("gone")
        return "here"

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def run(self, backoff: Backoff) -> str:
        when = lambda error: isinstance(error, ConnectionError)  # noqa: E731
        return await retry(self.call, when=when, backoff=backoff, sleep=self.sleep, monotonic=lambda: self.now)


async def test_pauses_double_up_to_the_longest() -> None:
    world = World(failures=5)
    assert await world.run(Backoff(first_s=0.1, longest_s=0.5, for_s=60, jitter=0)) == "here"
    assert world.pauses == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


async def test_the_last_error_is_raised_when_time_is_over() -> None:
    world = World(failures=1000)
    with pytest.raises(ConnectionError, match="gone"):
        await world.run(Backoff(first_s=0.1, longest_s=1, for_s=5, jitter=0))
    assert world.now <= 5


async def test_other_errors_are_raised_at_once() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await retry(call, when=lambda error: isinstance(error, OSError), backoff=Backoff())
    assert calls == 1


def test_jitter_only_shortens() -> None:
    pauses = Backoff(first_s=1, longest_s=1, jitter=0.5).pauses_s()
    assert all(0.5 <= next(pauses) <= 1 for _ in range(100))
