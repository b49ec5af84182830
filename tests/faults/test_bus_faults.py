"""The bus when processes die, connections break and answers are lost: each event has one effect, each key its order."""

import asyncio
import os
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import mastertrade
from mastertrade.domain.events import TradingStateChanged
from mastertrade.messaging.bus import MAX_ATTEMPTS, Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from tests.contracts.bus_samples import fact
from tests.postgres.chaos_proxy import chaos_proxy

WORKER = Path(__file__).with_name("bus_worker.py")
CREATE_EFFECTS = """CREATE TABLE effects (
    id bigint GENERATED ALWAYS AS IDENTITY, text text, key text, process int,
    began_at timestamptz DEFAULT clock_timestamp(), ended_at timestamptz)"""


async def start_worker(dsn: str, *arguments: str) -> asyncio.subprocess.Process:
    environment = os.environ | {"PYTHONPATH": str(Path(mastertrade.__file__).parent.parent)}
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), dsn, *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def ready(worker: asyncio.subprocess.Process) -> None:
    assert worker.stdout is not None
    assert await asyncio.wait_for(worker.stdout.readline(), 30) == b"ready\n"


async def end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.kill()
    await worker.wait()


async def at_work(database: PostgresManager, worker: asyncio.subprocess.Process) -> None:
    """Until it has finished something, or somebody else has finished everything."""
    look = "SELECT EXISTS (SELECT FROM effects WHERE process = $1) OR NOT EXISTS (SELECT FROM deliveries)"
    async with asyncio.timeout(10):
        while not await database.fetchval(look, worker.pid):
            await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(manager: PostgresManager, subscription: Subscription) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(manager, clock=SystemClock())
    await bus.start([subscription])
    try:
        yield bus
    finally:
        await bus.stop()


async def publish(database: PostgresManager, events: list[TradingStateChanged]) -> None:
    """As a process that serves nobody, all at once."""
    bus = PostgresBus(database, clock=SystemClock())
    async with database.transaction() as tx:
        for event in events:
            await bus.publish(event, within=tx)
    await bus.stop()


def consumer(name: str) -> Subscription:
    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        await tx.execute("INSERT INTO effects (text, key) VALUES ($1, $2)", event.reason, event.scope)

    return Subscription(consumer=name, handlers={TradingStateChanged: handle})


async def texts(database: PostgresManager) -> list[str]:
    return [row["text"] for row in await database.fetch("SELECT text FROM effects ORDER BY id")]


async def test_an_event_that_kills_its_process_is_dead_after_five_starts_and_its_key_goes_on(
    database: PostgresManager, dsn: str
) -> None:
    await database.execute(CREATE_EFFECTS)
    await PostgresBus(database, clock=SystemClock()).declare([consumer("desk")])
    await publish(database, [fact("before"), fact("poison"), fact("after"), fact("elsewhere", key="other")])
    codes = []
    while not codes or codes[-1] != 0:
        assert len(codes) <= MAX_ATTEMPTS, "the event outlives its processes"
        worker = await start_worker(dsn, "desk")
        codes.append(await asyncio.wait_for(worker.wait(), 30))
    assert codes == [137] * MAX_ATTEMPTS + [0]
    assert sorted(await texts(database)) == ["after", "before", "elsewhere", "mourned poison"]
    row = await database.fetchrow("SELECT consumer, attempts, error FROM dead_letters")
    assert row is not None
    assert (row["consumer"], row["attempts"]) == ("desk", MAX_ATTEMPTS)
    assert "the process ended while it handled this event" in row["error"]
    assert await database.fetchval("SELECT count(*) FROM deliveries") == 0
    assert await database.fetchval("SELECT count(*) FROM delivery_attempts") == 0


