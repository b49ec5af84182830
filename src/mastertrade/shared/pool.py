"""The connections of one pool: taken and given back with limits, and statements repeated on another one when the
first was lost."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mastertrade.shared.errors import DatabaseBusy, DatabaseDown
from mastertrade.shared.postgres_errors import CONNECTING, RUNNING, translated
from mastertrade.shared.retry import Backoff, retry
from mastertrade.shared.sql_text import read_check
from mastertrade.shared.statements import Limits, Statements, is_lost
from mastertrade.shared.transactions import Transaction, longest_statement

T = TypeVar("T")
RELEASE_TIMEOUT_S = 2.0
HARMLESS_VOLATILE = ("clock_timestamp", "gen_random_uuid", "pg_sleep", "random", "timeofday", "uuidv4", "uuidv7")
"""Functions the server calls volatile that leave nothing behind."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """``lost`` counts connections lost in use, ``repeated`` what was sent again on another."""

    size: int = 0
    idle: int = 0
    min_size: int = 0
    max_size: int = 0
    lost: int = 0
    repeated: int = 0


class Connections:
    """Of one open pool. ``driver_pool`` is the driver's."""

    def __init__(self, driver_pool: Any, server: str, limits: Limits, backoff: Backoff) -> None:
        self.driver_pool = driver_pool
        self._server = server
        self._limits = limits
        self._backoff = backoff
        self._lost = 0
        self._repeated = 0

    def statistics(self) -> PoolStatistics:
        pool = self.driver_pool
        return PoolStatistics(
            size=pool.get_size(),
            idle=pool.get_idle_size(),
            min_size=pool.get_min_size(),
            max_size=pool.get_max_size(),
            lost=self._lost,
            repeated=self._repeated,
        )

    async def take(self) -> Any:
        limit_s = self._limits.acquire_timeout_s
        try:
            with translated(self._server, f"{limit_s:g} s", kinds=CONNECTING):
                return await self.driver_pool.acquire(timeout=limit_s)
        except DatabaseDown as error:
            most = self.driver_pool.get_max_size()
            if isinstance(error.__cause__, TimeoutError) and self.driver_pool.get_size() == most:
                raise DatabaseBusy(
                    f"all {most} connections of the pool to {self._server} were in use for {limit_s:g} s; raise "
                    "POSTGRES_POOL_MAX_SIZE or look for long transactions"
                ) from error
            raise

    async def give_back(self, connection: Any) -> None:
        try:
            await self.driver_pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - see below
            # The driver has cut the connection by then; what ran on it is decided, so this must not change the answer.
            log.warning("a connection to %s was cut when given back: %s", self._server, str(error) or type(error))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Statements]:
        connection = await self.take()
        try:
            yield Statements(connection, self._server, self._limits)
        finally:
            await self.give_back(connection)

    async def repeatable(self, query: str, idempotent: bool, call: Callable[[Statements], Awaitable[T]]) -> T:
        """A connection lost before the statement was sent is replaced; one lost later only for a statement that may
        run twice."""
        sent: DatabaseDown | None = None
        refused = False

        async def attempt() -> T:
            nonlocal sent, refused
            async with self.held() as held:
                if sent is not None and not idempotent and await self._writes(held, query):
                    refused = True
                    raise sent
                try:
                    return await call(held)
                except DatabaseDown as error:
                    sent = error
                    raise

        def again(error: Exception) -> bool:
            may_repeat = sent is None or idempotent or (not refused and read_check(query).reads)
            return isinstance(error, DatabaseDown) and self._count_loss(may_repeat)

        return await retry(attempt, when=again, backoff=self._backoff)

    async def begin(self, sql: str, *, longest_s: float | None = None) -> Any:
        """A connection with an open transaction. Nothing of the caller's has run, so a lost connection is replaced."""

        async def attempt() -> Any:
            connection = await self.take()
            try:
                with translated(self._server, kinds=RUNNING):
                    major = connection.get_server_version().major
                    await connection.execute(sql + (longest_statement(longest_s, major) if longest_s else ""))
            except BaseException:
                if not is_lost(connection):
                    connection.terminate()
                await self.give_back(connection)
                raise
            return connection

        def again(error: Exception) -> bool:
            return isinstance(error, DatabaseDown) and self._count_loss(True)

        return await retry(attempt, when=again, backoff=self._backoff)

    def transaction_on(self, connection: Any, statement_timeout_s: float | None) -> Transaction:
        limits = self._limits
        if statement_timeout_s is not None:
            limits = replace(limits, statement_timeout_s=statement_timeout_s)
        return Transaction(connection, self._server, limits)

    async def _writes(self, held: Statements, query: str) -> bool:
        """Whether a function the statement calls may leave something behind, as the server knows it."""
        functions = list(read_check(query).functions)
        sql = "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = ANY($1) AND provolatile = 'v' AND proname <> ALL($2))"
        return bool(functions and await held.fetchval(sql, functions, list(HARMLESS_VOLATILE)))

    def _count_loss(self, repeats: bool) -> bool:
        self._lost += 1
        self._repeated += repeats
        return repeats
