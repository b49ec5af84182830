"""What becomes of an order at the paper venue when a bar opens and ends. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mastertrade.domain.market import Candle
from mastertrade.domain.orders import OrderStatus, Side, Terms, TimeInForce


@dataclass(frozen=True, slots=True)
class Trade:
    """All of it, at this price."""

    price: Decimal
    is_maker: bool


@dataclass(frozen=True, slots=True)
class End:
    status: OrderStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing yet. ``is_first``: it has seen its first price by this, and did not trade at it."""

    is_first: bool = False


Outcome = Trade | End | Rest


def terms_of(row: Mapping[str, Any]) -> Terms:
    return Terms(
        time_in_force=TimeInForce(row["time_in_force"]),
        expires_at=row["expires_at"],
        post_only=row["post_only"],
    )


def meet(row: Mapping[str, Any], candle: Candle, market_price: Decimal) -> Outcome:
    """``market_price`` is what a market order pays at the open. A limit the market is beyond takes, at that price; one
    that rests fills at its limit when the bar touches it. The first price after it came decides about what trades at
    once or never: the venue knows none before. A bar in which its time ends counts by its open alone, since nobody
    knows when it was touched."""
    terms, limit, side = terms_of(row), row["limit_price"], Side(row["side"])
    if terms.is_over(candle.open_time):
        return End(OrderStatus.EXPIRED, f"its time ended at {terms.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    if limit is None:
        return Trade(market_price, is_maker=False)
    takes = market_price <= limit if side is Side.BUY else market_price >= limit
    if takes and terms.post_only and not row["has_rested"]:
        return End(OrderStatus.REJECTED, f"post-only at {limit}: it would have traded at once, at {market_price}")
    if takes and not terms.post_only:
        return Trade(market_price, is_maker=False)
    if terms.trades_at_once:
        return End(
            OrderStatus.EXPIRED,
            f"{terms.time_in_force} at {limit}: it did not trade at once, the price was {market_price}",
        )
    if takes or (_touches(candle, side, limit) and not terms.is_over(candle.close_time)):
        return Trade(limit, is_maker=True)
    return Rest(is_first=not row["has_rested"])


def _touches(candle: Candle, side: Side, limit: Decimal) -> bool:
    if side is Side.BUY:
        return Decimal(str(candle.low)) <= limit
    return Decimal(str(candle.high)) >= limit
