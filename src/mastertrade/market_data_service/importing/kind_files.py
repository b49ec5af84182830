"""One file of trades, funding rates, books or tickers, whatever its form, as batches."""

import gzip
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from mastertrade.market_data_service.importing import json_values
from mastertrade.market_data_service.importing.book_tables import read_books
from mastertrade.market_data_service.importing.candle_files import CountedRejects, Reading
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.importing.kind_tables import read_rows
from mastertrade.market_data_service.importing.messages import Reader, microseconds, number
from mastertrade.market_data_service.importing.naming import Kind, Understood, date_in_names, stem_of
from mastertrade.market_data_service.importing.opening import open_parts
from mastertrade.market_data_service.importing.tables import Reject, Table, open_tables
from mastertrade.market_data_service.kind_rows import Batch, Ticker
from mastertrade.shared.errors import BadData

MESSAGES_A_BATCH = 5_000
SHOWN_CHARACTERS = 200
NOT_KEPT = "messages that hold no trade, book or ticker"
_MESSAGE_SIGNS = (b'"e":', b'"e" :', b'"stream"', b'"topic"', b'"channel"', b'"lastUpdateId"', b'"kind"', b'"tickers"')


def read_kind(path: Path, understood: Understood, *, reject: Reject, reading: Reading) -> Iterator[Batch]:
    """BadData when the file as a whole cannot be used, or ends in damage; what came before has been handed on."""
    counted = CountedRejects(reject, reading)
    if _holds_messages(path, understood.kind):
        yield from _read_messages(path, understood, counted, reading)
    else:
        for table in open_tables(path, reading.damage):
            yield from _read_table(table, path, understood, counted, reading)
    if reading.damage.what:
        raise BadData(f"{path}: {reading.damage.what}; the whole rows before it were used, fetch the file again")
    if reading.read == 0:
        raise BadData(f"{path}: there is not one row in it; fetch the file again")


def _read_table(
    table: Table, path: Path, understood: Understood, counted: CountedRejects, reading: Reading
) -> Iterator[Batch]:
    read = table.read

    def counting(wanted: Any, reject: Reject) -> Iterator[Any]:
        for chunk in read(wanted, counted):
            reading.read += len(chunk)
            reading.expected = table.rows or int(reading.read / max(1e-9, min(1.0, table.done() or 1.0)))
            yield chunk

    table.read = counting
    if understood.kind is Kind.BOOK:
        yield from read_books(table, understood, reject=counted.of_chunk)
    else:
        yield from read_rows(table, understood, reject=counted.of_chunk, stem=stem_of(path))


# --- recorded messages ---


def _holds_messages(path: Path, kind: Kind | None) -> bool:
    if path.name.lower().endswith((".parquet", ".feather", ".csv", ".csv.gz", ".zip")):
        return False
    head = _head(path)
    if _is_feed(head):
        return True
    if head[:1] not in (b"{", b"["):
        return False
    return kind is Kind.TICKERS or any(sign in head for sign in _MESSAGE_SIGNS)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return (gzip.GzipFile(fileobj=raw) if is_packed else raw).read(2_000).lstrip()
    except (OSError, EOFError):
        return b""


def _is_feed(head: bytes) -> bool:
    """Lines of a receive time and a message."""
    first, _, rest = head.partition(b" ")
    return first.isdigit() and rest.lstrip()[:1] in (b"{", b"[")


def _read_messages(path: Path, understood: Understood, counted: CountedRejects, reading: Reading) -> Iterator[Batch]:
    reader = Reader(symbol=understood.symbol, is_linear=understood.is_linear, default_us=_named_time(path))
    is_feed = _is_feed(_head(path))
    size = max(1, path.stat().st_size)
    ignored = 0
    with open_parts(path, reading.damage) as parts:
        for name, stream in parts:
            messages = _messages(stream, name, is_feed=is_feed, is_list=understood.kind is Kind.TICKERS)
            while part := list(islice(messages, MESSAGES_A_BATCH)):
                batch = Batch()
                for received_us, message in part:
                    reading.read += 1
                    if isinstance(message, Ticker):
                        message.row = reading.read
                        if message.time_us is None and reader.default_us is not None:
                            message.time_us = reader.default_us
                            reader.assumed_times += 1
                        batch.tickers.append(message)
                    else:
                        ignored += _read_message(message, reader, batch, counted, reading.read, received_us)
                done = getattr(getattr(stream, "raw", None), "_raw", stream).tell() / size
                reading.expected = int(reading.read / max(1e-9, min(1.0, done or 1.0)))
                yield batch
    if ignored == reading.read and ignored:
        raise BadData(f"{path}: none of its {ignored} messages holds a trade, book or ticker that can be read")
    _note(reader, ignored, reading)


