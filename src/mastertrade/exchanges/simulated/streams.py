"""The venue's websockets: subscriptions by name, and messages as the venue's time goes on."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSMsgType, web

from mastertrade.exchanges.simulated.events import Event, Stream, events, parse_stream
from mastertrade.exchanges.simulated.faults import FaultScript
from mastertrade.exchanges.simulated.http import answer_instead
from mastertrade.exchanges.simulated.markets import LocalMarket
from mastertrade.exchanges.simulated.venue_time import VenueTime
from mastertrade.exchanges.simulated.wire import SEND_TIMEOUT_S, Wire

log = logging.getLogger(__name__)

PUMP_S: Final = 0.02
"""How often the streams look at the venue's time."""
MOST_STREAMS: Final = 1_024
"""Of one connection, as on Binance."""


@dataclass(slots=True, eq=False)
class _Connection:
    wire: Wire
    is_combined: bool
    opened_ms: int
    seen_ms: dict[Stream, int] = field(default_factory=dict)
    """Up to when each subscribed stream has been told."""

    def write(self, stream: Stream, body: dict[str, Any]) -> str:
        told: Any = {"stream": stream.name, "data": body} if self.is_combined else body
        return json.dumps(told, separators=(",", ":"))


class Streams:
    """All open connections. ``cut_after_s`` is how long (in venue time) a connection may last; Binance's is a day."""

    def __init__(
        self,
        markets: Mapping[str, LocalMarket],
        venue_time: VenueTime,
        faults: FaultScript,
        *,
        cut_after_s: float = 86_400.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._markets = markets
        self._time = venue_time
        self._faults = faults
        self._cut_after_ms = int(cut_after_s * 1000)
        self._monotonic = monotonic
        self._open: set[_Connection] = set()
        self._pumping: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.connections_made = 0

    def add_to(self, application: web.Application) -> None:
        for place in ("/ws", "/stream", "/fstream", "/public/ws", "/market/ws"):
            application.router.add_get(place, self._connect)
            application.router.add_get(place + "/{name:.*}", self._connect)

    async def start(self) -> None:
        self._pumping = asyncio.create_task(self._pump_for_ever(), name="simulated venue")

    async def stop(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        for connection in list(self._open):
            await self._close(connection)

    async def pump(self) -> None:
        """Tell every connection what has happened up to the venue's now."""
        async with self._turn:
            now_ms = self._time.now_ms()
            for connection in list(self._open):
                try:
                    await asyncio.wait_for(self._tell(connection, now_ms), SEND_TIMEOUT_S)
                except (TimeoutError, ConnectionError) as error:
                    log.info("a client of the simulated venue was cut off: %s", type(error).__name__)
                    await self._close(connection)

    async def _pump_for_ever(self) -> None:
        while True:
            await self.pump()
            await asyncio.sleep(PUMP_S)

    async def _tell(self, connection: _Connection, now_ms: int) -> None:
        if now_ms - connection.opened_ms >= self._cut_after_ms:
            await self._close(connection)
            return
        told: list[tuple[int, Stream, Event]] = []
        for stream, seen_ms in connection.seen_ms.items():
            told += [(event.time_ms, stream, event) for event in events(self._markets, stream, seen_ms, now_ms)]
            connection.seen_ms[stream] = now_ms
        for _, stream, event in sorted(told, key=lambda one: one[0]):
            await connection.wire.tell(stream.name, connection.write(stream, event.body))
            if not connection.wire.is_open:
                self._open.discard(connection)
                return

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.for_answer(request.path)
        if fault is not None and (instead := await answer_instead(request, fault)) is not None:
            return instead
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        is_combined = "streams" in request.query
        wire = Wire(request, socket, self._faults, self._monotonic)
        connection = _Connection(wire, is_combined, self._time.now_ms())
        names = request.query.get("streams", request.match_info.get("name", "")).split("/")
        self._subscribe(connection, [name for name in names if "@" in name])
        self._open.add(connection)
        self.connections_made += 1
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(connection, message.data)
        except ConnectionError:
            pass  # it is gone, which is all there is to know
        finally:
            self._open.discard(connection)
        return socket

    async def _answer(self, connection: _Connection, text: str) -> None:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS; anything else is refused as Binance does."""
        try:
            asked = json.loads(text)
            method, id = asked["method"], asked.get("id")
            names = [str(name) for name in asked.get("params") or ()]
        except (ValueError, TypeError, KeyError, AttributeError):
            await connection.wire.socket.send_json({"error": {"code": 3, "msg": "Invalid JSON: expected value"}})
            return
        answer: dict[str, Any] = {"result": None, "id": id}
        async with self._turn:  # nothing of a stream is told before its subscription is answered
            if method == "SUBSCRIBE":
                if not self._subscribe(connection, names):
                    answer = {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": id}
            elif method == "UNSUBSCRIBE":
                for name in names:
                    if (stream := parse_stream(name)) is not None:
                        connection.seen_ms.pop(stream, None)
            elif method == "LIST_SUBSCRIPTIONS":
                answer["result"] = [stream.name for stream in connection.seen_ms]
            else:
                answer = {"error": {"code": 2, "msg": f"Invalid request: unknown variant {method}"}, "id": id}
            with contextlib.suppress(ConnectionError):
                await connection.wire.socket.send_json(answer)

    def _subscribe(self, connection: _Connection, names: list[str]) -> bool:
        streams = [parse_stream(name) for name in names]
        known = [one for one in streams if one is not None]
        if len(known) < len(names) or len(connection.seen_ms) + len(known) > MOST_STREAMS:
            return False
        now_ms = self._time.now_ms()
        for stream in known:
            connection.seen_ms.setdefault(stream, now_ms)
        return True

    async def _close(self, connection: _Connection) -> None:
        self._open.discard(connection)
        await connection.wire.close()
