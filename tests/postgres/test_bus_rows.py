"""The rows behind the bus: what its functions do when asked directly, what is pruned, and what a long queue costs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from mastertrade.domain.events import TradingStateChanged
from mastertrade.messaging.bus import Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.postgres_manager import Database, PostgresManager, Transaction
from mastertrade.shared.serialization import new_id
from tests.contracts.bus_samples import NOON, Fact, OtherFact, fact

PUBLISH = "SELECT publish_event($1, $2, $3, '{}', $4, NULL, NULL)"
CLAIM = "SELECT * FROM claim_delivery($1, $2)"


async def publish(db: Database, key: str, event_id: UUID | None = None) -> list[str]:
    consumers: list[str] = await db.fetchval(PUBLISH, event_id or new_id(), "TradingStateChanged", key, NOON)
    return consumers


async def subscribe(database: PostgresManager, *consumers: str) -> None:
    for consumer in consumers:
        await database.execute("INSERT INTO subscriptions VALUES ('TradingStateChanged', $1)", consumer)


async def claimed(db: Database, consumer: str, busy_keys: Sequence[str] = ()) -> str | None:
    row = await db.fetchrow(CLAIM, consumer, list(busy_keys))
    return None if row is None else row["key"]


async def finish(db: Database, consumer: str, key: str) -> bool:
    row = await db.fetchrow(
        "SELECT id, event_id FROM outbox JOIN deliveries d ON id = outbox_id WHERE consumer = $1 AND d.key = $2",
        consumer, key,
    )  # fmt: skip
    assert row is not None
    more: bool = await db.fetchval("SELECT finish_delivery($1, $2, $3, false)", row["id"], consumer, row["event_id"])
    return more


def quiet(consumer: str, *kinds: Any, **options: Any) -> Subscription:
    async def handle(event: Any, tx: Transaction) -> None:
        assert await tx.fetchval("SELECT true")

    return Subscription(consumer=consumer, handlers=dict.fromkeys(kinds or (Fact,), handle), **options)


@asynccontextmanager
async def serving(manager: PostgresManager, *subscriptions: Subscription) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(manager, clock=SystemClock())
    await bus.start(subscriptions)
    try:
        yield bus
    finally:
        await bus.stop()


async def test_publish_event_names_who_waits_and_is_one_event_when_repeated(database: PostgresManager) -> None:
    event_id = new_id()
    assert await publish(database, "nobody listens") == []
    await subscribe(database, "a", "b")
    assert sorted(await publish(database, "k", event_id)) == ["a", "b"]
    assert await publish(database, "k", event_id) == []
    assert await database.fetchval("SELECT count(*) FROM outbox") == 2
    assert await database.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_claim_delivery_takes_the_oldest_head_that_is_free(database: PostgresManager) -> None:
    await subscribe(database, "a")
    for key in ("k1", "k1", "k2", "k3"):
        await publish(database, key)
    async with database.transaction() as first, database.transaction() as second, database.transaction() as third:
        assert await claimed(first, "a") == "k1"
        assert await claimed(second, "a") == "k2"
        assert await claimed(third, "a", busy_keys=["k3"]) is None
        assert await finish(first, "a", "k1"), "more waits"
        assert await claimed(third, "a", busy_keys=["k3"]) is None, "k1 is in hand until its transaction ends"
    async with database.transaction() as tx:
        assert await claimed(tx, "a") == "k1"
        assert await claimed(tx, "someone else") is None


async def test_an_event_committed_late_waits_while_its_key_is_in_hand(database: PostgresManager) -> None:
    """Its number is lower than that of the event in hand, so it looks like the head of the key."""
    await subscribe(database, "a")
    async with database.transaction() as handling:
        async with database.transaction() as late:
            await publish(late, "k")
            await publish(database, "k")
            assert await claimed(handling, "a") == "k"
        number = await database.fetchval("SELECT min(outbox_id) FROM deliveries")
        async with database.transaction() as other:
            assert not await other.fetchval("SELECT lock_delivery($1, 'a', 'k')", number)
            assert await claimed(other, "a") is None
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT lock_delivery($1, 'a', 'k')", number)


async def test_count_attempt_remains_when_the_claim_is_rolled_back(database: PostgresManager) -> None:
    await subscribe(database, "a")
    await publish(database, "k")
    for started in (0, 1, 2):
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the transaction is what fails
            async with database.transaction() as tx:
                row = await tx.fetchrow(CLAIM, "a", [])
                assert row is not None
                assert row["started"] == started
                await database.execute("SELECT count_attempt($1, 'a')", row["outbox_id"])
                raise ZeroDivisionError


async def test_finish_delivery_refuses_to_handle_an_event_twice(database: PostgresManager) -> None:
    await subscribe(database, "a")
    event_id = new_id()
    await publish(database, "k", event_id)
    assert await finish(database, "a", "k") is False
    await database.execute("INSERT INTO deliveries (consumer, outbox_id, key) SELECT 'a', id, key FROM outbox")
    row = await database.fetchrow(CLAIM, "a", [])
    assert row is not None
    assert row["is_seen"]
    with pytest.raises(Exception, match="inbox_event_is_handled_once"):
        await finish(database, "a", "k")


async def test_waiting_deliveries_tells_who_is_behind_and_when_the_first_is_due(database: PostgresManager) -> None:
    await subscribe(database, "a", "b", "c")
    await publish(database, "k")
    await publish(database, "l")
    await database.execute("UPDATE deliveries SET available_at = now() + interval '30 s' WHERE consumer = 'b'")
    await database.execute("DELETE FROM deliveries WHERE consumer = 'c'")
    rows = await database.fetch("SELECT * FROM waiting_deliveries($1)", ["a", "b", "c", "d"])
    assert {row["consumer"]: row["waiting"] for row in rows} == {"a": 2, "b": 2}
    due = {row["consumer"]: row["due_in_s"] for row in rows}
    assert due["a"] == 0
    assert 25 < due["b"] <= 30


@pytest.mark.parametrize(
    "query", ["SELECT * FROM claim_delivery('a', '{}')", "SELECT * FROM waiting_deliveries('{a}')"]
)
async def test_a_long_queue_costs_its_neighbours_nothing(database: PostgresManager, query: str) -> None:
    """The plans are those made while the queue was empty."""
    async with database.acquire() as connection:
        for _ in range(10):
            await connection.fetch(query)
        await connection.execute(
            """WITH published AS (
                   INSERT INTO outbox (event_id, event_type, key, payload, occurred_at)
                   SELECT gen_random_uuid(), 'TradingStateChanged', 'k' || number % 7, '{}', now()
                     FROM generate_series(1, 20000) AS number RETURNING id, key)
               INSERT INTO deliveries (consumer, outbox_id, key) SELECT 'neighbour', id, key FROM published"""
        )
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}")
        pages = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        assert pages < 60, "the whole queue has over 300 pages"


async def test_a_later_declaration_replaces_the_types_of_its_consumer(database: PostgresManager) -> None:
    bus = PostgresBus(database, clock=SystemClock())
    await bus.declare([quiet("a", Fact), quiet("b", Fact)])
    await bus.declare([quiet("a", OtherFact)])
    rows = await database.fetch("SELECT consumer, event_type FROM subscriptions ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [("a", "OpportunityFound"), ("b", "TradingStateChanged")]


async def test_nothing_but_the_event_and_the_inbox_remains_of_a_handled_event(database: PostgresManager) -> None:
    async with serving(database, quiet("a")) as bus:
        event = fact("1")
        async with database.transaction() as tx:
            await bus.publish(event, within=tx)
        await bus.drain(timeout_s=5)
    row = await database.fetchrow("SELECT * FROM outbox")
    assert row is not None
    assert (row["event_id"], row["event_type"], row["key"]) == (event.id, "TradingStateChanged", event.key)
    assert row["sent_at"] is None
    assert [row["event_id"] for row in await database.fetch("SELECT event_id FROM inbox")] == [event.id]
    for table in ("deliveries", "delivery_attempts", "dead_letters"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_consumer_that_is_not_durable_commits_without_waiting_for_the_disk(database: PostgresManager) -> None:
    settings: dict[str, str] = {}

    def asking(consumer: str, durable: bool) -> Subscription:
        async def handle(event: TradingStateChanged, tx: Transaction) -> None:
            settings[consumer] = await tx.fetchval("SHOW synchronous_commit")

        return Subscription(consumer=consumer, handlers={Fact: handle}, durable=durable)

    await database.execute(
        f"ALTER DATABASE {await database.fetchval('SELECT current_database()')} SET synchronous_commit = on"
    )
    await database.close()
    await database.connect()
    async with serving(database, asking("safe", True), asking("quick", False)) as bus:
        async with database.transaction() as tx:
            await bus.publish(fact("1"), within=tx)
        await bus.drain(timeout_s=5)
    assert settings == {"safe": "on", "quick": "off"}


async def test_pruning_forgets_what_is_old_and_handled_a_bounded_number_at_a_time(database: PostgresManager) -> None:
    bus = PostgresBus(database, clock=SystemClock())
    await subscribe(database, "a")
    for key in ("old", "older", "oldest", "waiting", "young"):
        await publish(database, key)
        if key != "waiting":
            await finish(database, "a", key)
    await database.execute("UPDATE outbox SET created_at = now() - interval '8 days' WHERE key <> 'young'")
    await database.execute(
        """UPDATE inbox SET handled_at = now() - interval '8 days'
            WHERE event_id <> (SELECT event_id FROM outbox WHERE key = 'young')"""
    )
    assert await bus.prune(limit=2) == 4, "two of the outbox, two of the inbox"
    assert await bus.prune() == 2
    assert await bus.prune() == 0
    rows = await database.fetch("SELECT key FROM outbox ORDER BY key")
    assert [row["key"] for row in rows] == ["waiting", "young"]
    assert await database.fetchval("SELECT count(*) FROM inbox") == 1
    assert await bus.prune(older_than=timedelta(seconds=-1)) == 2


async def test_wake_ups_for_other_processes_are_bundled(database: PostgresManager) -> None:
    await subscribe(database, "elsewhere")
    heard: list[str] = []
    async with await database.listen("mastertrade_bus", heard.append):
        bus = PostgresBus(database, clock=SystemClock())
        async with database.transaction() as tx:
            for number in range(50):
                await bus.publish(fact(str(number)), within=tx)
        await bus.stop()
        await database.execute("SELECT pg_notify('mastertrade_bus', 'the end')")
        while "the end" not in heard:
            await SystemClock().sleep(0.005)
    told = [payload for payload in heard if payload not in ("", "the end")]
    assert 1 <= len(told) <= 3
    assert all(payload.endswith("|elsewhere") for payload in told)


async def test_nobody_is_notified_of_what_is_handled_in_the_same_process(database: PostgresManager) -> None:
    heard: list[str] = []
    async with await database.listen("mastertrade_bus", heard.append), serving(database, quiet("a")) as bus:
        for number in range(5):
            async with database.transaction() as tx:
                await bus.publish(fact(str(number)), within=tx)
        await bus.drain(timeout_s=5)
        await database.execute("SELECT pg_notify('mastertrade_bus', 'the end')")
        while "the end" not in heard:
            await SystemClock().sleep(0.005)
    assert heard == ["", "the end"]


async def test_a_pool_too_small_for_the_bus_is_refused_with_the_setting_to_change(dsn: str) -> None:
    manager = PostgresManager(dsn, max_size=2)
    await manager.connect()
    try:
        with pytest.raises(ConfigurationError, match="needs at least 3 database connections and has 2: raise POSTGRES"):
            await PostgresBus(manager, clock=SystemClock()).start([quiet("a")])
    finally:
        await manager.close()


async def test_more_workers_than_connections_take_turns(dsn: str) -> None:
    manager = PostgresManager(dsn, max_size=3)
    await manager.connect()
    try:
        async with serving(manager, *(quiet(f"c{number}", workers=2) for number in range(6))) as bus:
            async with manager.transaction() as tx:
                for number in range(5):
                    await bus.publish(fact(str(number), key=f"k{number}"), within=tx)
            await bus.drain(timeout_s=20)
            assert await manager.fetchval("SELECT count(*) FROM inbox") == 30
    finally:
        await manager.close()
