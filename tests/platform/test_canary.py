"""The keys of an account, the master key and the database's password as markers: whatever goes wrong, at DEBUG, they are
in no log, row, file or process list, in none of the forms that a program makes of a text."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastertrade.postgres.embedded import embedded_server
from mastertrade.postgres.folder import ServerFolder
from mastertrade.shared.logging import forms_of
from mastertrade.shared.postgres_manager import PostgresManager
from tests.platform.command_line import CommandLine, Running, command_line

FAULTS = (
    {"kind": "html", "on": "/order", "after": 1, "times": 1},
    {"kind": "drop", "on": "/order", "after": 3, "times": 1},
    {"kind": "truncate", "on": "/myTrades", "after": 4, "times": 2},
    {"kind": "status", "on": "/account", "after": 3, "times": 2},
    {"kind": "rate_limit", "on": "/openOrders", "after": 4, "times": 1, "seconds": 1},
)
SYMBOLS = "BTC/USDT,ETH/USDT"
MOST_LINES = 60


class Watched:
    """Everything that was said, and every process that was seen while it was."""

    def __init__(self, program: CommandLine) -> None:
        self._program = program
        self.said: list[str] = []
        self.processes = 0

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        answer = self._program(*arguments, stdin=stdin)
        self.said += [answer.out, answer.err]
        self.look()
        return answer.out

    def look(self) -> None:
        """What ``ps`` shows anybody: the arguments and the variables of each process."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = b"\n".join((folder / name).read_bytes() for name in ("cmdline", "environ"))
            except OSError:
                continue
            if str(self._program.home).encode() in text:
                self.processes += 1
                self.said.append(text.decode(errors="replace"))

    def until(self, running: Running, words: str) -> None:
        for _ in range(MOST_LINES):
            line = running.line()
            self.said.append(line)
            if words in line:
                return
        raise AssertionError(words)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with command_line(tmp_path / "home") as program:
        yield Watched(CommandLine(program.home, {"MASTERTRADE_LOG_LEVEL": "DEBUG", "ORDER_MONITOR_INTERVAL": "1"}))


def test_no_marker_is_anywhere(watched: Watched, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps(FAULTS), encoding="utf-8")
    program = watched._program
    simulate = ("venue", "simulate", "--port", "0", "--symbols", SYMBOLS, "--faults", str(faults), "--json")
    with program.running(*simulate) as venue_process:
        venue = json.loads(venue_process.line())
        markers = [str(one) for one in venue["keys"].values()]
        keys = "".join(f"{one}\n" for one in markers)
        watched("account", "add", "mine", "--venue", "binance", "--url", venue["url"], stdin=keys)
        watched("account", "add", "mine", "--venue", "binance", "--url", venue["url"], stdin=keys[:-4])
        with program.running("up", "--account", "mine", "--json") as running:
            watched.until(running, '"books": "live"')
            for side, quantity in (("BUY", "0.002"), ("BUY", "0.003"), ("SELL", "0.001"), ("BUY", "9")):
                order = ("order", "place", side, quantity, "BTC/USDT", "--account", "mine", "--wait", "8", "--json")
                watched(*order)
            watched("order", "list")
            watched("account", "check", "mine")
            watched("risk", "alerts")
            ended = running.end(signal.SIGINT)
        watched.said += [ended.out, ended.err]
        wants = "SELECT count(*) AS n FROM orders"
        assert json.loads(watched("sql", wants, "--json"))["rows"][0]["n"] >= 1, "something was really sent"
        log = "\n".join(one.read_text(encoding="utf-8") for one in program.home.rglob("*.log*") if one.is_file())
        assert "no definite answer" in log, "an order was spoilt"
        assert "venue is silent" in log, "and a look"
        ours = secrets_of(program.home)
        everywhere = {form for one in [*markers, *ours] for form in (*forms_of(one), one[::-1])}
        columns, found_in = asyncio.run(columns_with(program.home, everywhere))
        assert found_in == []
        assert columns > 300, "every column of text, documents and bytes was read"
        venue_process.end(signal.SIGINT)
    found = [marker[:6] for marker in everywhere for text in watched.said if marker in text]
    assert found == []
    assert watched.processes > 5, "the process list was really read"
    assert files_with(program.home, markers) == []
    kept = {Path(one) for one in files_with(program.home, ours)}
    assert kept == {program.home / "master.key", ServerFolder(program.home).address}


def files_with(home: Path, markers: list[str]) -> list[str]:
    """Of the whole home: logs, settings, and the server's tables and journal as they are on the disk."""
    found, count = [], 0
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder) / name
            if path.is_file():
                count += 1
                content = path.read_bytes()
                found += [str(path) for marker in markers if marker.encode() in content]
    assert count > 100, "the server's files are among them"
    return found


def secrets_of(home: Path) -> list[str]:
    """What the program keeps in files of its own and shows nobody: the database's password and the master key."""
    address = ServerFolder(home).read_address()
    (key_file,) = home.rglob("master.key")
    text = key_file.read_text(encoding="ascii").strip()
    assert address is not None
    assert len(text) >= 32
    return [address.password, text, base64.b64encode(bytes.fromhex(text)).decode()]


COLUMNS = """
SELECT c.oid::regclass::text AS name, quote_ident(a.attname) AS column
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
 WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_toast|^information_schema' AND c.relname <> 'pg_authid'
   AND (n.nspname <> 'pg_catalog' OR c.relname IN ('pg_shdescription', 'pg_description', 'pg_db_role_setting'))
   AND coalesce(e.typname, t.typname) IN ('text', 'varchar', 'name', 'json', 'jsonb', 'bytea', 'bpchar')
UNION ALL SELECT 'pg_stat_activity', 'query' UNION ALL SELECT 'pg_prepared_statements', 'statement'
UNION ALL SELECT 'pg_settings', 'setting' UNION ALL SELECT 'pg_stat_statements', 'query'
 WHERE to_regclass('pg_stat_statements') IS NOT NULL
"""
"""Each that can hold text in some form, and what the server remembers of what was asked."""


async def columns_with(home: Path, markers: set[str]) -> tuple[int, list[str]]:
    """How many there are, and in which of them a marker stands; bytes are read as hex and as text."""
    with embedded_server(home) as server:
        manager = PostgresManager(server.dsn("mastertrade"))
        await manager.connect()
        try:
            rows = await manager.fetch(COLUMNS)
            found = []
            for row in rows:
                look = (
                    f"SELECT count(*) FROM {row['name']} t "
                    f"WHERE EXISTS (SELECT FROM unnest($1::text[]) m WHERE strpos(t.{row['column']}::text, m) > 0)"
                )
                if await manager.fetchval(look, sorted(markers)):
                    found.append(f"{row['name']}.{row['column']}")
            return len(rows), found
        finally:
            await manager.close()
