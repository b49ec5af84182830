"""What differs from venue to venue: the answers that refuse, how an order is named, held to its time and found again,
how trades are paged, what a key may do. ``VenueRules`` is what ccxt does alike at most of them."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Final

from mastertrade.domain.orders import OrderType, Terms
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights

Told = Mapping[str, Any]
"""An order or a trade as ccxt has parsed it."""
SPOT: Final[Mapping[str, Any]] = {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}
THEIRS: Final = "@"
"""Before the venue's own number, where an order has no id of its client's."""
_AGAIN: Final = re.compile(
    r"\bduplicated?\b(?! values)|already (exist|been used|in use)|(not|be) unique", re.IGNORECASE
)
"""Words about an id. Venues say them with codes of their own and with common ones: Binance with -2010, Bybit with
10001."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Never shown. ``password``: the passphrase that OKX asks for besides."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Codes with which a venue says for certain that it did not take an order, that there is no such order, that it has
    none to cancel, and that it does not know these keys. Whatever is not listed leaves the outcome open."""

    refused: frozenset[str]
    no_order: frozenset[str] = frozenset()
    none_to_cancel: frozenset[str] = frozenset()
    wrong_keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an order was signed and until when the venue may take it, in milliseconds of the venue's clock."""

    at_ms: int
    until_ms: int


@dataclass(slots=True)
class Heard:
    """The venue's own codes and words, of the last answer, if it came whole."""

    codes: frozenset[str] = frozenset()
    words: str = ""

    def says(self, known: frozenset[str]) -> bool:
        return bool(self.codes) and self.codes <= known

    def refuses(self, known: frozenset[str]) -> bool:
        """An order. An id that is taken already is none: whoever has it may be this very order."""
        return self.says(known) and _AGAIN.search(self.words) is None

    def __str__(self) -> str:
        return f"{self.words} ({', '.join(sorted(self.codes))})" if self.words else ", ".join(sorted(self.codes))


stamp: Final[ContextVar[Stamp | None]] = ContextVar("stamp", default=None)
"""Of the order that is being sent."""


@contextmanager
def stamped(given: Stamp) -> Iterator[None]:
    token = stamp.set(given)
    try:
        yield
    finally:
        stamp.reset(token)


