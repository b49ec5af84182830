"""What is written of orders while they live: the three steps that are written together when several come at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.orders import Fill, Order, OrderStatus, Side

THE_VENUE: Final = "venue"
INFERRED: Final = "inferred"
A_PERSON: Final = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """An order is about to be sent: it becomes SUBMITTING, unless something forbids it."""

    order_id: UUID
    at: datetime
    send_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An order went on to another status. One that no longer stands where ``order`` says stays where it is."""

    order: Order
    to: OrderStatus
    at: datetime
    source: str
    payload: Mapping[str, Any]
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A fill goes into everything it changes. One that is INFERRED gives way to those the venue tells later."""

    account_id: UUID
    fill: Fill
    fill_id: UUID
    at: datetime
    source: str = THE_VENUE


@dataclass(frozen=True, slots=True)
class Begun:
    """``outcome`` as ``begin_send`` says it; ``order`` as it stands after it, None where there is none."""

    outcome: str
    order: Order | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FillOutcome:
    """``outcome``: applied, duplicate, conflict, unknown_order, or stale (inferred from what is true no more). The
    rest is what ``apply_fill`` says of the order."""

    outcome: str
    order_id: UUID | None
    strategy_id: UUID | None
    signal_id: UUID | None
    instrument_id: int | None
    symbol: str | None
    side: Side | None
    status: OrderStatus | None
    realized_pnl: Decimal
    position_quantity: Decimal
    position_entry_price: Decimal


Step = Begin | Move | Book
Written = Begun | bool | FillOutcome
