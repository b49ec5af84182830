"""Binance's USD-margined futures, of which we trade the perpetual ones. Sources: developers.binance.com, derivatives,
USDS-margined futures: error codes, New Order, Query Order, Account Trade List, Get Income History, Futures Account
Balance V3, Position Information V3, Symbol Configuration, Change Initial Leverage, Get Current Position Mode."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from mastertrade.domain.orders import OrderType, Terms
from mastertrade.exchanges.ccxt_binance import OPENED, Binance
from mastertrade.exchanges.ccxt_fills import TimePager
from mastertrade.exchanges.ccxt_reading import Reading, rows
from mastertrade.exchanges.ccxt_rules import Answers, Stamp, Told
from mastertrade.exchanges.ccxt_swap_rules import SwapRules, held_in, payment, realized_in
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, binance_rights
from mastertrade.shared.errors import DependencyDown

A_PAGE: Final = 1_000
LONGEST: Final = timedelta(days=6)
"""It answers for seven days, and a stretch begins a while before it."""
TRADES_REACH, INCOME_REACH = timedelta(days=179), timedelta(days=89)


class BinanceSwaps(Binance, SwapRules):
    """Tells trades by market and time, and orders by our id; those that ended without a trade for three days only."""

    answers = Answers(
        refused=frozenset({
            "-1013", "-1014", "-1020", "-1021", "-1022", "-1100", "-1101", "-1102", "-1103", "-1104", "-1105", "-1106",
            "-1108", "-1110", "-1111", "-1112", "-1114", "-1115", "-1116", "-1117", "-1118", "-1121", "-1122", "-1126",
            "-1128", "-1130", "-1136", "-2010", "-2014", "-2015", "-2016", "-2017", "-2018", "-2019", "-2022", "-2023",
            "-2024", "-2025", "-2026", "-2027", "-2028", "-4001", "-4002", "-4003", "-4004", "-4005", "-4012", "-4013",
            "-4014", "-4015", "-4016", "-4023", "-4024", "-4029", "-4030", "-4055", "-4060", "-4061", "-4062", "-4086",
            "-4087", "-4088", "-4104", "-4118", "-4131", "-4138", "-4139", "-4140", "-4141", "-4144", "-4164", "-4192",
            "-4400", "-4401", "-4402", "-4403", "-5021", "-5022", "-5025", "-5028",
        }),
        no_order=frozenset({"-2013"}),
        none_to_cancel=frozenset({"-2011"}),
        wrong_keys=frozenset({"-1002", "-1022", "-2008", "-2014", "-2015"}),
    )  # fmt: skip
    """-1006 and -1007 (``execution status unknown``) refuse nothing, nor do -1000, -1001, -1008, -1015 and -1016, which
    tell of trouble or haste; -4116 (``ClientOrderId is duplicated``) speaks of an order that is there."""
    options = {"fetchMarkets": {"types": ["linear"]}, "defaultType": "swap"}  # noqa: RUF012 - as in VenueRules
    longest_funding, funding_reach = LONGEST, INCOME_REACH

    def __init__(self) -> None:
        super().__init__()
        self._markets: dict[str, TimePager] = {}

    def use_testnet(self, client: Any) -> None:
        """Its testnet for futures is called demo trading, with keys of its own."""
        client.enable_demo_trading(True)

    def terms(self, terms: Terms) -> dict[str, Any]:
        life = "GTX" if terms.post_only else terms.time_in_force.value.replace("GTD", "GTC")
        return {"timeInForce": life}

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        asked: dict[str, Any] = {
            "symbol": client.market(ticket.symbol)["id"],
            "side": ticket.side.value,
            "type": ticket.type.value,
            "quantity": f"{ticket.quantity:f}",
            "newClientOrderId": self.venue_id(ticket.client_order_id),
            "newOrderRespType": "RESULT",
            **self.fence(given),
        }
        if ticket.type is OrderType.LIMIT:
            asked |= {"price": f"{ticket.limit_price:f}", **self.terms(ticket.terms)}
        if ticket.terms.reduce_only:
            asked["reduceOnly"] = "true"
        return _order(client, await client.fapiPrivatePostOrder(asked))

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        return await self._one(client, {"origClientOrderId": self.venue_id(client_order_id)}, symbol)

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        return await self._one(client, {"orderId": number}, symbol)

    async def _one(self, client: Any, named: Mapping[str, str], symbol: str) -> Told | None:
        asked = {"symbol": client.market(symbol)["id"], **named}
        return _order(client, await client.fapiPrivateGetOrder(asked))

    async def cancel(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> None:
        named = {"origClientOrderId": self.venue_id(client_order_id)}
        await client.fapiPrivateDeleteOrder({"symbol": client.market(symbol)["id"], **named})

    async def cancel_number(self, client: Any, number: str, symbol: str) -> None:
        await client.fapiPrivateDeleteOrder({"symbol": client.market(symbol)["id"], "orderId": number})

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        asked = [{"symbol": client.market(symbol)["id"]} for symbol in symbols]
        found = [rows(self.name, await client.fapiPrivateGetOpenOrders(one)) for one in asked]
        return [_order(client, one) for orders in found for one in orders]

    async def trades(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        known = [key for key in (json.loads(after) if after else {}) if key != OPENED]
        return await self.trades_of(client, after, [*known, *symbols], now_ms)

    async def trades_of(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        """The cursor has one of ``TimePager`` for each market."""
        cursor: dict[str, Any] = json.loads(after) if after else {}
        fresh: list[Told] = []
        for symbol in dict.fromkeys(symbols):
            begun = cursor.get(symbol) or {OPENED: cursor.get(OPENED, 0)}
            pager = self._markets.setdefault(symbol, TimePager(self.name, longest=LONGEST, reach=TRADES_REACH))
            found, told = await pager.after(json.dumps(begun), _trades_in(client, symbol), now_ms)
            cursor[symbol] = json.loads(told)
            fresh += found
        fresh.sort(key=lambda trade: int(trade["timestamp"]))
        return fresh, json.dumps(cursor, sort_keys=True) if cursor else after

    def realized(self, trade: Told) -> Decimal | None:
        return realized_in(self.name, trade, "realizedPnl")

    async def balances(self, client: Any) -> Mapping[str, Any]:
        """Of the wallet for USD-margined futures, without what positions have gained or lost."""
        told = rows(self.name, await client.fapiPrivateV3GetBalance())
        return {client.safe_currency_code(one["asset"]): one["balance"] for one in told}

    async def require_account(self, client: Any) -> None:
        told = await client.fapiPrivateGetPositionSideDual()
        if told.get("dualSidePosition") is not False:
            raise VenueRefused(
                "binance: the account is in hedge mode, which holds a long and a short position of a market at once; "
                "close what it holds, and choose One-way Mode at Binance under Futures, Preferences, Position Mode"
            )

    async def prepare_market(self, client: Any, symbol: str, leverage: int) -> None:
        market = client.market(symbol)["id"]
        settings = rows(self.name, await client.fapiPrivateGetSymbolConfig({"symbol": market}))
        ours = [one for one in settings if one.get("symbol") == market]
        if not ours:
            raise DependencyDown(f"binance: its answer on the settings of {market} does not tell of it")
        if ours[0]["marginType"] != "CROSSED":
            raise VenueRefused(
                f"binance: {symbol} is margined {str(ours[0]['marginType']).lower()}, and orders are sized for cross "
                "margin; close what the account holds of it, and choose Cross at Binance on the market's own page"
            )
        if int(ours[0]["leverage"]) < leverage:
            told = await client.fapiPrivatePostLeverage({"symbol": market, "leverage": leverage})
            if int(told["leverage"]) < leverage:
                raise VenueRefused(
                    f"binance: its leverage of {symbol} stays at {told['leverage']}, below the account's {leverage}"
                )

    async def positions(self, client: Any, settle: str) -> Mapping[str, Decimal]:
        told = rows(self.name, await client.fapiPrivateV3GetPositionRisk())
        return held_in(self.name, ((_symbol(client, one.get("symbol")), one.get("positionAmt")) for one in told))

    async def payments(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        asked = {"incomeType": "FUNDING_FEE"}
        async for page in _walked(client.fapiPrivateGetIncome, asked, from_ms, to_ms):
            yield [
                payment(
                    self.name,
                    id=one.get("tranId"),
                    symbol=_symbol(client, one.get("symbol")),
                    asset=client.safe_currency_code(one.get("asset")),
                    amount=one.get("income"),
                    at_ms=one.get("time"),
                )
                for one in page
            ]

    async def rights(self, client: Any) -> KeyRights | None:
        if "sapi" not in client.urls["api"]:
            return None
        return binance_rights(await client.sapi_get_account_apirestrictions(), to_trade="enableFutures")


def _trades_in(client: Any, symbol: str) -> Callable[[int, int | None], AsyncIterator[Sequence[Told]]]:
    async def pages(from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        market = client.market(symbol)
        async for page in _walked(client.fapiPrivateGetUserTrades, {"symbol": market["id"]}, from_ms, to_ms):
            yield [client.parse_trade(one, market) for one in page]

    return pages


async def _walked(
    ask: Any, asked: Mapping[str, Any], from_ms: int, to_ms: int | None
) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """Oldest first; the next page begins at the last moment of the one before."""
    while True:
        end = {} if to_ms is None else {"endTime": to_ms}
        page = rows("binance", await ask({**asked, "startTime": from_ms, **end, "limit": A_PAGE}))
        yield page
        if len(page) < A_PAGE:
            return
        last_ms = max(int(one["time"]) for one in page)
        if last_ms <= from_ms:
            raise DependencyDown(f"binance tells {A_PAGE:,} of one millisecond, and no way to the rest of them")
        from_ms = last_ms


def _symbol(client: Any, name: Any) -> Any:
    """None for none."""
    return client.safe_market(name, None, None, "contract")["symbol"]


def _order(client: Any, told: Mapping[str, Any]) -> Told:
    """ccxt would call what is not told to have filled nothing. Every order has an id of its client's."""
    Reading("binance", "order", told).text("clientOrderId")
    order: Told = client.parse_order(told, client.safe_market(told["symbol"], None, None, "contract"))
    return {**order, "filled": told.get("executedQty")}
