"""What exchanges and older callers say about an order, as exact values: reports, fills, answers and events. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from mastertrade.domain.orders import Fill, Order, OrderStatus, Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.order_executor.legacy import status_of, symbol_of, text_of
from mastertrade.order_executor.models import Trade
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import MAX_SCALE, exact_decimal

TOTAL_PREFIX = "total:"
"""Begins the trade id of a fill known only as an order's total, as in ``total:0.5``."""
_ONE_UNIT = Decimal(1).scaleb(-MAX_SCALE)
_EXACT_DIGITS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeReport:
    """What an exchange says about an order, out of its raw keys or the unified ones; None where it says nothing."""

    status: OrderStatus | None
    exchange_order_id: str | None
    filled: Decimal | None
    average: Decimal | None
    fee: Decimal | None
    fee_asset: str | None


def report_of(told: Mapping[str, Any]) -> ExchangeReport:
    filled = optional_amount(_first(told, "filled", "executedQty"))
    average = optional_amount(_first(told, "average", "avgPrice"))
    notional = optional_amount(_first(told, "cost", "cummulativeQuoteQty"))
    if not average and notional and filled:
        with localcontext(prec=_EXACT_DIGITS):
            average = _rounded(notional / filled)
    fee = told.get("fee") or {}
    asset = _first(fee, "currency") or _first(told, "commissionAsset")
    exchange_order_id = _first(told, "id", "orderId")
    status = _first(told, "status")
    return ExchangeReport(
        status=None if status is None else status_of(status),
        exchange_order_id=None if exchange_order_id is None else text_of(exchange_order_id) or None,
        filled=filled,
        average=average or optional_amount(_first(told, "price")) or None,
        fee=optional_amount(_first(fee, "cost") if fee else _first(told, "commission")),
        fee_asset=None if asset is None else str(asset).upper(),
    )


def unbooked_fill(order: Row, report: ExchangeReport, *, at: datetime) -> Fill | None:
    """What the report's totals hold beyond the fills booked so far, as one fill; None when that is nothing, or when
    no price was told. Its trade id names the total, so that the same report again finds it booked."""
    if not (report.filled and report.average) or report.filled <= order["filled_quantity"]:
        return None
    with localcontext(prec=_EXACT_DIGITS):
        quantity = report.filled - order["filled_quantity"]
        price = _rounded((report.filled * report.average - order["booked_notional"]) / quantity)
        fee_asset = report.fee_asset or order["quote_asset"]
        booked_fee = order["commission"] if order["commission_asset"] in (None, fee_asset) else Decimal(0)
        commission = Decimal(0) if report.fee is None else report.fee - booked_fee
    return fill_of(
        order,
        exchange_trade_id=f"{TOTAL_PREFIX}{report.filled.normalize():f}",
        quantity=quantity,
        price=price if price > 0 else report.average,
        commission=commission,
        commission_asset=fee_asset,
        trade_time=at,
    )


def fill_of_trade(order: Row, trade: Trade, *, at: datetime) -> Fill:
    """BadData when the trade is of another side or symbol than its order."""
    told, ours = (trade.side, symbol_of(trade.symbol)), (order["side"], order["symbol"])
    if told != ours:
        raise BadData(
            f"trade {trade.exchange_trade_id} is {' '.join(told)}, but its order {order['id']} is {' '.join(ours)};"
            " tell it with the order it belongs to"
        )
    return fill_of(
        order,
        exchange_trade_id=text_of(trade.exchange_trade_id),
        quantity=amount_of(trade.quantity),
        price=amount_of(trade.price),
        commission=amount_of(trade.commission),
        commission_asset=(trade.commission_asset or order["quote_asset"]).upper(),
        is_maker=trade.is_maker,
        trade_time=at,
    )


def fill_of(order: Row, *, is_maker: bool = False, **numbers: Any) -> Fill:
    """Until the exchange's own order id is told, our client id stands in its place."""
    exchange_order_id = order["exchange_order_id"] or order["client_order_id"]
    return Fill(
        client_order_id=order["client_order_id"],
        exchange_order_id=exchange_order_id,
        symbol=order["symbol"],
        side=Side(order["side"]),
        is_maker=is_maker,
        **numbers,
    )


def venue_order(order: Order, report: ExchangeReport, status: OrderStatus) -> VenueOrder:
    """The report as a venue's answer."""
    return VenueOrder(
        client_order_id=order.client_order_id,
        exchange_order_id=report.exchange_order_id or order.exchange_order_id or "",
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        filled_quantity=report.filled or Decimal(0),
        status=status,
    )


def amount_of(value: Decimal | float | str) -> Decimal:
    """An amount as it is told; digits of a float past the 18th decimal are noise of its binary form."""
    if isinstance(value, float) and math.isfinite(value):
        shortest = Decimal(repr(value))
        value = round(shortest, MAX_SCALE) if int(shortest.as_tuple().exponent) < -MAX_SCALE else shortest
    return exact_decimal(value)


def optional_amount(value: Decimal | float | str | None) -> Decimal | None:
    return None if value is None else amount_of(value)


def _first(told: Mapping[str, Any], *names: str) -> Any:
    """The first of these keys that says anything."""
    return next((told[name] for name in names if told.get(name) not in (None, "")), None)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_ONE_UNIT, rounding=ROUND_HALF_EVEN)
