"""Price board: the last traded price of every symbol on every venue heard of, so that venues can be compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mastertrade.domain.arbitrage import Quote
from mastertrade.domain.market import Candle

PRICE_SOURCE = "candle_close"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPrice:
    venue: str
    instrument_id: int
    symbol: str
    price: Decimal
    as_of: datetime

    def quote(self, taker_fee: Decimal) -> Quote:
        """A closed candle knows one price only, so it stands for bid and ask."""
        return Quote(
            venue=self.venue,
            instrument_id=self.instrument_id,
            symbol=self.symbol,
            bid=self.price,
            ask=self.price,
            as_of=self.as_of,
            taker_fee=taker_fee,
        )


class PriceBoard:
    """Kept in memory: prices are not facts, and a minute after a restart the board is full again."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, dict[str, LastPrice]] = {}

    def note(self, candles: Iterable[Candle]) -> list[str]:
        """Take the closes; returns the symbols whose price is new. A candle without volume is not a price: nobody
        traded, its close is the one of an unknown earlier minute."""
        symbols = []
        for candle in candles:
            here = self._by_symbol.setdefault(candle.symbol, {})
            known = here.get(candle.venue)
            if candle.volume > 0 and (known is None or known.as_of <= candle.close_time):
                here[candle.venue] = LastPrice(
                    venue=candle.venue,
                    instrument_id=candle.instrument_id,
                    symbol=candle.symbol,
                    price=Decimal(repr(candle.close)),
                    as_of=candle.close_time,
                )
                symbols.append(candle.symbol)
        return symbols

    def comparable(self, symbols: Iterable[str], now: datetime, max_age_s: float) -> list[LastPrice]:
        """Prices of these symbols that are fresh and known on at least two venues."""
        oldest = now - timedelta(seconds=max_age_s)
        found: list[LastPrice] = []
        for symbol in symbols:
            fresh = [price for price in self._by_symbol[symbol].values() if oldest <= price.as_of <= now]
            if len(fresh) > 1:
                found += fresh
        return found


def quotes_of(prices: Iterable[LastPrice], taker_fees: Mapping[int, Decimal]) -> list[Quote]:
    """Quotes of the markets whose fee is known."""
    return [price.quote(taker_fees[price.instrument_id]) for price in prices if price.instrument_id in taker_fees]
