"""The schema as a whole: applied once, by many, twice, by psql, and never onto a database of another version."""

import asyncio
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import mastertrade
from mastertrade.postgres import apply, cluster
from mastertrade.postgres.apply import SCHEMA_VERSION, apply_schema, read_schema, require_schema, schema_status
from mastertrade.shared.errors import ConfigurationError, DatabaseError, MasterTradeError, SchemaMismatch
from mastertrade.shared.postgres_manager import PostgresManager

SCHEMA = Path(apply.__file__).with_name("schema.sql")


def run_psql(dsn: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(cluster.find_binaries().folder / "psql"), "-X", "-q", "-d", dsn, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def dumped(dsn: str) -> str:
    """Everything the database holds, as text; only the moment of applying may differ."""
    command = [str(cluster.find_binaries().folder / "pg_dump"), "-d", dsn, "--exclude-table-data=schema_version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if "restrict " not in line)


async def test_the_same_schema_a_second_time_executes_nothing(database: PostgresManager) -> None:
    before = await database.fetchrow("SELECT * FROM schema_version")

    report = await apply_schema(database)

    assert not report.applied
    assert report.version == SCHEMA_VERSION
    assert await database.fetchrow("SELECT * FROM schema_version") == before


async def test_executing_the_whole_text_again_changes_nothing(database: PostgresManager, dsn: str) -> None:
    before = dumped(dsn)
    assert "CREATE TABLE public.orders" in before
    await database.execute("UPDATE schema_version SET text_hash = 'of a text that was written before'")

    assert (await apply_schema(database)).applied

    assert dumped(dsn) == before
    assert (await schema_status(database)).is_current


async def test_psql_alone_makes_the_same_database(
    empty_database: PostgresManager, empty_dsn: str, database: PostgresManager, dsn: str
) -> None:
    for _ in range(2):
        done = run_psql(empty_dsn, "-f", str(SCHEMA))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    assert (await schema_status(empty_database)).version == SCHEMA_VERSION
    await database.execute("DROP EXTENSION IF EXISTS pg_stat_statements")
    moment = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\+00")  # of the rows the schema itself brings
    assert moment.sub("then", dumped(empty_dsn)) == moment.sub("then", dumped(dsn))
    assert (await apply_schema(empty_database)).applied
    assert not (await apply_schema(empty_database)).applied


async def test_five_processes_at_once_make_one_schema(empty_database: PostgresManager, empty_dsn: str) -> None:
    script = """
import asyncio, sys
from mastertrade.postgres.apply import apply_schema
from mastertrade.shared.postgres_manager import PostgresManager

async def main():
    manager = PostgresManager(sys.argv[1])
    await manager.connect()
    print((await apply_schema(manager)).applied)
    await manager.close()

asyncio.run(main())
"""
    environment = os.environ | {"PYTHONPATH": str(Path(mastertrade.__file__).parent.parent)}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, empty_dsn, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(5)
    ]
    outcomes = await asyncio.wait_for(asyncio.gather(*(process.communicate() for process in processes)), 60)

    assert [error for _, error in outcomes] == [b""] * 5
    assert sorted(said.strip() for said, _ in outcomes) == [b"False"] * 4 + [b"True"]
    await require_schema(empty_database)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1])
async def test_a_database_of_another_version_is_left_alone(database: PostgresManager, dsn: str, version: int) -> None:
    await database.execute("UPDATE schema_version SET version = $1", version)
    await database.execute("DROP VIEW v_lineage")
    before = dumped(dsn)

    with pytest.raises(SchemaMismatch) as raised:
        await apply_schema(database)
    with pytest.raises(SchemaMismatch):
        await require_schema(database)
    psql = run_psql(dsn, "-f", str(SCHEMA))

    assert f"schema version {version}" in str(raised.value)
    assert "POSTGRES_DB" in str(raised.value)
    assert raised.value.exit_code == 5
    assert psql.returncode != 0
    assert f"schema version {version}" in psql.stderr
    assert dumped(dsn) == before


