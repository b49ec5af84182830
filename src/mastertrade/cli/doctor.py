"""``mastertrade doctor``: what is wrong, and what to do about it."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from rich.text import Text

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import bad, emit_json, good, show, table, warning
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import counted, moment, size
from mastertrade.exchanges.request_budget import RequestBudget
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.postgres.apply import SchemaStatus, schema_status
from mastertrade.shared.postgres_manager import PostgresManager, Row

LOW_DISK_FRACTION: Final = 0.10
SKEW_WARN_S: Final = 0.5
State = Literal["ok", "warn", "bad"]
COLOURS: Final[dict[State, Callable[[str], Text]]] = {"ok": good, "warn": warning, "bad": bad}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    what: str
    state: State
    found: str
    next: str = ""


def doctor(as_json: Json = False) -> None:
    """Check server, schema, ledger, orders, bus and disk. Exit code 1 when something is bad. Changes nothing."""
    run(_doctor(as_json), as_json=as_json)


async def _doctor(as_json: bool) -> None:
    async with open_everything(apply=False) as (settings, opened):
        findings = await _examine(opened.manager, settings.core.home)
    is_healthy = all(finding.state != "bad" for finding in findings)
    if as_json:
        emit_json({"healthy": is_healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        rows = [
            (COLOURS[one.state](one.state), one.what, f"{one.found}; next: {one.next}" if one.next else one.found)
            for one in findings
        ]
        show(table(("", "what", "found"), rows))
    if not is_healthy:
        raise SystemExit(1)


async def _examine(database: PostgresManager, home: Path) -> list[Finding]:
    server = await QUERIES.fetchrow(database, "server")
    assert server is not None, "the server query is always one row"
    schema = await schema_status(database)
    findings = [*_server(server), _disk(home), _schema(schema)]
    if schema.version == schema.expected_version:  # of other tables nothing can be asked
        findings += await _books(database)
    if schema.is_current:
        findings.append(await _venues(database))
    return findings


def _server(server: Row) -> list[Finding]:
    is_durable = server["fsync"] == "on" and server["full_page_writes"] == "on"
    skew_s = abs((datetime.now(UTC) - server["server_time"]).total_seconds())
    durability = f"fsync {server['fsync']}, full_page_writes {server['full_page_writes']}"
    return [
        Finding(
            what="postgres", state="ok", found=f"{server['version']}, {size(server['bytes'])} in {server['database']}"
        ),
        _finding("durability", is_durable, durability, "turn both on, or a power cut loses what was committed"),
        _finding(
            "checksums",
            server["data_checksums"] == "on",
            f"data checksums {server['data_checksums']}",
            "a damaged disk goes unnoticed; pg_checksums --enable on the stopped server",
            otherwise="warn",
        ),
        _finding(
            "clock",
            skew_s < SKEW_WARN_S,
            f"{skew_s * 1000:.0f} ms from the server's",
            "synchronise the clocks",
            otherwise="warn",
        ),
    ]


def _disk(home: Path) -> Finding:
    disk = shutil.disk_usage(home)
    free = disk.free / disk.total
    found = f"{free:.0%} free ({size(disk.free)}) under {home}"
    return _finding("disk", free > LOW_DISK_FRACTION, found, "free some space", otherwise="warn")


def _schema(schema: SchemaStatus) -> Finding:
    version = "none" if schema.version is None else f"version {schema.version}"
    found = version if schema.is_current else f"{version}, this program speaks version {schema.expected_version}"
    is_other_text = schema.version == schema.expected_version
    return _finding("schema", schema.is_current, found, schema.next_step, otherwise="warn" if is_other_text else "bad")


async def _books(database: PostgresManager) -> list[Finding]:
    waiting = await QUERIES.fetchrow(database, "needs_a_person")
    assert waiting is not None, "the counts are always one row"
    stuck = await QUERIES.fetch(database, "stuck_orders")
    problems = await ExecutorPostgresDatabase().ledger_problems(database)
    orders = "; ".join(
        f"{one['client_order_id']} {one['symbol']} since {moment(one['unknown_since'])}" for one in stuck
    )
    return [
        _finding(
            "ledger",
            not problems,
            "; ".join(f"{one.problem}: {one.subject} by {one.difference}" for one in problems)
            or "every asset sums to zero; balances, reservations and positions equal it",
            "mastertrade halt, then look before anything else is traded",
        ),
        _finding(
            "fills",
            waiting["quarantined"] == 0,
            f"{waiting['quarantined']} could not be booked" if waiting["quarantined"] else "every one is booked",
            "mastertrade sql 'SELECT * FROM quarantined_fills'",
        ),
        _finding(
            "orders",
            not stuck,
            f"the venue's answer is unknown: {orders}" if stuck else "none without an answer",
            "mastertrade up asks the venue until it knows",
            otherwise="warn",
        ),
        _finding(
            "trading",
            not waiting["halted"],
            f"halted: {waiting['halted']}" if waiting["halted"] else "running everywhere",
            "mastertrade resume, when the reason is gone",
            otherwise="warn",
        ),
        _finding(
            "bus",
            waiting["dead"] == 0,
            f"{counted(waiting['waiting'], 'event')} waiting, {counted(waiting['dead'], 'dead letter')}",
            "mastertrade sql 'SELECT * FROM dead_letters'",
            otherwise="warn",
        ),
    ]


async def _venues(database: PostgresManager) -> Finding:
    blocked = await RequestBudget(database).blocked()
    return _finding(
        "venues",
        not blocked,
        "; ".join(f"{one.venue} wants to be left alone until {moment(one.until)} ({one.said})" for one in blocked)
        or "none has asked for a pause",
        "wait: nothing of ours asks before, and nothing else on this address should",
        otherwise="warn",
    )


def _finding(what: str, is_ok: bool, found: str, step: str, *, otherwise: State = "bad") -> Finding:
    return Finding(what=what, state="ok" if is_ok else otherwise, found=found, next="" if is_ok else step)
