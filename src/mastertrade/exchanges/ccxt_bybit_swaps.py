"""Bybit's linear perpetuals, unified accounts. Sources: bybit-exchange.github.io/docs/v5: error, order/create-order,
order/execution, position, position/leverage, account/account-info, account/transaction-log, user/apikey-info."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from mastertrade.exchanges.ccxt_bybit import Bybit
from mastertrade.exchanges.ccxt_reading import Reading, rows
from mastertrade.exchanges.ccxt_rules import Answers, Told
from mastertrade.exchanges.ccxt_swap_rules import SwapRules, held_in, payment
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, bybit_rights
from mastertrade.shared.errors import DependencyDown

ORDERS_A_PAGE: Final = 50
POSITIONS_A_PAGE: Final = 200
PAYMENTS_A_PAGE: Final = 50
SIGNS: Final = {"Buy": Decimal(1), "Sell": Decimal(-1)}


class BybitSwaps(Bybit, SwapRules):
    """Margin is cross or isolated for a whole account; the mode of positions is one of each market."""

    answers = Answers(
        refused=frozenset({
            "10001", "10002", "10003", "10004", "10005", "10007", "10008", "10009", "10010", "10017", "10024",
            "10027", "10028", "10029", "33004", "110003", "110004", "110005", "110006", "110007", "110009", "110011",
            "110012", "110014", "110016", "110017", "110018", "110020", "110021", "110023", "110029", "110032",
            "110034", "110040", "110042", "110044", "110045", "110046", "110049", "110050", "110051", "110052",
            "110053", "110057", "110066", "110067", "110068", "110069", "110070", "110094",
        }),
        none_to_cancel=frozenset({"110001", "110008", "110010"}),
        wrong_keys=Bybit.answers.wrong_keys,
    )  # fmt: skip
    """Time-outs (10000), trouble of the server (10016), rate limits (10006), a settlement that goes on (110063) and
    "OrderLinkedID is duplicate" (110072) do not say how far the order came."""
    options: ClassVar[Mapping[str, Any]] = {
        **Bybit.options,
        "fetchMarkets": {"types": ["linear"]},
        "defaultType": "swap",
    }
    category = "linear"
    market_type = "contract"
    traded = frozenset({"Trade", "AdlTrade", "BustTrade", "BlockTrade", "MovePosition", "", None})
    longest_funding, funding_reach = timedelta(days=6), timedelta(days=700)

    def besides(self, ticket: OrderTicket) -> Mapping[str, Any]:
        return {"positionIdx": 0, "reduceOnly": ticket.terms.reduce_only}

    async def open_orders(self, client: Any, symbols: Sequence[str]) -> list[Told]:
        """Of one market at a time: of them all it tells by the asset they settle in alone."""
        found: list[Told] = []
        for symbol in symbols:
            asked = {"category": self.category, "symbol": client.market(symbol)["id"], "openOnly": 0}
            async for page in self._listed(client.privateGetV5OrderRealtime, {**asked, "limit": ORDERS_A_PAGE}):
                found += [self.read_order(client, one) for one in page]
        return [one for one in found if one["status"] == "open"]

    async def require_account(self, client: Any) -> None:
        told = (await client.privateGetV5AccountInfo()).get("result") or {}
        if told.get("marginMode") != "REGULAR_MARGIN":
            raise VenueRefused(
                f"bybit: the account's margin mode is {told.get('marginMode')}, and orders are sized for cross margin; "
                "choose Cross Margin at Bybit under Unified Trading, Margin Mode"
            )

    async def prepare_market(self, client: Any, symbol: str, leverage: int) -> None:
        asked = {"category": self.category, "symbol": client.market(symbol)["id"]}
        told = rows(self.name, await client.privateGetV5PositionList(asked), "result", "list")
        ours = [one for one in told if one.get("symbol") == asked["symbol"]]
        if not ours:
            raise DependencyDown(f"bybit: its answer on the settings of {symbol} does not tell of it")
        if [str(one.get("positionIdx")) for one in ours] != ["0"]:
            raise VenueRefused(
                f"bybit: {symbol} is in hedge mode, which holds a long and a short position of a market at once; close "
                "what the account holds of it, and choose One-Way Mode at Bybit on the market's own page"
            )
        if Decimal(str(ours[0]["leverage"])) < leverage:
            each = {"buyLeverage": str(leverage), "sellLeverage": str(leverage)}
            await client.privatePostV5PositionSetLeverage({**asked, **each})

    async def positions(self, client: Any, settle: str) -> Mapping[str, Decimal]:
        asked = {"category": self.category, "settleCoin": settle, "limit": POSITIONS_A_PAGE}
        held: list[tuple[Any, Any]] = []
        async for page in self._listed(client.privateGetV5PositionList, asked):
            held += [(self._symbol(client, one), self._signed(one)) for one in page]
        return held_in(self.name, held)

    async def payments(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """What each changed the wallet by."""
        asked: dict[str, Any] = {
            "accountType": "UNIFIED",
            "category": self.category,
            "type": "SETTLEMENT",
            "startTime": from_ms,
            "limit": PAYMENTS_A_PAGE,
        }
        if to_ms is not None:
            asked["endTime"] = to_ms
        async for page in self._listed(client.privateGetV5AccountTransactionLog, asked):
            yield [
                payment(
                    self.name,
                    id=one.get("id"),
                    symbol=self._symbol(client, one),
                    asset=client.safe_currency_code(one.get("currency")),
                    amount=one.get("change"),
                    at_ms=one.get("transactionTime"),
                )
                for one in page
            ]

    def _symbol(self, client: Any, told: Mapping[str, Any]) -> Any:
        """None for none."""
        return client.safe_market(told.get("symbol"), None, None, self.market_type)["symbol"]

    def _signed(self, told: Mapping[str, Any]) -> Decimal:
        """What is held of nothing has no side."""
        read = Reading(self.name, "position", told)
        size = read.number("size")
        if size and told.get("side") not in SIGNS:
            read.refuse("side")
        return size * SIGNS.get(str(told.get("side")), Decimal(1))

    async def rights(self, client: Any) -> KeyRights | None:
        told = (await client.privateGetV5UserQueryApi()).get("result") or {}
        return bybit_rights(told, to_trade=("ContractTrade", "Order"))
