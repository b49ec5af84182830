"""One market as an exchange's list describes it, in whatever words, into the rules we keep."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from mastertrade.domain.market import InstrumentStatus, ListedInstrument, SymbolParts, parse_symbol
from mastertrade.market_data_service.importing.naming import pair_of
from mastertrade.market_data_service.rules import default_rules

Entry = Mapping[str, Any]
MOST_DECIMALS = 18
LARGEST = Decimal("1e24")
HIGHEST_FEE = Decimal("0.1")
_ASSET = re.compile(r"[^\s/:,]{1,24}")
_NAME = re.compile(r"[A-Z0-9]{3,24}(:[A-Z0-9]{2,12})?")

# The words in which exchanges say it; to teach another list, add its word. The first that says a number counts.
BASES = ("baseAsset", "baseCcy", "baseCurrency", "base_currency", "base-currency", "base")
QUOTES = ("quoteAsset", "quoteCcy", "quoteCurrency", "quote_currency", "quote-currency", "quote")
TICKS = ("tickSize", "tickSz", "tick_size", "priceIncrement", "quote_increment", "minimum_price_variation")
LOTS = ("stepSize", "lotSz", "qty_step", "baseIncrement", "base_increment", "lot_size")
TICK_DECIMALS = ("price_decimals", "price-precision", "pair_decimals", "counter_decimals", "precision", "price_scale")
LOT_DECIMALS = ("quantity_decimals", "amount-precision", "amount_precision", "lot_decimals", "base_decimals")
MIN_NOTIONALS = ("min_notional", "minNotional", "notional", "min_market_funds", "min-order-value", "min_quote_amount",
                 "minFunds", "minimum_order", "costmin")  # fmt: skip
MAKER_FEES = ("maker_fee", "makerFee", "maker")
TAKER_FEES = ("taker_fee", "takerFee", "taker")
STATUSES = ("status", "state", "trade_status", "trading", "enableTrading")
TRADABLE = frozenset((
    "trading", "live", "online", "tradable", "enabled", "true", "open", "normal", "limit_only", "post_only",
    "cancel_only", "pre_open", "active",
))  # fmt: skip
"""Words of a market in which orders are taken, if only some."""
DELISTED = frozenset(("closed", "delisted", "settling", "settled", "expired", "delivered"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInstrument:
    """``assumed`` names the rules the list does not tell; without tick and lot the list told no more than a name."""

    instrument: ListedInstrument
    assumed: tuple[str, ...]

    @property
    def is_named_only(self) -> bool:
        return {"tick", "lot"} <= set(self.assumed)


class NotTraded(ValueError):
    """A market of a kind that is not kept: it expires, is an option, or no market of coins."""


def read_instrument(entry: Entry | str) -> ReadInstrument:
    """NotTraded for what is neither spot nor a perpetual swap; ValueError says what cannot be used."""
    if isinstance(entry, str):
        return _ruled(_named(entry), {})
    return _ruled(_parts(entry), _flat(entry))


def _parts(entry: Entry) -> SymbolParts:
    if "/" in str(entry.get("symbol")) and "settle" in entry:  # our own export
        return parse_symbol(str(entry["symbol"]))
    kind = str(entry.get("instType") or entry.get("contractType") or entry.get("type") or "").lower()
    if kind in ("futures", "option") or "quarter" in kind or kind.endswith(("month", "week")):
        raise NotTraded(f"a market of the kind {kind}")
    if "market_ticker" in entry:
        return _of_table(entry, kind)
    if entry.get("instType") == "SWAP":
        base, _, quote = str(entry.get("uly") or "").partition("-")
        return _checked(base, quote, str(entry.get("settleCcy") or ""))
    if "alias" in entry and "price_scale" in entry and entry["alias"] != entry.get("name"):
        raise NotTraded("a market that expires")
    if str(entry.get("altname", "")).endswith(".d"):
        raise NotTraded("a dark pool")
    base, quote = _first(entry, BASES) or "", _first(entry, QUOTES) or ""
    if "wsname" in entry or not (base and quote):
        named = pair_of(str(entry.get("wsname") or entry.get("name") or entry.get("symbol") or ""))
        if named is None:
            raise ValueError("names no base and quote asset")
        parts = parse_symbol(named)
        base, quote = _coin(parts.base), _coin(parts.quote)
    settle = entry.get("marginAsset")
    if settle is None and "price_scale" in entry:  # Bybit's second version lists only swaps
        settle = base if quote == "USD" else quote
    return _checked(base, quote, settle)


def _of_table(entry: Entry, kind: str) -> SymbolParts:
    """LEAN's table of all markets: the quote asset is said, the base is what the name begins with."""
    if kind not in ("crypto", "cryptofuture"):
        raise NotTraded(f"a market of the kind {kind or 'that is not said'}")
    name, quote = str(entry.get("symbol") or "").upper(), str(entry.get("quote_currency") or "").upper()
    base = name.removesuffix(quote)
    if not quote or base == name:
        raise ValueError(f"the name {name} does not end in its quote asset {quote}")
    if kind == "crypto":
        return _checked(base, quote, None)
    return _checked(base, quote, base if quote == "USD" and str(entry.get("market")) != "dydx" else quote)


def _named(name: str) -> SymbolParts:
    """A list of names alone: ``BTCUSD``, ``AAVE:USD``, ``BTCF0:USTF0``."""
    text = name.strip().upper()
    if not _NAME.fullmatch(text):
        raise ValueError(f"the name {name[:60]!r} does not say base and quote asset")
    is_swap = "F0:" in text or text.endswith("F0")
    base, colon, quote = text.replace("F0", "").partition(":")
    found = f"{_coin(base)}/{_coin(quote)}" if colon else pair_of(base)
    if found is None and len(base) == 6:
        found = f"{_coin(base[:3])}/{_coin(base[3:])}"
    if found is None:
        raise ValueError(f"the name {name!r} does not say base and quote asset")
    parts = parse_symbol(found)
    return _checked(parts.base, parts.quote, parts.quote if is_swap else None)


