"""A server on this machine that answers as a venue does: by path; what it was asked is kept."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from mastertrade.domain.orders import OrderType, Side
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import OrderTicket
from mastertrade.shared.clock import ReplayClock

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
PAYLOADS = "payloads/nautilus"
OUR_ID = "mt2Sbv3dVn3pCSqUQ0zyRpVZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came over the wire. ``given``: its fields, from the address or from the body."""

    method: str
    path: str
    headers: Mapping[str, str]
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How an answer goes wrong: ``half`` of it arrives, the connection ``breaks`` instead, or it sends
    us ``elsewhere``."""

    status: int = 200
    text: str = ""
    half: bool = False
    breaks: bool = False
    elsewhere: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Any
"""JSON data, a ``Trouble``, or a function of the request that gives one of them."""


Talk = Callable[[str], Sequence[Any]]


@dataclass(slots=True)
class AnsweringVenue:
    """``answers``: by the end of a path, preceded by a method where both are meant."""

    answers: dict[str, Answer]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if f"{one.method} {one.path}".endswith(path)]

    def answer(self, asked: Asked) -> Answer:
        fitting = [name for name in self.answers if f"{asked.method} {asked.path}".endswith(name)]
        if not fitting:
            return Trouble(status=404, text=f"nothing is known of {asked.method} {asked.path}")
        answer = self.answers[max(fitting, key=len)]
        return answer(asked) if callable(answer) else answer


@asynccontextmanager
async def answering(answers: Mapping[str, Answer], talk: Talk | None = None) -> AsyncIterator[AnsweringVenue]:
    """``talk``: what is sent over a websocket in answer to each message that comes."""
    venue = AnsweringVenue(dict(answers))

    async def converse(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            for told in talk(message.data) if talk is not None else ():
                await socket.send_str(told if isinstance(told, str) else json.dumps(told))
        return socket

    async def handle(request: web.Request) -> web.StreamResponse:
        if "upgrade" in request.headers.get("Connection", "").lower():
            return await converse(request)
        body = await request.text()
        fields = dict(request.query) | _fields(body)
        asked = Asked(method=request.method, path=request.path, headers=dict(request.headers), given=fields)
        venue.asked.append(asked)
        return _response(request, venue.answer(asked))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    venue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield venue
    finally:
        await runner.cleanup()


def _fields(body: str) -> dict[str, Any]:
    if body.startswith("{"):
        found: dict[str, Any] = json.loads(body)
        return found
    return dict(parse_qsl(body))


def _response(request: web.Request, answer: Answer) -> web.Response:
    if not isinstance(answer, Trouble):
        return web.json_response(answer)
    if answer.breaks:
        assert request.transport is not None
        request.transport.abort()
    text = answer.text[: len(answer.text) // 2] if answer.half else answer.text
    kind = "application/json" if text.startswith("{") else "text/html"
    headers = {**answer.headers, **({"Location": answer.elsewhere} if answer.elsewhere else {})}
    return web.Response(status=answer.status, text=text, content_type=kind, headers=headers)


def client_of(name: str, credentials: Credentials, *, settle: str = "", **given: Any) -> CcxtVenue:
    if settle:
        return CcxtSwapVenue(name, credentials, settle=settle, leverage=Decimal(1), **given)
    return CcxtVenue(name, credentials, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booth:
    venue: AnsweringVenue
    client: CcxtVenue
    clock: ReplayClock


@asynccontextmanager
async def booth(
    name: str, credentials: Credentials, answers: Mapping[str, Answer], talk: Talk | None = None, *, settle: str = ""
) -> AsyncIterator[Booth]:
    """``settle``: of an account for swaps."""
    clock = ReplayClock(START)
    async with answering(answers, talk) as venue:
        client = client_of(name, credentials, settle=settle, clock=clock, url=venue.url)
        try:
            yield Booth(venue=venue, client=client, clock=clock)
        finally:
            await client.close()


def ticket(symbol: str, **changes: Any) -> OrderTicket:
    given: dict[str, Any] = {
        "client_order_id": OUR_ID, "symbol": symbol, "side": Side.BUY, "type": OrderType.LIMIT,
        "quantity": Decimal("0.5"), "limit_price": Decimal("29500.0"), "signed_at": START,
        "send_by": START + timedelta(seconds=5),
    }  # fmt: skip
    return OrderTicket(**(given | changes))


def recorded(folder: Path, name: str) -> Any:
    """A payload with its numbers as text, so that nothing is lost on the way to the server."""
    return json.loads((folder / PAYLOADS / f"{name}.json").read_text())