async def test_processes_that_share_a_consumer_and_are_killed_at_random_do_everything_once(
    database: PostgresManager, dsn: str
) -> None:
    chance = random.Random(7)
    await database.execute(CREATE_EFFECTS)
    await PostgresBus(database, clock=SystemClock()).declare([consumer("desk")])
    workers = [await start_worker(dsn, "desk", "stay") for _ in range(2)]
    try:
        for worker in workers:
            await ready(worker)
        events = [fact(f"{number}", key=f"k{number % 6}") for number in range(240)]
        for victim, begin in enumerate(range(0, 240, 60)):
            await publish(database, events[begin : begin + 60])
            await at_work(database, workers[victim % 2])
            await asyncio.sleep(chance.uniform(0.0, 0.01))
            await end(workers[victim % 2])
            workers[victim % 2] = await start_worker(dsn, "desk", "stay")
            await ready(workers[victim % 2])
        async with serving(database, consumer("another")) as bus, asyncio.timeout(60):
            while await bus.waiting(["desk"]):
                await asyncio.sleep(0.05)
    finally:
        for worker in workers:
            await end(worker)
    rows = await database.fetch("SELECT text, key, process, began_at, ended_at FROM effects ORDER BY began_at")
    assert len(rows) == 240
    by_key = defaultdict(list)
    for row in rows:
        by_key[row["key"]].append(row)
    for key, of_key in by_key.items():
        assert [int(row["text"]) for row in of_key] == list(range(int(key[1:]), 240, 6))
        assert all(one["ended_at"] <= other["began_at"] for one, other in pairwise(of_key))
    assert len({row["process"] for row in rows}) > 1
    assert await database.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_cut_connections_in_mid_work_lose_and_repeat_nothing(database: PostgresManager, dsn: str) -> None:
    await database.execute(CREATE_EFFECTS)
    mine = PostgresManager(dsn, application_name="victim", statement_cache_size=100)
    await mine.connect()
    begun = asyncio.Event()
    told = [str(number) for number in range(2 * MAX_ATTEMPTS)]

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        await tx.execute("INSERT INTO effects (text) VALUES ($1)", event.reason)
        begun.set()
        await asyncio.sleep(0.05)

    try:
        async with serving(mine, Subscription(consumer="desk", handlers={TradingStateChanged: handle})) as bus:
            for count, text in enumerate(told, 1):
                begun.clear()
                await publish(database, [fact(text)])
                await asyncio.wait_for(begun.wait(), 10)
                await database.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'"
                )
                await wait_for_texts(database, told[:count])
            await bus.drain(timeout_s=10)
    finally:
        await mine.close()
    assert await texts(database) == told
    assert await database.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_commit_whose_answer_is_lost_has_one_effect(database: PostgresManager, dsn: str) -> None:
    await database.execute(CREATE_EFFECTS)
    async with chaos_proxy(dsn) as (proxy, proxied):
        mine = PostgresManager(proxied, statement_cache_size=100)
        await mine.connect()

        async def handle(event: TradingStateChanged, tx: Transaction) -> None:
            await tx.execute("INSERT INTO effects (text) VALUES ($1)", event.reason)
            if event.reason == "cut":
                proxy.cut_after(b"COMMIT")

        try:
            async with serving(mine, Subscription(consumer="desk", handlers={TradingStateChanged: handle})) as bus:
                await bus.drain(timeout_s=5)
                await publish(database, [fact("cut"), fact("after")])
                await wait_for_texts(database, ["cut", "after"])
                await bus.drain(timeout_s=10)
        finally:
            await mine.close()
    assert await texts(database) == ["cut", "after"]


async def test_a_consumer_in_another_process_is_woken_without_its_looking(database: PostgresManager, dsn: str) -> None:
    await database.execute(CREATE_EFFECTS)
    other = PostgresManager(dsn, statement_cache_size=100)
    await other.connect()
    bus = PostgresBus(other, clock=SystemClock(), poll_s=60.0)
    try:
        await bus.start([consumer("desk")])
        await bus.drain(timeout_s=5)
        await publish(database, [fact("1")])
        await wait_for_texts(database, ["1"])
    finally:
        await bus.stop()
        await other.close()


async def test_a_lost_wake_up_only_costs_the_time_until_the_next_look(database: PostgresManager) -> None:
    await database.execute(CREATE_EFFECTS)
    async with serving(database, consumer("desk")) as bus:
        await bus.drain(timeout_s=5)
        event = fact("1")
        await database.execute(
            "SELECT publish_event($1, 'TradingStateChanged', 'k', $2, now(), NULL, NULL)",
            event.id,
            {"id": str(event.id), "occurred_at": event.occurred_at.isoformat(), "scope": "k", "mode": event.mode.value,
             "reason": "1", "actor": "psql"},
        )  # fmt: skip
        await wait_for_texts(database, ["1"])


async def wait_for_texts(database: PostgresManager, expected: list[str]) -> None:
    async with asyncio.timeout(10):
        while await texts(database) != expected:
            await asyncio.sleep(0.01)
