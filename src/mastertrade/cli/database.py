"""``mastertrade db`` and ``sql``: the schema's state, and questions in SQL."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import typer
from rich.text import Text

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, dim, emit_json, errors, facts, fits, good, show, table
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import amount, counted, moment, size, words
from mastertrade.postgres import cluster
from mastertrade.postgres.apply import schema_status
from mastertrade.shared.errors import ConfigurationError, DatabaseError, NotFound, Refused, UsageError
from mastertrade.shared.postgres_manager import Row

MOST_ROWS: Final = 1000
"""Shown of one answer; LIMIT and OFFSET reach the others."""
STATEMENT_TIMEOUT_S: Final = 60.0
WRITE_IN_READ_ONLY: Final = "25006"

db = typer.Typer(help="Create the schema and look at its state.", no_args_is_help=True)


@db.command("init")
def init(as_json: Json = False) -> None:
    """Create the schema, or bring its text up to date. Twice changes nothing."""
    run(_init(as_json), as_json=as_json)


@db.command("status")
def status(as_json: Json = False) -> None:
    """Show the server and the state of the schema. Changes nothing."""
    run(_status(as_json), as_json=as_json)


def sql(
    statement: Annotated[str, typer.Argument(help="One statement in quotes. Without it psql opens.")] = "",
    as_json: Json = False,
) -> None:
    """Ask the database in SQL. Reads only: the transaction cannot write.

    Without a statement psql opens on the same database; there SET default_transaction_read_only = off lets you write.
    """
    opens_psql = not (statement.strip() or as_json)
    run(_psql() if opens_psql else _sql(statement, as_json), as_json=as_json)


async def _init(as_json: bool) -> None:
    async with open_everything() as (_, database):
        report = database.schema
        server = database.manager.server
    assert report is not None, "the schema was just applied"
    if as_json:
        emit_json({"server": server, "version": report.version, "applied": report.applied, "seconds": report.seconds})
    else:
        done = "applied" if report.applied else "already in place"
        show(f"schema version {report.version} {done} on {server}")


async def _status(as_json: bool) -> None:
    async with open_everything(apply=False) as (_, opened):
        database = opened.manager
        state = await schema_status(database)
        server = await QUERIES.fetchrow(database, "server")
    assert server is not None, "the server query is always one row"
    found = {
        "server": database.server,
        **dict(server),
        "schema_version": state.version,
        "expected_version": state.expected_version,
        "is_current": state.is_current,
        "next_step": state.next_step,
    }
    if as_json:
        emit_json(found)
        return
    shown = found | {
        "bytes": size(server["bytes"]),
        "server_time": f"{moment(server['server_time'])} UTC",
        "schema_version": "none" if state.version is None else str(state.version),
        "is_current": good("yes") if state.is_current else bad("no"),
        "next_step": state.next_step or "nothing to do",
    }
    show(facts([(words(name), _fact(value)) for name, value in shown.items()]))


def _fact(value: Any) -> Cell:
    return value if isinstance(value, Text) else str(value)


async def _sql(statement: str, as_json: bool) -> None:
    if not statement.strip():
        raise UsageError("--json needs a statement, such as: mastertrade sql --json 'SELECT * FROM v_lineage'")
    async with open_everything() as (_, database):
        try:
            async with database.manager.transaction(readonly=True, statement_timeout_s=STATEMENT_TIMEOUT_S) as tx:
                found = await tx.fetch(statement)
        except DatabaseError as error:
            if error.sqlstate == WRITE_IN_READ_ONLY:
                raise Refused(f"{error}: `mastertrade sql` only reads; nothing was changed") from error
            raise
    rows = found[:MOST_ROWS]
    if as_json:
        emit_json({"rows": [dict(row) for row in rows], "is_cut": len(found) > len(rows)})
        return
    if rows:
        show(_answer(rows))
    rest = (
        f", the first {len(rows):,} of them shown: LIMIT and OFFSET reach the others" if len(found) > len(rows) else ""
    )
    show(dim(f"{counted(len(found), 'row')}{rest}"))


def _answer(rows: Sequence[Row]) -> Text:
    """A table, or row by row where the terminal is too narrow for one."""
    columns = zip(*(row.values() for row in rows), strict=True)
    numeric = [all(isinstance(value, int | float | Decimal) for value in column) for column in columns]
    headers = tuple(rows[0].keys())
    numbers = [name for name, is_number in zip(headers, numeric, strict=True) if is_number]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    answer = table(headers, cells, right=numbers)
    if fits(answer):
        return answer
    records = [
        Text("\n").join((dim(f"row {number}"), facts(list(zip(headers, row, strict=True)))))
        for number, row in enumerate(cells, 1)
    ]
    return Text("\n").join(records)


def _cell(value: Any) -> str:
    """As it is, to the last digit: this is where people come to look closely."""
    if value is None:
        return "NULL"
    if isinstance(value, Decimal):
        return amount(value).replace(",", "")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)


async def _psql() -> None:
    async with open_everything() as (_, database):
        environment = os.environ | _psql_variables(database.dsn)
        program = _find_psql()
        if program is None:
            where = " ".join(f"{name}={environment[name]}" for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"))
            raise NotFound(
                "there is no psql on this machine: give mastertrade sql one statement in quotes, or connect any other "
                f"client with {where}"
            )
        errors.print("reads only; to write, first type: SET default_transaction_read_only = off;", style="dim")
        # Ctrl-C belongs to psql while it runs: it ends a statement there, not us.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            child = await asyncio.create_subprocess_exec(
                program, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
            )
            code = await child.wait()
        finally:
            signal.signal(signal.SIGINT, before)
    if code != 0:
        raise SystemExit(code)


def _find_psql() -> str | None:
    try:
        own = cluster.find_binaries().folder / "psql"
    except ConfigurationError:  # a server elsewhere and no binaries here
        return shutil.which("psql")
    return str(own) if os.access(own, os.X_OK) else shutil.which("psql")


def _psql_variables(dsn: str) -> dict[str, str]:
    """The address for libpq. In the environment, since a command line is readable by everybody on the machine."""
    parts = urlsplit(dsn)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    variables = {
        "PGHOST": parts.hostname or options.get("host", ""),
        "PGPORT": str(parts.port or options.get("port", 5432)),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
        "PGSSLMODE": options.get("sslmode", "prefer"),
        "PGAPPNAME": "mastertrade sql",
        "PGOPTIONS": "-c default_transaction_read_only=on",
    }
    return {name: value for name, value in variables.items() if value}