async def test_a_database_with_another_programs_tables_is_left_alone(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    await empty_database.execute("CREATE TABLE orders (number int)")
    before = dumped(empty_dsn)

    with pytest.raises(SchemaMismatch, match=r"1 tables with our names \(orders\)"):
        await apply_schema(empty_database)

    assert dumped(empty_dsn) == before


async def test_an_empty_database_is_told_apart_and_named_with_the_next_step(empty_database: PostgresManager) -> None:
    status = await schema_status(empty_database)

    assert (status.version, status.is_current, status.next_step) == (None, False, "mastertrade db init")
    with pytest.raises(SchemaMismatch, match=r"has no MasterTrade schema.*mastertrade db init"):
        await require_schema(empty_database)


async def test_an_older_server_is_refused_with_the_version_it_has(
    empty_database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "OLDEST_SERVER", 99)

    with pytest.raises(ConfigurationError, match=r"the server is PostgreSQL \d+.*needs 99 or newer"):
        await apply_schema(empty_database)


async def test_a_mistake_in_the_text_is_named_by_file_and_line_and_leaves_nothing(
    empty_database: PostgresManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "schema.sql").write_text("\\ir good.sql\n\\ir bad.sql\nBEGIN \\g\n")
    (tmp_path / "good.sql").write_text("-- Fine.\nCREATE TABLE good (id int);\n")
    (tmp_path / "bad.sql").write_text("-- Not fine.\nSELECT 1;\nCREATE TABLE bad (id sometype);\n")
    monkeypatch.setattr(apply, "_SCHEMA", tmp_path / "schema.sql")

    with pytest.raises(DatabaseError, match=r'bad\.sql line 3: type "sometype" does not exist'):
        await apply_schema(empty_database)

    assert await empty_database.fetchval("SELECT to_regclass('good')") is None


async def test_the_schema_fits_the_oldest_supported_server(tmp_path: Path) -> None:
    binaries = cluster.find_binaries(str(apply.OLDEST_SERVER))
    if binaries.major != apply.OLDEST_SERVER:
        pytest.skip(f"no PostgreSQL {apply.OLDEST_SERVER} is installed here")
    data, port = tmp_path / "data", cluster.free_port()
    cluster.initialise(binaries, data, "tests", sync=False)
    command = cluster.server_command(binaries, data, port)
    server = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ((postmaster := cluster.read_postmaster(data)) and postmaster.is_ready):
            assert server.returncode is None
            await asyncio.sleep(0.01)
        manager = PostgresManager(f"postgresql://{cluster.SUPERUSER}:tests@127.0.0.1:{port}/postgres")
        await manager.connect()
        assert (await apply_schema(manager)).applied
        await require_schema(manager)
        await manager.close()
    finally:
        server.terminate()
        await asyncio.wait_for(server.wait(), 20)


def test_every_part_of_the_schema_is_listed_once() -> None:
    listed = [line.split()[1] for line in SCHEMA.read_text().splitlines() if line.startswith("\\ir ")]

    assert sorted(listed) == sorted(f"schema/{path.name}" for path in SCHEMA.parent.glob("schema/*.sql"))
    assert "\\" not in read_schema().splitlines()[0]


@pytest.mark.parametrize("domain", ["amount", "quantity", "price"])
async def test_amounts_refuse_what_is_no_amount(empty_database: PostgresManager, domain: str) -> None:
    await with_domains(empty_database)

    for text in ("NaN", "Infinity", "-Infinity", "1e30", "-1e30", "1e24", "1e-30", "0." + "3" * 30):
        with pytest.raises(MasterTradeError, match="violates check constraint"):
            await empty_database.fetchval(f"SELECT $1::text::{domain}", text)
        with pytest.raises(MasterTradeError, match="violates check constraint"):
            await empty_database.execute(f"INSERT INTO {domain}_rows SELECT $1::text::numeric", text)


async def test_statistics_refuse_what_is_no_number(empty_database: PostgresManager) -> None:
    await with_domains(empty_database)

    for text in ("NaN", "Infinity", "-Infinity", "1e30", "-1e30", "1e300"):
        with pytest.raises(MasterTradeError, match="finite_is_a_sane_number"):
            await empty_database.execute("INSERT INTO finite_rows VALUES ($1)", float(text))


@pytest.mark.parametrize("domain", ["quantity", "price"])
async def test_quantities_and_prices_are_never_negative(empty_database: PostgresManager, domain: str) -> None:
    await with_domains(empty_database)

    with pytest.raises(MasterTradeError, match=f"{domain}_is_not_negative"):
        await empty_database.execute(f"INSERT INTO {domain}_rows VALUES ($1)", Decimal("-0.000000000000000001"))


async def test_amounts_are_stored_as_they_are(empty_database: PostgresManager) -> None:
    await with_domains(empty_database)

    for text in (
        "0",
        "0.000000000000000001",
        "999999999999999999999999.999999999999999999",
        "1.5000000000000000000000",
    ):
        number = Decimal(text)
        for domain, value in (
            ("amount", number.copy_negate()),
            ("amount", number),
            ("quantity", number),
            ("price", number),
        ):
            stored = await empty_database.fetchval(f"INSERT INTO {domain}_rows VALUES ($1) RETURNING number", value)
            assert stored == value


async def with_domains(manager: PostgresManager) -> None:
    await manager.execute((SCHEMA.parent / "schema" / "ground.sql").read_text())
    for domain in ("amount", "quantity", "price", "finite"):
        await manager.execute(f"CREATE TABLE {domain}_rows (number {domain})")
