"""Arbitrage: prices with their age and venue, and the differences found between them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Best prices of one instrument on one venue. ``as_of`` is the venue's time; fees are fractions."""

    venue: str
    instrument_id: int
    symbol: str
    bid: Decimal
    ask: Decimal
    as_of: datetime
    taker_fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """Buy here, sell there, profit left after every cost that was counted."""

    id: UUID
    symbol: str
    buy_venue: str
    sell_venue: str
    buy_price: Decimal
    sell_price: Decimal
    quantity: Decimal
    gross_percent: Decimal
    fees: Decimal
    net_profit: Decimal
    found_at: datetime
