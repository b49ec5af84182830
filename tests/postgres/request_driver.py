"""A process that asks a local venue as fast as it may, until it is killed:
``python -m tests.postgres.request_driver DSN URL``. With ``hold`` behind them it takes a turn in a transaction that it
never ends. It says when it has begun."""

import asyncio
import sys
from typing import Any

from mastertrade.exchanges.ccxt_library import open_client
from mastertrade.exchanges.request_budget import Purpose, RequestBudget
from mastertrade.shared.postgres_manager import PostgresManager

UNITS = 10
WINDOW_S = 1.0
"""A venue that is asked a lot in a short time: 50 pings a second, of which ccxt counts each as a fifth of a unit."""
PINGS = 50


def local_client(url: str, budget: RequestBudget, purpose: Purpose = Purpose.DATA) -> Any:
    client = open_client("binance", url=url, options={}, budget=budget, purpose=purpose)
    client.rateLimit, client.rollingWindowSize = WINDOW_S * 1000 / UNITS, WINDOW_S * 1000
    return client


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def ask(dsn: str, url: str) -> None:
    manager = PostgresManager(dsn)
    await manager.connect()
    client = local_client(url, RequestBudget(manager, share=0.9, counts_local=True))
    await client.publicGetPing()
    say("asked")

    async def go_on() -> None:
        while True:
            await client.publicGetPing()

    await asyncio.gather(*(go_on() for _ in range(4)))


async def hold(dsn: str, url: str) -> None:
    manager = PostgresManager(dsn)
    await manager.connect()
    async with manager.transaction() as tx:
        await tx.fetchrow("SELECT wait_s FROM take_request($1, 1000, 1, 1000, 1000)", url)
        say("held")
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run((hold if "hold" in sys.argv else ask)(sys.argv[1], sys.argv[2]))
