"""Messages of exchanges as they were recorded, one by one into the rows they tell of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.importing.naming import pair_of
from mastertrade.market_data_service.kind_rows import EPOCH, Batch, Book, Levels, Ticker, Trade


@dataclass(slots=True)
class Reader:
    """Turns messages into rows. ``symbol`` is the market of the file, if it has one; ``default_us`` the time of what
    names none. ``assumed_times`` counts the rows that had to take it."""

    symbol: str | None
    is_linear: bool
    default_us: int | None
    assumed_times: int = 0
    crossed: int = 0
    broken_sequences: int = 0
    _markets: dict[Any, str] = field(default_factory=dict)
    _last: dict[tuple[str, bool], int] = field(default_factory=dict)

    def read(self, message: Any, batch: Batch, *, row: int, received_us: int | None = None) -> bool:
        """Add what the message tells; False when it is of a kind that is not kept."""
        if not isinstance(message, Mapping):
            return False
        inner = message.get("data") if "stream" in message else message
        if not isinstance(inner, Mapping):
            return False
        at = _At(self, batch, row, received_us)
        for matches, read in _READERS:
            if matches(inner):
                read(inner, at)
                return True
        return False

    def market(self, name: Any) -> str:
        """The market a message names: in the file's own words where it is the same one."""
        known = self._markets.get(name)
        if known is None:
            known = self._markets[name] = self._market(name)
        return known

    def _market(self, name: Any) -> str:
        pair = pair_of(str(name)) if name else None
        if pair is None:
            return self.symbol or str(name or "")
        if self.symbol is not None:
            own, found = parse_symbol(self.symbol), parse_symbol(pair)
            if (own.base, own.quote) == (found.base, found.quote):
                return self.symbol
        return f"{pair}:{parse_symbol(pair).quote}" if self.is_linear and ":" not in pair else pair

    def note_sequence(self, symbol: str, first: int | None, previous: int | None, last: int) -> None:
        """Changes of a book follow each other without a break; a break is counted."""
        key = (symbol, True)
        before = self._last.get(key)
        if before is not None and ((previous is not None and previous != before) or (
            previous is None and first is not None and first != before + 1
        )):  # fmt: skip
            self.broken_sequences += 1
        self._last[key] = last


@dataclass(slots=True)
class _At:
    reader: Reader
    batch: Batch
    row: int
    received_us: int | None

    def time(self, *candidates: Any) -> int | None:
        """The first of the times a message names, in microseconds; else when it was received."""
        for value in candidates:
            found = microseconds(value)
            if found is not None:
                return found
        if self.received_us is not None:
            return self.received_us
        if self.reader.default_us is not None:
            self.reader.assumed_times += 1
        return self.reader.default_us

    def trade(self, market: str, trade: Trade) -> None:
        self.batch.trades.setdefault(market, []).append(trade)

    def book(self, market: str, book: Book) -> None:
        if book.is_snapshot and book.bids and book.asks and book.bids[0][0] >= book.asks[0][0]:
            self.reader.crossed += 1
        self.batch.books.setdefault(market, []).append(book)


def microseconds(value: Any) -> int | None:
    """Numbers of any unit by their size, and ISO text."""
    if value is None or value == "":
        return None
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        try:
            return round((datetime.fromisoformat(text) - EPOCH).total_seconds() * 1_000_000)
        except (ValueError, TypeError):
            return None
    size = abs(number)
    if size < 1e6:
        return None
    if text.isdigit():
        whole = int(text)
        for limit, up, down in ((1e11, 1_000_000, 1), (1e14, 1_000, 1), (1e17, 1, 1), (1e20, 1, 1_000)):
            if size < limit:
                return whole * up // down
        return None
    return round(number * 1_000_000) if size < 1e11 else round(number * 1000)


