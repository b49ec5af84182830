"""Trading rules for instruments of which only candles are known."""

from dataclasses import dataclass
from decimal import Decimal

from mastertrade.domain.market import split_symbol
from mastertrade.market_data_service.source import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingRules:
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal


ASSUMED_FEE = Decimal("0.001")
"""Binance's first spot tier, maker and taker alike, without its discounts."""
US_DOLLARS = frozenset({"USD", "USDT", "USDC", "BUSD", "DAI", "FDUSD", "TUSD"})
_MIN_NOTIONAL = {"BTC": "0.0001", "ETH": "0.005", "BNB": "0.05"}
_STEPS = {
    "BTC/USDT": ("0.01", "0.00001"),
    "ETH/USDT": ("0.01", "0.0001"),
    "BNB/USDT": ("0.1", "0.001"),
    "SOL/USDT": ("0.01", "0.01"),
    "AVAX/USDT": ("0.01", "0.01"),
    "LTC/USDT": ("0.01", "0.001"),
    "DOT/USDT": ("0.001", "0.01"),
    "UNI/USDT": ("0.001", "0.01"),
    "LINK/USDT": ("0.01", "0.01"),
    "ADA/USDT": ("0.0001", "0.1"),
    "XRP/USDT": ("0.0001", "1"),
    "DOGE/USDT": ("0.00001", "1"),
    "ETH/BTC": ("0.000001", "0.0001"),
    "LTC/BTC": ("0.000001", "0.001"),
    "SOL/BTC": ("0.0000001", "0.01"),
    "UNI/BTC": ("0.0000001", "0.01"),
    "ADA/BTC": ("0.00000001", "0.1"),
    "DOGE/BTC": ("0.00000001", "1"),
}
"""Tick and lot of Binance spot as of autumn 2021; the finer tick where it was changed within the recorded weeks."""


def default_rules(symbol: str) -> TradingRules:
    """Assumed rules, like those of Binance spot. They are a guess wherever the market is another one: a venue's own
    rules replace them once it is connected. Pairs in other dollars get the steps of the USDT pair."""
    base, quote = split_symbol(symbol)
    in_dollars = quote in US_DOLLARS
    known = _STEPS.get(f"{base}/{'USDT' if in_dollars else quote}")
    tick, lot = known or (("0.0001", "0.01") if in_dollars else ("0.00000001", "0.01"))
    return TradingRules(
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_notional=Decimal("10" if in_dollars else _MIN_NOTIONAL.get(quote, "0")),
        maker_fee=ASSUMED_FEE,
        taker_fee=ASSUMED_FEE,
    )


def listing(venue: str, symbol: str) -> Listing:
    """An instrument of which only candles are known, with assumed rules."""
    rules = default_rules(symbol)
    return Listing(
        venue=venue,
        symbol=symbol,
        tick_size=rules.tick_size,
        lot_size=rules.lot_size,
        min_notional=rules.min_notional,
        maker_fee=rules.maker_fee,
        taker_fee=rules.taker_fee,
    )
