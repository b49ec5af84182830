"""One file that lists markets: exchanges' answers as they were recorded, JSON, or tables; as lists with their times."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from mastertrade.market_data_service.importing import json_values
from mastertrade.market_data_service.importing.candle_files import Reading
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.importing.instrument_rows import NotTraded, ReadInstrument, read_instrument
from mastertrade.market_data_service.importing.messages import microseconds
from mastertrade.market_data_service.importing.naming import date_in_names
from mastertrade.market_data_service.importing.opening import open_parts
from mastertrade.market_data_service.importing.tables import Reject, open_tables
from mastertrade.shared.errors import BadData

MARKETS_A_LIST = 2_000
"""Markets of one transaction; the longest list seen has 2,900."""
SHOWN_CHARACTERS = 200
_WRAPPERS = ("symbols", "instruments", "data", "result", "list", "products", "markets")


@dataclass(slots=True, kw_only=True)
class MarketList:
    """Markets as one venue listed them at one time; both are None where the file does not say."""

    venue: str | None
    time_us: int | None
    markets: dict[str, ReadInstrument] = field(default_factory=dict)


Entry = tuple[str | None, int | None, Any]
"""Venue and time as the file names them, and what it says about one market."""


def read_instruments(path: Path, *, reject: Reject, reading: Reading) -> Iterator[MarketList]:
    """BadData when the file as a whole cannot be used, or ends in damage; what came before has been handed on."""
    named = date_in_names(path)
    default_us = microseconds(f"{named}+00:00") if named else None
    current = MarketList(venue=None, time_us=None)
    skipped = 0
    assumed: dict[str, tuple[str, ...]] = {}
    for venue, time_us, entry in _entries(path, reading):
        reading.read += 1
        try:
            found = read_instrument(entry)
        except NotTraded:
            skipped += 1
            continue
        except (ValueError, TypeError, AttributeError) as error:
            reject(reading.read, str(error), str(entry)[:SHOWN_CHARACTERS])
            continue
        assumed |= {} if found.is_named_only else {found.instrument.symbol: found.assumed}
        at = default_us if time_us is None else time_us
        is_other = (venue, at) != (current.venue, current.time_us)
        if current.markets and (is_other or len(current.markets) >= MARKETS_A_LIST):
            yield current
            current = MarketList(venue=venue, time_us=at)
        current.venue, current.time_us = venue, at
        if current.markets.setdefault(found.instrument.symbol, found) is not found:
            reading.duplicates += 1
    if current.markets:
        yield current
    _note(reading, skipped, assumed)
    if reading.damage.what:
        raise BadData(f"{path}: {reading.damage.what}; the whole rows before it were used, fetch the file again")
    if reading.read == 0:
        raise BadData(f"{path}: it lists no market; --kind says what else it holds")


def _note(reading: Reading, skipped: int, assumed: Mapping[str, tuple[str, ...]]) -> None:
    what = "markets that expire, options and markets of other things than coins are not kept"
    reading.findings.add("markets", Severity.INFO, what, count=skipped)
    for rule in dict.fromkeys(name for names in assumed.values() for name in names):
        count = sum(rule in names for names in assumed.values())
        reading.findings.add(
            f"no {rule}", Severity.INFO, f"the {rule} is not told; a usual one is assumed", count=count
        )


def _entries(path: Path, reading: Reading) -> Iterator[Entry]:
    lower = path.name.lower()
    if lower.endswith((".parquet", ".feather", ".arrow")):
        yield from _of_columns(path, reading)
        return
    if not path.exists() or path.stat().st_size == 0:
        raise BadData(f"{path}: the file is empty or not there; check the path or fetch it again")
    with open_parts(path, reading.damage) as parts:
        for name, stream in parts:
            if ".json" in name.lower() or ".json" in lower:
                yield from _of_json(stream, name)
            else:
                yield from _of_csv(stream)


def _of_columns(path: Path, reading: Reading) -> Iterator[Entry]:
    for table in open_tables(path, reading.damage):
        names = table.names or []
        for chunk in table.chunks(names, lambda *_: None):
            columns = [chunk.columns[name].to_pylist() for name in names]
            for cells in zip(*columns, strict=True):
                yield _row(dict(zip(names, cells, strict=True)))


def _of_csv(stream: BinaryIO) -> Iterator[Entry]:
    """With comments and lines of different length, as people keep such tables."""
    text = (line.decode("utf-8", errors="replace").removeprefix("\ufeff") for line in stream)
    lines = (line for line in text if line.strip() and not line.startswith("#"))
    for row in csv.DictReader(lines):
        row.pop(None, None)  # cells beyond the header
        yield _row(row)


def _row(row: dict[str, Any]) -> Entry:
    venue = row.get("venue") or row.get("market")
    known = isinstance(venue, str) and ("market_ticker" in row or "venue" in row)
    return (str(venue).lower() if known else None), microseconds(_text(row.get("valid_from"))), row


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _of_json(stream: BinaryIO, where: str) -> Iterator[Entry]:
    found = json_values.values(stream, where=where)
    first = next(found, None)
    if isinstance(first, dict) and "raw" in first and "kind" in first:
        for line in chain([first], found):
            if line.get("kind") == "http_response" and not str(line.get("url")).endswith(("currency", "currencies")):
                yield from _of_body(json_values.parse(line["raw"]), microseconds(line.get("received_at")))
        return
    is_value = isinstance(first, dict) and _is_market(first)
    for value in chain([first], found):
        if is_value or isinstance(value, str):
            yield None, None, value
        elif value is not None:
            yield from _of_body(value, None)


def _of_body(body: Any, time_us: int | None) -> Iterator[Entry]:
    """The markets of one answer, wherever it wraps them."""
    if isinstance(body, str) or (isinstance(body, dict) and _is_market(body)):
        yield None, time_us, body
    elif isinstance(body, list):
        for one in body:
            yield from _of_body(one, time_us)
    elif isinstance(body, dict):
        at = time_us if time_us is not None else microseconds(body.get("serverTime"))
        wrapped = next((body[name] for name in _WRAPPERS if isinstance(body.get(name), dict | list)), None)
        for one in [wrapped] if wrapped is not None else [one for one in body.values() if isinstance(one, dict)]:
            yield from _of_body(one, at)


def _is_market(value: Mapping[str, Any]) -> bool:
    return any(name in value for name in ("baseAsset", "baseCcy", "baseCurrency", "base_currency", "base-currency",
                                          "base", "wsname", "url_symbol", "instId", "tick_size"))  # fmt: skip
