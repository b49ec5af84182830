"""PostgresManager against a real server, and against one that dies, hangs and loses answers."""

# ruff: noqa: PT012 - what raises is the whole transaction block

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from mastertrade.shared.errors import (
    BadData,
    ConfigurationError,
    ConstraintViolated,
    DatabaseBusy,
    DatabaseDown,
    DatabaseError,
    OutcomeUnknown,
)
from mastertrade.shared.postgres_manager import PostgresManager, ensure_connection
from mastertrade.shared.serialization import decode
from tests.postgres.chaos_proxy import chaos_proxy

VICTIM = "victim"


@asynccontextmanager
async def connected(dsn: str, **options: Any) -> AsyncIterator[PostgresManager]:
    manager = PostgresManager(dsn, **{"application_name": VICTIM, "statement_cache_size": 100, **options})
    await manager.connect()
    try:
        yield manager
    finally:
        await manager.close()


@pytest.fixture
async def table(empty_database: PostgresManager) -> PostgresManager:
    await empty_database.execute(
        "CREATE TABLE entries (id int PRIMARY KEY, amount numeric CONSTRAINT amount_is_positive CHECK (amount > 0))"
    )
    return empty_database


async def kill_backends(manager: PostgresManager, at_most: int = 100, *, wait_ms: int = 10_000) -> int:
    """As an administrator or a crash would; returns how many died, when they are gone (``wait_ms`` 0: at once). A pool
    fills up again by itself, so that the next ones may be there already."""
    count = await manager.fetchval(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, $3)) FROM "
        "(SELECT pid FROM pg_stat_activity WHERE application_name = $1 "
        "AND datname = current_database() ORDER BY random() LIMIT $2) AS victims",
        VICTIM,
        at_most,
        wait_ms,
        idempotent=True,
    )
    return int(count)


GONE = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database()"


async def wait_until(manager: PostgresManager, sql: str) -> None:
    async with asyncio.timeout(5):
        while not await manager.fetchval(sql):
            await asyncio.sleep(0.01)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active'"

# --- the contract of the older manager -----------------------------------------------------------------------------


async def test_connecting_and_closing_twice_is_harmless_and_can_be_repeated(empty_dsn: str) -> None:
    manager = PostgresManager(empty_dsn)
    await manager.close()
    for _ in range(2):
        await manager.connect()
        pool = manager.pool
        await manager.connect()
        assert manager.pool is pool
        assert await manager.fetchval("SELECT 1") == 1
        await manager.close()
        await manager.close()


async def test_many_connecting_at_once_open_one_pool(empty_dsn: str) -> None:
    manager = PostgresManager(empty_dsn)
    await asyncio.gather(*(manager.connect() for _ in range(5)))
    assert manager.statistics().size == 1
    await manager.close()


async def test_a_manager_that_is_not_connected_says_so(empty_dsn: str) -> None:
    manager = PostgresManager(empty_dsn)
    with pytest.raises(RuntimeError, match="call connect"):
        _ = manager.pool
    with pytest.raises(RuntimeError, match="call connect"):
        await manager.fetch("SELECT 1")
    with pytest.raises(RuntimeError, match="call connect"):
        async with manager.transaction():
            pass
    assert await manager.healthcheck() is False


async def test_statements_answer_as_the_older_manager_did(table: PostgresManager) -> None:
    assert await table.execute("INSERT INTO entries VALUES ($1, $2)", 1, Decimal("1.5")) == "INSERT 0 1"
    await table.executemany("INSERT INTO entries VALUES ($1, $2)", [(n, Decimal(n)) for n in range(2, 5)])
    assert [row["id"] for row in await table.fetch("SELECT id FROM entries ORDER BY id")] == [1, 2, 3, 4]
    row = await table.fetchrow("SELECT * FROM entries WHERE id = 1")
    assert row is not None
    assert dict(row) == {"id": 1, "amount": Decimal("1.5")}
    assert await table.fetchrow("SELECT * FROM entries WHERE id = 99") is None
    assert await table.fetchval("SELECT count(*) FROM entries") == 4
    assert await table.fetchval("SELECT id FROM entries WHERE id = 99") is None


async def test_a_batch_is_all_or_nothing(table: PostgresManager) -> None:
    with pytest.raises(ConstraintViolated):
        await table.executemany("INSERT INTO entries VALUES ($1, $2)", [(1, Decimal(1)), (2, Decimal(-1))])
    assert await table.fetchval("SELECT count(*) FROM entries") == 0


