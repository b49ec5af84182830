"""What of perpetual swaps differs from venue to venue, besides ``VenueRules``: how an account and a market are made
ready, what is held, what funding was paid, and what a fill realized.

Orders, trades and positions leave the rules in units of the base asset, whatever the venue counts in."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from mastertrade.domain.orders import FundingPayment
from mastertrade.exchanges.ccxt_fills import TimePager
from mastertrade.exchanges.ccxt_reading import EPOCH, Reading
from mastertrade.exchanges.ccxt_rules import Told, VenueRules

MILLISECOND: Final = timedelta(milliseconds=1)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


class SwapRules(VenueRules):
    """Rules that prepare refuse with VenueRefused, and what to do next; other errors are the wire's."""

    longest_funding: timedelta | None = None
    """The longest stretch of payments that the venue answers for."""
    funding_reach: timedelta | None = None
    """How far back it tells of them."""

    def __init__(self) -> None:
        super().__init__()
        self._payments = TimePager(self.name, longest=self.longest_funding, reach=self.funding_reach)

    @abstractmethod
    async def require_account(self, client: Any) -> None:
        """That it holds one position a market (one-way mode)."""

    @abstractmethod
    async def prepare_market(self, client: Any, symbol: str, leverage: int) -> None:
        """That the market is margined cross, with at least this leverage, which is set where it is less: so the venue
        asks for no more margin than was reserved."""

    @abstractmethod
    async def positions(self, client: Any, settle: str) -> Mapping[str, Decimal]:
        """By our symbol, shorts below 0, of all markets that settle in this asset, at least."""

    @abstractmethod
    def payments(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """Payments of funding, as ``payment`` makes them; see ``TradesByTime.pages``."""

    async def funding(self, client: Any, after: str, now_ms: int) -> tuple[list[FundingPayment], str]:
        """Those after the cursor, oldest first, and the cursor to go on from: the same one when all is told."""
        told, cursor = await self._payments.after(
            after, lambda from_ms, to_ms: self.payments(client, from_ms, to_ms), now_ms
        )
        payments = [
            FundingPayment(
                payment_id=one["id"],
                symbol=one["symbol"],
                asset=one["asset"],
                amount=one["amount"],
                paid_at=EPOCH + one["timestamp"] * MILLISECOND,
            )
            for one in told
        ]
        return payments, cursor


def payment(venue: str, *, id: Any, symbol: Any, asset: Any, amount: Any, at_ms: Any) -> Told:
    """One that is paged by time."""
    told = {"id": id, "symbol": symbol, "asset": asset, "amount": amount, "timestamp": at_ms}
    read = Reading(venue, "payment of funding", told)
    read.text("timestamp")  # what is no number or text may still count as one
    return {
        "id": read.text("id"),
        "order": "",
        "symbol": read.text("symbol"),
        "asset": read.text("asset"),
        "amount": read.number("amount", may_be_negative=True),
        "timestamp": (read.moment("timestamp", until=LATEST) - EPOCH) // MILLISECOND,
    }


def realized_in(venue: str, trade: Told, name: str) -> Decimal | None:
    """What the venue says that a fill realized, or None where it says nothing."""
    told = trade.get("info") or {}
    if told.get(name) in (None, ""):
        return None
    return Reading(venue, "fill", told).number(name, may_be_negative=True)


def held_in(venue: str, told: Iterable[tuple[Any, Any]]) -> dict[str, Decimal]:
    """Symbols and what is held of each, shorts below 0."""
    held: dict[str, Decimal] = {}
    for symbol, amount in told:
        read = Reading(venue, "position", {"symbol": symbol, "amount": amount})
        name = read.text("symbol")
        held[name] = held.get(name, Decimal(0)) + read.number("amount", may_be_negative=True)
    return held
