"""Trades, funding rates and quotes out of tables: one row of the file is one row of the database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.file_reading import floats
from mastertrade.market_data_service.importing.cells import Times
from mastertrade.market_data_service.importing.columns import TIME_NAMES, find
from mastertrade.market_data_service.importing.naming import Kind, Understood, pair_of
from mastertrade.market_data_service.importing.tables import Chunk, Reject, Table
from mastertrade.market_data_service.kind_rows import Batch, Funding, Ticker, Trade
from mastertrade.shared.errors import BadData

OTHER_MARKET = "the row is of another market than the file"
SEEN_BEFORE = "a trade of this number came before"
_TRADE_TIMES = ("transact_time", "transactiontime", "trade_time", "time_ms", *TIME_NAMES, "eventtime")
_SYMBOLS = ("symbol", "pair", "market", "instrument")
TRADE_ROLES: Mapping[str, Sequence[str]] = {
    "time": _TRADE_TIMES,
    "price": ("price", "p", "rate"),
    "amount": ("amount", "quantity", "qty", "size", "volume", "vol", "q"),
}
TRADE_EXTRAS: Mapping[str, Sequence[str]] = {
    "id": ("id", "trade_id", "tradeid", "agg_trade_id", "aggregate_trade_id", "tid"),
    "side": ("side", "taker_side"),
    "buyer_is_maker": ("is_buyer_maker", "buyer_maker", "isbuyermarketmaker", "isbuyermaker", "m"),
    "symbol": _SYMBOLS,
}
FUNDING_ROLES: Mapping[str, Sequence[str]] = {
    "time": ("calc_time", "fundingtime", "funding_time", "fundingratetimestamp", *TIME_NAMES),
    "rate": ("last_funding_rate", "fundingrate", "funding_rate", "rate", "open"),
}
QUOTE_ROLES: Mapping[str, Sequence[str]] = {
    "time": ("transaction_time", "event_time", *TIME_NAMES),
    "bid": ("bid", "bid_price", "best_bid_price", "bidprice", "best_bid"),
    "ask": ("ask", "ask_price", "best_ask_price", "askprice", "best_ask"),
}
QUOTE_EXTRAS: Mapping[str, Sequence[str]] = {
    "bid_amount": ("bid_amount", "bid_size", "best_bid_qty", "bid_qty", "bidsize", "bidvolume"),
    "ask_amount": ("ask_amount", "ask_size", "best_ask_qty", "ask_qty", "asksize", "askvolume"),
    "last": ("last", "last_price"),
    "volume": ("volume",),
    "sequence": ("update_id",),
    "symbol": _SYMBOLS,
}
_NO_HEADER = {
    "kraken": ("time", "price", "amount"),
    "agg": ("id", "price", "amount", "-", "-", "time", "buyer_is_maker"),
    "single": ("id", "price", "amount", "-", "time", "buyer_is_maker"),
    "bot": ("time", "id", "-", "side", "price", "amount"),
}


def read_rows(table: Table, understood: Understood, *, reject: Reject, stem: str) -> Iterator[Batch]:
    """Batches of the kind that is understood, chunk by chunk."""
    layout = _layout(table, understood.kind, stem)
    own = _OwnMarket(understood)
    quotes = _Occurrences()
    times = Times()
    seen = _Ids()
    # Quotes of one market are its; a table of many markets names them row by row.
    is_list = understood.kind is Kind.TICKERS and understood.symbol is None and "symbol" in layout
    for chunk in table.chunks(list(dict.fromkeys(layout.values())), reject):
        rows = _Rows(chunk, layout, times)
        batch = Batch()
        for place in range(len(chunk)):
            symbol = rows.text("symbol", place) if is_list else own.of(rows.text("symbol", place))
            if symbol is None:
                reject(rows.number(place), OTHER_MARKET, rows.shown(place))
            elif understood.kind is Kind.TRADES:
                trade = rows.trade(place)
                if seen.is_repeated(trade):
                    reject(rows.number(place), SEEN_BEFORE, rows.shown(place))
                else:
                    batch.trades.setdefault(symbol, []).append(trade)
            elif understood.kind is Kind.FUNDING:
                batch.funding.setdefault(symbol, []).append(rows.funding(place))
            else:
                ticker = rows.ticker(place, symbol)
                if "sequence" not in layout:
                    ticker.sequence = quotes.number(ticker.time_us)
                batch.tickers.append(ticker)
        yield batch


def _layout(table: Table, kind: Kind | None, stem: str) -> dict[str, str]:
    if kind is Kind.FUNDING:
        return find(table, FUNDING_ROLES, what="funding rates")
    if kind is Kind.TICKERS:
        return find(table, QUOTE_ROLES, what="quotes", optional=QUOTE_EXTRAS)
    if table.names is not None:
        return find(table, TRADE_ROLES, what="trades", optional=TRADE_EXTRAS)
    shape = _shape(table, stem)
    return {role: str(place) for place, role in enumerate(_NO_HEADER[shape]) if role != "-"}


def _shape(table: Table, stem: str) -> str:
    """What the places of a table without a header mean: as exchanges' archives and bots write them."""
    if table.width == len(_NO_HEADER["kraken"]):
        return "kraken"
    if table.width in (6, 7, 8):
        first = table.first[0]
        if first.isdigit() and 10**12 <= int(first) < 10**14 and table.width == 7:
            return "bot"
        return "agg" if "aggtrades" in stem.lower() or table.width == 8 else "single"
    raise BadData(
        f"{table.where}: has no header and {table.width} columns; trades need time, price and amount, or the columns "
        "of an exchange's archive"
    )