async def test_an_acquired_connection_comes_back_also_after_an_error_and_a_cancellation(empty_dsn: str) -> None:
    async with connected(empty_dsn, max_size=1, acquire_timeout_s=1) as manager:
        with pytest.raises(ValueError, match="mine"):
            async with manager.acquire() as connection:
                await connection.fetchval("SELECT 1")
                raise ValueError("mine")

        async def hold() -> None:
            async with manager.acquire() as connection:
                await connection.fetchval("SELECT pg_sleep(10)")

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0.1)
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        assert await manager.fetchval("SELECT 1") == 1


async def test_init_runs_once_for_each_new_connection(empty_dsn: str) -> None:
    seen: list[int] = []

    async def init(connection: Any) -> None:
        seen.append(connection.get_server_pid())

    async with connected(empty_dsn, init=init) as manager:
        for _ in range(3):
            await manager.fetchval("SELECT 1")
    assert len(seen) == 1


@pytest.mark.parametrize("cache_size", [0, 100])
async def test_statements_work_with_and_without_the_statement_cache(
    table: PostgresManager, empty_dsn: str, cache_size: int
) -> None:
    async with connected(empty_dsn, statement_cache_size=cache_size) as manager:
        for n in range(1, 5):
            await manager.execute("INSERT INTO entries VALUES ($1, $2)", n, Decimal(n))
        prepared = await manager.fetchval("SELECT count(*) FROM pg_prepared_statements")
    assert (prepared > 1) == (cache_size > 0)


async def test_ensure_connection_doubles_its_delay_and_raises_after_the_last_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    manager = PostgresManager("postgresql://mastertrade@127.0.0.1:1/nowhere")
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(DatabaseDown):
        await ensure_connection(manager, retries=4, delay=0.5)
    assert delays == [0.5, 1.0, 2.0]


# --- what each connection is -----------------------------------------------------------------------------------------


async def test_each_connection_is_in_utc_with_limits(empty_dsn: str) -> None:
    async with connected(empty_dsn, application_name="mastertrade-risk") as manager:
        rows = await manager.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
            [
                "TimeZone",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "tcp_keepalives_idle",
                "tcp_user_timeout",
                "jit",
                "application_name",
            ],
        )
    assert {row["name"]: row["setting"] for row in rows} == {
        "TimeZone": "UTC",
        "statement_timeout": "5000",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "8000",
        "tcp_keepalives_idle": "4",
        "tcp_user_timeout": "8000",
        "jit": "off",
        "application_name": "mastertrade-risk",
    }


async def test_session_settings_can_be_added_and_left_out(empty_dsn: str) -> None:
    async with connected(empty_dsn, session_settings={"work_mem": "8MB", "lock_timeout": None}) as manager:
        assert await manager.fetchval("SHOW work_mem") == "8MB"
        assert await manager.fetchval("SHOW lock_timeout") == "0"


async def test_the_password_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    manager = PostgresManager("postgresql://somebody:hunter2hunter2@127.0.0.1:1/nowhere")
    with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseDown) as caught:
        await ensure_connection(manager, retries=2, delay=0.01)
    shown = f"{manager!r} {manager} {caught.value} {caught.value.__cause__} {caplog.text}"
    assert "hunter2" not in shown
    assert "somebody@127.0.0.1:1/nowhere" in shown


@pytest.mark.parametrize("address", ["hunter2", "mysql://a:hunter2@b/c", "postgresql://a:hunter2@b:port/c"])
def test_an_unreadable_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user") as caught:
        PostgresManager(address)
    assert "hunter2" not in str(caught.value)


# --- values ----------------------------------------------------------------------------------------------------------


async def test_json_columns_take_and_give_python_objects(empty_database: PostgresManager) -> None:
    one = uuid4()
    value = {"id": one, "at": datetime(2024, 5, 1, tzinfo=UTC), "price": Decimal("1.10"), "list": [1, 2.5, None, "ü\n"]}
    for kind in ("json", "jsonb"):
        row = await empty_database.fetchrow(
            f"SELECT $1::{kind} AS value, pg_typeof($1::{kind}) = '{kind}'::regtype AS same", value
        )
        assert row is not None
        assert row["value"] == {
            "id": str(one),
            "at": "2024-05-01T00:00:00Z",
            "price": "1.10",
            "list": [1, 2.5, None, "ü\n"],
        }
    assert await empty_database.fetchval("SELECT $1::jsonb", "text") == "text"
    assert await empty_database.fetchval("SELECT $1::jsonb IS NULL", None) is True
    assert await empty_database.fetchval("SELECT $1::jsonb[]", [{"a": 1}, {"b": [2]}]) == [{"a": 1}, {"b": [2]}]


