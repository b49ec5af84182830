"""The port to a venue: what every exchange must answer, and what each answer means."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from mastertrade.domain.orders import ORDINARY, Fill, FundingPayment, OrderStatus, OrderType, Side, Terms
from mastertrade.shared.errors import Refused


class VenueRefused(Refused):
    """The venue definitely refused the request."""


class NotSent(VenueRefused):
    """Nothing was written to the wire: the order's time was over, or would have been, or it could not be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTicket:
    """What goes over the wire: built from an approved order that is already written as SUBMITTING.

    The venue must not accept it after ``send_by``: that turns a later "no such order" into proof of absence. Terms that
    a venue does not know (an end at a time, on most spot markets) are kept by whoever sent it. ``quantity`` is in units
    of the base asset, also where the venue counts contracts. Of a swap ``terms.reduce_only`` is the venue's to keep.
    """

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    signed_at: datetime
    send_by: datetime
    terms: Terms = ORDINARY


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue sees it now. ``status`` is one of ours, translated by the venue's adapter;
    ``average_price`` of what has filled, where it tells that."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    status: OrderStatus
    reason: str = ""
    limit_price: Decimal | None = None
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FillPage:
    """Fills after a cursor, oldest first, and the cursor to go on from; the venue keeps the order stable."""

    fills: tuple[Fill, ...]
    cursor: str


class Venue(Protocol):
    """One account on one venue.

    ``place`` and ``cancel`` raise ``VenueRefused`` only for answers that are definite refusals. Any other exception,
    time-out or cut connection leaves the outcome unknown, and the caller must ask, never guess.
    """

    @property
    def name(self) -> str: ...

    async def place(self, ticket: OrderTicket) -> VenueOrder: ...

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder: ...

    async def find(self, client_order_id: str, symbol: str, *, since: datetime | None = None) -> VenueOrder | None:
        """The order by our id, or None for the venue's definite "no such order". ``since``: it was signed then, which
        shortens the search at a venue that finds orders by time alone."""
        ...

    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        """Of these markets: many venues list orders by market only."""
        ...

    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        """Fills of these markets, and of those in the cursor, after the cursor; the empty one starts at the first
        fill."""
        ...

    async def balances(self) -> dict[str, Decimal]: ...

    async def now(self) -> datetime:
        """The venue's own time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPage:
    """Funding payments after a cursor, oldest first, and the cursor to go on from."""

    payments: tuple[FundingPayment, ...]
    cursor: str


@runtime_checkable
class SwapVenue(Venue, Protocol):
    """One account for perpetual swaps that settle in their quote asset: cross margin, and one position a market (no
    hedge mode). ``balances`` are what its wallet holds, without what open positions have gained or lost."""

    async def positions(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """What it holds of these markets and of any other, in units of the base asset, shorts below 0; markets of which
        it holds nothing are left out."""
        ...

    async def funding(self, after: str, symbols: Sequence[str]) -> FundingPage:
        """What positions of these markets paid and received after the cursor; the empty one starts at the first
        payment."""
        ...


@dataclass(frozen=True, slots=True)
class Listening:
    """From here on the stream tells what happens on the account. What happened before is for whoever asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNews:
    """Something became of an order. ``is_over``: it can trade no more. ``client_order_id`` and ``exchange_trade_id``
    are empty where the venue leaves them out.

    It is a reason to ask and nothing else: no amounts are in it, so that a stream that says too much, too little or
    something old can put nothing wrong into our books."""

    symbol: str
    exchange_order_id: str
    client_order_id: str = ""
    exchange_trade_id: str = ""
    has_traded: bool = False
    is_over: bool = False


@runtime_checkable
class StreamingVenue(Venue, Protocol):
    """A venue that also tells by itself what becomes of the account's orders."""

    def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        """``Listening`` once the venue has said that it will tell, then the news. A call is a connection of its own,
        and ends with an error when that does; connecting again is the caller's. News may come twice, late or never."""
        ...

    async def fills_of(self, after: str, symbols: Sequence[str]) -> FillPage:
        """As ``fills``, of these markets alone: those of which there is news. The cursor serves both."""
        ...