class _OwnMarket:
    """The market of a file; rows of another one are not its."""

    def __init__(self, understood: Understood) -> None:
        self._symbol = understood.symbol
        self._known: dict[str, str | None] = {}

    def of(self, text: str | None) -> str | None:
        if text is None:
            if self._symbol is None:
                raise BadData(
                    "neither the name, the rows nor an option says which market this is; add --symbol BTC/USDT"
                )
            return self._symbol
        if text not in self._known:
            self._known[text] = self._compare(text)
        return self._known[text]

    def _compare(self, text: str) -> str | None:
        pair = pair_of(text)
        if self._symbol is None:
            self._symbol = pair
        if self._symbol is None:
            raise BadData(f"the market {text!r} cannot be taken apart; add --symbol BTC/USDT")
        own = parse_symbol(self._symbol)
        found = parse_symbol(pair) if pair else None
        return self._symbol if found and (found.base, found.quote) == (own.base, own.quote) else None


class _Ids:
    """Numbers of trades rise; one that came just before is no second trade."""

    def __init__(self) -> None:
        self._last: int | None = None

    def is_repeated(self, trade: Trade) -> bool:
        if not trade.id.isdigit():
            return False
        number = int(trade.id)
        before, self._last = self._last, number
        return number == before


class _Occurrences:
    """Quotes of one time are told from each other by their order."""

    def __init__(self) -> None:
        self._time_us: int | None = None
        self._count = 0

    def number(self, time_us: int | None) -> int:
        self._count = self._count + 1 if time_us == self._time_us else 0
        self._time_us = time_us
        return self._count


class _Rows:
    """The cells of one chunk, by role."""

    def __init__(self, chunk: Chunk, layout: Mapping[str, str], times: Times) -> None:
        self._chunk, self._layout = chunk, layout
        self._numbers = chunk.numbers
        microseconds, has_time = times.microseconds(chunk.columns[layout["time"]])
        self._times = microseconds.tolist()
        self._has_time = has_time.tolist()
        numeric = {"price", "amount", "rate", "bid", "ask", "bid_amount", "ask_amount", "last", "volume"}
        self._values: dict[str, list[Any]] = {}
        self._texts: dict[str, list[Any]] = {}
        for role, name in layout.items():
            if role in numeric:
                self._values[role] = floats(chunk.columns[name]).tolist()
            elif role != "time":
                self._texts[role] = pc.cast(chunk.columns[name], pa.string()).to_pylist()
        self._columns = [chunk.columns[name] for name in layout.values()]

    def number(self, place: int) -> int:
        return int(self._numbers[place])

    def text(self, role: str, place: int) -> str | None:
        found = self._texts.get(role)
        return None if found is None else found[place]

    def shown(self, place: int) -> str:
        return ",".join(str(column[place]) for column in self._columns)

    def trade(self, place: int) -> Trade:
        price, amount = self._values["price"][place], self._values["amount"][place]
        is_buy = self._is_buy(place)
        side = {True: ":buy", False: ":sell", None: ""}[is_buy]
        return Trade(
            time_us=self._time(place),
            id=self.text("id", place) or f"{price}@{amount}{side}",
            price=price,
            amount=amount,
            is_buy=is_buy,
            row=self.number(place),
        )

    def funding(self, place: int) -> Funding:
        return Funding(time_us=self._time(place), rate=self._values["rate"][place], row=self.number(place))

    def ticker(self, place: int, symbol: str) -> Ticker:
        names = ("bid", "bid_amount", "ask", "ask_amount", "last", "volume")
        said = {role: self._values[role][place] for role in names if role in self._values}
        sequence = self.text("sequence", place) or "0"
        return Ticker(
            symbol=symbol,
            time_us=self._time(place),
            sequence=int(sequence) if sequence.isdigit() else 0,
            row=self.number(place),
            **{role: None if value != value and self._is_blank(role, place) else value for role, value in said.items()},
        )

    def _is_blank(self, role: str, place: int) -> bool:
        """Nothing stands there, which is another thing than a number that cannot be read."""
        cell = self._chunk.columns[self._layout[role]][place].as_py()
        return cell is None or (isinstance(cell, str) and not cell.strip())

    def _time(self, place: int) -> int | None:
        return self._times[place] if self._has_time[place] else None

    def _is_buy(self, place: int) -> bool | None:
        side, maker = self.text("side", place), self.text("buyer_is_maker", place)
        if side:
            return {"b": True, "s": False}.get(side.strip().lower()[:1])
        if maker:
            return {"t": False, "1": False, "f": True, "0": True}.get(maker.strip().lower()[:1])
        return None
