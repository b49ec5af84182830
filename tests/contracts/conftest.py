"""Where the contract suites find their implementations. ``bus_house``: one bus, any number of processes on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
import pytest_asyncio

from mastertrade.messaging.bus import Subscription
from mastertrade.messaging.delivery import DeliveringBus
from mastertrade.messaging.memory import MemoryBus, memory_transaction
from mastertrade.messaging.memory_store import MemoryStore
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

BUSES = ("postgres", "memory")
ALSO_MIXED = pytest.mark.parametrize("bus_database", [*BUSES, "memory over a database"], indirect=True)
"""For what must hold of the memory bus also when effects are rows of a real database."""
QUICK_BACKOFF_S = (0.01, 0.02, 0.02, 0.02)


@dataclass(kw_only=True)
class BusHouse:
    """``process()`` is a bus as another process would have it; ``write`` is an effect inside of a transaction."""

    process: Callable[[], DeliveringBus]
    transaction: Callable[[], AbstractAsyncContextManager[Transaction]]
    write: Callable[[Transaction, str], Awaitable[None]]
    written: Callable[[], Awaitable[list[str]]]
    deliver_again: Callable[[UUID, str], Awaitable[None]]
    buses: list[DeliveringBus] = field(default_factory=list)

    def bus(self) -> DeliveringBus:
        bus = self.process()
        self.buses.append(bus)
        return bus

    async def serve(self, *subscriptions: Subscription) -> DeliveringBus:
        bus = self.bus()
        await bus.start(subscriptions)
        return bus


@pytest.fixture(params=BUSES)
def bus_database(request: pytest.FixtureRequest) -> PostgresManager | None:
    return None if request.param == "memory" else request.getfixturevalue("database")


@pytest.fixture
def bus_name(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["bus_database"])


@pytest_asyncio.fixture
async def bus_house(
    bus_database: PostgresManager | None, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BusHouse]:
    monkeypatch.setattr("mastertrade.messaging.attempts.BACKOFF_S", QUICK_BACKOFF_S)
    store = MemoryStore()
    house = _house_in_memory(store) if bus_database is None else await _house_on(bus_database)
    if bus_name == "postgres":
        assert bus_database is not None
        database = bus_database
        house.process = lambda: PostgresBus(database, clock=SystemClock(), poll_s=0.05)
        house.deliver_again = _again_in(database)
    else:
        transaction = house.transaction
        house.process = lambda: MemoryBus(clock=SystemClock(), store=store, transaction=transaction, poll_s=0.01)
        house.deliver_again = _again_into(store)
    yield house
    for bus in house.buses:
        await bus.stop()


def _house_in_memory(store: MemoryStore) -> BusHouse:
    texts: list[str] = []

    async def write(tx: Transaction, text: str) -> None:
        async def note() -> None:
            texts.append(text)

        tx.on_commit(note)

    async def written() -> list[str]:
        return list(texts)

    return BusHouse(
        process=lambda: MemoryBus(clock=SystemClock()),
        transaction=memory_transaction,
        write=write,
        written=written,
        deliver_again=_again_into(store),
    )


async def _house_on(database: PostgresManager) -> BusHouse:
    await database.execute("CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, text text)")

    async def write(tx: Transaction, text: str) -> None:
        await tx.execute("INSERT INTO effects (text) VALUES ($1)", text)

    async def written() -> list[str]:
        return [row["text"] for row in await database.fetch("SELECT text FROM effects ORDER BY id")]

    return BusHouse(
        process=lambda: PostgresBus(database, clock=SystemClock()),
        transaction=database.transaction,
        write=write,
        written=written,
        deliver_again=_again_in(database),
    )


def _again_in(database: PostgresManager) -> Callable[[UUID, str], Awaitable[None]]:
    async def again(event_id: UUID, consumer: str) -> None:
        await database.execute(
            "INSERT INTO deliveries (consumer, outbox_id, key) SELECT $2, id, key FROM outbox WHERE event_id = $1",
            event_id, consumer,
        )  # fmt: skip

    return again


def _again_into(store: MemoryStore) -> Callable[[UUID, str], Awaitable[None]]:
    async def again(event_id: UUID, consumer: str) -> None:
        store.deliver(event_id, consumer)

    return again
