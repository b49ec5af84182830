"""An event loop whose time is virtual and whose order of steps comes from a seed, and a database whose every statement
is one step of it."""

import asyncio
import random
import selectors
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from mastertrade.shared.errors import OutcomeUnknown
from mastertrade.shared.postgres_manager import PostgresManager

T = TypeVar("T")


class Deadlock(Exception):
    """Everybody waits, and no timer runs."""


class _Jump(selectors.DefaultSelector):
    """Waiting costs nothing: the loop's time jumps to its next timer. What is ready runs in an order of the seed's."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self.loop.jump(max(0.0, timeout))
        self.loop.shuffle()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, rng: random.Random) -> None:
        selector = _Jump()
        selector.loop = self
        self._virtual = 0.0
        self._rng = rng
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual

    def jump(self, seconds: float) -> None:
        self._virtual += seconds

    def shuffle(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            mixed = list(ready)
            self._rng.shuffle(mixed)
            ready.clear()
            ready.extend(mixed)


@dataclass(frozen=True, slots=True)
class VirtualClock:
    loop: VirtualLoop
    start: datetime

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.loop.time())

    def monotonic(self) -> float:
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RealDatabase:
    """A real PostgreSQL, asked from a thread of its own while everything else stands still."""

    def __init__(self, dsn: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.manager = PostgresManager(dsn, min_size=1, max_size=2)
        self.run(self.manager.connect())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def close(self) -> None:
        self.run(self.manager.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


class Statements:
    """``target`` is a manager or a transaction on the real database."""

    def __init__(self, real: RealDatabase, target: Any) -> None:
        self._real = real
        self._target = target

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        return self._real.run(self._target.execute(query, *args, **options))

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return self._real.run(self._target.fetch(query, *args, **options))

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return self._real.run(self._target.fetchrow(query, *args, **options))

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return self._real.run(self._target.fetchval(query, *args, **options))


class SimulatedTransaction(Statements):
    def __init__(self, real: RealDatabase, target: Any) -> None:
        super().__init__(real, target)
        self.after: list[Callable[[], Awaitable[None]]] = []
        self.queries: list[str] = []

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        self.queries.append(query)
        return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        self.queries.append(query)
        return await super().fetchval(query, *args, **options)

    def on_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        self.after.append(call)


@dataclass
class Weather:
    """What may go wrong between a process and the database, and whether it does just now: commits are lost, most often
    of transactions that called what it ``aims_at``."""

    rng: random.Random
    lost_commits: float = 0.0
    aims_at: str = ""
    suffer: Callable[[str], None] = field(default=lambda _: None)

    def hits(self, chance: float) -> bool:
        return chance > 0 and self.rng.random() < chance

    def takes(self, transaction: SimulatedTransaction) -> bool:
        is_aimed_at = any(self.aims_at in query for query in transaction.queries)
        return self.hits(self.lost_commits * (5 if is_aimed_at else 1))


class SimulatedManager(Statements):
    """The manager of one process: transactions are steps that nothing comes between. ``gate`` is awaited around each of
    them, so that a process can stand still or die there."""

    def __init__(self, real: RealDatabase, weather: Weather, gate: Callable[[], Awaitable[None]]) -> None:
        super().__init__(real, real.manager)
        self._weather = weather
        self._gate = gate

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        await self._gate()
        return await super().execute(query, *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        await self._gate()
        return await super().fetch(query, *args, **options)

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[SimulatedTransaction]:
        await self._gate()
        context = self._real.manager.transaction(**options)

        async def enter() -> Any:
            return await context.__aenter__()

        async def leave(*error: Any) -> Any:
            return await context.__aexit__(*error)

        inside = SimulatedTransaction(self._real, self._real.run(enter()))
        try:
            yield inside
        except BaseException as error:
            with suppress(type(error)):
                self._real.run(leave(type(error), error, error.__traceback__))
            raise
        if self._weather.takes(inside):
            if self._weather.hits(0.5):
                self._weather.suffer("the answer to a commit was lost")
                self._real.run(leave(None, None, None))
            else:
                self._weather.suffer("a commit was lost")
                lost = OutcomeUnknown("the connection broke during COMMIT")
                with suppress(OutcomeUnknown):
                    self._real.run(leave(OutcomeUnknown, lost, None))
            raise OutcomeUnknown("the connection broke during COMMIT")
        self._real.run(leave(None, None, None))
        await self._gate()
        for call in inside.after:
            await call()
