"""A wire between client and server that breaks on command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit


class ChaosProxy:
    """Forwards to the server until told otherwise; each way of breaking stays until ``heal``."""

    def __init__(self, host: str, port: int) -> None:
        self._server_address = (host, port)
        self._passes = asyncio.Event()
        self._passes.set()
        self._cut_at: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    def go_silent(self) -> None:
        """Nothing passes in either direction, and nobody is told: a black hole."""
        self._passes.clear()

    def cut_after(self, request: bytes) -> None:
        """Let the next request that holds these bytes reach the server, and cut the line before its answer."""
        self._cut_at = request

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.close()

    def heal(self) -> None:
        self._cut_at = None
        self._passes.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._passes.wait()
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._server_address)
        self._writers |= {writer, upstream_writer}
        for source, target, is_request in ((reader, upstream_writer, True), (upstream_reader, writer, False)):
            task = asyncio.create_task(self._pump(source, target, writer, is_request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, client: asyncio.StreamWriter, is_request: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._passes.wait()
                cuts = is_request and self._cut_at is not None and self._cut_at in data
                if cuts:
                    self._cut_at = None
                    client.transport.abort()
                target.write(data)
                await target.drain()
                if cuts:
                    await asyncio.sleep(0.1)  # the server works on it in peace
                    break
        target.close()

    async def stop(self) -> None:
        self.heal()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def chaos_proxy(dsn: str) -> AsyncIterator[tuple[ChaosProxy, str]]:
    """A proxy before the server of ``dsn``, and the address through it."""
    parts = urlsplit(dsn)
    proxy = ChaosProxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = f"{parts.username}:{parts.password}"
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    finally:
        server.close()
        await proxy.stop()
