"""The account's own stream as Binance's websocket API has it: one signed request, then what becomes of its
orders."""

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import WSMsgType, web

from mastertrade.exchanges.simulated.faults import FaultScript
from mastertrade.exchanges.simulated.http import answer_instead
from mastertrade.exchanges.simulated.matching import Happened, TradingAccount, TradingRefused
from mastertrade.exchanges.simulated.private import PrivateRoutes
from mastertrade.exchanges.simulated.streams import PUMP_S
from mastertrade.exchanges.simulated.venue_time import VenueTime
from mastertrade.exchanges.simulated.wire import Wire

log = logging.getLogger(__name__)

PLACE: Final = "/ws-api/v3"
STREAM: Final = "executionReport"
"""Its name in a script of faults."""
SUBSCRIBE: Final = "userDataStream.subscribe.signature"
UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
MALFORMED: Final = -1100


@dataclass(slots=True, eq=False)
class _Listener:
    wire: Wire
    told: int | None = None
    """How much of what happened it has heard; None: it has not subscribed, or its stream has ended."""


class UserStreams:
    """All open connections to the websocket API. What is told is told in its order, from the subscription on."""

    def __init__(
        self, account: TradingAccount, routes: PrivateRoutes, venue_time: VenueTime, faults: FaultScript
    ) -> None:
        self._account = account
        self._routes = routes
        self._time = venue_time
        self._faults = faults
        self._open: set[_Listener] = set()
        self._pumping: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.subscriptions_made = 0

    def add_to(self, application: web.Application) -> None:
        application.router.add_get(PLACE, self._connect)

    async def start(self) -> None:
        self._pumping = asyncio.create_task(self._pump_for_ever(), name="simulated user streams")

    async def stop(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        for listener in list(self._open):
            await listener.wire.close()

    async def pump(self) -> None:
        """Tell every listener what has happened up to the venue's now."""
        async with self._turn:
            if all(listener.told is None for listener in self._open):
                return
            self._account.match(self._time.now_ms())
            for listener in list(self._open):
                try:
                    await self._tell(listener)
                except (TimeoutError, ConnectionError) as error:
                    log.info("a listener of the simulated venue was cut off: %s", type(error).__name__)
                    self._open.discard(listener)
                    await listener.wire.close()

    async def _pump_for_ever(self) -> None:
        while True:
            await self.pump()
            await asyncio.sleep(PUMP_S)

    async def end_all(self) -> None:
        """As when the key is revoked: every stream says that it is over, and its connection stays."""
        async with self._turn:
            for listener in list(self._open):
                await self._end(listener)

    async def _tell(self, listener: _Listener) -> None:
        while listener.told is not None and listener.told < len(self._account.happened):
            one = self._account.happened[listener.told]
            listener.told += 1
            if self._faults.ends_stream(STREAM):
                await self._end(listener)
                return
            await listener.wire.tell(STREAM, _event(execution_report(one)))
            if not listener.wire.is_open:
                self._open.discard(listener)
                return

    async def _end(self, listener: _Listener) -> None:
        if listener.told is not None:
            listener.told = None
            over = {"e": "eventStreamTerminated", "E": self._time.now_ms()}
            with contextlib.suppress(ConnectionError):
                await listener.wire.socket.send_str(_event(over))

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.for_answer(request.path)
        if fault is not None and (instead := await answer_instead(request, fault)) is not None:
            return instead
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        listener = _Listener(Wire(request, socket, self._faults))
        self._open.add(listener)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    async with self._turn:  # nothing is told before its subscription is answered
                        await socket.send_json(self._answer(listener, message.data))
        except ConnectionError:
            pass  # it is gone, which is all there is to know
        finally:
            self._open.discard(listener)
        return socket

    def _answer(self, listener: _Listener, text: str) -> dict[str, Any]:
        try:
            asked = json.loads(text)
            id, method, given = asked.get("id"), asked["method"], asked.get("params") or {}
        except (ValueError, TypeError, KeyError, AttributeError):
            return _refusal(None, MALFORMED, "Malformed request.")
        if method == "ping":
            return {"id": id, "status": 200, "result": {}}
        if method == UNSUBSCRIBE:
            listener.told = None
            return {"id": id, "status": 200, "result": {}}
        if method != SUBSCRIBE or not isinstance(given, dict):
            return _refusal(id, MALFORMED, f"Unknown method {method!r}.")
        try:
            self._routes.check_signed(given)
        except TradingRefused as refused:
            return _refusal(id, refused.code, str(refused))
        self._account.match(self._time.now_ms())
        listener.told = len(self._account.happened)
        self.subscriptions_made += 1
        return {"id": id, "status": 200, "result": {"subscriptionId": 0}}


def execution_report(one: Happened) -> dict[str, Any]:
    """In the letters of Binance. A cancel has an id of its own, and names the order's beside it."""
    order, trade, is_cancel = one.order, one.execution, one.kind == "CANCELED"
    return {
        "e": "executionReport",
        "E": one.time_ms,
        "s": order.symbol,
        "c": f"cancel{order.id}" if is_cancel else order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.life,
        "q": f"{order.quantity:.8f}",
        "p": f"{order.price:.8f}",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if is_cancel else "",
        "x": one.kind,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": f"{trade.quantity if trade else 0:.8f}",
        "z": f"{order.executed:.8f}",
        "L": f"{trade.price if trade else 0:.8f}",
        "n": f"{trade.commission:.8f}" if trade else "0",
        "N": trade.commission_asset if trade else None,
        "T": one.time_ms,
        "t": trade.id if trade else -1,
        "w": order.is_open,
        "m": trade.is_maker if trade else False,
        "O": order.time_ms,
        "Z": f"{order.spent:.8f}",
        "Y": f"{trade.price * trade.quantity if trade else 0:.8f}",
        "Q": "0.00000000",
    }


def _event(body: dict[str, Any]) -> str:
    return json.dumps({"subscriptionId": 0, "event": body}, separators=(",", ":"))


def _refusal(id: Any, code: int, words: str) -> dict[str, Any]:
    return {"id": id, "status": 400, "error": {"code": code, "msg": words}}
