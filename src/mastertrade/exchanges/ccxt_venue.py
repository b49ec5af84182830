"""An account at a venue that ccxt can trade at and whose answers we know (``ANSWERS``), as the port ``Venue``.

An order is written to the wire at most once, signed with the time and the window that were stored before: the venue
itself refuses it when it comes later. Only codes that are known to say no say no; whatever else comes back, or does
not, leaves the outcome open."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from mastertrade.domain.orders import Fill, OrderStatus, OrderType, Side, Terms
from mastertrade.exchanges.ccxt_library import REQUEST_TIMEOUT_S, open_client
from mastertrade.exchanges.exchange import FillPage, OrderTicket, VenueOrder, VenueRefused
from mastertrade.exchanges.key_rights import KeyReport, KeyRights, KeysRefused, binance_rights
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import ConfigurationError, DependencyDown, MasterTradeError
from mastertrade.shared.logging import redact

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
LONGEST_WINDOW_MS: Final = 60_000
TRADES_A_PAGE: Final = 500
OPENED: Final = ""
"""In a cursor: the moment of the opening."""
QUIET: Final = {"adjustForTimeDifference": False, "fetchMargins": False}
"""Nothing is asked behind our back, and no time is moved."""
COMPARED_EVERY: Final = timedelta(minutes=5)
"""The venue's clock with ours."""
_STATES: Final = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Never shown."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """``cursor``: after what was traded until then. A trade of the moment between the two questions would be counted
    twice, and shows as a difference."""

    balances: Mapping[str, Decimal]
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Codes with which a venue says for certain that it did not take an order, that there is no such order, that it has
    none to cancel, and that it does not know these keys."""

    refused: frozenset[int]
    no_order: frozenset[int]
    none_to_cancel: frozenset[int]
    wrong_keys: frozenset[int]


ANSWERS: Final[Mapping[str, Answers]] = {
    "binance": Answers(
        refused=frozenset({
            -1013, -1021, -1022, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1111, -1112, -1114, -1115, -1116,
            -1117, -1121, -1131, -2010, -2014, -2015,
        }),
        no_order=frozenset({-2013}),
        none_to_cancel=frozenset({-2011}),
        wrong_keys=frozenset({-1002, -1022, -2008, -2014, -2015}),
    ),
}  # fmt: skip
"""Source: Binance's list of errors for REST. -1006 and -1007 (``execution status unknown``) refuse nothing, nor does
anything that is not listed. A venue comes in with its codes, when it keeps to the time and the window that a request
was signed with, and numbers its trades."""


@dataclass(slots=True)
class _Refusal:
    """The venue's own code and words, of the last answer, if it came whole."""

    code: int | None = None
    words: str = ""


_heard: ContextVar[_Refusal | None] = ContextVar("heard", default=None)


