"""Cross-venue: the same symbol bought on one venue and sold on another, when both taker fees leave a profit.

Compares best prices only: how much can be traded at them is bounded by the allowed amount, not by depth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID

from mastertrade.domain.arbitrage import Opportunity, Quote
from mastertrade.domain.orders import round_down, round_up
from mastertrade.shared.serialization import new_id

ONE = Decimal(1)
HUNDRED = Decimal(100)
QUANTITY_STEP = Decimal("0.00000001")
"""Finest quantity any venue trades; quotes carry no lot, the legs are rounded to theirs when they are planned."""
MONEY_STEP = Decimal("0.00000001")
"""Money is rounded to this against us: costs and fees up, proceeds down."""
USD_ASSETS = frozenset({"USD", "USDC", "USDT", "BUSD", "DAI"})
"""Quote assets counted as one dollar, as everywhere in the platform; the limits below are dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitrageLimits:
    """What an opportunity must leave after fees (both exceeded), how much one may move, how old a price may be."""

    min_net_percent: Decimal
    min_net_profit_usd: Decimal
    max_trade_amount_usd: Decimal
    max_quote_age_s: float


def find_cross_venue(
    quotes: Iterable[Quote],
    limits: ArbitrageLimits,
    now: datetime,
    make_id: Callable[[datetime], UUID] = new_id,
) -> list[Opportunity]:
    """Every opportunity between two of these quotes, the most profitable first. Quotes of other symbols are not mixed;
    pairs that are not quoted in dollars are left out, because the limits are dollars."""
    oldest = now - timedelta(seconds=limits.max_quote_age_s)
    by_symbol: dict[str, list[Quote]] = {}
    for quote in quotes:
        if oldest <= quote.as_of <= now and quote.symbol.rpartition("/")[2] in USD_ASSETS:
            by_symbol.setdefault(quote.symbol, []).append(quote)
    found = [
        opportunity
        for same in by_symbol.values()
        for buy, sell in permutations(same, 2)
        if (opportunity := compare(buy, sell, limits, now, make_id)) is not None
    ]
    return sorted(found, key=lambda opportunity: opportunity.net_profit, reverse=True)


def compare(
    buy: Quote, sell: Quote, limits: ArbitrageLimits, now: datetime, make_id: Callable[[datetime], UUID] = new_id
) -> Opportunity | None:
    """Buying at one ask and selling at the other bid, if that leaves more than both minimums."""
    if buy.venue == sell.venue or sell.bid <= buy.ask or buy.ask <= 0:
        return None
    quantity = round_down(limits.max_trade_amount_usd / buy.ask, QUANTITY_STEP)
    cost, proceeds = round_up(quantity * buy.ask, MONEY_STEP), round_down(quantity * sell.bid, MONEY_STEP)
    if quantity <= 0 or cost <= 0:
        return None
    fees = round_up(cost * buy.taker_fee + proceeds * sell.taker_fee, MONEY_STEP)
    net_profit = proceeds - cost - fees
    if net_profit <= limits.min_net_profit_usd or net_profit / cost * HUNDRED <= limits.min_net_percent:
        return None
    return Opportunity(
        id=make_id(now),
        symbol=buy.symbol,
        buy_venue=buy.venue,
        sell_venue=sell.venue,
        buy_price=buy.ask,
        sell_price=sell.bid,
        quantity=quantity,
        gross_percent=(sell.bid / buy.ask - ONE) * HUNDRED,
        fees=fees,
        net_profit=net_profit,
        found_at=now,
    )


def break_even_percent(buy_fee: Decimal, sell_fee: Decimal) -> Decimal:
    """The gross difference, in percent of the buy price, that two taker fees eat up exactly."""
    return ((ONE + buy_fee) / (ONE - sell_fee) - ONE) * HUNDRED
