"""The trading rules of a market as ccxt describes it. What a venue does not tell is assumed, and said to be."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from mastertrade.domain.market import InstrumentKind, InstrumentStatus, ListedInstrument, parse_symbol
from mastertrade.exchanges.market_feed import VenueMarket

DECIMAL_PLACES: Final = 2
SIGNIFICANT_DIGITS: Final = 3
FINEST: Final = Decimal("1e-8")
"""The step of prices and quantities where a venue counts significant digits, or tells nothing."""
LARGEST: Final = Decimal("1e24")
DECIMALS: Final = 18
ASSUMED_FEE: Final = Decimal("0.001")
HIGHEST_FEE: Final = Decimal("0.1")


def venue_market(market: Mapping[str, Any], precision_mode: int) -> VenueMarket | None:
    """None for what is neither a spot market nor a perpetual swap, or has no name of ours."""
    kind = InstrumentKind.SPOT if market.get("spot") else InstrumentKind.SWAP if market.get("swap") else None
    symbol = str(market.get("symbol") or "")
    if kind is None or symbol != symbol.upper():
        return None
    try:
        parts = parse_symbol(symbol)
    except ValueError:
        return None
    if parts.kind is not kind or str(parts) != symbol:
        return None
    rules = _Rules(market)
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    size = rules.positive("contract size", market.get("contractSize"), Decimal(1), kind)
    step = rules.step("lot", precision.get("amount"), precision_mode, _least(limits, "amount"))
    instrument = ListedInstrument(
        symbol=symbol,
        base=parts.base,
        quote=parts.quote,
        kind=kind,
        settle=parts.settle,
        contract_size=size,
        tick_size=rules.step("tick", precision.get("price"), precision_mode, _least(limits, "price")),
        lot_size=step * size if parts.settle == parts.quote else step,  # a lot is of the base asset
        min_notional=rules.bound("minimum notional", _least(limits, "cost")),
        maker_fee=rules.fee("maker fee", market.get("maker"), is_rebate_possible=True),
        taker_fee=rules.fee("taker fee", market.get("taker"), is_rebate_possible=False),
        status=InstrumentStatus.HALTED if market.get("active") is False else InstrumentStatus.TRADABLE,
    )
    return VenueMarket(
        instrument=instrument,
        venue_symbol=str(market.get("id") or ""),
        listed_at=_moment(market.get("created")),
        assumed=tuple(rules.assumed),
    )


class _Rules:
    """Reads rules, and remembers which it had to guess."""

    def __init__(self, market: Mapping[str, Any]) -> None:
        self._market = market
        self.assumed: list[str] = []

    def step(self, name: str, value: Any, mode: int, least: Any) -> Decimal:
        found = _number(value)
        if found is not None and mode == DECIMAL_PLACES and abs(found) <= DECIMALS and found == int(found):
            return Decimal(1).scaleb(-int(found))
        if found is not None and mode not in (DECIMAL_PLACES, SIGNIFICANT_DIGITS) and found > 0:
            return found
        self.assumed.append(name)
        smallest = _number(least)
        return smallest if smallest is not None and 0 < smallest < FINEST else FINEST

    def positive(self, name: str, value: Any, otherwise: Decimal, kind: InstrumentKind) -> Decimal:
        found = _number(value)
        if found is not None and found > 0:
            return found
        if kind is InstrumentKind.SWAP:
            self.assumed.append(name)
        return otherwise

    def bound(self, name: str, value: Any) -> Decimal:
        found = _number(value)
        if found is None or found < 0:
            self.assumed.append(name)
            return Decimal(0)
        return found

    def fee(self, name: str, value: Any, *, is_rebate_possible: bool) -> Decimal:
        found = _number(value)
        if found is None or abs(found) >= HIGHEST_FEE or (found < 0 and not is_rebate_possible):
            self.assumed.append(name)
            return ASSUMED_FEE
        return found


def _least(limits: Mapping[str, Any], name: str) -> Any:
    return (limits.get(name) or {}).get("min")


def _number(value: Any) -> Decimal | None:
    """A finite number that the database takes; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not found.is_finite() or abs(found) >= LARGEST:
        return None
    exponent = found.normalize().as_tuple().exponent
    return found if isinstance(exponent, int) and -exponent <= DECIMALS else None


def _moment(value: Any) -> datetime | None:
    found = _number(value)
    if found is None or not 0 < found < 4_102_444_800_000:  # the year 2100
        return None
    return datetime.fromtimestamp(int(found) / 1000, tz=UTC)