class CcxtVenue:
    """``url`` puts a local venue in the place of the real one, and is refused where money is real.

    ConfigurationError for a venue whose answers are not known, and for production without ``is_live_allowed``
    (ENABLE_LIVE_TRADING=true)."""

    def __init__(
        self,
        venue: str,
        credentials: Credentials,
        *,
        clock: Clock,
        environment: str = "testnet",
        is_live_allowed: bool = False,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if venue not in ANSWERS:
            raise ConfigurationError(
                f"venue {venue!r}: which of its answers refuse an order is not known; "
                f"orders can go to {', '.join(ANSWERS)}"
            )
        if environment == "production" and not is_live_allowed:
            raise ConfigurationError(
                f"{venue}: trading with real money is off; set ENABLE_LIVE_TRADING=true where you want it on"
            )
        if environment == "production" and url is not None:
            raise ConfigurationError(f"{venue}: {url} cannot stand in for a venue where money is real")
        self._name = venue
        self._environment = environment
        self._answers = ANSWERS[venue]
        self._clock = clock
        self._ahead = timedelta(0)
        self._compared_at: datetime | None = None
        self._client = open_client(venue, url=url, options={**QUIET, **(options or {})})
        self._client.apiKey, self._client.secret = credentials.api_key, credentials.secret
        self._client.password = credentials.password or None
        self._client.on_rest_response = _note_answer
        self._parse_json = self._client.parse_json
        self._client.parse_json = self._parsed
        self._client.nonce = lambda: _ms(self._clock.now() + self._ahead)
        if environment == "testnet" and url is None:
            self._client.set_sandbox_mode(True)
        self._loading = asyncio.Lock()
        self._ours: dict[tuple[str, str], str] = {}

    @property
    def name(self) -> str:
        return self._name

    async def place(self, ticket: OrderTicket) -> VenueOrder:
        await self._load()
        kind = {OrderType.MARKET: "market", OrderType.LIMIT: "limit"}.get(ticket.type)
        if kind is None:
            raise VenueRefused(f"{self._name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        price = None if ticket.limit_price is None else f"{ticket.limit_price:f}"
        params = {
            "clientOrderId": ticket.client_order_id,
            "timestamp": _ms(ticket.signed_at + self._ahead),
            "recvWindow": min((ticket.send_by - ticket.signed_at) // MILLISECOND, LONGEST_WINDOW_MS),
            **_terms(ticket.terms),
        }
        with _hearing() as heard:
            try:
                given = await self._client.create_order(
                    ticket.symbol, kind, ticket.side.value.lower(), f"{ticket.quantity:f}", price, params
                )
            except Exception as error:
                if heard.code in self._answers.refused:
                    raise VenueRefused(f"{self._name}: {heard.words} ({heard.code})") from error
                raise  # no answer: the caller asks
        return self._order(given)

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        await self._load()
        with _hearing() as heard:
            try:
                await self._client.cancel_order(None, symbol, {"clientOrderId": client_order_id})
            except Exception:
                if heard.code not in self._answers.none_to_cancel:
                    raise
        found = await self.find(client_order_id, symbol)
        if found is None:
            raise VenueRefused(f"{self._name}: there is no order {client_order_id} to cancel")
        return found

    async def find(self, client_order_id: str, symbol: str) -> VenueOrder | None:
        await self._load()
        with _hearing() as heard:
            try:
                return self._order(await self._client.fetch_order(None, symbol, {"clientOrderId": client_order_id}))
            except Exception:
                if heard.code in self._answers.no_order:
                    return None
                raise

    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        await self._load()
        found = [await self._client.fetch_open_orders(symbol) for symbol in symbols]
        return tuple(self._order(one) for orders in found for one in orders)

    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        """The cursor names the last trade of each market; one that began with ``opening`` leaves out what was traded
        before."""
        await self._load()
        cursor: dict[str, int] = json.loads(after) if after else {}
        opened_ms = cursor.get(OPENED, 0)
        fills: list[Fill] = []
        for symbol in dict.fromkeys([*(key for key in cursor if key != OPENED), *symbols]):
            for trade in await self._trades(symbol, cursor.get(symbol), opened_ms):
                number = int(trade["id"])
                if number > cursor.get(symbol, 0):
                    cursor[symbol] = number
                    if int(trade["timestamp"]) >= opened_ms:
                        fills.append(await self._fill(trade))
        fills.sort(key=lambda fill: fill.trade_time)
        return FillPage(fills=tuple(fills), cursor=json.dumps(cursor, sort_keys=True) if cursor else after)

    async def _trades(self, symbol: str, last: int | None, opened_ms: int) -> Sequence[Mapping[str, Any]]:
        """The next page. Of a market that is new in the cursor the latest one, if it reaches back to the opening; else
        it is walked from its first trade on."""
        if last is None and opened_ms:
            latest: list[Mapping[str, Any]] = await self._client.fetch_my_trades(symbol, None, TRADES_A_PAGE)
            if len(latest) < TRADES_A_PAGE or min(int(one["timestamp"]) for one in latest) < opened_ms:
                return sorted(latest, key=lambda one: int(one["id"]))
        found = await self._client.fetch_my_trades(symbol, None, TRADES_A_PAGE, {"fromId": (last or 0) + 1})
        return sorted(found, key=lambda one: int(one["id"]))

    async def opening(self) -> Opening:
        """Where an account begins that nobody has kept books of: what it holds now, and where its fills begin."""
        at = await self.now()
        return Opening(balances=await self.balances(), cursor=json.dumps({OPENED: _ms(at)}))

    async def balances(self) -> dict[str, Decimal]:
        await self._load()
        given = await self._client.fetch_balance()
        return {asset: amount for asset, total in given["total"].items() if (amount := Decimal(str(total or 0)))}

    async def now(self) -> datetime:
        before = self._clock.now()
        told = EPOCH + timedelta(milliseconds=int(await self._client.fetch_time()))
        self._compared_at = self._clock.now()
        self._ahead = told - (before + (self._compared_at - before) / 2)
        return told

    async def check_keys(self, *, timeout_s: float = REQUEST_TIMEOUT_S) -> KeyReport:
        """KeysRefused when the venue does not know them, DependencyDown when it does not answer in time or with sense;
        neither error holds anything of what was sent."""
        with _hearing() as heard:
            try:
                async with asyncio.timeout(timeout_s):
                    await self.now()
                    assets = await self.balances()
                    return KeyReport(clock_ahead=self._ahead, rights=await self._rights(), assets=len(assets))
            except MasterTradeError:
                raise
            except Exception as error:  # noqa: BLE001 - ccxt's, whose texts hold signed addresses
                words, kind = redact(heard.words), type(error).__name__
        if heard.code in self._answers.wrong_keys:
            raise KeysRefused(
                f"{self._name} does not accept the keys: {words} ({heard.code}); check that both were copied whole, "
                f"are of its {self._environment}, and may be used from this machine's address"
            )
        told = kind if heard.code is None else f"{words} ({heard.code})"
        raise DependencyDown(f"{self._name} does not answer as it should: {told}")

    def _parsed(self, body: str) -> Any:
        """ccxt hands on what is no JSON as text, and takes it for an empty list of orders, fills or balances."""
        found = self._parse_json(body)
        if found is None:
            raise DependencyDown(
                f"{self._name} does not answer as it should: {len(body):,} characters that are no JSON"
            )
        return found

    async def _rights(self) -> KeyRights | None:
        """Binance's testnet has no such question."""
        if "sapi" not in self._client.urls["api"]:
            return None
        return binance_rights(await self._client.sapi_get_account_apirestrictions())

    async def close(self) -> None:
        await self._client.close()

    async def _load(self) -> None:
        async with self._loading:
            if not self._client.markets:
                await self._client.load_markets()
            if self._compared_at is None or self._clock.now() - self._compared_at > COMPARED_EVERY:
                await self.now()

    async def _fill(self, trade: Mapping[str, Any]) -> Fill:
        fee = trade.get("fee") or {}
        order = str(trade["order"])
        return Fill(
            client_order_id=await self._client_id(order, str(trade["symbol"])),
            exchange_order_id=order,
            exchange_trade_id=str(trade["id"]),
            symbol=str(trade["symbol"]),
            side=Side(str(trade["side"]).upper()),
            quantity=Decimal(str(trade["amount"])),
            price=Decimal(str(trade["price"])),
            commission=Decimal(str(fee.get("cost") or 0)),
            commission_asset=str(fee.get("currency") or ""),
            is_maker=trade.get("takerOrMaker") == "maker",
            trade_time=EPOCH + timedelta(milliseconds=int(trade["timestamp"])),
        )

    async def _client_id(self, order: str, symbol: str) -> str:
        """A trade names the venue's order; which of ours that is it tells when asked."""
        if (symbol, order) not in self._ours:
            found = await self._client.fetch_order(order, symbol)
            self._ours[symbol, order] = str(found.get("clientOrderId") or "")
        return self._ours[symbol, order]

    def _order(self, given: Mapping[str, Any]) -> VenueOrder:
        status = _STATES.get(str(given.get("status")), OrderStatus.OPEN)
        filled = Decimal(str(given.get("filled") or 0))
        if status is OrderStatus.OPEN and filled > 0:
            status = OrderStatus.PARTIALLY_FILLED
        self._ours[str(given["symbol"]), str(given["id"])] = str(given.get("clientOrderId") or "")
        return VenueOrder(
            client_order_id=str(given.get("clientOrderId") or ""),
            exchange_order_id=str(given["id"]),
            symbol=str(given["symbol"]),
            side=Side(str(given["side"]).upper()),
            quantity=Decimal(str(given["amount"])),
            filled_quantity=filled,
            status=status,
            limit_price=Decimal(str(given["price"])) if given.get("type") == "limit" else None,
        )


def _terms(terms: Terms) -> dict[str, Any]:
    """In ccxt's words. Spot markets know no end at a time, which the executor's cancel makes, and nothing to reduce."""
    if terms.post_only:
        return {"postOnly": True}
    return {"timeInForce": terms.time_in_force.value} if terms.trades_at_once else {}


@contextmanager
def _hearing() -> Iterator[_Refusal]:
    """What the venue says within: ccxt drops codes from some of its errors."""
    heard = _Refusal()
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def _note_answer(status: int, _reason: str, _url: str, _method: str, _headers: Any, body: str, *_: object) -> str:
    heard = _heard.get()
    if heard is not None:
        heard.code, heard.words = _code_of(body) if 400 <= status < 500 else (None, "")
    return body.strip()


def _code_of(body: str) -> tuple[int | None, str]:
    try:
        told = json.loads(body)
    except ValueError:
        return None, ""
    if isinstance(told, dict) and type(told.get("code")) is int:
        return told["code"], str(told.get("msg", ""))
    return None, ""


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND
