"""An account at a venue that ccxt can trade at and whose rules we know (``VENUES``), as the port ``Venue``.

An order is written to the wire at most once, before its time is over and, where the venue offers that, so that it
refuses the order itself when it comes later. Only codes that are known to say no say no; whatever else comes back, or
does not, leaves the outcome open."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from mastertrade.domain.orders import CLIENT_ORDER_PREFIX, Fill, OrderStatus, OrderType
from mastertrade.exchanges.ccxt_account import streaming_client, watch_account
from mastertrade.exchanges.ccxt_asking import Straight, answered, asking, question_of
from mastertrade.exchanges.ccxt_binance import OPENED, Binance
from mastertrade.exchanges.ccxt_bybit import Bybit
from mastertrade.exchanges.ccxt_coinbase import Coinbase
from mastertrade.exchanges.ccxt_kraken import Kraken
from mastertrade.exchanges.ccxt_library import REQUEST_TIMEOUT_S, open_client, short
from mastertrade.exchanges.ccxt_okx import Okx
from mastertrade.exchanges.ccxt_pacing import errand
from mastertrade.exchanges.ccxt_reading import EPOCH, Reading
from mastertrade.exchanges.ccxt_rules import THEIRS, Credentials, Heard, Stamp, Told, VenueRules, stamp, stamped
from mastertrade.exchanges.exchange import (
    AccountNews,
    FillPage,
    Listening,
    NotSent,
    OrderTicket,
    VenueOrder,
    VenueRefused,
)
from mastertrade.exchanges.key_rights import KeyReport, KeysRefused
from mastertrade.exchanges.request_budget import Purpose, RequestBudget
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import ConfigurationError, DependencyDown, MasterTradeError
from mastertrade.shared.logging import redact

VENUES: Final[Mapping[str, type[VenueRules]]] = {one.name: one for one in (Binance, Bybit, Coinbase, Kraken, Okx)}
MILLISECOND: Final = timedelta(milliseconds=1)
QUIET: Final = {"adjustForTimeDifference": False, "fetchMargins": False}
"""Nothing is asked behind our back, and no time is moved."""
COMPARED_EVERY: Final = timedelta(minutes=5)
"""The venue's clock with ours."""
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(minutes=1)
"""A fill may be so much younger than the venue's clock as we know it. One from far ahead would move the cursor beyond
what is still to come."""
SHOWN_WITHIN: Final = timedelta(minutes=10)
"""So long after its trade an order may be missing where orders are asked for."""
KNOWN_ORDERS: Final = 20_000
"""So many of the latest ones are remembered, ours and others; of an older one the venue is asked again."""
_STATES: Final = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """``cursor``: after what was traded until then. A trade of the moment between the two questions would be counted
    twice, and shows as a difference."""

    balances: Mapping[str, Decimal]
    cursor: str


def key_parts(venue: str) -> tuple[str, ...]:
    """What the keys of a venue are made of; of an unknown one, of most."""
    return VENUES.get(venue, VenueRules).key_parts


AskForTrades = Callable[[Any, str, Sequence[str], int], Awaitable[tuple[list[Told], str]]]


