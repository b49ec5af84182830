"""What our books and a venue disagree about. Pure: the same two worlds always differ in the same way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from mastertrade.domain.orders import CLIENT_ORDER_PREFIX, Order, OrderStatus
from mastertrade.exchanges.exchange import VenueOrder

TOLERANCE = Decimal("1e-8")
"""Venues tell balances to the eighth decimal."""
_NOT_YET_THERE = frozenset({OrderStatus.NEW, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})
"""An order that no venue has to know."""


class AccountState(StrEnum):
    """RECOVERING sends nothing until the account was compared, BROKEN only what reduces a position, LIVE everything."""

    RECOVERING = "recovering"
    BROKEN = "broken"
    LIVE = "live"


class BreakKind(StrEnum):
    BALANCE = "balance"
    ORDER_GONE = "order_gone"
    ORDER_DIFFERS = "order_differs"
    MISSING_FILLS = "missing_fills"
    FOREIGN_ORDER = "foreign_order"
    POSITION = "position"
    CLAIMS = "claims"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference. ``subject`` is an asset, a market or a client order id; while one that ``blocks`` stands,
    nothing is opened on the account."""

    kind: BreakKind
    subject: str
    ours: Decimal
    theirs: Decimal
    detail: str
    blocks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our active orders, how those ended that the venue still shows as resting, and what our ledger says the account
    holds: money, and contracts by their market, shorts below 0; ``claimed`` is what strategies take for theirs of these
    contracts."""

    orders: Sequence[Order]
    ended: Mapping[str, OrderStatus]
    balances: Mapping[str, Decimal]
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    claimed: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What the venue told, in this order: all its fills, ``resting`` orders, the answers about ``ours`` by client id
    (None for its "no such order"), and balances no fill came in between."""

    resting: Sequence[VenueOrder]
    answers: Mapping[str, VenueOrder | None]
    balances: Mapping[str, Decimal]
    positions: Mapping[str, Decimal] = field(default_factory=dict)


def is_ours(client_order_id: str) -> bool:
    """Whether an id was made by ``client_order_id``, even if its row was lost."""
    return client_order_id.startswith(CLIENT_ORDER_PREFIX)


def compare(ours: Ours, theirs: Theirs) -> tuple[Break, ...]:
    """Every difference, in a stable order."""
    return tuple(sorted(_differences(ours, theirs), key=lambda one: (one.kind, one.subject)))


def _differences(ours: Ours, theirs: Theirs) -> Iterator[Break]:
    for asset in ours.balances.keys() | theirs.balances.keys():
        own, told = ours.balances.get(asset, Decimal(0)), theirs.balances.get(asset, Decimal(0))
        if abs(told - own) > TOLERANCE:
            detail = f"our ledger has {own} {asset}, the venue {told}"
            yield Break(kind=BreakKind.BALANCE, subject=asset, ours=own, theirs=told, detail=detail)
    for symbol in ours.positions.keys() | theirs.positions.keys():
        own, told = ours.positions.get(symbol, Decimal(0)), theirs.positions.get(symbol, Decimal(0))
        if own != told:
            detail = f"our ledger has {own} {symbol}, the venue {told}"
            yield Break(kind=BreakKind.POSITION, subject=symbol, ours=own, theirs=told, detail=detail)
    for symbol, claimed in ours.claimed.items():
        own = ours.positions.get(symbol, Decimal(0))
        if abs(claimed) > abs(own) or claimed * own < 0:
            detail = f"strategies count on {claimed} {symbol}, the account holds {own}: somebody else closed some of it"
            yield Break(kind=BreakKind.CLAIMS, subject=symbol, ours=claimed, theirs=own, detail=detail)
    for order in ours.orders:
        if order.client_order_id in theirs.answers:
            yield from _about(order, theirs.answers[order.client_order_id])
    known = {order.client_order_id for order in ours.orders}
    for stranger in theirs.resting:
        if stranger.client_order_id not in known:
            ended = ours.ended.get(stranger.client_order_id)
            state = "none of ours" if ended is None else f"{ended} in our books"
            yield Break(
                kind=BreakKind.FOREIGN_ORDER if ended is None else BreakKind.ORDER_DIFFERS,
                subject=stranger.client_order_id or stranger.exchange_order_id,
                ours=Decimal(0),
                theirs=stranger.quantity,
                detail=f"{stranger.side} {stranger.quantity} {stranger.symbol} rests there and is {state}",
                blocks=ended is not None,
            )


def _about(order: Order, told: VenueOrder | None) -> Iterator[Break]:
    if told is None:
        if order.status not in _NOT_YET_THERE:
            yield Break(
                kind=BreakKind.ORDER_GONE,
                subject=order.client_order_id,
                ours=order.quantity - order.filled_quantity,
                theirs=Decimal(0),
                detail=f"{order.status} in our books, and the venue knows no such order",
            )
    elif (told.side, told.symbol, told.quantity) != (order.side, order.symbol, order.quantity):
        yield Break(
            kind=BreakKind.ORDER_DIFFERS,
            subject=order.client_order_id,
            ours=order.quantity,
            theirs=told.quantity,
            detail=f"we sent {order.side} {order.quantity} {order.symbol}, "
            f"the venue has {told.side} {told.quantity} {told.symbol}",
        )
    elif told.filled_quantity > order.filled_quantity:
        yield Break(
            kind=BreakKind.MISSING_FILLS,
            subject=order.client_order_id,
            ours=order.filled_quantity,
            theirs=told.filled_quantity,
            detail=f"the venue filled {told.filled_quantity} and told fills of {order.filled_quantity}",
        )
