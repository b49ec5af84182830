"""Binance spot. Source of its codes: errors.md of its spot API documents."""

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from mastertrade.exchanges.ccxt_reading import Reading, rows
from mastertrade.exchanges.ccxt_rules import Answers, Stamp, Told, VenueRules
from mastertrade.exchanges.key_rights import KeyRights, binance_rights

LONGEST_WINDOW_MS: Final = 60_000
TRADES_A_PAGE: Final = 500
OPENED: Final = ""
"""In a cursor: the moment of the opening."""


class Binance(VenueRules):
    """Numbers its trades by market, one after the other."""

    name = "binance"
    answers = Answers(
        refused=frozenset({
            "-1013", "-1021", "-1022", "-1100", "-1101", "-1102", "-1103", "-1104", "-1105", "-1106", "-1111", "-1112",
            "-1114", "-1115", "-1116", "-1117", "-1121", "-1131", "-2010", "-2014", "-2015",
        }),
        no_order=frozenset({"-2013"}),
        none_to_cancel=frozenset({"-2011"}),
        wrong_keys=frozenset({"-1002", "-1022", "-2008", "-2014", "-2015"}),
    )  # fmt: skip
    """-1006 and -1007 (``execution status unknown``) refuse nothing."""

    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        if status < 400 or not isinstance(told, dict) or type(told.get("code")) is not int:
            return (), ""
        return (str(told["code"]),), str(told.get("msg", ""))

    def fence(self, given: Stamp) -> Mapping[str, Any]:
        return {"timestamp": given.at_ms, "recvWindow": min(given.until_ms - given.at_ms, LONGEST_WINDOW_MS)}

    async def trades(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        """The cursor names the last trade of each market; one that began with an opening leaves out what was traded
        before."""
        known = [key for key in (json.loads(after) if after else {}) if key != OPENED]
        return await self.trades_of(client, after, [*known, *symbols], now_ms)

    async def trades_of(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        cursor: dict[str, int] = json.loads(after) if after else {}
        opened_ms = cursor.get(OPENED, 0)
        fresh: list[Told] = []
        for symbol in dict.fromkeys(symbols):
            for trade in await _page(client, symbol, cursor.get(symbol), opened_ms):
                number = int(trade["id"])
                if number > cursor.get(symbol, 0):
                    cursor[symbol] = number
                    if int(trade["timestamp"]) >= opened_ms:
                        fresh.append(trade)
        fresh.sort(key=lambda trade: int(trade["timestamp"]))
        return fresh, json.dumps(cursor, sort_keys=True) if cursor else after

    def is_listening(self, message: Any) -> bool:
        result = message.get("result") if isinstance(message, dict) else None
        return isinstance(result, dict) and "subscriptionId" in result

    def is_stream_over(self, message: Any) -> bool:
        """ccxt hears it, and goes on waiting for what will not come."""
        event = message.get("event", message) if isinstance(message, dict) else None
        return isinstance(event, dict) and event.get("e") in ("eventStreamTerminated", "listenKeyExpired")

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        return _order(await client.fetch_order(None, symbol, self.named(client_order_id)))

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        return _order(await client.fetch_order(number, symbol))

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        found: list[Told] = []
        for symbol in symbols:
            told = rows(self.name, await client.privateGetOpenOrders({"symbol": client.market(symbol)["id"]}))
            found += [_order(one) for one in client.parse_orders(told) if one["symbol"] == symbol]
        return found

    async def balances(self, client: Any) -> Mapping[str, Any]:
        told = rows(self.name, await client.privateGetAccount(), "balances")
        held: dict[str, Decimal] = {}
        for one in told:
            read = Reading(self.name, "balances", one)
            held[client.safe_currency_code(read.text("asset"))] = read.number("free") + read.number("locked")
        return held

    async def rights(self, client: Any) -> KeyRights | None:
        """Its testnet has no such question."""
        if "sapi" not in client.urls["api"]:
            return None
        return binance_rights(await client.sapi_get_account_apirestrictions())


def _order(told: Told) -> Told:
    """ccxt would call what is not told to have filled nothing. Every order has an id of its client's."""
    Reading("binance", "order", told["info"]).text("clientOrderId")
    return {**told, "filled": told["info"].get("executedQty")}


async def _page(client: Any, symbol: str, last: int | None, opened_ms: int) -> Sequence[Told]:
    """The next page. Of a market that is new in the cursor the latest one, if it reaches back to the opening; else it
    is walked from its first trade on."""
    if last is None and opened_ms:
        latest = await _told(client, symbol, limit=TRADES_A_PAGE)
        if len(latest) < TRADES_A_PAGE or min(int(one["timestamp"]) for one in latest) < opened_ms:
            return sorted(latest, key=lambda one: int(one["id"]))
    found = await _told(client, symbol, limit=TRADES_A_PAGE, fromId=(last or 0) + 1)
    return sorted(found, key=lambda one: int(one["id"]))


async def _told(client: Any, symbol: str, **asked: int) -> list[Told]:
    """Asked by its own question: ccxt would take an answer that is no list for an empty one."""
    market = client.market(symbol)
    told = rows(client.id, await client.privateGetMyTrades({"symbol": market["id"], **asked}))
    for one in told:
        read = Reading(client.id, "fill", one)
        read.above_zero("id")
        if not isinstance(one.get("isBuyer"), bool):
            read.refuse("isBuyer")  # ccxt would take it for a sale
    trades: list[Told] = client.parse_trades(told, market)
    return trades