class CcxtVenue:
    """``url`` puts a local venue in the place of the real one, and is refused where money is real.

    ConfigurationError for a venue whose rules are not known, for one that has no testnet, and for production without
    ``is_live_allowed`` (ENABLE_LIVE_TRADING=true)."""

    def __init__(
        self,
        venue: str,
        credentials: Credentials,
        *,
        clock: Clock,
        environment: str = "testnet",
        is_live_allowed: bool = False,
        url: str | None = None,
        budget: RequestBudget | None = None,
    ) -> None:
        rules = self.rules_of(venue)
        if environment == "production" and not is_live_allowed:
            raise ConfigurationError(
                f"{venue}: trading with real money is off; set ENABLE_LIVE_TRADING=true where you want it on"
            )
        if environment == "production" and url is not None:
            raise ConfigurationError(f"{venue}: {url} cannot stand in for a venue where money is real")
        self._rules = rules
        if environment == "testnet" and url is None and not self._rules.has_testnet:
            raise ConfigurationError(f"{venue} has no testnet: its accounts are of the environment production")
        self._name = venue
        self._environment = environment
        self._url = url
        self._clock = clock
        self._ahead = timedelta(0)
        self._compared_at: datetime | None = None
        self._client = open_client(
            venue,
            url=url,
            options={**QUIET, **self._rules.options},
            budget=budget,
            purpose=Purpose.ACCOUNT,
            environment=environment,
        )
        self._equip(self._rules.credentials(credentials))
        if environment == "testnet" and url is None:
            self._rules.use_testnet(self._client)
        self._loading = asyncio.Lock()
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._numbers: OrderedDict[tuple[str, str], str] = OrderedDict()

    @classmethod
    def rules_of(cls, venue: str) -> VenueRules:
        if venue not in VENUES:
            raise ConfigurationError(
                f"venue {venue!r}: which of its answers refuse an order is not known; "
                f"orders can go to {', '.join(VENUES)}"
            )
        return VENUES[venue]()

    def _equip(self, credentials: Credentials) -> None:
        client = self._client
        client.apiKey, client.secret = credentials.api_key, credentials.secret
        client.password = credentials.password or None
        self._on_rest_response, client.on_rest_response = client.on_rest_response, self._note_answer
        self._parse_json, client.parse_json = client.parse_json, self._parsed
        self._fetch, client.fetch = client.fetch, self._write_in_time
        client.on_json_response = partial(json.loads, parse_float=str, parse_constant=_no_number)
        client.nonce = self._nonce
        self._rules.prepare(client)

    @property
    def name(self) -> str:
        return self._name

    @answered
    async def place(self, ticket: OrderTicket) -> VenueOrder:
        def left_s() -> float:
            return (ticket.send_by - self._clock.now()).total_seconds()

        with errand(Purpose.ORDER, left_s):
            return await self._place(ticket)

    async def _place(self, ticket: OrderTicket) -> VenueOrder:
        with asking() as question:
            try:
                await self._load()
                given = Stamp(_ms(ticket.signed_at + self._ahead), _ms(ticket.send_by + self._ahead))
                self._rules.note_signed(ticket.client_order_id, given.at_ms)
                with stamped(given):
                    told = await self._rules.place(self._client, ticket, given)
            except VenueRefused:
                raise
            except Exception as error:
                if question.heard.refuses(self._rules.answers.refused):
                    raise VenueRefused(f"{self._name}: {question.heard}") from error
                if not question.is_order_written:
                    raise NotSent(f"{self._name}: the order was not sent: {short(error)}") from error
                raise  # no answer: the caller asks
        return self._order({**told, **_as_asked(ticket)})

    @answered
    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        with errand(Purpose.ORDER):
            await self._load()
            with asking() as question:
                try:
                    await self._cancel(client_order_id, symbol)
                except Exception:
                    if not question.heard.says(self._rules.answers.none_to_cancel):
                        raise
            found = await self.find(client_order_id, symbol)
        if found is None:
            raise VenueRefused(f"{self._name}: there is no order {client_order_id} to cancel")
        return found

    async def _cancel(self, client_order_id: str, symbol: str) -> None:
        if client_order_id.startswith(THEIRS):
            await self._rules.cancel_number(self._client, client_order_id.removeprefix(THEIRS), symbol)
        else:
            number = self._numbers.get((symbol, client_order_id))
            await self._rules.cancel(self._client, client_order_id, symbol, number)

    @answered
    async def find(self, client_order_id: str, symbol: str, *, since: datetime | None = None) -> VenueOrder | None:
        await self._load()
        if since is not None:
            self._rules.note_signed(client_order_id, _ms(since + self._ahead))
        if client_order_id.startswith(THEIRS):
            told = await self._by_number(client_order_id.removeprefix(THEIRS), symbol)
        else:
            number = self._numbers.get((symbol, client_order_id))
            with asking() as question:
                try:
                    told = await self._rules.look_up(self._client, client_order_id, symbol, number)
                except Exception:
                    if not question.heard.says(self._rules.answers.no_order):
                        raise
                    told = None
        if told is None:
            return None
        found = self._order(told)
        names = (found.client_order_id, THEIRS + found.exchange_order_id)
        if client_order_id not in names or (found.symbol != symbol and not self._rules.has_aliases):
            raise DependencyDown(
                f"{self._name} was asked for the order {client_order_id} of {symbol} and told "
                f"{found.client_order_id} of {found.symbol}"
            )
        return found

    async def _by_number(self, number: str, symbol: str) -> Told | None:
        with asking() as question:
            try:
                found = await self._rules.by_number(self._client, number, symbol)
            except Exception:
                if not question.heard.says(self._rules.answers.no_order):
                    raise
                return None
        if found is not None and str(found.get("id")) != number:
            raise DependencyDown(f"{self._name} was asked for its order {number} and told {found.get('id')}")
        return found

    @answered
    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        await self._load()
        found = [self._order(one) for one in await self._rules.open_orders(self._client, symbols)]
        return tuple({(one.symbol, one.exchange_order_id): one for one in found}.values())

    @answered
    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        return await self._fills(self._rules.trades, after, symbols)

    @answered
    async def fills_of(self, after: str, symbols: Sequence[str]) -> FillPage:
        return await self._fills(self._rules.trades_of, after, symbols)

    async def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        await self._load()
        client = streaming_client(self._client, url=self._url, options=self._rules.options)
        async with aclosing(watch_account(client, self._rules, self._rules.our_id)) as news:
            async for one in news:
                yield one

    async def _fills(self, ask: AskForTrades, after: str, symbols: Sequence[str]) -> FillPage:
        await self._load()
        now_ms = _ms(self._clock.now() + self._ahead)
        trades, cursor = await ask(self._client, after, symbols, now_ms)
        return FillPage(fills=tuple([await self._fill(trade) for trade in trades]), cursor=cursor)

    async def opening(self) -> Opening:
        """Where an account begins that nobody has kept books of: what it holds now, and where its fills begin."""
        at = await self.now()
        return Opening(balances=await self.balances(), cursor=json.dumps({OPENED: _ms(at)}))

    @answered
    async def balances(self) -> dict[str, Decimal]:
        return await self._balances()

    async def _balances(self) -> dict[str, Decimal]:
        await self._load()
        totals = await self._rules.balances(self._client)
        read = Reading(self._name, "balances", totals)
        found = {asset: read.number(asset, may_be_negative=True) for asset in totals}
        if not all(isinstance(asset, str) and asset for asset in found):
            raise DependencyDown(f"{self._name} does not answer as it should: a balance of an asset without a name")
        return {asset: amount for asset, amount in found.items() if amount}

    @answered
    async def now(self) -> datetime:
        return await self._compare_clocks()

    async def _compare_clocks(self) -> datetime:
        before = self._clock.now()
        clock = Reading(self._name, "clock", {"time": await self._rules.now_ms(self._client)})
        told = clock.moment("time", until=LATEST)
        self._compared_at = self._clock.now()
        self._ahead = told - (before + (self._compared_at - before) / 2)
        return told

    async def check_keys(self, *, timeout_s: float = REQUEST_TIMEOUT_S) -> KeyReport:
        """KeysRefused when the venue does not know them, DependencyDown when it does not answer in time or with sense;
        neither error holds anything of what was sent."""
        with asking() as question:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._compare_clocks()
                    assets = await self._balances()
                    rights = await self._rules.rights(self._client)
                    await self._require_account()
                    return KeyReport(clock_ahead=self._ahead, rights=rights, assets=len(assets))
            except MasterTradeError:
                if not question.heard.says(self._rules.answers.wrong_keys):
                    raise
            except Exception as error:  # noqa: BLE001 - ccxt's, whose texts hold signed addresses
                kind = type(error).__name__
        heard = Heard(question.heard.codes, redact(question.heard.words))
        if heard.says(self._rules.answers.wrong_keys):
            raise KeysRefused(
                f"{self._name} does not accept the keys: {heard}; check that they were copied whole, "
                f"are of its {self._environment}, and may be used from this machine's address"
            )
        raise DependencyDown(f"{self._name} does not answer as it should: {heard if heard.codes else kind}")

    async def _require_account(self) -> None:
        """KeysRefused where the account itself, not its keys, stands in the way."""

    async def close(self) -> None:
        await self._client.close()

    async def _load(self) -> None:
        async with self._loading:
            if not self._client.markets:
                await self._client.load_markets()
            if self._compared_at is None or self._clock.now() - self._compared_at > COMPARED_EVERY:
                await self._compare_clocks()

    def _nonce(self) -> int:
        """The stored time where an order is signed with it."""
        given = None if self._rules.nonce_counts else stamp.get()
        return _ms(self._clock.now() + self._ahead) if given is None else given.at_ms

    async def _write_in_time(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """After ccxt's own pace and its signing, at the last place before the wire."""
        given = stamp.get()
        if given is not None and _ms(self._clock.now() + self._ahead) > given.until_ms:
            raise NotSent(f"{self._name}: the order's time was over before it was written to the wire")
        if given is not None and (question := question_of.get()) is not None:
            question.is_order_written = True
        self._client.open()
        if not isinstance(self._client.session, Straight):
            self._client.session = Straight(self._client.session)
        return await self._fetch(url, method, headers, body)

    def _note_answer(
        self, status: int, reason: str, url: str, method: str, headers: Any, body: str, *more: object
    ) -> str:
        if (question := question_of.get()) is not None:
            question.heard = self._rules.heard(status, body)
        passed_on: str = self._on_rest_response(status, reason, url, method, headers, body, *more)
        return passed_on

    def _parsed(self, body: str) -> Any:
        """ccxt hands on what is no JSON as text, and takes it for an empty list of orders, fills or balances."""
        found = self._parse_json(body)
        if found is None:
            raise DependencyDown(
                f"{self._name} does not answer as it should: {len(body):,} characters that are no JSON"
            )
        return found

    async def _fill(self, trade: Told) -> Fill:
        read = Reading(self._name, "fill", trade)
        order, symbol = read.text("order"), read.text("symbol")
        commission, commission_asset = self._rules.fee(trade)
        fee = Reading(self._name, "fill", {"fee": commission, "asset of the fee": commission_asset})
        told = self._rules.id_in(trade)
        at = read.moment("timestamp", until=self._clock.now() + self._ahead + AHEAD)
        return Fill(
            client_order_id=await self._client_id(order, symbol, at) if told is None else self._our_id(told, order),
            exchange_order_id=order,
            exchange_trade_id=read.text("id"),
            symbol=symbol,
            side=read.side(),
            quantity=read.above_zero("amount"),
            price=read.above_zero("price"),
            commission=fee.number("fee", may_be_negative=True),
            commission_asset=fee.text("asset of the fee") if commission else commission_asset,
            is_maker=trade.get("takerOrMaker") == "maker",
            trade_time=at,
            realized_pnl=self._rules.realized(trade),
        )

    async def _client_id(self, order: str, symbol: str, at: datetime) -> str:
        """A trade names the venue's order; which of ours that is, or whether it is another's, it tells when asked. An
        order that it traded just now and does not know is one that it does not show yet."""
        if (symbol, order) not in self._ids:
            found = await self._by_number(order, symbol)
            if found is None and self._clock.now() + self._ahead - at < SHOWN_WITHIN:
                raise DependencyDown(f"{self._name} tells a fill of its order {order}, and does not show that order")
            self._remember(symbol, order, self._our_id("" if found is None else self._rules.client_id(found), order))
        return self._ids[symbol, order]

    def _our_id(self, told: str, order: str) -> str:
        return self._rules.our_id(told) if told else THEIRS + order

    def _remember(self, symbol: str, order: str, client_order_id: str) -> None:
        for known, key, value in (
            (self._ids, (symbol, order), client_order_id),
            (self._numbers, (symbol, client_order_id), order),
        ):
            known[key] = value
            known.move_to_end(key)
            if len(known) > KNOWN_ORDERS:
                known.popitem(last=False)

    def _order(self, given: Told) -> VenueOrder:
        read = Reading(self._name, "order", given)
        symbol, order = read.text("symbol"), read.text("id")
        client_order_id = given.get("asked") or self._our_id(self._rules.client_id(given), order)
        if client_order_id.startswith(CLIENT_ORDER_PREFIX):
            read.above_zero("amount")  # others may have sized theirs by what it costs
            if "asked" not in given:
                read.number("filled")
        filled = read.number("filled", default=0)
        quantity = max(read.number("amount", default=0), filled)
        status = _STATES.get(str(given.get("status")), OrderStatus.OPEN)
        if status is OrderStatus.OPEN and filled > 0:
            status = OrderStatus.PARTIALLY_FILLED
        if status is OrderStatus.FILLED and filled < quantity:
            status = OrderStatus.CANCELED  # some venues call every end closed
        price, average = read.number("price", default=0), read.number("average", default=0)
        found = VenueOrder(
            client_order_id=client_order_id,
            exchange_order_id=order,
            symbol=symbol,
            side=read.side(),
            quantity=quantity,
            filled_quantity=filled,
            status=status,
            limit_price=price if given.get("type") == "limit" and price > 0 else None,
            average_price=average if average > 0 else None,
        )
        self._remember(symbol, order, client_order_id)
        return found


def _as_asked(ticket: OrderTicket) -> dict[str, Any]:
    """An order as it was sent: what some venues do not repeat in their answer."""
    return {
        "asked": ticket.client_order_id,
        "symbol": ticket.symbol,
        "side": ticket.side.value,
        "type": "limit" if ticket.type is OrderType.LIMIT else "market",
        "amount": ticket.quantity,
        "price": ticket.limit_price,
    }


def _no_number(word: str) -> None:
    """NaN and Infinity, which are no JSON."""
    raise ValueError(f"{word} is no number")


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND
