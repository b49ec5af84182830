"""What the name of a file says about what is in it. A guess is always shown, and an option always beats it."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mastertrade.domain.market import canonical_symbol, parse_symbol
from mastertrade.market_data_service.intervals import interval_seconds


class Kind(StrEnum):
    CANDLES = "candles"
    MARK = "mark"
    INDEX = "index"
    FUNDING = "funding"
    TRADES = "trades"
    BOOK = "book"
    TICKERS = "tickers"
    INSTRUMENTS = "instruments"


CANDLE_KINDS = frozenset({Kind.CANDLES, Kind.MARK, Kind.INDEX})
SUFFIXES = (
    ".csv.gz",
    ".csv",
    ".csv.zip",
    ".zip",
    ".parquet",
    ".feather",
    ".jsonl.gz",
    ".jsonl",
    ".json.gz",
    ".json",
    ".gz",
)
FOLDER_MARKS = ("spot", "usdm", "um", "cm", "feed", "futures")

_WORDS = {
    Kind.FUNDING: ("fundingrate", "funding_rate", "funding"),
    Kind.MARK: ("markpriceklines", "mark_price", "markprice", "mark"),
    Kind.INDEX: ("indexpriceklines", "index_price", "indexprice", "index"),
    Kind.TRADES: ("aggtrades", "trades", "trade"),
    Kind.BOOK: ("orderbook", "order_book", "book_snapshot", "book", "depth", "snapshot", "update", "ob500", "feed"),
    Kind.TICKERS: ("tickers", "ticker", "quotes", "bookticker", "prices"),
    Kind.INSTRUMENTS: ("instruments", "exchangeinfo", "markets", "properties"),
}
_TIMEFRAME = re.compile(r"(?:(?<=[-_. ])|^)([1-9][0-9]{0,4}[smhd])(?=[-_. ]|$)")
_DASHED = re.compile(r"(?P<base>[A-Z0-9]{2,12})[_/-](?P<quote>[A-Z]{3,5})(?:[_:](?P<settle>[A-Z]{3,5}))?(?=[-_.]|$)")
_JOINED = re.compile(r"(?:(?<=[-_])|^)(?P<pair>(?:[A-Z0-9]{5,20}|[a-z0-9]{5,20}))(?=[-_.]|$)")
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_OTHER_NAMES = {"XBT": "BTC"}
_DATE = re.compile(r"(20[0-9]{2})[-_]?([01][0-9])[-_]?([0-3][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What is known about a file before its rows are read; None is not said. ``settle_is_unknown``: a future by its
    name, which does not say what it settles in."""

    kind: Kind | None = None
    venue: str | None = None
    symbol: str | None = None
    interval_s: int | None = None
    settle_is_unknown: bool = False

    def but(self, *, kind: Kind | None, venue: str | None, symbol: str | None, interval_s: int | None) -> "Understood":
        """With what somebody says instead."""
        return replace(
            self,
            kind=kind or self.kind,
            venue=venue or self.venue,
            symbol=canonical_symbol(symbol) if symbol else self.symbol,
            interval_s=interval_s or self.interval_s,
            settle_is_unknown=self.settle_is_unknown and not symbol,
        )


def stem_of(path: Path) -> str:
    """The name without what tells its format."""
    suffix = next((one for one in SUFFIXES if path.name.lower().endswith(one)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def read_name(path: Path) -> Understood:
    """``BTC_USDT_USDT-8h-mark.feather``, ``kraken_BTC-USD-1m.parquet``, ``BTCUSDT-1m-2021-09.zip``, … The folder's name
    helps where the file's own says nothing about the kind."""
    stem = stem_of(path)
    kind = _kind(stem)
    timeframe = _TIMEFRAME.search(stem)
    interval_s = None
    if timeframe is not None:
        try:
            interval_s = interval_seconds(timeframe[1])
        except ValueError:
            interval_s = None
    if kind is None and interval_s is not None:
        kind = Kind.CANDLES
    if kind is None:
        kind = _kind(path.resolve().parent.name)
    symbol = _symbol(stem)
    is_future = re.search(r"futures|swap|perp", stem.lower()) is not None
    return Understood(
        kind=kind,
        venue=_venue(stem, symbol),
        symbol=symbol,
        interval_s=interval_s if kind is None or kind in CANDLE_KINDS else None,
        settle_is_unknown=is_future and symbol is not None and ":" not in symbol,
    )


def date_in_names(path: Path) -> str | None:
    """``2022-11-22`` out of the name of a file or of its folder."""
    for name in (stem_of(path), path.resolve().parent.name):
        found = _DATE.search(name)
        if found:
            return "-".join(found.groups())
    return None


def quote_in_name(path: Path) -> str | None:
    """``USD`` out of ``bitstamp_BTC_ETH_LTC_USD_1d``: the last asset of a file that holds several markets."""
    assets = [word for word in re.split(r"[-_.]", stem_of(path)) if re.fullmatch(r"[A-Z]{3,5}", word)]
    return assets[-1] if assets else None


def pair_of(text: str) -> str | None:
    """``BTC/USDT`` out of a venue's own ``BTCUSDT``, ``XBT-USD`` or ``BTC_USDT``; None when that cannot be done."""
    name = text.strip().upper()
    try:
        if "/" in name:
            return str(parse_symbol(name))
    except ValueError:
        return None
    parts = re.split(r"[-_]", name)
    if len(parts) == 2 and all(re.fullmatch(r"[A-Z0-9]{2,12}", part) for part in parts):
        base, quote = parts
        if quote == "PERPETUAL":
            return f"{_asset(base)}/USD:{_asset(base)}"
        return f"{_asset(base)}/{_asset(quote)}"
    if len(parts) == 1:
        for quote in _QUOTES:
            if name.endswith(quote) and len(name) > len(quote) + 1:
                return f"{_asset(name.removesuffix(quote))}/{quote}"
    return None


def _asset(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def _kind(text: str) -> Kind | None:
    parts = re.split(r"[-. ]", text.lower())
    words = {word for part in parts for word in (part, *part.split("_"))} | {"_".join(p.split("_")[-2:]) for p in parts}
    return next((kind for kind, names in _WORDS.items() if words.intersection(names)), None)


def _symbol(stem: str) -> str | None:
    dashed = _DASHED.search(stem)
    if dashed is not None and not dashed["base"].isdigit():
        settle = f":{dashed['settle']}" if dashed["settle"] else ""
        return f"{_asset(dashed['base'])}/{_asset(dashed['quote'])}{settle}"
    for joined in _JOINED.finditer(stem):
        pair = pair_of(joined["pair"])
        if pair is not None and not joined["pair"].isdigit():
            return pair
    return None


def _venue(stem: str, symbol: str | None) -> str | None:
    """The word before the symbol, as in ``kraken_BTC-USD-1m``."""
    found = re.match(r"([a-z][a-z0-9.]*)[_-]", stem)
    if found is None or symbol is None or pair_of(found[1]) is not None or _kind(found[1]) is not None:
        return None
    return found[1]
