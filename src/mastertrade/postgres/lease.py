"""A lease: the right to be the only one in a role, on one database.

Two guards. A session lock says who is alive: it goes with its connection, so a killed holder never blocks its
successor. The epoch says who is newest: every takeover raises it, and writes that carry an older one are refused by the
database, so a holder that slept through its own death can write nothing when it wakes.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mastertrade.shared.errors import AlreadyRunning
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__)
POLL_S = 0.1
PATIENCE_S = 3.0
"""How long a lock may stay after its holder was killed, until the server has noticed; longer means it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    role: str
    epoch: int


@asynccontextmanager
async def hold_lease(manager: PostgresManager, role: str, *, at: datetime) -> AsyncIterator[Lease]:
    """Hold ``role`` while the block runs. AlreadyRunning names the holder when somebody alive has it.

    Keeps one connection of the pool for itself.
    """
    async with manager.acquire() as connection:
        await _wait_for_role(connection, role)
        try:
            holder = f"{socket.gethostname()} pid {os.getpid()}"
            yield Lease(role=role, epoch=await _ask(connection, "take_lease", role, holder, at))
        finally:
            await _ask(connection, "release_role_lock", role)


async def _wait_for_role(connection: Any, role: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not await _ask(connection, "try_role_lock", role):
        if loop.time() > deadline:
            holder = await _ask(connection, "lease_holder", role) or "another process"
            raise AlreadyRunning(
                f"{role} already runs on this database ({holder}): stop that one first, or use another MASTERTRADE_HOME"
            )
        await asyncio.sleep(POLL_S)


async def _ask(connection: Any, name: str, *args: Any) -> Any:
    """A named query on the one connection that holds the lock."""
    text, _ = QUERIES.sql(name)
    return await connection.fetchval(text, *args)
