"""The account's own stream through ccxt: which orders there is news of, at any venue whose rules we know.

Nothing is taken from it but names. ccxt's caches are made to note what is put into them, since what it hands out is
the state at the moment somebody waits."""

import asyncio
import importlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from mastertrade.exchanges.ccxt_library import STREAMS, errors, open_client
from mastertrade.exchanges.ccxt_rules import Told, VenueRules
from mastertrade.exchanges.ccxt_streams import KEEP_ALIVE_MS
from mastertrade.exchanges.exchange import AccountNews, Listening
from mastertrade.exchanges.market_feed import FeedDown

SUBSCRIBE_TIMEOUT_S: Final = 20.0
MOST_WAITING: Final = 10_000
"""News nobody has taken. Beyond that the connection is given up, and the account is asked."""
KEPT: Final = 1_000
"""Orders and trades that ccxt remembers."""
OVER: Final = frozenset({"closed", "canceled", "expired", "rejected"})


def streaming_client(asking: Any, *, url: str | None, options: Mapping[str, Any]) -> Any:
    """A client with websockets beside one that asks: with its keys and markets, and whatever it has to ask it asks
    through that one, so that requests are signed, counted and put in order in one place."""
    client = open_client(asking.id, package=STREAMS, url=url, options=options)
    if asking.isSandboxModeEnabled:
        client.set_sandbox_mode(True)
    client.apiKey, client.secret, client.password = asking.apiKey, asking.secret, asking.password
    client.nonce, client.fetch2 = asking.nonce, asking.fetch2
    client.streaming = {**client.streaming, "keepAlive": KEEP_ALIVE_MS}
    client.set_markets_from_exchange(asking)
    return client


class _News:
    """What has come and was not taken yet."""

    def __init__(self) -> None:
        self.waiting: deque[Listening | AccountNews] = deque()
        self.is_there = asyncio.Event()
        self.is_listening = False
        self.end: FeedDown | None = None

    def add(self, one: Listening | AccountNews) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.fail(f"more than {MOST_WAITING:,} news of the account wait")
        else:
            self.waiting.append(one)
            self.is_there.set()

    def fail(self, why: str) -> None:
        self.end = self.end or FeedDown(why)
        self.is_there.set()


async def watch_account(
    client: Any, rules: VenueRules, our_id: Callable[[str], str]
) -> AsyncGenerator[Listening | AccountNews]:
    """``client``: one of ccxt's with websockets, with keys and markets, that is used for nothing else; it is closed in
    the end. ``our_id`` turns the venue's form of an id into ours. FeedDown when the connection, or what it tells, is
    over; other errors are ccxt's."""
    news = _News()
    _listen(client, rules, news, our_id)
    watching = [asyncio.create_task(_keep(watch, news, rules.name)) for watch in rules.streams(client)]
    patience = asyncio.get_running_loop().call_later(SUBSCRIBE_TIMEOUT_S, _give_up, news, rules.name)
    try:
        while True:
            await news.is_there.wait()
            news.is_there.clear()
            while news.waiting:
                yield news.waiting.popleft()
            if news.end is not None:
                raise news.end
    finally:
        patience.cancel()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await client.close()


async def _keep(watch: Callable[[], Any], news: _News, name: str) -> None:
    """The watch only keeps the subscription alive and carries the errors."""
    try:
        while True:
            await watch()
    except Exception as error:  # noqa: BLE001 - ccxt's, whose texts may hold signed addresses
        news.fail(f"{name}: the account's stream ended: {type(error).__name__}")


def _give_up(news: _News, name: str) -> None:
    if not news.is_listening:
        news.fail(f"{name}: the account's stream was not confirmed in {SUBSCRIBE_TIMEOUT_S:.0f} s")


def _listen(client: Any, rules: VenueRules, news: _News, our_id: Callable[[str], str]) -> None:
    """Note every message before ccxt handles it, and every order and trade it makes of one."""
    handle, connect = client.handle_message, client.client
    connections: list[Any] = []

    def handle_and_note(connection: Any, message: Any) -> None:
        if not news.is_listening and rules.is_listening(message):
            news.is_listening = True
            news.add(Listening())
        if rules.is_stream_over(message):
            news.fail(f"{rules.name}: the venue ended the account's stream")
        handle(connection, message)

    def connection_of(url: str) -> Any:
        connection = connect(url)
        if connection not in connections:
            connections.append(connection)
            read = connection.handle_text_or_binary_message

            def read_or_end(data: Any) -> None:
                try:
                    read(data)
                except Exception as error:  # noqa: BLE001 - ccxt would read no further, and say nothing
                    news.fail(f"{rules.name}: what the account's stream told is not understood: {type(error).__name__}")

            connection.handle_text_or_binary_message = read_or_end
        return connection

    def on_order(order: Told) -> None:
        told = rules.client_id(order)
        news.add(
            AccountNews(
                symbol=str(order.get("symbol")),
                exchange_order_id=str(order.get("id")),
                client_order_id=our_id(told) if told else "",
                has_traded=float(order.get("filled") or 0) > 0,
                is_over=order.get("status") in OVER,
            )
        )

    def on_trade(trade: Told) -> None:
        news.add(
            AccountNews(
                symbol=str(trade.get("symbol")),
                exchange_order_id=str(trade.get("order")),
                exchange_trade_id=str(trade.get("id") or ""),
                has_traded=True,
            )
        )

    client.handle_message, client.client = handle_and_note, connection_of
    client.newUpdates = True
    client.orders, client.myTrades = _cache()(on_order), _cache()(on_trade)


@lru_cache(maxsize=1)
def _cache() -> Any:
    """Made when ccxt is there."""
    errors()  # puts ccxt's packages in place
    module = importlib.import_module("ccxt.async_support.base.ws.cache")

    class Noting(module.ArrayCacheBySymbolById):  # type: ignore[name-defined,misc]
        def __init__(self, note: Callable[[Told], None]) -> None:
            super().__init__(KEPT)
            self._note = note

        def append(self, item: dict[str, Any]) -> None:
            super().append(item)
            self._note(item)

    return Noting
