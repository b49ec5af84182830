"""OKX spot. Sources: okx.com/docs-v5: error codes, place order (clOrdId, tgtCcy, expTime), order details, transaction
details, get account configuration."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from mastertrade.domain.orders import OrderType, Terms, TimeInForce
from mastertrade.exchanges.ccxt_fills import TradesByTime
from mastertrade.exchanges.ccxt_reading import rows
from mastertrade.exchanges.ccxt_rules import Answers, Credentials, Stamp, Told, stamp
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, okx_rights
from mastertrade.shared.errors import ConfigurationError, DependencyDown

A_PAGE: Final = 100
MOST_PAGES: Final = 200
AT_ONCE_FOR_MS: Final = 70 * 3_600_000
"""Of the last three days there is a list that is told at once, of older ones one that may come later."""
AT_ONCE: Final = {TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}


class Okx(TradesByTime):
    """Its answers to orders carry a code of their own inside of one that only says "some failed"."""

    name = "okx"
    answers = Answers(
        refused=frozenset({
            "50014", "50100", "50101", "50102", "50103", "50104", "50105", "50106", "50107", "50110", "50111", "50112",
            "50113", "50114", "50115", "50119", "50120", "51000", "51001", "51005", "51006", "51008", "51020", "51021",
            "51022", "51024", "51025", "51026", "51027", "51028", "51110", "51116", "51118", "51119", "51120", "51121",
            "51127", "51131", "51133", "51137", "51138", "51139", "51155", "51202",
        }),
        no_order=frozenset({"51603"}),
        none_to_cancel=frozenset({"51400", "51401", "51402", "51603"}),
        wrong_keys=frozenset({"50101", "50105", "50110", "50111", "50113", "50114", "50119", "50120"}),
    )  # fmt: skip
    """Time-outs (50004), a busy system (50001, 50013, 50026), rate limits (50011), a passed ``expTime`` and "duplicated
    client order ID" (51016) do not say how far the order came."""
    key_parts = ("API key", "secret", "passphrase")
    kind_of_market: ClassVar[str] = "SPOT"
    longest = timedelta(days=2)
    reach = timedelta(days=89)

    def credentials(self, given: Credentials) -> Credentials:
        if not given.password:
            raise ConfigurationError("okx: its keys have a passphrase besides, and there is none; give it as well")
        return given

    def prepare(self, client: Any) -> None:
        """An order says itself until when it may be taken."""
        sign = client.sign

        def signed(path: str, *rest: Any, **named: Any) -> Any:
            request = sign(path, *rest, **named)
            given = stamp.get()
            if given is not None and path == "trade/order":
                request["headers"] = {**request["headers"], "expTime": str(given.until_ms)}
            return request

        client.sign = signed

    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        code = str(told.get("code", "")) if isinstance(told, dict) else ""
        if code in ("", "0"):
            return (), ""
        parts = [one for one in told.get("data") or [] if isinstance(one, dict) and one.get("sCode")]
        if code in ("1", "2") and parts:
            return [str(one["sCode"]) for one in parts], "; ".join(str(one.get("sMsg", "")) for one in parts)
        return [code], str(told.get("msg", ""))

    def kind(self, ticket: OrderTicket) -> str:
        terms: Terms = ticket.terms
        if ticket.type is OrderType.MARKET:
            return "market"
        return "post_only" if terms.post_only else AT_ONCE.get(terms.time_in_force, "limit")

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        asked = {
            "instId": client.market(ticket.symbol)["id"],
            "tdMode": "cash",
            "side": ticket.side.value.lower(),
            "ordType": self.kind(ticket),
            "sz": f"{ticket.quantity:f}",
            "clOrdId": ticket.client_order_id,
        }
        asked |= {"tgtCcy": "base_ccy"} if ticket.limit_price is None else {"px": f"{ticket.limit_price:f}"}
        told = await client.privatePostTradeOrder(asked)
        return {"id": told["data"][0]["ordId"], "status": "open"}

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        """One that was cancelled before anything of it traded is forgotten after two hours, as if it had never been."""
        return await self._one(client, {"clOrdId": client_order_id}, symbol)

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        return await self._one(client, {"ordId": number}, symbol)

    async def _one(self, client: Any, named: Mapping[str, str], symbol: str) -> Told | None:
        told = await client.privateGetTradeOrder({"instId": client.market(symbol)["id"], **named})
        return self.read_order(client, told["data"][0])

    def read_order(self, client: Any, told: Mapping[str, Any]) -> Told:
        order: Told = client.parse_order(told)
        return order

    def read_trade(self, client: Any, told: Mapping[str, Any]) -> Told:
        trade: Told = client.parse_trade(told)
        return trade

    async def cancel(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> None:
        await client.privatePostTradeCancelOrder({"instId": client.market(symbol)["id"], "clOrdId": client_order_id})

    async def cancel_number(self, client: Any, number: str, symbol: str) -> None:
        await client.privatePostTradeCancelOrder({"instId": client.market(symbol)["id"], "ordId": number})

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        asked = {"instType": self.kind_of_market, "limit": A_PAGE}
        pages = self._listed(client.privateGetTradeOrdersPending, asked, "ordId")
        found = [self.read_order(client, one) async for page in pages for one in page]
        return [one for one in found if one["symbol"] in symbols]

    async def pages(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """``begin`` and ``end`` are exclusive."""
        asked: dict[str, Any] = {"instType": self.kind_of_market, "begin": from_ms - 1, "limit": A_PAGE}
        if to_ms is not None:
            asked["end"] = to_ms + 1
        is_recent = from_ms > client.nonce() - AT_ONCE_FOR_MS
        ask = client.privateGetTradeFills if is_recent else client.privateGetTradeFillsHistory
        async for page in self._listed(ask, asked, "billId"):
            yield [self.read_trade(client, one) for one in page]

    async def _listed(
        self, ask: Any, asked: Mapping[str, Any], mark: str
    ) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Newest first; ``after`` a mark are the older ones."""
        after = ""
        for _ in range(MOST_PAGES):
            page = rows(self.name, await ask({**asked, **({"after": after} if after else {})}), "data")
            yield page
            if len(page) < A_PAGE:
                return
            after = str(page[-1][mark])
        raise DependencyDown(f"{self.name} tells more than {MOST_PAGES} pages at once; a part of them is no list")

    def id_in(self, trade: Told) -> str | None:
        return str((trade.get("info") or {}).get("clOrdId") or "")

    async def balances(self, client: Any) -> Mapping[str, Any]:
        told = await client.privateGetAccountBalance()
        held = [one for account in rows(self.name, told, "data") for one in rows(self.name, account, "details")]
        return {client.safe_currency_code(one["ccy"]): one["cashBal"] for one in held}

    def is_listening(self, message: Any) -> bool:
        return isinstance(message, dict) and message.get("event") == "subscribe"

    async def rights(self, client: Any) -> KeyRights | None:
        return okx_rights(((await client.privateGetAccountConfig()).get("data") or [{}])[0])