def number(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return float("nan")


def levels(pairs: Iterable[Any]) -> Levels:
    """``[["61737.63", "0.5"], …]``, or objects with ``px`` and ``sz``."""
    return [
        (float(pair["px"]), float(pair["sz"])) if isinstance(pair, dict) else (float(pair[0]), float(pair[1]))
        for pair in pairs
    ]


def _integer(value: Any) -> int | None:
    return int(value) if value is not None and str(value).isdigit() else None


def _binance_trade(message: Mapping[str, Any], at: _At) -> None:
    market = at.reader.market(message.get("s"))
    is_maker = message.get("m")
    trade = Trade(
        time_us=at.time(message.get("T"), message.get("E")),
        id=str(message.get("t") or message.get("a")),
        price=number(message.get("p")) or 0.0,
        amount=number(message.get("q")) or 0.0,
        is_buy=None if is_maker is None else not is_maker,
        row=at.row,
    )
    at.trade(market, trade)


def _binance_depth(message: Mapping[str, Any], at: _At) -> None:
    market = at.reader.market(message.get("s"))
    last, first = _integer(message.get("u")) or 0, _integer(message.get("U"))
    at.reader.note_sequence(market, first, _integer(message.get("pu")), last)
    time_us = at.time(message.get("T"), message.get("E"))
    at.book(market, Book(time_us, last, False, levels(message["b"]), levels(message["a"]), first, at.row))


def _binance_snapshot(message: Mapping[str, Any], at: _At) -> None:
    market = at.reader.market(message.get("s") or at.reader.symbol)
    time_us = at.time(message.get("T"), message.get("E"))
    sequence = _integer(message["lastUpdateId"]) or 0
    at.book(market, Book(time_us, sequence, True, levels(message["bids"]), levels(message["asks"]), None, at.row))


def _binance_book_ticker(message: Mapping[str, Any], at: _At) -> None:
    at.batch.tickers.append(
        Ticker(
            symbol=at.reader.market(message.get("s")),
            time_us=at.time(message.get("T"), message.get("E")),
            sequence=_integer(message.get("u")) or 0,
            bid=number(message["b"]),
            bid_amount=number(message["B"]),
            ask=number(message["a"]),
            ask_amount=number(message["A"]),
            row=at.row,
        )
    )


def _bybit_book(message: Mapping[str, Any], at: _At) -> None:
    data = message["data"]
    market = at.reader.market(data.get("s"))
    sequence = _integer(data.get("u")) or 0
    is_snapshot = message.get("type") == "snapshot"
    at.reader.note_sequence(market, None if is_snapshot else sequence, None, sequence)
    time_us = at.time(message.get("cts"), message.get("ts"))
    at.book(market, Book(time_us, sequence, is_snapshot, levels(data["b"]), levels(data["a"]), None, at.row))


def _bybit_trades(message: Mapping[str, Any], at: _At) -> None:
    for one in message["data"]:
        at.trade(
            at.reader.market(one.get("s")),
            Trade(
                time_us=at.time(one.get("T")),
                id=str(one.get("i")),
                price=number(one.get("p")) or 0.0,
                amount=number(one.get("v")) or 0.0,
                is_buy=one.get("S") == "Buy",
                row=at.row,
            ),
        )


def _hyperliquid_book(message: Mapping[str, Any], at: _At) -> None:
    data = message["data"]
    bids, asks = data["levels"]
    market = at.reader.market(data.get("coin"))
    time_us = at.time(data.get("time"))
    at.book(market, Book(time_us, 0, True, levels(bids), levels(asks), None, at.row))


def _hyperliquid_trades(message: Mapping[str, Any], at: _At) -> None:
    for one in message["data"]:
        at.trade(
            at.reader.market(one.get("coin")),
            Trade(
                time_us=at.time(one.get("time")),
                id=str(one.get("tid")),
                price=number(one.get("px")) or 0.0,
                amount=number(one.get("sz")) or 0.0,
                is_buy=one.get("side") == "B",
                row=at.row,
            ),
        )


def _coinbase_match(message: Mapping[str, Any], at: _At) -> None:
    """``side`` is the maker's."""
    at.trade(
        at.reader.market(message.get("product_id")),
        Trade(
            time_us=at.time(message.get("time")),
            id=str(message.get("trade_id")),
            price=number(message.get("price")) or 0.0,
            amount=number(message.get("size")) or 0.0,
            is_buy=message.get("side") == "sell",
            row=at.row,
        ),
    )


def _coinbase_snapshot(message: Mapping[str, Any], at: _At) -> None:
    market = at.reader.market(message.get("product_id"))
    time_us = at.time(message.get("time"))
    at.book(market, Book(time_us, 0, True, levels(message["bids"]), levels(message["asks"]), None, at.row))


def _coinbase_changes(message: Mapping[str, Any], at: _At) -> None:
    market = at.reader.market(message.get("product_id"))
    sides = {side: levels(one[1:] for one in message["changes"] if one[0] == side) for side in ("buy", "sell")}
    time_us = at.time(message.get("time"))
    at.book(market, Book(time_us, at.row, False, sides["buy"], sides["sell"], None, at.row))


def _okx_trades(message: Mapping[str, Any], at: _At) -> None:
    for one in message["data"]:
        at.trade(
            at.reader.market(one.get("instId")),
            Trade(
                time_us=at.time(one.get("ts")),
                id=str(one.get("tradeId")),
                price=number(one.get("px")) or 0.0,
                amount=number(one.get("sz")) or 0.0,
                is_buy=one.get("side") == "buy",
                row=at.row,
            ),
        )


def _okx_book(message: Mapping[str, Any], at: _At) -> None:
    name = message["arg"].get("instId")
    for one in message["data"]:
        bids, asks = levels(one["bids"]), levels(one["asks"])
        is_snapshot = message.get("action") == "snapshot"
        at.book(at.reader.market(name), Book(at.time(one.get("ts")), at.row, is_snapshot, bids, asks, None, at.row))


Message = Mapping[str, Any]


def _has(name: str, *values: str) -> Callable[[Message], bool]:
    return lambda message: message.get(name) in values


def _has_all(*names: str) -> Callable[[Message], bool]:
    return lambda message: all(name in message for name in names)


def _topic(start: str) -> Callable[[Message], bool]:
    return lambda message: str(message.get("topic", "")).startswith(start) and "data" in message


def _channel(name: str) -> Callable[[Message], bool]:
    def matches(message: Message) -> bool:
        argument = message.get("arg")
        return isinstance(argument, Mapping) and argument.get("channel") == name and "data" in message

    return matches


def _is_book_ticker(message: Message) -> bool:
    """Spot sends it without a name."""
    return message.get("e", "bookTicker") == "bookTicker" and {"u", "s", "b", "B", "a", "A"} <= message.keys()


_READERS: tuple[tuple[Callable[[Message], bool], Callable[[Message, _At], None]], ...] = (
    (_has("e", "trade", "aggTrade"), _binance_trade),
    (_has("e", "depthUpdate"), _binance_depth),
    (_has_all("lastUpdateId", "bids", "asks"), _binance_snapshot),
    (_is_book_ticker, _binance_book_ticker),
    (_topic("orderbook."), _bybit_book),
    (_topic("publicTrade."), _bybit_trades),
    (_has("channel", "l2Book"), _hyperliquid_book),
    (_has("channel", "trades"), _hyperliquid_trades),
    (_has("type", "match", "last_match"), _coinbase_match),
    (lambda message: message.get("type") == "snapshot" and "product_id" in message, _coinbase_snapshot),
    (lambda message: message.get("type") == "l2update" and "changes" in message, _coinbase_changes),
    (_channel("trades"), _okx_trades),
    (_channel("books"), _okx_book),
)