def _read_message(
    message: Any, reader: Reader, batch: Batch, counted: CountedRejects, row: int, received_us: int | None
) -> int:
    """1 when the message is of a kind that is not kept."""
    try:
        return int(not reader.read(message, batch, row=row, received_us=received_us))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        counted.of_chunk(row, f"the message is not what its kind holds ({type(error).__name__}: {error})", str(message))
        return 0


def _messages(stream: BinaryIO, where: str, *, is_feed: bool, is_list: bool) -> Iterator[tuple[int | None, Any]]:
    if is_feed:
        for head, message in json_values.lines(stream, where=where):
            yield microseconds(head), message
        return
    found = json_values.values(stream, where=where)
    first = next(found, None)
    if isinstance(first, dict) and "raw" in first and "kind" in first:
        yield from _recorded(chain([first], found))
    elif is_list and first is not None:
        for ticker in _tickers(chain([first], found)):
            yield None, ticker
    else:
        yield from ((None, message) for message in chain([first], found) if message is not None)


def _recorded(lines: Iterator[Any]) -> Iterator[tuple[int | None, Any]]:
    """Sessions as they were recorded: what came in is read, what was sent or opened is not."""
    for line in lines:
        text = line.get("raw") or ""
        try:
            message = json_values.parse(text) if line.get("kind") in ("ws_message", "http_response") else None
        except ValueError:
            message = None
        yield microseconds(line.get("received_at")), message


def _tickers(values: Iterator[Any]) -> Iterator[Ticker]:
    """Lists of tickers: as ccxt returns them, as exchanges do, or prices only."""
    for value in values:
        if isinstance(value, dict) and isinstance(value.get("tickers"), dict):
            yield from (_ticker({"symbol": name, **one}, None) for name, one in value["tickers"].items())
        elif isinstance(value, dict) and isinstance(value.get("data"), list):
            at = value.get("timestamp") or value.get("time")
            yield from (_ticker(one, at) for one in value["data"] if isinstance(one, dict))
        elif isinstance(value, dict):
            yield _ticker(value, None)


def _ticker(one: dict[str, Any], at: Any) -> Ticker:
    def first(*names: str) -> float | None:
        return next((found for name in names if (found := number(one.get(name))) is not None), None)

    return Ticker(
        symbol=str(one.get("symbol") or ""),
        time_us=microseconds(one.get("timestamp") or one.get("datetime") or at),
        bid=first("bid", "buy", "bidPrice"),
        bid_amount=first("bidVolume", "bidQty"),
        ask=first("ask", "sell", "askPrice"),
        ask_amount=first("askVolume", "askQty"),
        last=first("last", "lastDealPrice", "lastPrice", "price", "close"),
        volume=first("baseVolume", "vol", "volume"),
    )


def _named_time(path: Path) -> int | None:
    named = date_in_names(path)
    try:
        return None if named is None else microseconds(datetime.fromisoformat(f"{named}+00:00").isoformat())
    except ValueError:
        return None


def _note(reader: Reader, ignored: int, reading: Reading) -> None:
    add = reading.findings.add
    add(
        "time",
        Severity.WARNING,
        "rows name no time; that of the file's or folder's name was taken",
        count=reader.assumed_times,
    )
    add("sequence", Severity.WARNING, "the changes of a book do not follow each other", count=reader.broken_sequences)
    add("crossed", Severity.WARNING, "the best bid of a book is not below its best ask", count=reader.crossed)
    add("messages", Severity.INFO, NOT_KEPT, count=ignored)
