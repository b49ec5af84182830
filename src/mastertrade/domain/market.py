"""Market: instruments and candles, and the symbol names of both worlds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

MINUTE_S = 60
LEGACY_QUOTES = ("USDC", "USDT", "BUSD", "USD", "BTC", "ETH")
"""Quote assets by which a legacy symbol such as ``BTCUSDC`` is split, tried in this order."""


class InstrumentStatus(StrEnum):
    TRADABLE = "tradable"
    HALTED = "halted"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One market of one venue with its trading rules. Fees are fractions of the notional."""

    id: int
    venue: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    status: InstrumentStatus = InstrumentStatus.TRADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One closed bar. ``open_time`` is the start of the bar; prices are quote per base, volume is base units.

    Candles are float64 by decision: a float keeps up to 15 significant digits of the venue exactly.
    """

    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def close_time(self) -> datetime:
        return self.open_time + timedelta(seconds=self.interval_s)


def split_symbol(symbol: str) -> tuple[str, str]:
    """``BTC/USDT``, or the legacy ``BTCUSDT``, as (base, quote) in upper case; ValueError names what is neither."""
    text = symbol.strip().upper()
    base, slash, quote = text.partition("/")
    if base and quote and "/" not in quote:
        return base, quote
    for quote in LEGACY_QUOTES:
        if not slash and text.endswith(quote) and len(text) > len(quote):
            return text.removesuffix(quote), quote
    raise ValueError(f"symbol {symbol!r} is neither BASE/QUOTE nor ends in one of {', '.join(LEGACY_QUOTES)}")


def canonical_symbol(symbol: str) -> str:
    """The ``BASE/QUOTE`` name of a symbol in either spelling."""
    return "/".join(split_symbol(symbol))


def legacy_symbol(symbol: str) -> str:
    """The name without separator that the older system's API speaks: ``BTCUSDT``."""
    return symbol.replace("/", "").upper()