def _checked(base: Any, quote: Any, settle: Any) -> SymbolParts:
    for asset in filter(None, (base, quote, settle)):
        if not _ASSET.fullmatch(str(asset).strip()):
            raise ValueError(f"{asset!r} is not the name of an asset")
    text = f"{str(base).strip().upper()}/{str(quote).strip().upper()}" + (f":{str(settle).upper()}" if settle else "")
    return parse_symbol(text)


def _coin(name: str) -> str:
    return {"XBT": "BTC", "UST": "USDT", "XDG": "DOGE"}.get(name, name)


def _flat(entry: Entry) -> dict[str, Any]:
    """The entry with what stands in filters and groups inside it."""
    flat = dict(entry)
    for inner in entry.get("filters") or []:
        if isinstance(inner, Mapping) and inner.get("filterType") in ("PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL",
                                                                     "NOTIONAL"):  # fmt: skip
            flat.update({name: value for name, value in inner.items() if name not in flat})
    for name in ("price_filter", "lot_size_filter", "priceFilter", "lotSizeFilter"):
        if isinstance(entry.get(name), Mapping):
            flat.update(entry[name])
    if "min_order_size" in entry and "quote_increment" in entry and "tick_size" in entry:
        # Gemini calls the step of quantities tick_size.
        flat["lot_size"] = flat.pop("tick_size")
    for source, name in (("fees", "taker_fee"), ("fees_maker", "maker_fee")):
        tiers = entry.get(source)
        if isinstance(tiers, Sequence) and tiers and isinstance(tiers[0], Sequence):
            flat[name] = _percent(tiers[0][-1])
    if "fee" in entry and "trade_status" in entry:
        flat["taker_fee"] = flat["maker_fee"] = _percent(entry["fee"])
    return flat


def _percent(value: Any) -> Decimal | None:
    found = decimal_of(value)
    return None if found is None else found / 100


def _ruled(parts: SymbolParts, flat: Mapping[str, Any]) -> ReadInstrument:
    # An export says of its own rules how far they can be trusted.
    assumed = ["tick", "lot"] if flat.get("rules_source", "venue") != "venue" else []
    guess = default_rules(str(SymbolParts(parts.base, parts.quote)))

    def told(name: str, found: Decimal | None, otherwise: Decimal) -> Decimal:
        if found is None:
            assumed.append(name)
        return otherwise if found is None else found

    def fee(name: str, words: Sequence[str], otherwise: Decimal, *, may_be_rebate: bool) -> Decimal:
        found = _number(flat, words)
        is_fraction = found is not None and abs(found) < HIGHEST_FEE and (found >= 0 or may_be_rebate)
        return told(name, found if is_fraction else None, otherwise)

    size = _positive(_number(flat, ("ctVal", "contractSize", "contract_size"))) if parts.settle else None
    lot = told("lot", _step(flat, LOTS, LOT_DECIMALS), guess.lot_size)
    if size and "ctVal" in flat and parts.settle == parts.quote:
        lot *= size  # OKX counts contracts, and we units of the base asset
    return ReadInstrument(
        instrument=ListedInstrument(
            symbol=str(parts),
            base=parts.base,
            quote=parts.quote,
            kind=parts.kind,
            settle=parts.settle,
            contract_size=size or Decimal(1),
            tick_size=told("tick", _step(flat, TICKS, TICK_DECIMALS), guess.tick_size),
            lot_size=lot,
            min_notional=told("minimum notional", _bound(_number(flat, MIN_NOTIONALS)), Decimal(0)),
            maker_fee=fee("maker fee", MAKER_FEES, guess.maker_fee, may_be_rebate=True),
            taker_fee=fee("taker fee", TAKER_FEES, guess.taker_fee, may_be_rebate=False),
            status=_status(flat),
        ),
        assumed=tuple(assumed),
    )


def _step(flat: Mapping[str, Any], words: Sequence[str], decimals: Sequence[str]) -> Decimal | None:
    found = _positive(_number(flat, words))
    if found is not None:
        return found
    places = _number(flat, decimals)
    if places is None or places != int(places) or not 0 <= places <= MOST_DECIMALS:
        return None
    return Decimal(1).scaleb(-int(places))


def _status(flat: Mapping[str, Any]) -> InstrumentStatus:
    word = _first(flat, STATUSES)
    if word is None or word.lower() in TRADABLE:
        return InstrumentStatus.TRADABLE
    return InstrumentStatus.DELISTED if word.lower() in DELISTED else InstrumentStatus.HALTED


def _first(entry: Mapping[str, Any], words: Sequence[str]) -> str | None:
    return next((str(entry[word]) for word in words if entry.get(word) not in (None, "")), None)


def _number(flat: Mapping[str, Any], words: Sequence[str]) -> Decimal | None:
    return next((found for word in words if (found := decimal_of(flat.get(word))) is not None), None)


def _positive(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value > 0 else None


def _bound(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value >= 0 else None


def decimal_of(value: Any) -> Decimal | None:
    """A finite number that the database takes, also out of ``20.0 USD``; None for anything else."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    words = str(value).split()
    try:
        found = Decimal(words[0] if words else "")
    except InvalidOperation:
        return None
    if not found.is_finite() or abs(found) >= LARGEST:
        return None
    exponent = found.normalize().as_tuple().exponent
    return found if isinstance(exponent, int) and -exponent <= MOST_DECIMALS else None
