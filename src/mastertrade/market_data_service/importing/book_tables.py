"""Order books out of tables: a snapshot a row, or a level a row and the rows of one moment together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mastertrade.market_data_service.file_reading import floats
from mastertrade.market_data_service.importing.cells import Times
from mastertrade.market_data_service.importing.columns import TIME_NAMES, find
from mastertrade.market_data_service.importing.naming import Understood
from mastertrade.market_data_service.importing.tables import Chunk, Reject, Table
from mastertrade.market_data_service.kind_rows import NEGATIVE, NO_TIME, TOO_OLD, Batch, Book, Levels
from mastertrade.market_data_service.validation import EARLIEST_MS, LARGEST
from mastertrade.shared.errors import BadData

_LEVEL = re.compile(r"(bids|asks)\[([0-9]+)\]\.(price|amount)")
LEVEL_ROLES: Mapping[str, Sequence[str]] = {
    "time": ("transactiontime", "eventtime", "timestampofreceive", *TIME_NAMES),
    "price": ("price",),
    "amount": ("amount", "quantity", "qty", "size"),
}
LEVEL_EXTRAS: Mapping[str, Sequence[str]] = {
    "side": ("side",),
    "is_ask": ("isask", "is_ask"),
    "is_snapshot": ("is_snapshot",),
    "sequence": ("finalupdateid", "lastupdateid", "local_timestamp", "update_id", "u"),
    "first_sequence": ("firstupdateid", "first_update_id"),
}


def read_books(table: Table, understood: Understood, *, reject: Reject) -> Iterator[Batch]:
    if understood.symbol is None:
        raise BadData(f"{table.where}: neither its name nor an option says which market this is; add --symbol BTC/USDT")
    wide = [name for name in table.names or () if _LEVEL.fullmatch(name)]
    books = _snapshots(table, wide, reject) if wide else _from_levels(table, reject)
    for part in books:
        yield Batch(books={understood.symbol: part})


def _snapshots(table: Table, wide: list[str], reject: Reject) -> Iterator[list[Book]]:
    layout = find(table, {"time": TIME_NAMES}, what="book snapshots", optional={"sequence": ("local_timestamp",)})
    times = Times()
    wanted = list(dict.fromkeys([*layout.values(), *wide]))
    for chunk in table.chunks(wanted, reject):
        microseconds, has_time = times.microseconds(chunk.columns[layout["time"]])
        values = {name: floats(chunk.columns[name]).tolist() for name in wide}
        sequences = _integers(chunk, layout.get("sequence"))
        yield [
            Book(
                time_us=int(microseconds[place]) if has_time[place] else None,
                sequence=sequences[place] or 0,
                is_snapshot=True,
                bids=_side(values, "bids", place),
                asks=_side(values, "asks", place),
                row=int(chunk.numbers[place]),
            )
            for place in range(len(chunk))
        ]


def _side(values: Mapping[str, list[float]], side: str, place: int) -> Levels:
    levels: Levels = []
    while (price := values.get(f"{side}[{len(levels)}].price")) and (amount := values[f"{side}[{len(levels)}].amount"]):
        if price[place] != price[place]:
            break
        levels.append((price[place], amount[place]))
    return levels


def _from_levels(table: Table, reject: Reject) -> Iterator[list[Book]]:
    layout = find(table, LEVEL_ROLES, what="book levels", optional=LEVEL_EXTRAS)
    if "side" not in layout and "is_ask" not in layout:
        raise BadData(f"{table.where}: no column says on which side of the book a level stands (side or IsAsk)")
    times = Times()
    group = _Group(is_snapshot_file="first_sequence" not in layout and "is_snapshot" not in layout)
    for chunk in table.chunks(list(dict.fromkeys(layout.values())), reject):
        done = list(_grouped(chunk, layout, times, group, reject))
        if done:
            yield done
    last = group.end()
    if last is not None:
        yield [last]


class _Group:
    """Levels of one moment, until one of another moment comes."""

    def __init__(self, *, is_snapshot_file: bool) -> None:
        self.is_snapshot_file = is_snapshot_file
        self._key: tuple[Any, ...] | None = None
        self._book: Book | None = None

    def add(
        self, key: tuple[int, int, bool, int | None], *, is_ask: bool, level: tuple[float, float] | None, row: int
    ) -> Book | None:
        """The book that is complete with this row, if one is."""
        done = None
        if key != self._key:
            done, self._key = self._book, key
            time_us, sequence, is_snapshot, first = key
            self._book = Book(time_us, sequence, is_snapshot, [], [], first_sequence=first, row=row, rows=0)
        assert self._book is not None, "a key has its book"
        if level is not None:
            (self._book.asks if is_ask else self._book.bids).append(level)
        self._book.rows += 1
        return done

    def end(self) -> Book | None:
        return self._book


def _grouped(chunk: Chunk, layout: Mapping[str, str], times: Times, group: _Group, reject: Reject) -> Iterator[Book]:
    microseconds, has_time = times.microseconds(chunk.columns[layout["time"]])
    prices, amounts = (floats(chunk.columns[layout[role]]).tolist() for role in ("price", "amount"))
    sides = _texts(chunk, layout.get("side") or layout["is_ask"])
    sequences, firsts = _integers(chunk, layout.get("sequence")), _integers(chunk, layout.get("first_sequence"))
    snapshots = _texts(chunk, layout["is_snapshot"]) if "is_snapshot" in layout else None
    for place, (price, amount) in enumerate(zip(prices, amounts, strict=True)):
        time_us, row = int(microseconds[place]), int(chunk.numbers[place])
        is_empty = not sides[place] and price != price and amount != amount
        fault = None if is_empty else _fault(time_us if has_time[place] else None, price, amount)
        if fault is not None:
            cells = (str(chunk.columns[name][place]) for name in layout.values())
            reject(row, fault, ",".join(cells))
            continue
        is_snapshot = group.is_snapshot_file if snapshots is None else snapshots[place].lower() in ("true", "1")
        is_ask = sides[place].lower() in ("ask", "a", "sell", "1", "true")
        key = (time_us, sequences[place] or 0, is_snapshot, firsts[place])
        done = group.add(key, is_ask=is_ask, level=None if is_empty else (price, amount), row=row)
        if done is not None:
            yield done


def _fault(time_us: int | None, price: float, amount: float) -> str | None:
    if not (0 < price < LARGEST and 0 <= amount < LARGEST):
        return NEGATIVE
    if time_us is None:
        return NO_TIME
    return TOO_OLD if time_us < EARLIEST_MS * 1000 else None


def _texts(chunk: Chunk, name: str) -> list[str]:
    return [cell or "" for cell in pc.cast(chunk.columns[name], pa.string()).to_pylist()]


def _integers(chunk: Chunk, name: str | None) -> list[int | None]:
    if name is None:
        return [None] * len(chunk)
    return [int(text) if text.isdigit() else None for text in _texts(chunk, name)]
