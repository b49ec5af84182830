"""A wire between client and server that breaks on command: a database's or a venue's."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit


class Moment(StrEnum):
    """Where in the life of one request the wire falls silent."""

    BEFORE = "before the request"
    AFTER = "after the request, before its answer"
    WITHIN = "in the middle of its answer"
    HALF_OPEN = "before the request, which its client takes for broken"


@dataclass
class _Trap:
    """Springs when one connection has sent all of these, one after another, each within a piece of its own."""

    requests: tuple[bytes, ...]
    moment: Moment
    seen: dict[int, int] = field(default_factory=dict)

    def springs(self, connection: int, data: bytes) -> bool:
        place = self.seen.get(connection, 0)
        place += self.requests[place] in data
        self.seen[connection] = place
        return place == len(self.requests)


class ChaosProxy:
    """Forwards to the server until told otherwise; each way of breaking stays until ``heal``. What was accepted while
    it was silent is delivered then, also for a client that has gone meanwhile."""

    def __init__(self, host: str, port: int) -> None:
        self._server_address = (host, port)
        self._passes = asyncio.Event()
        self._passes.set()
        self._cut_at: bytes | None = None
        self._trap: _Trap | None = None
        self._answer_left: dict[int, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.slice_bytes = 0
        """So many bytes at a time, both ways; 0 is as they come."""
        self.is_silent = asyncio.Event()

    def go_silent(self) -> None:
        """Nothing passes in either direction, and nobody is told: a black hole."""
        self._passes.clear()
        self.is_silent.set()

    def go_silent_at(self, *requests: bytes, moment: Moment) -> None:
        """A black hole as soon as a connection has sent these, one after another, each in a piece of its own."""
        self._trap = _Trap(requests, moment)

    def cut_after(self, request: bytes) -> None:
        """Let the next request that holds these bytes reach the server, and cut the line before its answer."""
        self._cut_at = request

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.close()

    def reset_clients(self) -> None:
        """Half open: clients find their connections broken, the server hears nothing of it until the wire heals."""
        self.go_silent()
        for writer in list(self._clients):
            _reset(writer)
        self._clients.clear()

    async def storm(self, times: int, every_s: float) -> None:
        """Every connection breaks, and each that is made anew, again and again."""
        for _ in range(times):
            for writer in list(self._writers):
                _reset(writer)
            self._writers.clear()
            await asyncio.sleep(every_s)

    def heal(self) -> None:
        self._cut_at = self._trap = None
        self._answer_left.clear()
        self.slice_bytes = 0
        self.is_silent.clear()
        self._passes.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        await self._passes.wait()
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._server_address)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream_writer}
        self._clients.add(writer)
        for source, target, is_request in ((reader, upstream_writer, True), (upstream_reader, writer, False)):
            task = asyncio.create_task(self._pump(number, source, target, writer, is_request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        number: int,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        is_request: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                cuts = is_request and self._cut_at is not None and self._cut_at in data
                moment = self._sprung(number, data) if is_request else None
                if moment is Moment.BEFORE:
                    self.go_silent()
                if moment is Moment.HALF_OPEN:
                    self.reset_clients()
                await self._passes.wait()
                if cuts:
                    self._cut_at = None
                    client.transport.abort()
                if not is_request and number in self._answer_left:
                    data = await self._half(number, data, target)
                await self._write(target, data)
                if moment is Moment.AFTER:
                    self.go_silent()
                if cuts:
                    await asyncio.sleep(0.1)  # the server works on it in peace
                    break
        await self._passes.wait()  # an end is told as little as the rest
        target.close()

    def _sprung(self, number: int, data: bytes) -> Moment | None:
        if self._trap is None or not self._trap.springs(number, data):
            return None
        moment, self._trap = self._trap.moment, None
        if moment is Moment.WITHIN:
            self._answer_left[number] = 5
        return moment

    async def _half(self, number: int, data: bytes, target: asyncio.StreamWriter) -> bytes:
        """Deliver the beginning, fall silent, and give back the rest."""
        left = self._answer_left.pop(number)
        await self._write(target, data[:left])
        self.go_silent()
        await self._passes.wait()
        return data[left:]

    async def _write(self, target: asyncio.StreamWriter, data: bytes) -> None:
        step = self.slice_bytes or len(data)
        for place in range(0, len(data), step or 1):
            target.write(data[place : place + step])
            await target.drain()
            if self.slice_bytes:
                await asyncio.sleep(0)

    async def stop(self) -> None:
        self.heal()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def chaos_proxy(address: str) -> AsyncIterator[tuple[ChaosProxy, str]]:
    """A proxy before the server of this address, and the address through it."""
    parts = urlsplit(address)
    proxy = ChaosProxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = f"{parts.username}:{parts.password}@" if parts.username else ""
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{port}"))
    finally:
        server.close()
        await proxy.stop()
