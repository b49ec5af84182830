"""OKX's perpetual swaps. Sources: okx.com/docs-v5: error codes, place order, transaction details, get positions, get
account configuration, get and set leverage, get bills details (last 7 days and 3 months), get instruments.

It counts contracts, and we units of the base asset: what goes in is divided by the size of a contract, and what comes
out is multiplied."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from mastertrade.domain.orders import OrderType
from mastertrade.exchanges.ccxt_okx import A_PAGE, Okx
from mastertrade.exchanges.ccxt_reading import Reading, rows
from mastertrade.exchanges.ccxt_rules import Answers, Stamp, Told
from mastertrade.exchanges.ccxt_swap_rules import SwapRules, held_in, payment, realized_in
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.shared.errors import DependencyDown

FUNDING: Final = "8"
"""The kind of bill."""
DAYS_AT_ONCE_MS: Final = 6 * 86_400_000
"""Of the last seven days there is a list that is told at once, of three months one that may come later."""
CONTRACTS: Final = ("amount", "filled", "remaining")


class OkxSwaps(Okx, SwapRules):
    """The mode of positions is the account's, leverage and margin are a market's."""

    answers = Answers(
        refused=Okx.answers.refused | {
            "51004", "51007", "51010", "51023", "51029", "51030", "51100", "51101", "51102", "51103", "51104", "51105",
            "51106", "51107", "51108", "51109", "51112", "51122", "51124", "51134", "51135", "51136", "51169", "51170",
            "51174", "51185", "51201", "51203", "51205",
        },
        no_order=Okx.answers.no_order,
        none_to_cancel=Okx.answers.none_to_cancel,
        wrong_keys=Okx.answers.wrong_keys,
    )  # fmt: skip
    options: ClassVar[Mapping[str, Any]] = {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"}
    kind_of_market = "SWAP"
    longest_funding, funding_reach = timedelta(days=2), timedelta(days=89)

    async def place(self, client: Any, ticket: OrderTicket, given: Stamp) -> Told:
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self.name}: order type {ticket.type} is not offered; use MARKET or LIMIT")
        market = client.market(ticket.symbol)
        contracts = ticket.quantity / Decimal(str(market["contractSize"]))
        if contracts % Decimal(str(market["precision"]["amount"])):
            raise VenueRefused(
                f"{self.name}: {ticket.quantity:f} of {ticket.symbol} are {contracts.normalize():f} contracts, and it "
                f"trades them in steps of {market['precision']['amount']}"
            )
        asked = {
            "instId": market["id"],
            "tdMode": "cross",
            "side": ticket.side.value.lower(),
            "ordType": self.kind(ticket),
            "sz": f"{contracts.normalize():f}",
            "clOrdId": ticket.client_order_id,
            "reduceOnly": ticket.terms.reduce_only,
        }
        if ticket.limit_price is not None:
            asked["px"] = f"{ticket.limit_price:f}"
        told = await client.privatePostTradeOrder(asked)
        return {"id": told["data"][0]["ordId"], "status": "open"}

    def read_order(self, client: Any, told: Mapping[str, Any]) -> Told:
        return _in_base(client, client.parse_order(told))

    def read_trade(self, client: Any, told: Mapping[str, Any]) -> Told:
        return _in_base(client, client.parse_trade(told))

    def realized(self, trade: Told) -> Decimal | None:
        return realized_in(self.name, trade, "fillPnl")

    async def require_account(self, client: Any) -> None:
        told = (await client.privateGetAccountConfig()).get("data") or [{}]
        if str(told[0].get("acctLv")) == "1":
            raise VenueRefused(
                "okx: the account's mode is Spot, in which swaps are not traded; choose Futures mode at OKX under "
                "Trade, Settings, Account mode"
            )
        if told[0].get("posMode") != "net_mode":
            raise VenueRefused(
                "okx: the account is in hedge mode, which holds a long and a short position of a market at once; close "
                "what it holds, and choose One-way mode at OKX under Trade, Settings, Position mode"
            )

    async def prepare_market(self, client: Any, symbol: str, leverage: int) -> None:
        """An order says itself that its margin is cross."""
        asked = {"instId": client.market(symbol)["id"], "mgnMode": "cross"}
        told = rows(self.name, await client.privateGetAccountLeverageInfo(asked), "data")
        if not told:
            raise DependencyDown(f"okx: its answer on the leverage of {symbol} does not tell it")
        if min(Decimal(str(one["lever"])) for one in told) < leverage:
            await client.privatePostAccountSetLeverage({**asked, "lever": str(leverage)})

    async def positions(self, client: Any, settle: str) -> Mapping[str, Decimal]:
        told = rows(self.name, await client.privateGetAccountPositions({"instType": self.kind_of_market}), "data")
        return held_in(self.name, [_held(client, one) for one in told])

    async def payments(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """What each changed the balance by."""
        asked: dict[str, Any] = {
            "instType": self.kind_of_market,
            "type": FUNDING,
            "begin": from_ms,
            "limit": A_PAGE,
        }
        if to_ms is not None:
            asked["end"] = to_ms
        is_recent = from_ms > client.nonce() - DAYS_AT_ONCE_MS
        ask = client.privateGetAccountBills if is_recent else client.privateGetAccountBillsArchive
        async for page in self._listed(ask, asked, "billId"):
            yield [
                payment(
                    self.name,
                    id=one.get("billId"),
                    symbol=_market(client, one)["symbol"],
                    asset=client.safe_currency_code(one.get("ccy")),
                    amount=one.get("balChg"),
                    at_ms=one.get("ts"),
                )
                for one in page
            ]


def _market(client: Any, told: Mapping[str, Any]) -> Mapping[str, Any]:
    market: Mapping[str, Any] = client.safe_market(told.get("instId"))
    if market.get("contractSize") is None:
        raise DependencyDown(f"okx tells of {told.get('instId')}, and does not list it: its contracts are of no size")
    return market


def _in_base(client: Any, parsed: Told) -> Told:
    size = Decimal(str(_market(client, parsed["info"])["contractSize"]))
    return {**parsed, **{name: Decimal(str(parsed[name])) * size for name in CONTRACTS if parsed.get(name) is not None}}


def _held(client: Any, told: Mapping[str, Any]) -> tuple[Any, Any]:
    """Of a position that is called short the number is above 0; of one that is net it has its sign."""
    market, read = _market(client, told), Reading("okx", "position", told)
    if told.get("posSide") not in ("net", "long", "short"):
        read.refuse("posSide")
    contracts = read.number("pos", may_be_negative=told["posSide"] == "net")
    size = Decimal(str(market["contractSize"])) * (-1 if told["posSide"] == "short" else 1)
    return market["symbol"], contracts * size
