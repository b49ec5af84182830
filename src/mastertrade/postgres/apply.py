"""Puts the schema into a database: once, under a lock, and never onto a database of another version."""

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mastertrade.shared.errors import ConfigurationError, DatabaseBusy, DatabaseError, SchemaMismatch
from mastertrade.shared.postgres_manager import Database, PostgresManager, Transaction
from mastertrade.shared.queries import load_queries

SCHEMA_VERSION: Final = 1
OLDEST_SERVER: Final = 15

QUERIES = load_queries(Path(__file__).with_name("apply.sql"))
_SCHEMA = Path(__file__).with_name("schema.sql")
_LOCK_KEY: Final = 7_203_417_719  # any fixed number; every process that applies a schema asks for this one
_LOCK_WAIT_S: Final = 60.0  # applying takes about a second; a minute means that the holder hangs
_LOCK_POLL_S: Final = 0.1
_STATEMENT_TIMEOUT_S: Final = 60.0  # an index over existing rows may take a while


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport:
    """``applied`` is False when the database already held exactly this text."""

    applied: bool
    version: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """``version`` is None in a database without our schema; ``is_current`` when it holds exactly this text."""

    version: int | None
    expected_version: int
    is_current: bool
    server_version: str

    @property
    def next_step(self) -> str:
        """What to do about it; empty when nothing is to be done."""
        if self.is_current:
            return ""
        if self.version is None or self.version == self.expected_version:
            return "mastertrade db init"
        if self.version > self.expected_version:
            return "install the newer MasterTrade this database was made with, or name another database in POSTGRES_DB"
        return "use the MasterTrade release this database was made with, or name an empty database in POSTGRES_DB"


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    text: str


def read_schema() -> str:
    """The text of schema.sql with its parts in their places and without the lines meant for psql."""
    return "\n".join(section.text for section in _sections())


def _sections() -> list[_Section]:
    sections: list[_Section] = []
    own: list[str] = []
    for line in _SCHEMA.read_text(encoding="utf-8").splitlines():
        if line.startswith("\\ir "):
            path = _SCHEMA.parent / line.removeprefix("\\ir ").strip()
            sections += [_Section(_SCHEMA.name, "\n".join(own)), _Section(path.name, path.read_text(encoding="utf-8"))]
            own = []
        elif not line.startswith("\\") and not line.endswith("\\g"):
            own.append(line)
    return [section for section in [*sections, _Section(_SCHEMA.name, "\n".join(own))] if section.text.strip()]


def schema_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def schema_status(manager: PostgresManager) -> SchemaStatus:
    """What the database holds, without changing it. Does not judge: see ``require_schema``."""
    return await _status(manager, schema_hash(read_schema()))


async def require_schema(manager: PostgresManager) -> None:
    """SchemaMismatch with the next step unless the database holds exactly this schema."""
    status = await schema_status(manager)
    if not status.is_current:
        raise _mismatch(status, manager.server)


async def apply_schema(manager: PostgresManager) -> ApplyReport:
    """Bring the database to this schema; several processes may do so at once and one of them does the work.

    The same text a second time executes nothing. SchemaMismatch, with nothing changed, when the database holds
    another version or tables this schema did not make.
    """
    started = time.monotonic()
    sections = _sections()
    text_hash = schema_hash("\n".join(section.text for section in sections))
    status = await _status(manager, text_hash)
    applied = False
    while not (status.is_current or applied):
        async with manager.transaction(statement_timeout_s=_STATEMENT_TIMEOUT_S) as transaction:
            # Asked for again and again, in transactions of their own: one that waits inside the server holds a
            # snapshot, and whoever builds an index concurrently would wait for it in turn.
            if await QUERIES.fetchval(transaction, "try_schema_lock", key=_LOCK_KEY):
                applied = await _apply(transaction, sections, text_hash, manager.server)
                break
        if time.monotonic() - started > _LOCK_WAIT_S:
            raise DatabaseBusy(
                f"another process has been applying the schema to {manager.server} for {_LOCK_WAIT_S:.0f} s: "
                "look for it in pg_stat_activity and end it, then try again"
            )
        await asyncio.sleep(_LOCK_POLL_S)
        status = await _status(manager, text_hash)
    return ApplyReport(applied=applied, version=SCHEMA_VERSION, seconds=time.monotonic() - started)


async def _apply(transaction: Transaction, sections: list[_Section], text_hash: str, server: str) -> bool:
    status = await _status(transaction, text_hash)
    if status.is_current:
        return False
    if status.version not in (None, SCHEMA_VERSION):
        raise _mismatch(status, server)
    if status.version is None:
        await _refuse_foreign_tables(transaction, sections, server)
    await QUERIES.execute(transaction, "relax_limits")
    for section in sections:
        await _execute_section(transaction, section)
    await QUERIES.execute(transaction, "remember_text", text_hash=text_hash, version=SCHEMA_VERSION)
    if await QUERIES.fetchval(transaction, "statements_can_be_counted"):
        await QUERIES.execute(transaction, "count_statements")
    return True


async def _execute_section(transaction: Transaction, section: _Section) -> None:
    if not re.sub(r"--[^\n]*", "", section.text).strip():
        return  # only comments: the driver cannot take a text without a statement
    try:
        await transaction.execute(section.text)
    except DatabaseError as error:
        position = getattr(error.__cause__, "position", None)
        line = f" line {section.text.count(chr(10), 0, int(position)) + 1}" if position else ""
        raise DatabaseError(f"{section.name}{line}: {error}", sqlstate=error.sqlstate) from error


async def _status(database: Database, text_hash: str) -> SchemaStatus:
    row = await QUERIES.fetchrow(database, "server_and_schema")
    assert row is not None
    if row["major"] < OLDEST_SERVER:
        raise ConfigurationError(
            f"the server is PostgreSQL {row['server_version']}, MasterTrade needs {OLDEST_SERVER} or newer: "
            "name another server in POSTGRES_HOST, or unset it to use the one MasterTrade brings along"
        )
    stored = await QUERIES.fetchrow(database, "stored_version") if row["is_there"] else None
    return SchemaStatus(
        version=stored["version"] if stored else None,
        expected_version=SCHEMA_VERSION,
        is_current=bool(stored and stored["version"] == SCHEMA_VERSION and stored["text_hash"] == text_hash),
        server_version=row["server_version"],
    )


async def _refuse_foreign_tables(transaction: Transaction, sections: list[_Section], server: str) -> None:
    text = "\n".join(section.text for section in sections)
    ours = re.findall(r"^CREATE TABLE IF NOT EXISTS ([a-z_]+) ", text, flags=re.MULTILINE)
    rows = await QUERIES.fetch(transaction, "tables_in_the_way", names=ours)
    if rows:
        names = ", ".join(row["relname"] for row in rows[:5])
        raise SchemaMismatch(
            f"the database {server} already has {len(rows)} tables with our names ({names}) and no schema version: "
            "nothing was changed; name an empty database in POSTGRES_DB"
        )


def _mismatch(status: SchemaStatus, server: str) -> SchemaMismatch:
    if status.version is None:
        found = "has no MasterTrade schema"
    elif status.version == status.expected_version:
        found = f"has schema version {status.version}, made from another text"
    else:
        found = f"has schema version {status.version}, this MasterTrade knows version {status.expected_version}"
    return SchemaMismatch(f"the database {server} {found}: nothing was changed; next: {status.next_step}")
