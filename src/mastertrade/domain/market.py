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


class InstrumentKind(StrEnum):
    SPOT = "spot"
    SWAP = "swap"
    """A perpetual future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One market of one venue with its trading rules. Fees are fractions of the notional.

    A swap is named ``BASE/QUOTE:SETTLE``; one contract of it is ``contract_size`` units of the base asset, or of the
    quote asset where it settles in the base. Lots are of the base asset also where a venue trades steps of contracts,
    and contracts where it settles in the base.
    """

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
    kind: InstrumentKind = InstrumentKind.SPOT
    settle: str | None = None
    contract_size: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInstrument:
    """A market as its venue lists it now, before the database gives it an id."""

    symbol: str
    base: str
    quote: str
    kind: InstrumentKind
    settle: str | None
    contract_size: Decimal
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    status: InstrumentStatus


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


@dataclass(frozen=True, slots=True)
class SymbolParts:
    """A symbol taken apart; ``settle`` is the asset a swap settles in, None for spot."""

    base: str
    quote: str
    settle: str | None = None

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}" + (f":{self.settle}" if self.settle else "")

    @property
    def kind(self) -> InstrumentKind:
        return InstrumentKind.SPOT if self.settle is None else InstrumentKind.SWAP


def parse_symbol(symbol: str) -> SymbolParts:
    """``BTC/USDT``, the swap ``BTC/USDT:USDT``, or the legacy ``BTCUSDT``, in upper case; ValueError names what is none
    of them."""
    pair, colon, settle = symbol.strip().upper().partition(":")
    base, slash, quote = pair.partition("/")
    if bool(colon) == bool(settle) and not set(settle) & set("/:-"):
        if base and quote and "/" not in quote:
            return SymbolParts(base, quote, settle or None)
        for quote in LEGACY_QUOTES:
            if not slash and pair.endswith(quote) and len(pair) > len(quote):
                return SymbolParts(pair.removesuffix(quote), quote, settle or None)
    raise ValueError(
        f"symbol {symbol!r} is neither BASE/QUOTE, nor BASE/QUOTE:SETTLE, nor ends in one of {', '.join(LEGACY_QUOTES)}"
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote of a symbol in any spelling."""
    parts = parse_symbol(symbol)
    return parts.base, parts.quote


def canonical_symbol(symbol: str) -> str:
    """The ``BASE/QUOTE`` or ``BASE/QUOTE:SETTLE`` name of a symbol in any spelling."""
    return str(parse_symbol(symbol))


def legacy_symbol(symbol: str) -> str:
    """The name without separator that the older system's API speaks: ``BTCUSDT``."""
    return symbol.replace("/", "").upper()
