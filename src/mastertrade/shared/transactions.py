"""One database transaction, and what shall happen once it is stored."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mastertrade.shared.errors import DatabaseBusy, DatabaseDown, DatabaseError, OutcomeUnknown
from mastertrade.shared.statements import Limits, Statements, is_lost, session_milliseconds

ROLLBACK_TIMEOUT_S = 2.0
"""Waited for a rollback before the connection is cut, which rolls back as well."""
IDLE_TIMEOUT_MS = 8_000
"""A client that vanished inside of a transaction keeps its row locks for this long: with what it waited for locks of
its own before, no more than ten seconds."""
KNOWS_LONGEST = 17
"""The first version of PostgreSQL that can end a transaction after a while."""
log = logging.getLogger(__name__)


class Transaction(Statements):
    """All or nothing. Made by ``PostgresManager.transaction()``; unusable once that block has ended."""

    def __init__(self, connection: Any, server: str, limits: Limits) -> None:
        super().__init__(connection, server, limits)
        self._is_open = True
        self._is_committed = False
        self._after: list[Callable[[], Awaitable[None]]] = []
        self._savepoints = 0

    @property
    def is_committed(self) -> bool:
        """True once COMMIT was answered: tells a failed call after the commit from a transaction that failed."""
        return self._is_committed

    @property
    def connection(self) -> Any:
        """The driver's connection, for what only the driver can do. Its errors are not translated."""
        return self._connection()

    def on_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        """Await ``call`` after the COMMIT, when the connection is back in the pool; calls run in the order they were
        given. If some fail the others still run; then the single error, or a group of several, is raised although
        the transaction is stored (``is_committed``). A rollback, also to a savepoint, drops them, and so does a
        crash: nothing may depend on them that is not found again in the database."""
        self._connection()
        self._after.append(call)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone: an exception undoes it, and its ``on_commit`` calls, and goes on upwards."""
        self._savepoints += 1
        name, registered = f"savepoint_{self._savepoints}", len(self._after)
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            del self._after[registered:]
            with suppress(DatabaseDown, DatabaseError, DatabaseBusy):
                await self.execute(
                    f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}", timeout_s=ROLLBACK_TIMEOUT_S
                )
            raise
        await self.execute(f"RELEASE SAVEPOINT {name}")

    def _connection(self) -> Any:
        if not self._is_open:
            raise RuntimeError("this transaction has ended; begin a new one with manager.transaction()")
        return self._held

    async def commit(self) -> None:
        """Called by the manager at the end of the block."""
        if is_lost(self._held):
            self._is_open = False
            raise DatabaseDown(f"the connection to {self._server} was lost before COMMIT: nothing was stored")
        try:
            status = await self.execute("COMMIT")
        except DatabaseDown as error:
            raise OutcomeUnknown(
                f"{OutcomeUnknown.__doc__} Look for its rows before repeating it. ({error})"
            ) from error
        finally:
            self._is_open = False
        if status != "COMMIT":
            raise DatabaseError(
                "nothing was stored: a statement of this transaction had failed and its error was caught inside of "
                "the block; put such a statement into `async with transaction.savepoint()`"
            )
        self._is_committed = True

    async def roll_back(self) -> None:
        """Called by the manager when the block failed. A connection that cannot roll back in time is cut."""
        self._is_open = False
        try:
            await self._held.execute("ROLLBACK", timeout=ROLLBACK_TIMEOUT_S)
        except BaseException as error:
            if not is_lost(self._held):
                self._held.terminate()
            if not isinstance(error, Exception):
                raise
            log.debug("the connection was cut instead of rolled back: %s", error)

    async def run_on_commit(self) -> None:
        """Called by the manager once the connection is back in the pool."""
        errors: list[Exception] = []
        for call in self._after:
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - raised below, when the others had their turn
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup(f"{len(errors)} calls after the commit failed; the transaction is stored", errors)


def longest_statement(longest_s: float, server_major: int) -> str:
    """What goes with BEGIN so that the server ends the transaction after so long, whatever its client does: one that
    falls silent between the parts of a statement is not idle for the server, and nothing else would end it. Servers
    before 17 cannot."""
    if server_major < KNOWS_LONGEST:
        return ""
    return f"; SET LOCAL transaction_timeout = {session_milliseconds(longest_s)}"


def begin_statement(isolation: str | None, readonly: bool, durable: bool, statement_timeout_s: float | None) -> str:
    """One text, one round trip."""
    levels = {
        None: "",
        "read_committed": "",
        "repeatable_read": " ISOLATION LEVEL REPEATABLE READ",
        "serializable": " ISOLATION LEVEL SERIALIZABLE",
    }
    if isolation not in levels:
        raise ValueError(f"isolation {isolation!r} is none of read_committed, repeatable_read, serializable")
    parts = [f"BEGIN{levels[isolation]}{' READ ONLY' if readonly else ''}"]
    if not durable:
        parts.append("SET LOCAL synchronous_commit = off")
    if statement_timeout_s is not None:
        limit = session_milliseconds(statement_timeout_s)
        idle = max(limit, IDLE_TIMEOUT_MS)
        parts += [f"SET LOCAL statement_timeout = {limit}", f"SET LOCAL idle_in_transaction_session_timeout = {idle}"]
    return "; ".join(parts)