async def test_floats_in_json_come_back_to_the_last_bit(empty_database: PostgresManager) -> None:
    seeded = random.Random(7)
    floats = [0.1, 1e300, 5e-324, 1e22, -0.0, 1.7976931348623157e308, 123456789012345680.0]
    floats += [seeded.uniform(-1, 1) * 10.0 ** seeded.randrange(-30, 30) for _ in range(200)]
    stored = await empty_database.fetchval("SELECT $1::jsonb", floats)
    assert decode(list[float], stored) == floats


async def test_json_that_is_not_finite_is_refused(empty_database: PostgresManager) -> None:
    with pytest.raises(BadData, match=r"JSON.*query argument \$2"):
        await empty_database.fetchval("SELECT $1::int, $2::jsonb", 1, {"sharpe": float("nan")})


async def test_numbers_reach_the_server_exactly(empty_database: PostgresManager) -> None:
    seeded = random.Random(7)
    numbers = [Decimal(seeded.randrange(-(10**24) + 1, 10**24)).scaleb(-seeded.randrange(0, 19)) for _ in range(500)]
    numbers += [
        Decimal(text)
        for text in ("0", "0.00", "-0.5", "10000", "1E+8", "1E+23", "1E-18", "9999.9999", "100000000.00000001")
    ]
    rows = await empty_database.fetch("SELECT n, n::text AS shown FROM unnest($1::numeric[]) AS n", numbers)
    for number, row in zip(numbers, rows, strict=True):
        assert row["n"] == number
        assert row["shown"] == f"{number:f}"
        assert f"{row['n']:f}" == row["shown"]


async def test_what_the_server_computes_is_read_exactly(empty_database: PostgresManager) -> None:
    texts = [
        "0",
        "0.000",
        "1e-30",
        "1e131071",
        "-12345678901234567890123456789.000000000000000000000001",
        "9999",
        "10000",
        "0.00010000",
    ]
    for text in texts:
        row = await empty_database.fetchrow(
            "SELECT n, n::text AS shown FROM (SELECT $1::text::numeric AS n) AS one", text
        )
        assert row is not None
        assert f"{row['n']:f}" == row["shown"]
    assert (await empty_database.fetchval("SELECT 'NaN'::numeric")).is_nan()
    assert await empty_database.fetchval("SELECT '-Infinity'::numeric") == Decimal("-Infinity")


@pytest.mark.parametrize("hostile", ["1E+131072", "1E+262000", "NaN", "Infinity", "1E+24", "1E-19"])
async def test_a_decimal_the_driver_would_store_as_something_else_is_refused(
    table: PostgresManager, hostile: str
) -> None:
    with pytest.raises(BadData, match=r"query argument \$2"):
        await table.execute("INSERT INTO entries VALUES ($1, $2)", 1, Decimal(hostile))
    with pytest.raises(BadData):
        await table.executemany("INSERT INTO entries VALUES ($1, $2)", [(1, Decimal(hostile))])
    with pytest.raises(BadData):
        async with table.transaction() as tx:
            await tx.copy_records_to_table("entries", records=[(1, Decimal(hostile))], columns=["id", "amount"])
    assert await table.fetchval("SELECT count(*) FROM entries") == 0


async def test_domains_over_numeric_use_the_same_rules(empty_database: PostgresManager) -> None:
    await empty_database.execute("CREATE DOMAIN amount AS numeric CHECK (abs(VALUE) < 1e24)")
    assert await empty_database.fetchval("SELECT $1::amount", "12.50") == Decimal("12.50")
    with pytest.raises(BadData):
        await empty_database.fetchval("SELECT $1::amount[]", [Decimal("NaN")])


# --- errors in our words ---------------------------------------------------------------------------------------------


