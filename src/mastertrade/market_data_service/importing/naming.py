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
    TIERS = "tiers"


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
VENUES = frozenset((
    "ascendex", "binance", "binanceus", "bingx", "bitfinex", "bitfinex2", "bitflyer", "bitget", "bithumb",
    "bitmart", "bitmex", "bitrue", "bitso", "bitstamp", "bitvavo", "blofin", "bybit", "cex", "coinbase",
    "coinbasepro", "coincheck", "coinex", "coinspot", "cryptocom", "deribit", "dydx", "exmo", "ftx", "gate",
    "gateio", "gemini", "hitbtc", "htx", "huobi", "hyperliquid", "indodax", "kraken", "krakenfutures", "kucoin",
    "kucoinfutures", "liquid", "luno", "mexc", "ndax", "okcoin", "okx", "paradex", "phemex", "poloniex", "probit",
    "qtrade", "upbit", "wazirx", "whitebit", "woo", "xt", "zb",
))  # fmt: skip
"""Names of exchanges that a file name may begin with; another word there is no venue."""
_SPELLINGS = {"crypto_com": "cryptocom", "crypto.com": "cryptocom"}

_WORDS = {
    Kind.TIERS: ("leverage_tiers", "tiers"),
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
_PERPETUAL = re.compile(r"[A-Z0-9]{2,12}-PERPETUAL")
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_BEFORE_TUSD = ("XB", "BT", "USD", "GM", "DO", "NF", "AN")
"""``XBTUSD`` is XBT in USD and not XB in TUSD; so are the others whose last letter is a T."""
_OTHER_NAMES = {"XBT": "BTC"}
_DATE = re.compile(r"(20[0-9]{2})[-_]?([01][0-9])[-_]?([0-3][0-9])(?:T([0-2][0-9]))?(?![0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What is known about a file before its rows are read; None is not said. ``settle_is_unknown``: a future by its
    name, which does not say what it settles in."""

    kind: Kind | None = None
    venue: str | None = None
    symbol: str | None = None
    interval_s: int | None = None
    settle_is_unknown: bool = False
    is_linear: bool = False
    """Futures that settle in their quote asset, by the words of its path."""

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
        kind = next(filter(None, (_kind(folder.name) for folder in list(path.resolve().parents)[:2])), None)
    symbol = _symbol(stem)
    is_linear = _is_linear(path)
    if is_linear and symbol is not None and ":" not in symbol:
        symbol = f"{symbol}:{symbol.partition('/')[2]}"
    is_future = re.search(r"futures|swap|perp", stem.lower()) is not None
    return Understood(
        kind=kind,
        venue=_venue(stem),
        symbol=symbol,
        interval_s=interval_s if kind is None or kind in CANDLE_KINDS else None,
        settle_is_unknown=is_future and symbol is not None and ":" not in symbol,
        is_linear=is_linear,
    )


def venue_of_folders(path: Path, outermost: Path) -> str | None:
    """What the folders between a file and the outermost one say, the nearest first."""
    outermost = outermost.resolve()
    for folder in path.resolve().parents:
        if (found := _venue(folder.name)) is not None:
            return found
        if folder == outermost:
            break
    return None


def date_in_names(path: Path) -> str | None:
    """``2022-11-22T00:00`` out of the name of a file or of its folder, to the hour if that is said."""
    for name in (stem_of(path), path.resolve().parent.name):
        found = _DATE.search(name)
        if found:
            return f"{found[1]}-{found[2]}-{found[3]}T{found[4] or '00'}:00"
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
    if len(parts) == 3 and parts[2] == "SWAP":
        base, quote = _asset(parts[0]), _asset(parts[1])
        return f"{base}/{quote}:{base if quote == 'USD' else quote}"
    if len(parts) == 1:
        for quote in _QUOTES:
            is_other = quote == "TUSD" and name.removesuffix(quote) in _BEFORE_TUSD
            if name.endswith(quote) and len(name) > len(quote) + 1 and not is_other:
                return f"{_asset(name.removesuffix(quote))}/{quote}"
    return None


def _asset(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def _kind(text: str) -> Kind | None:
    parts = re.split(r"[-. ]", text.lower())
    words = {word for part in parts for word in (part, *part.split("_"))} | {"_".join(p.split("_")[-2:]) for p in parts}
    return next((kind for kind, names in _WORDS.items() if words.intersection(names)), None)


def _symbol(stem: str) -> str | None:
    perpetual = _PERPETUAL.search(stem)
    if perpetual is not None:
        return pair_of(perpetual[0])
    dashed = _DASHED.search(stem)
    if dashed is not None and not dashed["base"].isdigit():
        settle = f":{dashed['settle']}" if dashed["settle"] else ""
        return f"{_asset(dashed['base'])}/{_asset(dashed['quote'])}{settle}"
    for joined in _JOINED.finditer(stem):
        pair = pair_of(joined["pair"])
        if pair is not None and not joined["pair"].isdigit():
            return pair
    return None


def _venue(stem: str) -> str | None:
    """The exchange that the name begins with, as in ``kraken_BTC-USD-1m``."""
    lower = stem.lower()
    for spelling, name in _SPELLINGS.items():
        if lower.startswith(spelling):
            return name
    first = re.split(r"[-_]", lower)[0]
    return first if first in VENUES else None


def _is_linear(path: Path) -> bool:
    words = "_".join([stem_of(path), *(folder.name for folder in list(path.resolve().parents)[:6])]).lower()
    return re.search(r"(^|[-_])(usdm|usd_m|linear)([-_]|$)|futures[-_]um|[-_]um[-_]", words) is not None
