"""The driver's errors in the words of our own tree, so that no other room needs to know the driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from mastertrade.shared.errors import (
    BadData,
    ConfigurationError,
    ConstraintViolated,
    DatabaseBusy,
    DatabaseDown,
    DatabaseError,
    LeaseLost,
    MasterTradeError,
)

_BUSY = {
    "40001": "another transaction changed the same rows",
    "40P01": "two transactions waited for each other",
    "55P03": "a lock was not free in time",
    "57014": "the statement ran longer than its limit or was cancelled",
    "53300": "the server has no connection left; lower POSTGRES_POOL_MAX_SIZE or raise max_connections",
    "53200": "the server is out of memory",
}
CONNECTING = (OSError, TimeoutError)
RUNNING = (ConnectionError, TimeoutError)
"""Errors that besides the driver's own mean PostgreSQL, while connecting and while a statement runs."""

_DOWN = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
LEASE_LOST = "MTL01"
"""Raised by require_lease."""
_SCHEMA_CHANGED = frozenset({"InvalidCachedStatementError", "OutdatedSchemaCacheError"})
_WRONG_LOGIN = frozenset({"28000", "28P01"})


@contextmanager
def translated(
    server: str, limit: str = "its time limit", *, kinds: tuple[type[Exception], ...] = (), is_patient: bool = True
) -> Iterator[None]:
    """Raise the driver's errors, and those of ``kinds``, as ours; ``server`` and ``limit`` appear in the message.
    Other errors pass: what else runs inside of the block may meet a network that is not PostgreSQL's. ``is_patient``
    tells that ``limit`` is longer than the server's own, so that silence means it is down."""
    try:
        yield
    except Exception as error:
        known = isinstance(error, kinds) or type(error).__module__.startswith("asyncpg")
        ours = translate(error, server, limit, is_patient) if known else None
        if ours is None:
            raise
        raise ours from error


def translate(error: Exception, server: str, limit: str, is_patient: bool) -> MasterTradeError | None:
    """Our error for one of the driver's or the network's; None when it is neither."""
    if isinstance(error, MasterTradeError):
        return None
    if isinstance(error.__cause__, BadData):  # refused by one of our own encoders
        return BadData(f"{error.__cause__} ({_argument(str(error))})")
    if isinstance(error, TimeoutError):
        if not is_patient:
            return DatabaseBusy(
                f"PostgreSQL at {server} did not finish within {limit}; whether it still did is unknown"
            )
        return DatabaseDown(f"PostgreSQL at {server} gave no answer within {limit}")
    if type(error).__name__ in _SCHEMA_CHANGED:
        return DatabaseBusy("the schema changed while a prepared statement waited; it is prepared anew next time")
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _from_server(error, state, server)
    if isinstance(error, OSError):
        return DatabaseDown(f"PostgreSQL at {server} cannot be reached: {error.strerror or error}; is it running?")
    if type(error).__module__.startswith("asyncpg"):
        return _from_driver(error, server)
    return None


def _from_server(error: Exception, state: str, server: str) -> MasterTradeError:
    text = _text(error)
    if state == "08P01" and "startup parameter" in text:
        return ConfigurationError(
            f"the pooler at {server} refuses to start a session: {text}; let it ignore the parameter "
            "(ignore_startup_parameters) and give it to the role with ALTER ROLE … SET"
        )
    if state.startswith("08") or state in _DOWN:
        return DatabaseDown(f"PostgreSQL at {server} cannot be used: {text}")
    if state in _BUSY:
        return DatabaseBusy(f"{_BUSY[state]}: {text}", sqlstate=state)
    if state == LEASE_LOST:
        return LeaseLost(text)
    if state in _WRONG_LOGIN:
        return ConfigurationError(
            f"PostgreSQL at {server} refuses the login: {text}; check POSTGRES_USER and POSTGRES_PASSWORD"
        )
    if state == "3D000":
        return ConfigurationError(f"PostgreSQL at {server}: {text}; create it or correct POSTGRES_DB")
    if state.startswith("23"):
        constraint = str(getattr(error, "constraint_name", None) or "")
        return ConstraintViolated(text, sqlstate=state, constraint=constraint)
    if state.startswith("22"):
        return BadData(text, sqlstate=state)
    if state in ("42P01", "42703", "42883"):
        text += "; does the schema fit? `mastertrade db status` tells"
    return DatabaseError(text, sqlstate=state)


def _from_driver(error: Exception, server: str) -> MasterTradeError:
    text = str(error)
    closed = ("connection is closed", "connection was closed", "connection has been released", "pool is clos")
    # The driver is confused by a server's farewell that arrives together with our next statement.
    if type(error).__name__ == "InternalClientError" or any(words in text for words in closed):
        return DatabaseDown(f"the connection to PostgreSQL at {server} was lost")
    if isinstance(error, ValueError):
        return BadData(text)
    return DatabaseError(text)


def _text(error: Exception) -> str:
    parts = [str(error)]
    for name in ("detail", "hint"):
        more = getattr(error, name, None)
        if more and more not in parts[0]:
            parts.append(str(more))
    return "; ".join(part.strip().replace("\n", " ") for part in parts)


def server_name(dsn: str) -> str:
    """``user@host:port/database`` of a DSN, for messages and logs."""
    try:
        parts = urlsplit(dsn)
        if parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("the scheme must be postgresql")
        port = parts.port or 5432
    except ValueError:
        # Not the text itself: it may hold the password.
        raise ConfigurationError(
            "the database address cannot be read; expected postgresql://user:password@host:port/database with special "
            "characters of the password percent-encoded"
        ) from None
    return f"{unquote(parts.username or '')}@{parts.hostname or 'localhost'}:{port}{parts.path}"


def _argument(text: str) -> str:
    """``query argument $3`` out of the driver's message, without the value it repeats."""
    found = text.partition("query argument ")[2].partition(":")[0]
    return f"query argument {found}" if found else "a value of the batch"
