"""A process that serves one consumer: ``python bus_worker.py DSN NAME [stay]``. It says ``ready`` once it serves.

An event that says ``poison`` ends it on the spot. Everything else becomes a row of ``effects``. Without ``stay`` it
ends once nothing waits."""

import asyncio
import os
import sys

from mastertrade.domain.events import TradingStateChanged
from mastertrade.messaging.bus import Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction


async def handle(event: TradingStateChanged, tx: Transaction) -> None:
    insert = "INSERT INTO effects (text, key, process) VALUES ($1, $2, $3)"
    await tx.execute(insert, event.reason, event.scope, os.getpid())
    if event.reason == "poison":
        os._exit(137)
    await asyncio.sleep(0.002)
    await tx.execute("UPDATE effects SET ended_at = clock_timestamp() WHERE text = $1", event.reason)


async def mourn(event: TradingStateChanged, tx: Transaction) -> None:
    insert = "INSERT INTO effects (text, key, process) VALUES ($1, $2, $3)"
    await tx.execute(insert, f"mourned {event.reason}", event.scope, os.getpid())


async def main(dsn: str, consumer: str, stay: bool) -> None:
    manager = PostgresManager(dsn, statement_cache_size=100, max_size=5)
    await manager.connect()
    bus = PostgresBus(manager, clock=SystemClock())
    subscription = Subscription(
        consumer=consumer, handlers={TradingStateChanged: handle}, on_dead_letter=mourn, workers=2
    )
    await bus.start([subscription])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if stay:
        await asyncio.Event().wait()
    await bus.drain(timeout_s=30)
    await bus.stop()
    await manager.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["stay"]))