class VenueRules(ABC):
    """One venue, through ccxt's client of it."""

    name: ClassVar[str]
    answers: ClassVar[Answers]
    options: ClassVar[Mapping[str, Any]] = SPOT
    """For ccxt. No option may make it ask something behind our back."""
    key_parts: ClassVar[tuple[str, ...]] = ("API key", "secret")
    has_testnet: ClassVar[bool] = True
    nonce_counts: ClassVar[bool] = False
    """The venue takes ccxt's nonce for a counter: a stored time would be one it has seen."""
    has_aliases: ClassVar[bool] = False
    """It may tell an order of one market under the name of another that shares its book."""

    def credentials(self, given: Credentials) -> Credentials:
        """As ccxt wants them. ConfigurationError tells what cannot be a key of this venue."""
        return given

    def prepare(self, client: Any) -> None:  # noqa: B027 - most need nothing
        """Once, before anything is asked."""

    def use_testnet(self, client: Any) -> None:
        client.set_sandbox_mode(True)

    def heard(self, status: int, body: str) -> Heard:
        """A whole answer's codes: none where it went well, where its server failed, or where it sends us elsewhere."""
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        codes, words = self.codes(status, told) if 200 <= status < 300 or 400 <= status < 500 else ((), "")
        return Heard(frozenset(codes), words)

    @abstractmethod
    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        """Out of parsed JSON, or None where it was none: the codes, and the words that go with them."""

    def venue_id(self, client_order_id: str) -> str:
        """Our id in the venue's length and letters; ``our_id`` leads back."""
        return client_order_id

    def our_id(self, venue_id: str) -> str:
        return venue_id

    def client_id(self, order: Told) -> str:
        """Its client's id as the venue shows it, or nothing."""
        return str(order.get("clientOrderId") or "")

    def id_in(self, trade: Told) -> str | None:
        """The same of a trade's order; None where trades do not tell."""
        return None

    def fence(self, given: Stamp) -> Mapping[str, Any]:
        """What of a request makes the venue refuse it once its time is over; some put it into ``prepare``."""
        return {}

    def terms(self, terms: Terms) -> dict[str, Any]:
        """In ccxt's words. Spot markets know no end at a time, which the executor's cancel makes, and nothing to
        reduce."""
        if terms.post_only:
            return {"postOnly": True}
        return {"timeInForce": terms.time_in_force.value} if terms.trades_at_once else {}

    def note_signed(self, client_order_id: str, at_ms: int) -> None:  # noqa: B027 - most find an order by its id
        """When an order of ours was signed, in milliseconds of the venue's clock: before it is sent or looked for."""

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        kind = {OrderType.MARKET: "market", OrderType.LIMIT: "limit"}.get(ticket.type)
        if kind is None:
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        price = None if ticket.limit_price is None else f"{ticket.limit_price:f}"
        params = {**self.named(ticket.client_order_id), **self.fence(given), **self.terms(ticket.terms)}
        params.update(self.sized(client, ticket))
        told: Told = await client.create_order(
            ticket.symbol, kind, ticket.side.value.lower(), f"{ticket.quantity:f}", price, params
        )
        return told

    def named(self, client_order_id: str) -> dict[str, Any]:
        return {"clientOrderId": self.venue_id(client_order_id)}

    def sized(self, client: Any, ticket: OrderTicket) -> dict[str, Any]:
        """Where ccxt would not send the quantity in the base asset."""
        return {}

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        """By our id, open or ended, or None for a certain "no such order". ``number``: the venue's, if we have heard it
        since we started. DependencyDown when the venue cannot tell."""
        told: Told = await client.fetch_order(None, symbol, self.named(client_order_id))
        return told

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        told: Told = await client.fetch_order(number, symbol)
        return told

    async def cancel(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> None:
        await client.cancel_order(None, symbol, self.named(client_order_id))

    async def cancel_number(self, client: Any, number: str, symbol: str) -> None:
        await client.cancel_order(number, symbol)

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        found = [await client.fetch_open_orders(symbol) for symbol in symbols]
        return [one for orders in found for one in orders]

    @abstractmethod
    async def trades(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        """Those after the cursor, oldest first, and the cursor to go on from: the same one when all is told."""

    def fee(self, trade: Told) -> tuple[Decimal, str]:
        """What was taken, less than nothing for a rebate, and of which asset."""
        fee = trade.get("fee") or {}
        return Decimal(str(fee.get("cost") or 0)), str(fee.get("currency") or "")

    def realized(self, trade: Told) -> Decimal | None:
        """Of a swap, what the venue booked for the part that closed; None where it does not say."""
        return None

    async def balances(self, client: Any) -> Mapping[str, Any]:
        given = await client.fetch_balance()
        return {asset: total for asset, total in given["total"].items() if total is not None}

    async def now_ms(self, client: Any) -> int:
        return int(await client.fetch_time())

    async def trades_of(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        """As ``trades``, of these markets, where fewer markets are fewer questions."""
        return await self.trades(client, after, symbols, now_ms)

    def streams(self, client: Any) -> Sequence[Callable[[], Awaitable[Any]]]:
        """What subscribes to the account's orders and fills, of a client with websockets."""
        return (client.watch_orders,)

    def is_listening(self, message: Any) -> bool:
        """Whether a message of the websocket says that the last of these subscriptions stands."""
        return False

    def is_stream_over(self, message: Any) -> bool:
        """Whether it says that no more will come, although the connection stays."""
        return False

    async def rights(self, client: Any) -> KeyRights | None:
        """None: the venue does not tell."""
        return None
