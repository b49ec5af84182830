"""Kraken spot. Sources: docs.kraken.com, Spot REST: errors, client order identifiers, AddOrder, GetApiKeyInfo."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.orders import id_of_number, number_of_id
from mastertrade.exchanges.ccxt_fills import TradesByTime
from mastertrade.exchanges.ccxt_reading import named_rows
from mastertrade.exchanges.ccxt_rules import Answers, Credentials, Stamp, Told
from mastertrade.exchanges.key_rights import KeyRights, kraken_rights
from mastertrade.shared.errors import ConfigurationError, DependencyDown

TRADES_A_PAGE: Final = 50
FREE_TEXT: Final = 18
"""Letters that an id may have which is no UUID."""
UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
FEE_IN_QUOTE: Final = "fciq"
"""Else it may be taken in the base asset where one sells, while it is told in the quote asset."""


class Kraken(TradesByTime):
    """An id of ours is a number of 128 bits: at Kraken it is written as a UUID, and every UUID there is read as one."""

    name = "kraken"
    answers = Answers(
        refused=frozenset({
            "EAPI:Bad request", "EAPI:Invalid key", "EAPI:Invalid nonce", "EAPI:Invalid signature",
            "EAccount:Invalid permissions", "EAuth:Account temporary disabled", "EAuth:Account unconfirmed",
            "EGeneral:Invalid arguments", "EGeneral:Permission denied", "EGeneral:Unknown method",
            "EOrder:Cannot open opposing position", "EOrder:Cannot open position", "EOrder:Cost minimum not met",
            "EOrder:Insufficient funds", "EOrder:Insufficient margin", "EOrder:Invalid order", "EOrder:Invalid price",
            "EOrder:Margin allowance exceeded", "EOrder:Margin level too low", "EOrder:Margin position size exceeded",
            "EOrder:Order minimum not met", "EOrder:Orders limit exceeded", "EOrder:Positions limit exceeded",
            "EOrder:Post only order", "EOrder:Tick size check failed", "EOrder:Trading agreement required",
            "EQuery:Invalid asset pair", "EQuery:Unknown asset pair",
            "EService:Market in cancel_only mode", "EService:Market in limit_only mode",
            "EService:Market in post_only mode", "ETrade:User Locked",
        }),
        no_order=frozenset({"EOrder:Unknown order"}),
        none_to_cancel=frozenset({"EOrder:Unknown order"}),
        wrong_keys=frozenset({"EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Permission denied"}),
    )  # fmt: skip
    """``EService:Deadline elapsed`` and the rate limits are left out: they do not say how far the order came."""
    has_testnet = False
    nonce_counts = True

    def credentials(self, given: Credentials) -> Credentials:
        try:
            base64.b64decode(given.secret, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                "kraken: the secret is not base64, as its private keys are; copy it whole"
            ) from None
        return given

    def prepare(self, client: Any) -> None:
        """Its nonces must arrive in their order: one request at a time."""
        turn, ask = asyncio.Lock(), client.fetch2

        async def in_turn(path: str, api: Any = "public", *rest: Any, **named: Any) -> Any:
            if "private" not in api:
                return await ask(path, api, *rest, **named)
            async with turn:
                return await ask(path, api, *rest, **named)

        client.fetch2 = in_turn

    def codes(self, status: int, told: Any) -> tuple[Collection[str], str]:
        """The first two parts of each error; warnings refuse nothing."""
        errors = told.get("error") if isinstance(told, dict) else None
        if not isinstance(errors, list):
            return (), ""
        texts = [str(one) for one in errors if str(one).startswith("E")]
        return [":".join(part.strip() for part in text.split(":")[:2]) for text in texts], "; ".join(texts)

    def venue_id(self, client_order_id: str) -> str:
        if (number := number_of_id(client_order_id)) is not None:
            return str(UUID(int=number))
        if len(client_order_id) <= FREE_TEXT:
            return client_order_id
        raise ConfigurationError(f"kraken: {client_order_id} is no id of ours, and longer than {FREE_TEXT} letters")

    def our_id(self, venue_id: str) -> str:
        if UUID_TEXT.fullmatch(venue_id) is None:
            return venue_id
        return id_of_number(UUID(venue_id).int)

    def client_id(self, order: Told) -> str:
        """ccxt would show its ``userref``."""
        return str((order.get("info") or {}).get("cl_ord_id") or "")

    def fence(self, given: Stamp) -> Mapping[str, Any]:
        until = datetime.fromtimestamp(given.until_ms / 1000, UTC)
        return {"deadline": until.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "oflags": FEE_IN_QUOTE}

    async def look_up(self, client: Any, client_order_id: str, symbol: str, number: str | None) -> Told | None:
        """Among open orders first: one that ends meanwhile is then among the ended ones."""
        wanted = self.venue_id(client_order_id)
        for ask, what in ((client.privatePostOpenOrders, "open"), (client.privatePostClosedOrders, "closed")):
            found = self._orders(client, await ask({"cl_ord_id": wanted}), what)
            ours = [one for one in found if self._is(one, wanted)]
            if ours:
                latest: Told = max(ours, key=lambda one: int(one.get("timestamp") or 0))
                return latest
            if found:
                raise DependencyDown(f"kraken was asked for the order {wanted} and told {len(found)} others")
        return None

    def _is(self, order: Told, wanted: str) -> bool:
        return self.our_id(self.client_id(order)) == self.our_id(wanted)

    async def by_number(self, client: Any, number: str, symbol: str) -> Told | None:
        told = self._orders(client, await client.privatePostQueryOrders({"txid": number}))
        return next((one for one in told if one["id"] == number), None)

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        found = self._orders(client, await client.privatePostOpenOrders(), "open")
        return [one for one in found if one["symbol"] in symbols]

    def _orders(self, client: Any, told: Any, *what: str) -> list[Told]:
        """ccxt would take an answer without a list for an empty one."""
        found = named_rows(self.name, told, "result", *what)
        return [client.parse_order({**one, "id": number}) for number, one in found.items()]

    async def pages(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """Newest first; what is traded meanwhile moves the others on, so none is passed over. ``start`` is
        exclusive."""
        asked: dict[str, Any] = {"start": from_ms // 1000 - 1, "ofs": 0}
        if to_ms is not None:
            asked["end"] = to_ms // 1000 + 1
        while True:
            told = named_rows(self.name, await client.privatePostTradesHistory(asked), "result", "trades")
            yield client.parse_trades([{**trade, "id": id} for id, trade in told.items()])
            if len(told) < TRADES_A_PAGE:
                return
            asked = {**asked, "ofs": asked["ofs"] + len(told)}

    def is_listening(self, message: Any) -> bool:
        if not isinstance(message, dict) or message.get("method") != "subscribe" or message.get("success") is not True:
            return False
        return (message.get("result") or {}).get("channel") == "executions"

    async def balances(self, client: Any) -> Mapping[str, Any]:
        told = named_rows(self.name, await client.privatePostBalanceEx(), "result")
        return {client.safe_currency_code(name): one.get("balance") for name, one in told.items()}

    async def rights(self, client: Any) -> KeyRights | None:
        return kraken_rights((await client.privatePostGetApiKeyInfo()).get("result") or {})
