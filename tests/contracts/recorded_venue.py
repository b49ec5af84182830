"""A server on this machine that answers as a venue once did: recorded answers by path, recorded messages by channel."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web


def records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def messages_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one["raw"]) for one in records(path) if one["kind"] == "ws_message"]


def answers_of(*paths: Path) -> dict[str, str]:
    """By path and question, without the host; later files go before earlier ones."""
    return {
        one["url"].split("/", 3)[-1]: one["raw"]
        for path in paths
        for one in records(path)
        if one["kind"] == "http_response"
    }


def channels(text: str) -> tuple[Any, list[str]]:
    """The answer to a subscription, and the names of its channels, as Binance and OKX write them."""
    asked = json.loads(text)
    if "method" in asked:
        return {"result": None, "id": asked.get("id")}, asked["params"]
    names = [f"{one['channel']} {one['instId']}" for one in asked["args"]]
    return {"event": "subscribe", "arg": asked["args"][0]}, names


def channel_of(message: Mapping[str, Any]) -> str:
    if "stream" in message:
        return str(message["stream"])
    arg = message.get("arg") or {}
    return "" if "event" in message else f"{arg.get('channel')} {arg.get('instId')}"


@asynccontextmanager
async def recorded_venue(answers: Mapping[str, str], messages: Iterable[Mapping[str, Any]] = ()) -> AsyncIterator[str]:
    """Its address. Each subscription is sent all recorded messages of its channels, in their order."""
    kept = list(messages)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await talk(request)
        asked = request.path_qs.lstrip("/")
        for name in (asked, asked.partition("?")[0]):
            if name in answers:
                return web.Response(text=answers[name], content_type="application/json")
        return web.Response(status=404, text=f"nothing was recorded for {asked}")

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT or frame.data == "ping":
                continue
            reply, names = channels(frame.data)
            await socket.send_json(reply)
            for message in kept:
                if channel_of(message) in names:
                    await socket.send_json(message)
                    await asyncio.sleep(0)
        return socket

    application = web.Application()
    application.router.add_route("*", "/{anything:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
