"""Coinbase Advanced Trade, spot. Sources: docs.cdp.coinbase.com, Advanced Trade API: create order, list orders, get
order, cancel orders, list fills, list accounts, get API key permissions, JWT authentication; the release notes of its
own Python client (1.4.0: market buys by ``base_size``)."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from http import HTTPStatus
from typing import Any, ClassVar, Final

from mastertrade.domain.orders import OrderType, TimeInForce
from mastertrade.exchanges.ccxt_fills import TradesByTime, log
from mastertrade.exchanges.ccxt_reading import Reading
from mastertrade.exchanges.ccxt_rules import Answers, Credentials, Heard, Stamp, Told, stamp
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, coinbase_rights
from mastertrade.shared.errors import ConfigurationError, DependencyDown
from mastertrade.shared.logging import hide

ORDERS_A_PAGE: Final = 250
FILLS_A_PAGE: Final = 100
ACCOUNTS_A_PAGE: Final = 250
MOST_PAGES: Final = 400
SIGNED_S: Final = 120
"""For so long a request that is no order may be under way; Coinbase allows no more."""
EARLIER_MS: Final = 60_000
"""Before an order was signed: its clock may be behind, and nothing is lost by looking there too."""
KNOWN_TIMES: Final = 20_000
FINEST: Final = Decimal("1e-18")
UNTOLD: Final = frozenset({"UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON", "UNKNOWN_CANCEL_FAILURE_REASON"})
"""In fields that say nothing: of those that may hold a reason, mostly one does."""
STATES: Final[Mapping[str, str]] = {
    "PENDING": "open",
    "QUEUED": "open",
    "OPEN": "open",
    "EDIT_QUEUED": "open",
    "CANCEL_QUEUED": "open",
    "FILLED": "closed",
    "CANCELLED": "canceled",
    "EXPIRED": "expired",
    "FAILED": "rejected",
}
WALLETS: Final = frozenset({"ACCOUNT_TYPE_CRYPTO", "ACCOUNT_TYPE_FIAT", "CRYPTO", "FIAT"})
"""What is in a vault or behind futures cannot be traded with."""
_BOTH: Final = frozenset({
    "FOK_DISABLED", "FOK_ONLY_ALLOWED_ON_LIMIT_ORDERS", "GEOFENCING_RESTRICTION", "INVALID_LEDGER_BALANCE",
    "INVALID_LIMIT_PRICE", "INVALID_LIMIT_PRICE_POST_ONLY", "INVALID_NO_LIQUIDITY", "INVALID_PRICE_PRECISION",
    "INVALID_PRODUCT_ID", "INVALID_SIDE", "INVALID_SIZE_PRECISION", "INSUFFICIENT_FUND",
    "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_BUY", "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_SELL",
    "LIMIT_PRICE_TOO_FAR_FROM_MARKET", "POST_ONLY_NOT_ALLOWED_WITH_FOK", "PRODUCT_TRADING_HALTED", "TRADING_DISABLED",
    "UNTRADABLE_PRODUCT",
})  # fmt: skip


class Coinbase(TradesByTime):
    """Asked by its own questions: ccxt would buy at the market for an amount of the quote asset, and call an order that
    failed or ran out cancelled.

    An order is found by its number there. Until that is known, the list of all orders is walked to its end."""

    name = "coinbase"
    answers = Answers(
        refused=_BOTH | {f"PREVIEW_{one}" for one in _BOTH} | {
            "INELIGIBLE_PAIR", "INSUFFICIENT_FUNDS", "INVALID_REQUEST", "INVALID_UNSUPPORTED_INSTRUMENT",
            "ORDER_ENTRY_DISABLED", "UNSUPPORTED_ORDER_CONFIGURATION",
            "PREVIEW_BREACHED_PRICE_LIMIT", "PREVIEW_CLOSE_ONLY_FAILURE", "PREVIEW_COMPLIANCE_PURCHASE_LIMIT_EXCEEDED",
            "PREVIEW_INSUFFICIENT_LEDGER_BALANCE", "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE",
            "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL", "PREVIEW_INVALID_LIMIT_PRICE_PRECISION",
            "PREVIEW_INVALID_ORDER_CONFIG", "PREVIEW_INVALID_PRICE_TOO_LARGE", "PREVIEW_INVALID_QUOTE_SIZE_PRECISION",
            "PREVIEW_INVALID_QUOTE_SIZE_TOO_LARGE", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL",
            "PREVIEW_NON_NUMERIC_ORDER_SIZE", "PREVIEW_NOT_ALLOWED_BY_MARKET_STATE",
        },
        none_to_cancel=frozenset({"UNKNOWN_CANCEL_ORDER", "DUPLICATE_CANCEL_REQUEST", "ORDER_IS_FULLY_FILLED"}),
        wrong_keys=frozenset({"401"}),
    )  # fmt: skip
    """A reason that it does not know itself (UNKNOWN_FAILURE_REASON), failures of what stands behind it
    (PREVIEW_RISK_PROXY_FAILURE, COMMANDER_REJECTED_NEW_ORDER) and DUPLICATE_CLIENT_ORDER_ID do not say how far the
    order came. ``no_order`` is empty: every number that is asked for came from Coinbase, and one that it does not find
    is one that it does not show yet."""
    options: ClassVar[Mapping[str, Any]] = {
        "fetchMarkets": "fetchMarketsV3",
        "defaultType": "spot",
        "fetchTime": "v3PublicGetBrokerageTime",
    }
    key_parts = ("API key name", "private key")
    has_testnet = False
    has_aliases = True

    def __init__(self) -> None:
        super().__init__()
        self._signed_at: OrderedDict[str, int] = OrderedDict()

    def credentials(self, given: Credentials) -> Credentials:
        """The private key with its lines, however they came."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if given.api_key.startswith("-----"):
            raise ConfigurationError("coinbase: the name of the API key comes first, and its private key after it")
        pem = given.secret.replace("\\n", "\n").strip() + "\n"
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ConfigurationError(
                "coinbase: the private key is not one of ECDSA on P-256 in PEM (-----BEGIN EC PRIVATE KEY-----): make "
                "the API key with the signature algorithm ECDSA, and copy its private key whole, from BEGIN to END; on "
                "a terminal as one line, with \\n where a line ends"
            )
        for line in (pem, *pem.splitlines()):
            if not line.startswith("-----") or line == pem:
                hide(line)
        return replace(given, secret=pem)

    def prepare(self, client: Any) -> None:
        """A request is valid from the moment of its signature on; an order not longer than it may be taken. Markets are
        asked for by one question without keys, where ccxt would ask for the fees of the account and for futures."""
        sign_token, markets = client.jwt, client.v3PublicGetBrokerageMarketProducts

        def token_in_time(claims: dict[str, Any], *rest: Any, **named: Any) -> Any:
            given, at_s = stamp.get(), client.nonce() // 1000
            until_s = at_s + SIGNED_S if given is None else min(given.until_ms // 1000, at_s + SIGNED_S)
            return sign_token({**claims, "iat": at_s, "nbf": at_s, "exp": until_s}, *rest, **named)

        async def spot_markets(_: Any = None) -> list[Any]:
            told = await markets({"product_type": "SPOT"})
            found = [client.parse_spot_market(one, {}) for one in _list(told, "products")]
            return [one for one in found if one is not None]

        client.jwt, client.fetch_markets = token_in_time, spot_markets
        client.headers = {**(client.headers or {}), "Cache-Control": "no-cache"}

    def note_signed(self, client_order_id: str, at_ms: int) -> None:
        self._signed_at[client_order_id] = at_ms
        self._signed_at.move_to_end(client_order_id)
        if len(self._signed_at) > KNOWN_TIMES:
            self._signed_at.popitem(last=False)

    def heard(self, status: int, body: str) -> Heard:
        """Keys that it does not know are told by one word that is no JSON."""
        if status == HTTPStatus.UNAUTHORIZED and body.strip().strip('"').lower() == "unauthorized":
            return Heard(frozenset({"401"}), "Unauthorized")
        return super().heard(status, body)

    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        if not isinstance(told, dict):
            return (), ""
        failed = told.get("error_response")
        if told.get("success") is False and isinstance(failed, dict):
            reasons = [
                failed.get("new_order_failure_reason"),
                failed.get("preview_failure_reason"),
                failed.get("error"),
            ]
            return _told_reasons([*reasons, told.get("failure_reason")]), _words(failed)
        results = [one for one in told.get("results") or () if isinstance(one, dict) and one.get("success") is not True]
        if results:
            return _told_reasons([one.get("failure_reason") for one in results]), ""
        if told.get("error"):
            return [str(told["error"])], _words(told)
        return (), ""

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        """An id that comes again is answered with the order that has it already."""
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        ours = ticket.client_order_id
        asked = {
            "client_order_id": ours,
            "product_id": client.market(ticket.symbol)["id"],
            "side": ticket.side.value,
            "order_configuration": _configuration(ticket),
        }
        told = await client.v3PrivatePostBrokerageOrders(asked)
        placed = told.get("success_response") or {}
        if told.get("success") is not True or not placed.get("order_id") or placed.get("client_order_id") != ours:
            raise DependencyDown(
                f"{self.name}: its answer to the order {ours} says neither that it took it nor why not"
            )
        return {"id": placed["order_id"], "status": "open"}

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        if number is None:
            return await self._walk(client, client_order_id)
        found = await self.by_number(client, number, symbol)
        if found["clientOrderId"] != client_order_id:
            raise DependencyDown(f"{self.name} was asked for the order {client_order_id} and told another")
        return found

    async def _walk(self, client: Any, client_order_id: str) -> Told | None:
        """Of all products, since some are told under the name of another (BTC-USDC, BTC-USD); from its signature on, if
        that is known."""
        asked: dict[str, Any] = {"limit": ORDERS_A_PAGE}
        if (signed_ms := self._signed_at.get(client_order_id)) is not None:
            asked["start_date"] = client.iso8601(signed_ms - EARLIER_MS)
        async for page in self._listed(client.v3PrivateGetBrokerageOrdersHistoricalBatch, asked, "orders"):
            for one in page:
                if not isinstance(one["client_order_id"], str):
                    Reading(self.name, "order", one).refuse("client_order_id")
                if one["client_order_id"] == client_order_id:
                    return _order(client, one)
        return None

    async def by_number(self, client: Any, number: str, symbol: str) -> Told:
        told = (await client.v3PrivateGetBrokerageOrdersHistoricalOrderId({"order_id": number})).get("order")
        if not isinstance(told, dict) or told.get("order_id") != number:
            raise DependencyDown(f"{self.name} was asked for its order {number} and told none, or another")
        return _order(client, told)

    async def cancel(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> None:
        if number is None:
            found = await self._walk(client, client_order_id)
            number = None if found is None else str(found["id"])
        if number is not None:
            await self.cancel_number(client, number, symbol)

    async def cancel_number(self, client: Any, number: str, symbol: str) -> None:
        told = await client.v3PrivatePostBrokerageOrdersBatchCancel({"order_ids": [number]})
        ours = [one for one in _list(told, "results") if one.get("order_id") == number]
        if [one.get("success") for one in ours] != [True]:
            reason = ours[0].get("failure_reason") if ours else "it says nothing of it"
            raise DependencyDown(f"{self.name} did not cancel its order {number}: {reason}")

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        asked = {"order_status": "OPEN", "limit": ORDERS_A_PAGE}
        pages = self._listed(client.v3PrivateGetBrokerageOrdersHistoricalBatch, asked, "orders")
        found = [_order(client, one) async for page in pages for one in page]
        return [one for one in found if one["symbol"] in symbols and one["status"] == "open"]

    def is_listening(self, message: Any) -> bool:
        if not isinstance(message, dict) or message.get("channel") != "subscriptions":
            return False
        return any("user" in (one.get("subscriptions") or {}) for one in message.get("events") or ())

    async def pages(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """Both ends are exclusive."""
        asked: dict[str, Any] = {"limit": FILLS_A_PAGE, "start_sequence_timestamp": client.iso8601(max(from_ms - 1, 0))}
        if to_ms is not None:
            asked["end_sequence_timestamp"] = client.iso8601(to_ms + 1)
        async for page in self._listed(client.v3PrivateGetBrokerageOrdersHistoricalFills, asked, "fills"):
            yield [trade for one in page if (trade := self._trade(client, one)) is not None]

    def _trade(self, client: Any, told: Mapping[str, Any]) -> Told | None:
        """Some are told by what they cost: the quantity is then exact to the 18th decimal. The fee is of the quote
        asset."""
        read = Reading(self.name, "fill", told)
        if read.text("trade_type") != "FILL":
            log.error(
                "the venue took back or changed a fill; the balances will differ: book what changed by hand",
                extra={
                    "venue": self.name,
                    "order": told["order_id"],
                    "trade": told["trade_id"],
                    "what": told["trade_type"],
                },
            )
            return None
        if told["product_id"] not in client.markets_by_id and str(told["product_id"]).count("-") != 1:
            return None  # of a future
        size, price, is_in_quote = read.above_zero("size"), read.above_zero("price"), told.get("size_in_quote")
        if not isinstance(is_in_quote, bool):
            read.refuse("size_in_quote")
        market = client.safe_market(told["product_id"], None, "-")
        return {
            "id": told["trade_id"],
            "order": told["order_id"],
            "timestamp": client.parse8601(told["trade_time"]),
            "symbol": market["symbol"],
            "side": told["side"].lower(),
            "amount": (size / price).quantize(FINEST, ROUND_HALF_EVEN) if is_in_quote else size,
            "price": price,
            "takerOrMaker": told["liquidity_indicator"].lower(),
            "fee": {"cost": told.get("commission") or "0", "currency": market["quote"]},
        }

    async def _listed(
        self, ask: Any, asked: Mapping[str, Any], what: str
    ) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """To its last page, or DependencyDown: half a list proves nothing. Fills have no ``has_next``."""
        cursor = ""
        for _ in range(MOST_PAGES):
            told = await ask({**asked, **({"cursor": cursor} if cursor else {})})
            page = _list(told, what)
            yield page
            before, cursor = cursor, str(told.get("cursor") or "")
            has_next = bool(cursor and page) if what == "fills" else told.get("has_next")
            if has_next is False:
                return
            if has_next is not True or cursor in ("", before):
                raise DependencyDown(f"{self.name}: its list of {what} does not say where it goes on, or that it ends")
        raise DependencyDown(f"{self.name} tells more than {MOST_PAGES} pages at once; a part of them is no list")

    async def balances(self, client: Any) -> Mapping[str, Any]:
        """What can be spent, and what is held back for orders."""
        held: dict[str, Decimal] = {}
        asked = {"limit": ACCOUNTS_A_PAGE}
        async for page in self._listed(client.v3PrivateGetBrokerageAccounts, asked, "accounts"):
            for one in page:
                read = Reading(self.name, "balances", {**one, "free": one["available_balance"]["value"]})
                if read.text("type") in WALLETS:
                    asset = client.safe_currency_code(read.text("currency"))
                    held_back = Reading(self.name, "balances", one["hold"]).number("value")
                    total = read.number("free") + held_back
                    held[asset] = held.get(asset, Decimal(0)) + total
        return held

    async def now_ms(self, client: Any) -> int:
        """ccxt would leave out the milliseconds."""
        return int((await client.v3PublicGetBrokerageTime())["epochMillis"])

    async def rights(self, client: Any) -> KeyRights | None:
        return coinbase_rights(await client.v3PrivateGetBrokerageKeyPermissions())


def _configuration(ticket: OrderTicket) -> dict[str, Any]:
    sized: dict[str, Any] = {"base_size": f"{ticket.quantity:f}"}
    if ticket.limit_price is None:
        return {"market_market_ioc": sized}
    priced = {**sized, "limit_price": f"{ticket.limit_price:f}"}
    if ticket.terms.post_only:
        return {"limit_limit_gtc": {**priced, "post_only": True}}
    match ticket.terms.time_in_force:
        case TimeInForce.IOC:
            return {"sor_limit_ioc": priced}
        case TimeInForce.FOK:
            return {"limit_limit_fok": priced}
        case _:
            return {"limit_limit_gtc": {**priced, "post_only": False}}


def _order(client: Any, told: Mapping[str, Any]) -> Told:
    """``filled_size`` is of the base asset, whatever the order was sized in."""
    configured = told.get("order_configuration") or {}
    terms: Mapping[str, Any] = next((one for one in configured.values() if isinstance(one, dict)), {})
    return {
        "id": told["order_id"],
        "clientOrderId": told["client_order_id"],
        "symbol": client.safe_symbol(told["product_id"], None, "-"),
        "side": told["side"].lower(),
        "type": "limit" if terms.get("limit_price") else "market",
        "price": terms.get("limit_price"),
        "amount": terms.get("base_size"),
        "filled": told["filled_size"],
        "average": told.get("average_filled_price"),
        "status": STATES.get(told["status"], "open"),
    }


def _told_reasons(reasons: Sequence[Any]) -> list[str]:
    """Where no field tells one, the word that says so: a code that refuses nothing."""
    told = [str(one) for one in reasons if one]
    return [one for one in told if one not in UNTOLD] or told[:1]


def _words(told: Mapping[str, Any]) -> str:
    said = [str(told[name]) for name in ("error_details", "message") if told.get(name)]
    return "; ".join(dict.fromkeys(said))


def _list(told: Mapping[str, Any], what: str) -> Sequence[Mapping[str, Any]]:
    found = told.get(what)
    if not isinstance(found, list):
        raise DependencyDown(f"coinbase does not answer as it should: no list of {what}")
    return found
