"""PostgreSQL: pool, transactions, reconnection and LISTEN. The only importer of the driver."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

from mastertrade.shared.errors import ConfigurationError, DependencyDown
from mastertrade.shared.listening import PROBE_EVERY_S, Listener, Listening
from mastertrade.shared.pool import Connections, PoolStatistics
from mastertrade.shared.postgres_errors import CONNECTING, server_name, translated
from mastertrade.shared.postgres_values import CODECS
from mastertrade.shared.retry import Backoff
from mastertrade.shared.statements import Database, Limits, Row, session_milliseconds
from mastertrade.shared.transactions import IDLE_TIMEOUT_MS, Transaction, begin_statement

__all__ = ["Database", "Listening", "PoolStatistics", "PostgresManager", "Row", "Transaction", "ensure_connection"]

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 2.0
GONE_CLIENT = {
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "8000",
}
"""The server lets go of a client whose machine or network is gone within eight seconds; as it comes it takes two hours,
in which its locks stand, and the right to be the only executor."""


class PostgresManager:
    """Owner of the pool. Each connection runs in UTC with limits on statements, locks and idle transactions.

    After a lost connection, statements that only read are tried again for ``retry_for_s``, and so are others called
    with ``idempotent=True``. A function called in a SELECT counts as reading only when it is declared STABLE or
    IMMUTABLE. A transaction is never repeated: only its beginning is, before the caller's first statement.
    ``statement_cache_size=0`` suits a transaction pooler that knows no prepared statements; else use 100.
    ``session_settings`` are added to those of each connection; a value of None leaves a setting to the server, which
    a pooler that refuses start-up parameters needs.
    """

    def __init__(
        self,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        statement_cache_size: int = 0,
        init: Callable[[Any], Awaitable[None]] | None = None,
        application_name: str = "mastertrade",
        command_timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        acquire_timeout_s: float = 5.0,
        statement_timeout_s: float = 5.0,
        longest_transaction_s: float = 10.0,
        retry_for_s: float = 5.0,
        probe_every_s: float = PROBE_EVERY_S,
        session_settings: Mapping[str, str | None] | None = None,
    ) -> None:
        self.server = server_name(dsn)
        self._dsn = dsn
        self._sizes = (min_size, max_size)
        self._init = init
        self._longest_s = longest_transaction_s
        self._limits = Limits(
            statement_timeout_s=min(statement_timeout_s, command_timeout_s),
            grace_s=max(0.5, command_timeout_s - statement_timeout_s),
            acquire_timeout_s=acquire_timeout_s,
            connect_timeout_s=connect_timeout_s,
        )
        self._backoff = Backoff(for_s=retry_for_s)
        self._probe_every_s = probe_every_s
        self._connect_options: dict[str, Any] = {
            "timeout": connect_timeout_s,
            "command_timeout": command_timeout_s,
            "statement_cache_size": statement_cache_size,
            "server_settings": self._session_settings(application_name, session_settings or {}),
        }
        self._connections: Connections | None = None
        self._listener: Listener | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"PostgresManager({self.server}, {'connected' if self._connections else 'not connected'})"

    async def connect(self) -> None:
        """Open the pool; does nothing when it is open."""
        async with self._lock:
            if self._connections is not None:
                return
            with translated(self.server, f"{self._limits.connect_timeout_s:g} s", kinds=CONNECTING):
                pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=self._sizes[0],
                    max_size=self._sizes[1],
                    init=self._prepare_connection,
                    reset=_reset_cheaply,
                    **self._connect_options,
                )
            self._connections = Connections(pool, self.server, self._limits, self._backoff)

    async def close(self) -> None:
        """Close the pool and stop listening. Connections still held after a while are cut. Harmless when repeated."""
        async with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, None
            if listener is not None:
                await listener.close()
            if connections is None:
                return
            try:
                await asyncio.wait_for(connections.driver_pool.close(), CLOSE_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - closing must end, whatever the wire does
                log.warning("the pool of %s was cut: %s", self.server, str(error) or type(error).__name__)
                connections.driver_pool.terminate()

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The driver's pool. RuntimeError when not connected."""
        return cast("asyncpg.Pool[asyncpg.Record]", self._open.driver_pool)

    @property
    def _open(self) -> Connections:
        if self._connections is None:
            raise RuntimeError(f"not connected to {self.server}: call connect() first")
        return self._connections

    async def healthcheck(self) -> bool:
        """Whether the database answers now."""
        try:
            async with self._open.held() as held:
                return bool(await held.fetchval("SELECT true", timeout_s=HEALTH_TIMEOUT_S))
        except (DependencyDown, RuntimeError):
            return False

    def statistics(self) -> PoolStatistics:
        """Zeros while not connected."""
        return self._connections.statistics() if self._connections else PoolStatistics()

    async def execute(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> str:
        return await self._open.repeatable(
            query, idempotent, lambda held: held.execute(query, *args, timeout_s=timeout_s)
        )

    async def executemany(
        self, query: str, rows: Iterable[Sequence[Any]], *, timeout_s: float | None = None, idempotent: bool = False
    ) -> None:
        batch = list(rows) if idempotent else rows
        await self._open.repeatable(query, idempotent, lambda held: held.executemany(query, batch, timeout_s=timeout_s))

    async def fetch(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> list[Row]:
        return await self._open.repeatable(
            query, idempotent, lambda held: held.fetch(query, *args, timeout_s=timeout_s)
        )

    async def fetchrow(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> Row | None:
        return await self._open.repeatable(
            query, idempotent, lambda held: held.fetchrow(query, *args, timeout_s=timeout_s)
        )

    async def fetchval(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> Any:
        return await self._open.repeatable(
            query, idempotent, lambda held: held.fetchval(query, *args, timeout_s=timeout_s)
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """The driver's connection, given back whatever happens. Its errors become ours when they leave the block."""
        connections = self._open
        connection = await connections.take()
        try:
            with translated(self.server):
                yield connection
        finally:
            await connections.give_back(connection)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        durable: bool = True,
        statement_timeout_s: float | None = None,
        is_bounded: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Commit at the end of the block, roll back on an exception, then run the ``on_commit`` calls.

        ``isolation`` is ``repeatable_read`` or ``serializable``; ``durable=False`` lets a crash of the server lose the
        last moments (market data only); ``statement_timeout_s`` is the limit of each statement of bulk work, while
        locks keep theirs of 2 s. One that ``is_bounded`` is ended by the server after ``longest_transaction_s``, so
        that a client that fell silent holds rows no longer: for rows that others wait for, such as balances."""
        connections = self._open
        begin = begin_statement(isolation, readonly, durable, statement_timeout_s)
        connection = await connections.begin(begin, longest_s=self._longest_s if is_bounded else None)
        transaction = connections.transaction_on(connection, statement_timeout_s)
        try:
            try:
                yield transaction
            except BaseException:
                await transaction.roll_back()
                raise
            await transaction.commit()
        finally:
            await connections.give_back(connection)
        await transaction.run_on_commit()

    async def listen(self, channel: str, callback: Callable[[str], None]) -> Listening:
        """Call ``callback(payload)`` for each notification on ``channel``, on a connection of its own.

        The connection is probed every few seconds and replaced when it is lost. Whenever listening begins (again),
        the callback is called with an empty payload: look at the table, notifications may have been missed."""
        async with self._lock:
            if self._listener is None:
                self._listener = Listener(self._connect_directly, self.server, self._probe_every_s)
        return await self._listener.listen(channel, callback)

    async def _connect_directly(self) -> Any:
        with translated(self.server, f"{self._limits.connect_timeout_s:g} s", kinds=CONNECTING):
            return await asyncpg.connect(self._dsn, **self._connect_options)

    async def _prepare_connection(self, connection: Any) -> None:
        for name, (encoder, decoder) in CODECS.items():
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary"
            )
        if self._init is not None:
            await self._init(connection)

    def _session_settings(self, application_name: str, wanted: Mapping[str, str | None]) -> dict[str, str]:
        settings: dict[str, str | None] = {
            "application_name": application_name,
            "timezone": "UTC",
            "statement_timeout": str(session_milliseconds(self._limits.statement_timeout_s)),
            "lock_timeout": "2000",
            "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
            **GONE_CLIENT,
            "jit": "off",
            **wanted,
        }
        return {name: value for name, value in settings.items() if value is not None}


async def ensure_connection(manager: PostgresManager, retries: int = 5, delay: float = 1.0) -> None:
    """Connect, trying ``retries`` times with a doubling ``delay`` between. A wrong login is not tried again."""
    for attempt in range(1, retries + 1):
        try:
            return await manager.connect()
        except ConfigurationError:
            raise
        except Exception as error:
            if attempt == retries:
                raise
            log.warning("try %d of %d to connect failed, next in %g s: %s", attempt, retries, delay, error)
            await asyncio.sleep(delay)
            delay *= 2


async def _reset_cheaply(connection: Any) -> None:
    """Session state is never used, so only an open transaction must go; a full reset costs a round trip a call."""
    if connection.is_in_transaction():
        await connection.reset()
