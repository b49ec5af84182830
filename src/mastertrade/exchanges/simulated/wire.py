"""One open websocket of the venue, and what the script of faults makes of the messages that go over it."""

import contextlib
import time
from asyncio import wait_for
from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web

from mastertrade.exchanges.simulated.faults import Fault, FaultKind, FaultScript

SEND_TIMEOUT_S: Final = 5.0
"""A client that does not read for so long is cut off."""


class Wire:
    """``is_open`` until either side has ended it."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        faults: FaultScript,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = request
        self.socket = socket
        self._faults = faults
        self._monotonic = monotonic
        self._held: dict[str, str] = {}
        self._silent_until_s = 0.0
        self.is_open = True

    async def tell(self, stream: str, text: str) -> None:
        """Send a message of a stream, or what a fault makes of it."""
        for one in self._after_faults(stream, text):
            await wait_for(self.socket.send_str(one), SEND_TIMEOUT_S)

    def _after_faults(self, stream: str, text: str) -> Iterator[str]:
        if self._monotonic() < self._silent_until_s:
            return
        fault = self._faults.for_message(stream)
        waiting = self._held.pop(stream, None)
        match fault:
            case None:
                yield text
            case Fault(kind=FaultKind.REPEAT):
                yield text
                yield text
            case Fault(kind=FaultKind.TRUNCATE):
                yield text[: len(text) // 2]
            case Fault(kind=FaultKind.REORDER):
                self._held[stream] = text  # until the next one has passed it
            case Fault(kind=FaultKind.SILENCE):
                self._silent_until_s = self._monotonic() + fault.seconds
            case Fault(kind=FaultKind.DROP):
                self.abort()
                return
            case _:
                pass  # the message is lost
        if waiting is not None:
            yield waiting

    def abort(self) -> None:
        """As a cable that is pulled out: no close message."""
        self.is_open = False
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self) -> None:
        self.is_open = False
        with contextlib.suppress(Exception):
            await wait_for(self.socket.close(), SEND_TIMEOUT_S)
