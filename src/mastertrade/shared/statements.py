"""The statements of one open connection, with our errors and a limit on each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mastertrade.shared.errors import DatabaseDown
from mastertrade.shared.postgres_errors import RUNNING, translated

Row = Mapping[str, Any]
"""A row by column name. Behind it stands the driver's record: ``row["x"]``, ``row.items()``, ``dict(row)``; iterating
over it yields the values in column order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each wait may take. ``grace_s`` is what the client waits beyond the server's own limit: when it is over,
    the server did not even say that it stopped."""

    statement_timeout_s: float = 5.0
    grace_s: float = 5.0
    acquire_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0


class Database(Protocol):
    """What a query needs: the manager (each statement for itself) and a transaction both offer it.

    ``timeout_s`` bounds one statement. ``idempotent`` says that the statement may run twice, so that it is tried again
    after a lost connection; a transaction ignores it, because a part of one is never repeated."""

    async def execute(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> str:
        """Returns the status, such as ``UPDATE 1``."""
        ...

    async def executemany(
        self, query: str, rows: Iterable[Sequence[Any]], *, timeout_s: float | None = None, idempotent: bool = False
    ) -> None:
        """One statement for each row, all or nothing."""
        ...

    async def fetch(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> list[Row]: ...

    async def fetchrow(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> Row | None: ...

    async def fetchval(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> Any:
        """The first column of the first row; None when there is no row."""
        ...


class Statements:
    """What can be done on one open connection."""

    def __init__(self, connection: Any, server: str, limits: Limits) -> None:
        self._held = connection
        self._server = server
        self._limits = limits

    async def execute(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> str:
        return cast(str, await self._call("execute", query, args, timeout_s))

    async def executemany(
        self, query: str, rows: Iterable[Sequence[Any]], *, timeout_s: float | None = None, idempotent: bool = False
    ) -> None:
        await self._call("executemany", query, (rows,), timeout_s)

    async def fetch(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> list[Row]:
        return cast(list[Row], await self._call("fetch", query, args, timeout_s))

    async def fetchrow(
        self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
    ) -> Row | None:
        return cast(Row | None, await self._call("fetchrow", query, args, timeout_s))

    async def fetchval(self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False) -> Any:
        return await self._call("fetchval", query, args, timeout_s)

    async def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[Sequence[Any]],
        columns: Sequence[str],
        schema: str | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """COPY rows in, the fastest way for thousands of them. Returns the status, such as ``COPY 1000``."""
        options = {"records": records, "columns": list(columns), "schema_name": schema}
        return cast(str, await self._call("copy_records_to_table", table, (), timeout_s, **options))

    async def copy_to_table(
        self,
        table: str,
        *,
        source: Any,
        columns: Sequence[str],
        schema: str | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """COPY a finished binary stream in: a file-like object or an async iterable of bytes."""
        options = {"source": source, "columns": list(columns), "schema_name": schema, "format": "binary"}
        return cast(str, await self._call("copy_to_table", table, (), timeout_s, **options))

    async def copy_from_query(self, query: str, *args: Any, output: Any, timeout_s: float | None = None) -> str:
        """COPY the result out as a binary stream into a file-like object or an async callable."""
        return cast(str, await self._call("copy_from_query", query, args, timeout_s, output=output, format="binary"))

    def _connection(self) -> Any:
        return self._held

    async def _call(self, method: str, query: str, args: Sequence[Any], timeout_s: float | None, **options: Any) -> Any:
        connection = self._connection()
        limit_s = timeout_s if timeout_s is not None else self._limits.statement_timeout_s + self._limits.grace_s
        is_patient = timeout_s is None or timeout_s > self._limits.statement_timeout_s
        try:
            with translated(self._server, f"{limit_s:g} s", kinds=RUNNING, is_patient=is_patient):
                if timeout_s is None or not is_patient:
                    return await getattr(connection, method)(query, *args, timeout=limit_s, **options)
                return await self._call_for_longer(connection, method, query, args, timeout_s, options)
        except DatabaseDown:
            if not is_lost(connection):  # silent or confused: nobody shall get it again
                connection.terminate()
            raise

    async def _call_for_longer(
        self, connection: Any, method: str, query: str, args: Sequence[Any], timeout_s: float, options: dict[str, Any]
    ) -> Any:
        """Lift the server's limit for one statement, in three trips; for many statements, and behind a transaction
        pooler, ``transaction(statement_timeout_s=…)`` does it better. After a failure nothing is set back: inside of a
        transaction the rollback does it, outside the connection is cut."""
        inside = connection.is_in_transaction()
        await connection.execute(
            f"SET {'LOCAL ' if inside else ''}statement_timeout = {session_milliseconds(timeout_s)}"
        )
        back = (
            f"SET LOCAL statement_timeout = {session_milliseconds(self._limits.statement_timeout_s)}"
            if inside
            else "RESET statement_timeout"
        )
        try:
            result = await getattr(connection, method)(
                query, *args, timeout=timeout_s + self._limits.grace_s, **options
            )
        except BaseException:
            if not (inside or is_lost(connection)):
                connection.terminate()
            raise
        await connection.execute(back)
        return result


def is_lost(connection: Any) -> bool:
    """Whether the connection is closed. The pool takes a broken one away from its holder, who then may not even ask."""
    try:
        return bool(connection.is_closed())
    except Exception:  # noqa: BLE001 - the driver's error for asking; what cannot be asked cannot be used
        return True


def session_milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
