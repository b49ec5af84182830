"""Wake-ups for other processes: one NOTIFY for all that was published in some milliseconds, outside of its
transactions."""

import asyncio
import logging
from collections.abc import Collection, Iterable

from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

log = logging.getLogger(__name__)
QUERIES = load_queries(__file__)

CHANNEL = "mastertrade_bus"
COALESCE_S = 0.015
"""After a notification the next waits this long: the commits of all notifying sessions pass one lock of the server."""
PAYLOAD_LIMIT = 7000
"""PostgreSQL refuses payloads of 8000 bytes; a longer list of names becomes an empty one, which means everybody."""


class Notifier:
    """The payload is a hint that nobody trusts: at worst a consumer looks in vain. ``sender`` tells our own apart."""

    def __init__(self, manager: PostgresManager, *, clock: Clock, sender: str) -> None:
        self._manager = manager
        self._clock = clock
        self._sender = sender
        self._names: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def tell(self, consumers: Iterable[str]) -> None:
        """Wake these consumers wherever they are served."""
        self._names.update(consumers)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="bus.notify")

    def understood(self, payload: str, served: Collection[str]) -> Collection[str]:
        """The served consumers a notification is for. An empty payload comes when listening begins (again)."""
        sender, _, names = payload.partition("|")
        if sender == self._sender:
            return ()
        return [name for name in names.split(",") if name in served] if names else served

    async def flush(self) -> None:
        """Wait until everything told is sent, or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _send(self) -> None:
        while self._names:
            names, self._names = ",".join(sorted(self._names)), set()
            payload = f"{self._sender}|{names if len(names.encode()) < PAYLOAD_LIMIT else ''}"
            try:
                await QUERIES.execute(self._manager, "notify", channel=CHANNEL, payload=payload)
            except MasterTradeError as error:
                log.warning("other processes are not woken and will find the events by looking: %s", error)
            await self._clock.sleep(COALESCE_S)
