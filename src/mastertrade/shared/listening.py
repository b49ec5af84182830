"""LISTEN on one connection of its own, that notices its own death."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mastertrade.shared.errors import DatabaseDown, MasterTradeError
from mastertrade.shared.postgres_errors import RUNNING, translated
from mastertrade.shared.statements import is_lost

log = logging.getLogger(__name__)

PROBE_EVERY_S = 3.0
PROBE_TIMEOUT_S = 2.0
"""A dead peer is noticed after the sum of both at the latest; pollers cover the time until then."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 2.0
CHANNEL_LIMIT = 63


class Listening:
    """One callback on one channel; ``close`` ends it."""

    def __init__(self, listener: "Listener", channel: str, callback: Callable[[str], None]) -> None:
        self._listener = listener
        self.channel = channel
        self.callback = callback

    async def close(self) -> None:
        """Harmless when repeated."""
        await self._listener.forget(self)

    async def __aenter__(self) -> "Listening":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Listener:
    """Keeps the connection alive and every channel listened to until closed."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], server: str, probe_every_s: float) -> None:
        self._connect = connect
        self._server = server
        self._probe_every_s = probe_every_s
        self._listenings: list[Listening] = []
        self._connection: Any = None
        self._lost = asyncio.Event()
        self._lock = asyncio.Lock()
        self._guard: asyncio.Task[None] | None = None

    async def listen(self, channel: str, callback: Callable[[str], None]) -> Listening:
        if not channel or len(channel.encode()) > CHANNEL_LIMIT:
            raise ValueError(f"channel {channel!r} must have 1 to {CHANNEL_LIMIT} bytes")
        listening = Listening(self, channel, callback)
        async with self._lock:
            self._listenings.append(listening)
            try:
                begun = [listening] if await self._joins(listening) else await self._restore()
            except BaseException:
                self._listenings.remove(listening)
                self._lost.set()  # whatever is left of the connection may be deaf to some
                raise
            if self._guard is None:
                self._guard = asyncio.create_task(self._watch(), name="postgres-listener")
        self._call(begun, "")
        return listening

    async def _joins(self, listening: Listening) -> bool:
        """Whether the connection that is there could take one more."""
        if self._connection is None or is_lost(self._connection):
            return False
        try:
            await self._add(listening)
        except DatabaseDown:  # it had died unnoticed
            return False
        return True

    async def forget(self, listening: Listening) -> None:
        async with self._lock:
            if listening not in self._listenings:
                return
            self._listenings.remove(listening)
            if any(other.channel == listening.channel for other in self._listenings):
                return
            connection = self._connection
            if connection is not None and not is_lost(connection):
                try:
                    await connection.remove_listener(listening.channel, self._notified)
                except Exception:  # noqa: BLE001 - the connection broke; the next one does not listen to this channel
                    self._lost.set()

    async def close(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)
        self._listenings.clear()
        connection, self._connection = self._connection, None
        if connection is not None and not is_lost(connection):
            connection.terminate()

    async def _watch(self) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            try:
                await asyncio.wait_for(self._lost.wait(), self._probe_every_s)
            except TimeoutError:
                if await self._answers():
                    continue
                self._lost.set()
            try:
                async with self._lock:
                    if not self._lost.is_set():  # a new listener has restored it meanwhile
                        continue
                    waiting = await self._restore()
            except Exception as error:
                expected = isinstance(error, MasterTradeError)
                log.warning(
                    "listening on %s is down, next try in %g s: %s", self._server, delay_s, error, exc_info=not expected
                )
                self._lost.set()
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
                continue
            delay_s = FIRST_DELAY_S
            log.info("listening on %s again", self._server)
            self._call(waiting, "")

    async def _answers(self) -> bool:
        try:
            await self._connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection does not hear
            log.warning("the listening connection to %s is dead: %s", self._server, str(error) or type(error).__name__)
            return False
        return True

    async def _restore(self) -> list[Listening]:
        """A new connection that listens to every channel; returns who has to be told."""
        old, self._connection = self._connection, None
        if old is not None and not is_lost(old):
            old.terminate()
        connection = await self._connect()
        self._lost.clear()
        connection.add_termination_listener(self._terminated)
        self._connection = connection
        for listening in self._listenings:
            await self._add(listening)
        return list(self._listenings)

    async def _add(self, listening: Listening) -> None:
        # The driver listens once for each (channel, callback) pair, so a second callback of ours costs nothing.
        with translated(self._server, kinds=RUNNING):
            await self._connection.add_listener(listening.channel, self._notified)

    def _terminated(self, connection: Any) -> None:
        if connection is self._connection:
            self._lost.set()

    def _notified(self, connection: Any, process: int, channel: str, payload: Any) -> None:
        self._call([listening for listening in self._listenings if listening.channel == channel], str(payload))

    def _call(self, listenings: Sequence[Listening], payload: str) -> None:
        for listening in listenings:
            try:
                listening.callback(payload)
            except Exception:
                log.exception("the callback on channel %s failed", listening.channel)