async def test_a_broken_rule_names_its_constraint(table: PostgresManager) -> None:
    with pytest.raises(ConstraintViolated, match="amount_is_positive") as caught:
        await table.execute("INSERT INTO entries VALUES (1, -1)")
    assert (caught.value.constraint, caught.value.sqlstate) == ("amount_is_positive", "23514")
    await table.execute("INSERT INTO entries VALUES (1, 1)")
    with pytest.raises(ConstraintViolated) as caught:
        await table.execute("INSERT INTO entries VALUES (1, 1)")
    assert caught.value.constraint == "entries_pkey"


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        ("SELECT 1/0", BadData, "division by zero"),
        ("SELECT 'x'::int", BadData, "invalid input syntax"),
        ("SELEC 1", DatabaseError, "syntax error"),
        ("SELECT * FROM nowhere", DatabaseError, "nowhere.*mastertrade db status"),
        ("DO $$ BEGIN RAISE EXCEPTION 'halted' USING ERRCODE = 'MT001'; END $$", DatabaseError, "halted"),
    ],
)
async def test_refusals_of_the_server_are_ours(
    empty_database: PostgresManager, sql: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        await empty_database.execute(sql)
    assert type(caught.value) is kind
    assert getattr(caught.value, "sqlstate", "") or kind is BadData


async def test_a_wrong_password_or_database_is_a_matter_of_configuration(empty_dsn: str) -> None:
    head, _, tail = empty_dsn.rpartition("@")
    with pytest.raises(ConfigurationError, match="POSTGRES_PASSWORD"):
        await PostgresManager(f"{head.rpartition(':')[0]}:wrong@{tail}").connect()
    with pytest.raises(ConfigurationError, match="POSTGRES_DB"):
        await PostgresManager(f"{head}@{tail.partition('/')[0]}/nowhere").connect()


async def test_errors_of_the_callers_own_network_are_not_the_databases(empty_database: PostgresManager) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with empty_database.acquire():
            raise ConnectionRefusedError("the venue")
    with pytest.raises(TimeoutError, match="the venue"):
        async with empty_database.transaction():
            raise TimeoutError("the venue")


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_a_long_statement_is_stopped_by_the_server(empty_dsn: str) -> None:
    async with connected(empty_dsn, statement_timeout_s=0.2) as manager:
        with pytest.raises(DatabaseBusy, match="longer than its limit"):
            await manager.fetchval("SELECT pg_sleep(5)")
        assert await manager.fetchval("SELECT 1") == 1


async def test_one_statement_can_be_given_less_and_is_not_repeated(empty_dsn: str) -> None:
    async with connected(empty_dsn) as manager:
        with pytest.raises(DatabaseBusy, match=r"did not finish within 0\.2 s"):
            await manager.fetchval("SELECT pg_sleep(4)", timeout_s=0.2)
        assert manager.statistics().repeated == 0
        assert await manager.fetchval("SELECT 1") == 1


async def test_one_statement_can_be_given_longer_and_the_limit_is_back_afterwards(empty_dsn: str) -> None:
    async with connected(empty_dsn, statement_timeout_s=0.2, max_size=1) as manager:
        await manager.execute("SELECT pg_sleep(0.4)", timeout_s=3)
        assert await manager.fetchval("SHOW statement_timeout") == "200ms"
        async with manager.transaction() as tx:
            await tx.execute("SELECT pg_sleep(0.4)", timeout_s=3)
            assert await tx.fetchval("SHOW statement_timeout") == "200ms"
        with pytest.raises(DatabaseBusy):
            await manager.execute("SELECT pg_sleep(5)", timeout_s=0.5)
        assert await manager.fetchval("SHOW statement_timeout") == "200ms"


async def test_bulk_work_gets_the_limit_it_asks_for(empty_dsn: str) -> None:
    async with connected(empty_dsn, statement_timeout_s=0.2, command_timeout_s=0.4, max_size=1) as manager:
        async with manager.transaction(statement_timeout_s=5) as tx:
            await tx.execute("SELECT pg_sleep(0.8)")
        assert await manager.fetchval("SHOW statement_timeout") == "200ms"


async def test_waiting_for_a_lock_ends(table: PostgresManager, empty_dsn: str) -> None:
    await table.execute("INSERT INTO entries VALUES (1, 1)")
    async with connected(empty_dsn, session_settings={"lock_timeout": "100"}) as manager, table.transaction() as tx:
        await tx.execute("UPDATE entries SET amount = 2")
        with pytest.raises(DatabaseBusy, match="lock"):
            await manager.execute("UPDATE entries SET amount = 3")


async def test_waiting_for_a_connection_ends_and_names_the_remedy(empty_dsn: str) -> None:
    async with connected(empty_dsn, max_size=1, acquire_timeout_s=0.1) as manager, manager.transaction():
        with pytest.raises(DatabaseBusy, match="POSTGRES_POOL_MAX_SIZE"):
            await manager.fetchval("SELECT 1")


# --- transactions ----------------------------------------------------------------------------------------------------


async def test_a_transaction_is_all_or_nothing(table: PostgresManager) -> None:
    async with table.transaction() as tx:
        await tx.execute("INSERT INTO entries VALUES (1, 1)")
        assert not tx.is_committed
    assert tx.is_committed
    with pytest.raises(ValueError, match="mine"):
        async with table.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (2, 2)")
            raise ValueError("mine")
    assert not tx.is_committed
    assert await table.fetchval("SELECT array_agg(id) FROM entries") == [1]


async def test_calls_on_commit_run_in_order_after_the_commit_with_the_connection_given_back(
    table: PostgresManager, empty_dsn: str
) -> None:
    async with connected(empty_dsn, max_size=1, acquire_timeout_s=1) as manager:
        seen: list[str] = []

        async def look() -> None:
            # With one connection in the pool this would fail if the transaction still held it.
            seen.append(f"{await manager.fetchval('SELECT count(*) FROM entries')} stored")

        async def next_call() -> None:
            seen.append("next")

        async with manager.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (1, 1)")
            tx.on_commit(look)
            tx.on_commit(next_call)
            seen.append("end of block")
        assert seen == ["end of block", "1 stored", "next"]


async def test_calls_on_commit_are_dropped_by_a_rollback(table: PostgresManager) -> None:
    called: list[str] = []

    async def call() -> None:
        called.append("called")

    with pytest.raises(ConstraintViolated):
        async with table.transaction() as tx:
            tx.on_commit(call)
            await tx.execute("INSERT INTO entries VALUES (1, -1)")
    async with table.transaction() as tx:
        with pytest.raises(ConstraintViolated):
            async with tx.savepoint():
                tx.on_commit(call)
                await tx.execute("INSERT INTO entries VALUES (1, -1)")
    assert called == []


async def test_a_call_that_fails_after_the_commit_stops_no_other_and_is_raised(table: PostgresManager) -> None:
    called: list[str] = []

    async def fail() -> None:
        raise ValueError("after the commit")

    async def call() -> None:
        called.append("called")

    with pytest.raises(ValueError, match="after the commit"):
        async with table.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (1, 1)")
            tx.on_commit(fail)
            tx.on_commit(call)
    assert called == ["called"]
    assert tx.is_committed
    with pytest.raises(ExceptionGroup, match="the transaction is stored") as caught:
        async with table.transaction() as tx:
            tx.on_commit(fail)
            tx.on_commit(fail)
    assert len(caught.value.exceptions) == 2
    assert await table.fetchval("SELECT count(*) FROM entries") == 1


async def test_a_savepoint_undoes_its_part_only(table: PostgresManager) -> None:
    async with table.transaction() as tx:
        await tx.execute("INSERT INTO entries VALUES (1, 1)")
        with pytest.raises(ConstraintViolated):
            async with tx.savepoint():
                await tx.execute("INSERT INTO entries VALUES (2, 2)")
                async with tx.savepoint():
                    await tx.execute("INSERT INTO entries VALUES (3, -3)")
        async with tx.savepoint():
            await tx.execute("INSERT INTO entries VALUES (4, 4)")
    assert await table.fetchval("SELECT array_agg(id ORDER BY id) FROM entries") == [1, 4]


async def test_a_swallowed_error_does_not_pass_for_a_commit(table: PostgresManager) -> None:
    with pytest.raises(DatabaseError, match="nothing was stored"):
        async with table.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (1, 1)")
            with pytest.raises(ConstraintViolated):
                await tx.execute("INSERT INTO entries VALUES (2, -2)")
    assert not tx.is_committed
    assert await table.fetchval("SELECT count(*) FROM entries") == 0


async def test_an_ended_transaction_refuses_statements(table: PostgresManager) -> None:
    async with table.transaction() as tx:
        pass
    with pytest.raises(RuntimeError, match="has ended"):
        await tx.execute("SELECT 1")

    async def call() -> None:
        pass

    with pytest.raises(RuntimeError, match="has ended"):
        tx.on_commit(call)


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(
    table: PostgresManager, empty_dsn: str
) -> None:
    async with connected(empty_dsn, max_size=1, acquire_timeout_s=3) as manager:

        async def work() -> None:
            async with manager.transaction() as tx:
                await tx.execute("INSERT INTO entries VALUES (1, 1)")
                await tx.execute("SELECT pg_sleep(4)")

        task = asyncio.create_task(work())
        await wait_until(table, RUNNING)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await manager.fetchval("SELECT count(*) FROM entries") == 0


async def test_transactions_know_isolation_reading_and_durability(table: PostgresManager) -> None:
    async with table.transaction(isolation="serializable", durable=False) as tx:
        assert await tx.fetchval("SHOW transaction_isolation") == "serializable"
        assert await tx.fetchval("SHOW synchronous_commit") == "off"
    with pytest.raises(DatabaseError, match="read-only"):
        async with table.transaction(readonly=True) as tx:
            await tx.execute("INSERT INTO entries VALUES (1, 1)")
    with pytest.raises(ValueError, match="none of"):
        async with table.transaction(isolation="perfect"):
            pass


async def test_rows_are_copied_in_and_out(table: PostgresManager) -> None:
    async with table.transaction() as tx:
        records = [(n, Decimal(f"{n}.5")) for n in range(1, 1001)]
        assert await tx.copy_records_to_table("entries", records=records, columns=["id", "amount"]) == "COPY 1000"
    chunks: list[bytes] = []

    async def keep(data: bytes) -> None:
        chunks.append(data)

    async with table.transaction() as tx:
        await tx.copy_from_query("SELECT id + 1000, amount FROM entries WHERE id <= $1", 10, output=keep)

        async def source() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        assert await tx.copy_to_table("entries", source=source(), columns=["id", "amount"]) == "COPY 10"
    assert await table.fetchval("SELECT amount FROM entries WHERE id = 1001") == Decimal("1.5")


# --- faults ----------------------------------------------------------------------------------------------------------


async def test_a_read_survives_the_death_of_its_backend(empty_database: PostgresManager, empty_dsn: str) -> None:
    async with connected(empty_dsn) as manager:
        read = asyncio.create_task(manager.fetchval("SELECT 42 FROM pg_sleep(0.3)"))
        await wait_until(empty_database, RUNNING)
        assert await kill_backends(empty_database) >= 1
        assert await read == 42
        assert manager.statistics().lost == 1
        assert manager.statistics().repeated == 1


async def test_a_read_through_a_function_is_repeated_only_when_the_function_is_declared_to_read(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    body = "AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN 42; END $$ LANGUAGE plpgsql"
    await empty_database.execute(
        f"CREATE FUNCTION looks() RETURNS int STABLE {body}; CREATE FUNCTION acts() RETURNS int {body}"
    )
    async with connected(empty_dsn) as manager:
        read = asyncio.create_task(manager.fetchval("SELECT looks()"))
        await wait_until(empty_database, RUNNING)
        await kill_backends(empty_database)
        assert await read == 42
        act = asyncio.create_task(manager.fetchval("SELECT acts()"))
        await wait_until(empty_database, RUNNING)
        await kill_backends(empty_database)
        with pytest.raises(DatabaseDown):
            await act


async def test_a_write_is_repeated_only_when_it_is_called_idempotent(table: PostgresManager, empty_dsn: str) -> None:
    slow = "INSERT INTO entries SELECT 1, 1 FROM pg_sleep(0.3) ON CONFLICT DO NOTHING"
    async with connected(empty_dsn) as manager:
        write = asyncio.create_task(manager.execute(slow))
        await wait_until(table, RUNNING)
        await kill_backends(table)
        with pytest.raises(DatabaseDown) as caught:
            await write
        assert caught.value.retryable
        write = asyncio.create_task(manager.execute(slow, idempotent=True))
        await wait_until(table, RUNNING)
        await kill_backends(table)
        assert await write == "INSERT 0 1"


async def test_connections_that_died_while_idle_are_replaced_unnoticed(table: PostgresManager, empty_dsn: str) -> None:
    async with connected(empty_dsn, min_size=3, max_size=3) as manager:
        assert await kill_backends(table) == 3
        await asyncio.sleep(0.05)  # the news has to reach this process
        await manager.execute("INSERT INTO entries VALUES (1, 1)")
        await kill_backends(table)
        async with manager.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (2, 2)")
    assert await table.fetchval("SELECT count(*) FROM entries") == 2


async def test_a_transaction_whose_backend_dies_raises_and_is_not_repeated(
    table: PostgresManager, empty_dsn: str
) -> None:
    rounds = 0
    async with connected(empty_dsn) as manager:
        with pytest.raises(DatabaseDown):
            async with manager.transaction() as tx:
                rounds += 1
                await tx.execute("INSERT INTO entries VALUES (1, 1)")
                await kill_backends(table)
                await tx.execute("INSERT INTO entries VALUES (2, 2)")
        assert rounds == 1
        assert await table.fetchval("SELECT count(*) FROM entries") == 0
        assert await manager.fetchval("SELECT 1") == 1


async def test_a_backend_that_died_before_commit_means_nothing_was_stored(
    table: PostgresManager, empty_dsn: str
) -> None:
    async with connected(empty_dsn) as manager:
        with pytest.raises(DatabaseDown, match="nothing was stored") as caught:
            async with manager.transaction() as tx:
                await tx.execute("INSERT INTO entries VALUES (1, 1)")
                await kill_backends(table)
                await asyncio.sleep(0.1)
        assert not isinstance(caught.value, OutcomeUnknown)
    assert await table.fetchval("SELECT count(*) FROM entries") == 0


async def test_a_lost_answer_to_commit_is_told_apart_since_the_rows_may_be_stored(
    table: PostgresManager, empty_dsn: str
) -> None:
    async with chaos_proxy(empty_dsn) as (proxy, address), connected(address) as manager:
        with pytest.raises(OutcomeUnknown, match="Look for its rows"):
            async with manager.transaction() as tx:
                await tx.execute("INSERT INTO entries VALUES (1, 1)")
                proxy.cut_after(b"COMMIT")
        assert not tx.is_committed
        await wait_until(table, "SELECT count(*) FROM entries")
        assert await manager.fetchval("SELECT count(*) FROM entries") == 1


async def test_a_lost_answer_to_a_write_is_not_answered_by_writing_again(
    table: PostgresManager, empty_dsn: str
) -> None:
    async with chaos_proxy(empty_dsn) as (proxy, address), connected(address) as manager:
        proxy.cut_after(b"INSERT")
        with pytest.raises(DatabaseDown):
            await manager.execute("INSERT INTO entries VALUES ((SELECT 1 + count(*) FROM entries), 1)")
        await wait_until(table, "SELECT count(*) FROM entries")
        assert await table.fetchval("SELECT count(*) FROM entries") == 1


async def test_a_server_that_falls_silent_is_noticed_within_the_limits(empty_dsn: str) -> None:
    options = {"statement_timeout_s": 0.2, "command_timeout_s": 0.5, "acquire_timeout_s": 0.5, "retry_for_s": 0.2}
    async with chaos_proxy(empty_dsn) as (proxy, address), connected(address, **options) as manager:
        proxy.go_silent()
        begin = time.monotonic()
        with pytest.raises(DatabaseDown):
            await manager.fetchval("SELECT 1")
        with pytest.raises(DatabaseDown):
            async with manager.transaction() as tx:
                await tx.execute("SELECT 1")
        assert not await manager.healthcheck()
        assert time.monotonic() - begin < 15
        proxy.heal()
        proxy.cut()
        async with asyncio.timeout(5):
            while not await manager.healthcheck():
                await asyncio.sleep(0.05)


async def test_silence_inside_a_transaction_ends_it(table: PostgresManager, empty_dsn: str) -> None:
    options = {"statement_timeout_s": 0.2, "command_timeout_s": 0.5}
    async with chaos_proxy(empty_dsn) as (proxy, address), connected(address, **options) as manager:
        begin = time.monotonic()
        with pytest.raises(DatabaseDown, match="no answer within"):
            async with manager.transaction() as tx:
                await tx.execute("INSERT INTO entries VALUES (1, 1)")
                proxy.go_silent()
                await tx.execute("INSERT INTO entries VALUES (2, 2)")
        assert time.monotonic() - begin < 8
        proxy.heal()
        assert await table.fetchval("SELECT count(*) FROM entries") == 0


async def test_a_server_that_is_away_is_awaited_for_a_bounded_time(empty_dsn: str) -> None:
    async with chaos_proxy(empty_dsn) as (_, address):
        manager = PostgresManager(address, retry_for_s=0.4)
        await manager.connect()
    begin = time.monotonic()
    with pytest.raises(DatabaseDown, match="is it running"):
        await manager.fetchval("SELECT 1")
    assert 0.1 < time.monotonic() - begin < 3
    assert manager.statistics().lost > 1
    assert not await manager.healthcheck()
    await manager.close()


async def test_under_random_deaths_what_was_acknowledged_is_stored_and_what_was_not_is_known_to_be_in_doubt(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    await empty_database.execute("CREATE TABLE marks (id text PRIMARY KEY)")
    seeded, acknowledged, in_doubt = random.Random(11), set[str](), set[str]()
    end = time.monotonic() + 2.5

    async def work(manager: PostgresManager, worker: int) -> None:
        for number in range(100_000):
            if time.monotonic() > end:
                return
            mark = f"{worker}-{number}"
            try:
                if number % 2:
                    async with manager.transaction() as tx:
                        await tx.execute("INSERT INTO marks VALUES ($1)", mark)
                else:
                    await manager.execute("INSERT INTO marks VALUES ($1) ON CONFLICT DO NOTHING", mark, idempotent=True)
                acknowledged.add(mark)
                assert await manager.fetchval("SELECT count(*) FROM marks WHERE id = $1", mark) == 1
            except OutcomeUnknown:
                in_doubt.add(mark)
            except DatabaseDown:
                if number % 2 == 0:  # given up after several tries
                    in_doubt.add(mark)

    async def kill() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(0.02 + seeded.random() * 0.1)
            await kill_backends(empty_database, at_most=1)

    async with connected(empty_dsn, max_size=3) as manager:
        await asyncio.gather(kill(), *(work(manager, worker) for worker in range(4)))
        assert manager.statistics().lost > 0
    stored = {row["id"] for row in await empty_database.fetch("SELECT id FROM marks")}
    assert acknowledged <= stored
    assert stored <= acknowledged | in_doubt
    assert len(acknowledged) > 10


async def test_closing_waits_for_a_transaction_in_hand(table: PostgresManager, empty_dsn: str) -> None:
    manager = PostgresManager(empty_dsn)
    await manager.connect()
    began = asyncio.Event()

    async def work() -> None:
        async with manager.transaction() as tx:
            await tx.execute("INSERT INTO entries VALUES (1, 1)")
            began.set()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(work())
    await began.wait()
    begin = time.monotonic()
    await manager.close()
    assert time.monotonic() - begin < 3
    await task
    assert await table.fetchval("SELECT count(*) FROM entries") == 1


# --- LISTEN ----------------------------------------------------------------------------------------------------------


class Heard:
    def __init__(self) -> None:
        self.payloads: list[str] = []

    def __call__(self, payload: str) -> None:
        self.payloads.append(payload)

    async def wait_for(self, payloads: list[str], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while self.payloads[-len(payloads) :] != payloads:
                await asyncio.sleep(0.01)


async def test_notifications_are_heard_and_listening_can_end(empty_database: PostgresManager, empty_dsn: str) -> None:
    first, second, other = Heard(), Heard(), Heard()
    async with connected(empty_dsn) as manager:
        listening = await manager.listen("orders", first)
        await manager.listen("orders", second)
        await manager.listen("candles", other)
        assert first.payloads == [""]
        await empty_database.execute("SELECT pg_notify('orders', 'one')")
        await first.wait_for(["", "one"])
        await second.wait_for(["", "one"])
        await listening.close()
        await listening.close()
        await empty_database.execute("SELECT pg_notify('orders', 'two')")
        await second.wait_for(["one", "two"])
        assert first.payloads == ["", "one"]
        assert other.payloads == [""]
        listeners = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database()"
        )
        assert await empty_database.fetchval(listeners) == 2, "one for the pool, one for all channels"
    await wait_until(empty_database, GONE)


async def test_listening_goes_on_after_its_backend_died_and_says_so(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    heard = Heard()
    async with connected(empty_dsn) as manager:
        await manager.listen("orders", heard)
        await empty_database.execute("SELECT pg_notify('orders', 'one')")
        await heard.wait_for(["", "one"])
        await kill_backends(empty_database)
        await heard.wait_for(["one", ""])  # the sign to look at the table: something may have been missed
        await empty_database.execute("SELECT pg_notify('orders', 'two')")
        await heard.wait_for(["", "two"])


async def test_a_new_listener_on_a_dead_connection_leaves_no_other_deaf(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    first, second = Heard(), Heard()
    async with connected(empty_dsn) as manager:
        await manager.listen("orders", first)
        before = await empty_database.fetchval("SELECT clock_timestamp()")
        await kill_backends(empty_database, wait_ms=0)  # so that the new listener may be there before the guard
        await wait_until(empty_database, f"{GONE} AND backend_start < '{before}'")
        await manager.listen("candles", second)
        await first.wait_for(["", ""])
        await empty_database.execute("SELECT pg_notify('orders', 'one'), pg_notify('candles', 'two')")
        await first.wait_for(["one"])
        await second.wait_for(["two"])
        assert first.payloads == ["", "", "one"], "restored once, by the guard or by the new listener"


async def test_listening_needs_a_server_at_first(empty_dsn: str) -> None:
    async with chaos_proxy(empty_dsn) as (_, address):
        manager = PostgresManager(address)
        await manager.connect()
    with pytest.raises(DatabaseDown):
        await manager.listen("orders", Heard())
    await manager.close()


async def test_a_listening_connection_that_fell_silent_is_replaced(
    empty_database: PostgresManager, empty_dsn: str
) -> None:
    heard = Heard()
    async with (
        chaos_proxy(empty_dsn) as (proxy, address),
        connected(address, probe_every_s=0.1, connect_timeout_s=0.5) as manager,
    ):
        await manager.listen("orders", heard)
        proxy.go_silent()
        await asyncio.sleep(3)  # longer than the probe's own limit
        proxy.heal()
        await heard.wait_for(["", ""], timeout_s=10)
        await empty_database.execute("SELECT pg_notify('orders', 'two')")
        await heard.wait_for(["two"])


async def test_a_callback_that_fails_does_not_deafen_the_others(
    empty_database: PostgresManager, empty_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def fail(payload: str) -> None:
        raise ValueError("deaf")

    async with connected(empty_dsn) as manager:
        await manager.listen("orders", fail)
        await manager.listen("orders", heard)
        await empty_database.execute("SELECT pg_notify('orders', 'one')")
        await heard.wait_for(["one"])
    assert "callback on channel orders failed" in caplog.text


async def test_an_impossible_channel_is_refused(empty_database: PostgresManager) -> None:
    with pytest.raises(ValueError, match="1 to 63 bytes"):
        await empty_database.listen("x" * 64, Heard())
