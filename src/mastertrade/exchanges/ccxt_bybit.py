"""Bybit spot, unified accounts. Sources: bybit-exchange.github.io/docs/v5: error, order/create-order, order/open-order,
order/order-list, order/execution, user/apikey-info, guide (timestamp and receive window)."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from mastertrade.domain.orders import OrderType, Terms
from mastertrade.exchanges.ccxt_fills import TradesByTime
from mastertrade.exchanges.ccxt_reading import rows
from mastertrade.exchanges.ccxt_rules import SPOT, Answers, Stamp, Told, stamp
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, bybit_rights
from mastertrade.shared.errors import DependencyDown

USUAL_WINDOW_MS: Final = 5_000
LONGEST_WINDOW_MS: Final = 60_000
TRADES_A_PAGE: Final = 100
ORDERS_A_PAGE: Final = 50
MOST_PAGES: Final = 200


class Bybit(TradesByTime):
    """Asked by its own questions where ccxt would first find out what kind of account it is, or send the quantity of a
    purchase in the quote asset."""

    name = "bybit"
    answers = Answers(
        refused=frozenset({
            "10001", "10002", "10003", "10004", "10005", "10007", "10008", "10009", "10010", "10017", "10024",
            "10027", "10028", "10029", "33004", "170010", "170011", "170019", "170031", "170033", "170034",
            "170105", "170115", "170116", "170117", "170121", "170124", "170130", "170131", "170132", "170133",
            "170134", "170135", "170136", "170137", "170140", "170148", "170151", "170157", "170159", "170192",
            "170193", "170194", "170197", "170198", "170201", "170209", "170210", "170217", "170218", "170221",
            "170223", "170224", "170226", "170227",
        }),
        none_to_cancel=frozenset({"170139", "170142", "170143", "170190", "170213"}),
        wrong_keys=frozenset({"10003", "10004", "10005", "10007", "10010", "33004"}),
    )  # fmt: skip
    """Time-outs (170007, 170146), failures without a reason (10016, 170149), rate limits (10006, 170222, and 170005 of
    new orders) and "duplicate clientOrderId" (170141) do not say how far the order came; one that is "submitted to the
    system for processing" (170035) may well come through."""
    options: ClassVar[Mapping[str, Any]] = {
        **SPOT,
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "recvWindow": USUAL_WINDOW_MS,
    }
    category: ClassVar[str] = "spot"
    market_type: ClassVar[str] = "spot"
    traded: ClassVar[frozenset[str | None]] = frozenset({"Trade", "", None})
    """Kinds of executions that are trades."""
    longest = timedelta(days=6)
    """It answers for seven days, and a stretch begins a while before it."""
    reach = timedelta(days=729)

    def prepare(self, client: Any) -> None:
        """The window goes into what is signed, for an order as long as it may travel."""
        sign = client.sign

        def signed(*request: Any, **named: Any) -> Any:
            given = stamp.get()
            window = USUAL_WINDOW_MS if given is None else min(given.until_ms - given.at_ms, LONGEST_WINDOW_MS)
            client.options["recvWindow"] = window
            return sign(*request, **named)

        client.sign = signed

    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        code = told.get("retCode") if isinstance(told, dict) else None
        return ((), "") if code in (None, 0, "0") else ((str(code),), str(told.get("retMsg", "")))

    def terms(self, terms: Terms) -> dict[str, Any]:
        return {"timeInForce": "PostOnly" if terms.post_only else terms.time_in_force.value.replace("GTD", "GTC")}

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        asked: dict[str, Any] = {
            "category": self.category,
            "symbol": client.market(ticket.symbol)["id"],
            "side": ticket.side.value.capitalize(),
            "orderType": ticket.type.value.capitalize(),
            "qty": f"{ticket.quantity:f}",
            "orderLinkId": ticket.client_order_id,
            **self.besides(ticket),
        }
        if ticket.type is OrderType.LIMIT:
            asked |= {"price": f"{ticket.limit_price:f}", **self.terms(ticket.terms)}
        told = await client.privatePostV5OrderCreate(asked)
        return {"id": told["result"]["orderId"], "status": "open"}

    def besides(self, ticket: OrderTicket) -> Mapping[str, Any]:
        """What else an order of this category says."""
        return {"isLeverage": 0, **({} if ticket.limit_price is not None else {"marketUnit": "baseCoin"})}

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        """Among those that are open or ended not long ago, then in the history: what moves on meanwhile is there."""
        return await self._one(client, {"orderLinkId": client_order_id}, symbol)

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        return await self._one(client, {"orderId": number}, symbol)

    async def _one(self, client: Any, named: Mapping[str, str], symbol: str) -> Told | None:
        asked = {"category": self.category, "symbol": client.market(symbol)["id"], **named}
        for ask in (client.privateGetV5OrderRealtime, client.privateGetV5OrderHistory):
            found = rows(self.name, await ask(asked), "result", "list")
            ours = [one for one in found if all(one.get(name) == value for name, value in named.items())]
            if ours:
                return self.read_order(client, ours[0])
            if found:
                raise DependencyDown(f"{self.name} was asked for the order {named} and told others")
        return None

    async def cancel(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> None:
        await self._cancel(client, {"orderLinkId": client_order_id}, symbol)

    async def cancel_number(self, client: Any, number: str, symbol: str) -> None:
        await self._cancel(client, {"orderId": number}, symbol)

    async def _cancel(self, client: Any, named: Mapping[str, str], symbol: str) -> None:
        asked = {"category": self.category, "symbol": client.market(symbol)["id"], "orderFilter": "Order", **named}
        await client.privatePostV5OrderCancel(asked)

    def is_listening(self, message: Any) -> bool:
        return isinstance(message, dict) and message.get("op") == "subscribe" and message.get("success") is True

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        asked: dict[str, Any] = {"category": self.category, "openOnly": 0, "limit": ORDERS_A_PAGE}
        found = [
            self.read_order(client, one)
            async for page in self._listed(client.privateGetV5OrderRealtime, asked)
            for one in page
        ]
        return [one for one in found if one["symbol"] in symbols and one["status"] == "open"]

    async def pages(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        asked: dict[str, Any] = {"category": self.category, "startTime": from_ms, "limit": TRADES_A_PAGE}
        if to_ms is not None:
            asked["endTime"] = to_ms
        async for page in self._listed(client.privateGetV5ExecutionList, asked):
            yield [self.read_trade(client, one) for one in page if one.get("execType") in self.traded]

    async def _listed(self, ask: Any, asked: Mapping[str, Any]) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        cursor = ""
        for _ in range(MOST_PAGES):
            told = await ask({**asked, **({"cursor": cursor} if cursor else {})})
            page = rows(self.name, told, "result", "list")
            yield page
            cursor = str(told["result"].get("nextPageCursor") or "")
            if not cursor or not page:
                return
        raise DependencyDown(f"{self.name} tells more than {MOST_PAGES} pages at once; a part of them is no list")

    def id_in(self, trade: Told) -> str | None:
        return str((trade.get("info") or {}).get("orderLinkId") or "")

    async def balances(self, client: Any) -> Mapping[str, Any]:
        """What is in the wallet, without what is borrowed: nothing is borrowed for an order of ours."""
        told = await client.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})
        coins = [one for account in rows(self.name, told, "result", "list") for one in rows(self.name, account, "coin")]
        return {client.safe_currency_code(coin["coin"]): coin["walletBalance"] for coin in coins}

    async def rights(self, client: Any) -> KeyRights | None:
        return bybit_rights((await client.privateGetV5UserQueryApi()).get("result") or {})

    def read_order(self, client: Any, told: Mapping[str, Any]) -> Told:
        """ccxt would work out what has filled from what is left, which is nothing once it was cancelled."""
        order: Told = client.parse_order(told, client.safe_market(told["symbol"], None, None, self.market_type))
        return {**order, "filled": told.get("cumExecQty")}

    def read_trade(self, client: Any, told: Mapping[str, Any]) -> Told:
        """Price, quantity and fee as they are told: ccxt would take the order's own price for one that is missing, and
        work out the asset of the fee, and not for every kind of market."""
        market = client.safe_market(told["symbol"], None, None, self.market_type)
        trade: dict[str, Any] = client.parse_trade(told, market)
        asset = told.get("feeCurrency") or market.get("settle") or market["base" if told["side"] == "Buy" else "quote"]
        told_so = {"price": told.get("execPrice"), "amount": told.get("execQty")}
        return {
            **trade,
            **told_so,
            "fee": {"cost": told.get("execFee") or "0", "currency": client.safe_currency_code(asset)},
        }
