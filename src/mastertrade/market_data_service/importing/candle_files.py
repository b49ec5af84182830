"""One file of candles, read as its series: chunk by chunk, with what has to be held back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.importing.candle_rows import CandleRows
from mastertrade.market_data_service.importing.cells import Times
from mastertrade.market_data_service.importing.columns import Layout, candle_layout, wide_layouts
from mastertrade.market_data_service.importing.findings import Findings, Severity
from mastertrade.market_data_service.importing.jumps import JumpFilter
from mastertrade.market_data_service.importing.naming import Kind, Understood, quote_in_name
from mastertrade.market_data_service.importing.opening import Damage
from mastertrade.market_data_service.importing.tables import Chunk, Reject, Table, open_tables
from mastertrade.market_data_service.intervals import DAY_S, interval_name
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData

FEWEST_ROWS_TO_TELL = 10
"""Rows from which on the distance between them says whether the interval in the name is true."""
_UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bars of one series to store, and those to hold back; ``rows`` of the file were read for them."""

    symbol: str
    interval_s: int
    bars: Bars
    held: Bars
    rows: int


@dataclass(slots=True)
class Reading:
    """What is known while a file is read: ``read`` rows so far, ``expected`` in all as far as that can be told."""

    findings: Findings
    damage: Damage
    read: int = 0
    expected: int = 0
    duplicates: int = 0
    blank: int = 0
    interval_s: int | None = None
    symbols: tuple[str, ...] = ()


def read_candles(
    path: Path, understood: Understood, *, now_ms: int, reject: Reject, reading: Reading
) -> Iterator[Part]:
    """BadData when the file as a whole is no candle file, or ends in damage; what came before has been handed on."""
    counted = CountedRejects(reject, reading)
    for table in open_tables(path, reading.damage):
        yield from _read_table(table, understood, now_ms, counted, reading, quote=quote_in_name(path) or "USD")
    if reading.damage.what:
        raise BadData(f"{path}: {reading.damage.what}; the whole rows before it were used, fetch the file again")
    if reading.read == 0:
        raise BadData(f"{path}: there is not one row in it; fetch the file again")


class Sound:
    """Chunks as far as they can be read; ``error`` says what ended them. What was read before is still to be used."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self.error: BadData | None = None

    def __iter__(self) -> Iterator[Chunk]:
        try:
            yield from self._chunks
        except BadData as error:
            self.error = error


class CountedRejects:
    """Rows that never become part of a chunk count as read, too."""

    def __init__(self, reject: Reject, reading: Reading) -> None:
        self._reject = reject
        self._reading = reading

    def __call__(self, row: int, reason: str, text: str) -> None:
        self._reading.read += 1
        self._reject(row, reason, text)

    def of_chunk(self, row: int, reason: str, text: str) -> None:
        self._reject(row, reason, text)


def _read_table(
    table: Table, understood: Understood, now_ms: int, rejects: CountedRejects, reading: Reading, *, quote: str
) -> Iterator[Part]:
    layouts = _series_of(table, understood, quote)
    wanted = list(dict.fromkeys(name for layout in layouts.values() for name in layout.values()))
    readers: dict[str, tuple[CandleRows, JumpFilter]] = {}
    time_column = next(iter(layouts.values()))["time"]
    interval_s = understood.interval_s
    chunks = Sound(table.chunks(wanted, rejects))
    for chunk in chunks:
        if not readers:
            interval_s = _interval(table, chunk, time_column, understood.interval_s, reading.findings)
            reading.interval_s, reading.symbols = interval_s, tuple(layouts)
            readers = {
                symbol: (
                    CandleRows(
                        layout, interval_s=interval_s, now_ms=now_ms, reject=rejects.of_chunk,
                        findings=reading.findings, is_wide=len(layouts) > 1, has_volume=understood.kind is Kind.CANDLES,
                    ),
                    JumpFilter(interval_s),
                )
                for symbol, layout in layouts.items()
            }  # fmt: skip
        reading.read += len(chunk)
        reading.expected = table.rows or int(reading.read / max(1e-9, min(1.0, table.done() or 1.0)))
        for place, (symbol, (rows, jumps)) in enumerate(readers.items()):
            good, held = jumps.judge(rows.bars(chunk))
            yield Part(
                symbol=symbol, interval_s=rows.interval_s, bars=good, held=held, rows=len(chunk) if place == 0 else 0
            )
    for symbol, (rows, jumps) in readers.items():
        reading.duplicates += rows.duplicates
        reading.blank += rows.blank
        last = jumps.end()
        if len(last):
            yield Part(symbol=symbol, interval_s=rows.interval_s, bars=last, held=last[:0], rows=0)
        rows.note_holes()
        _note_times(rows, time_column, reading.findings)
    if chunks.error is not None:
        raise chunks.error


def _series_of(table: Table, understood: Understood, quote: str) -> dict[str, Layout]:
    wide = wide_layouts(table)
    if wide:
        return {f"{asset}/{quote}": layout for asset, layout in wide.items()}
    if understood.symbol is None:
        raise BadData(f"{table.where}: neither its name nor an option says which market this is; add --symbol BTC/USDT")
    return {understood.symbol: candle_layout(table, base=parse_symbol(understood.symbol).base)}


def _interval(table: Table, chunk: Chunk, time_column: str, named_s: int | None, findings: Findings) -> int:
    """The length of a bar as somebody says it, held against the rows; else what the rows say."""
    times, has_time = Times().microseconds(chunk.columns[time_column])
    steps = np.diff(np.unique(times[has_time])) // 1_000_000
    steps = steps[steps > 0]
    if named_s is not None:
        if len(steps) >= FEWEST_ROWS_TO_TELL and not (steps == named_s).any():
            raise BadData(
                f"{table.where}: its name or --tf says {named_s} s from row to row, they are at least "
                f"{int(steps.min())} s apart; say --tf as it is"
            )
        return named_s
    if len(steps) == 0:
        raise BadData(f"{table.where}: neither its name nor its rows say how long a bar is; add --tf 1m")
    values, counts = np.unique(steps, return_counts=True)
    found = int(values[np.argmax(counts)])
    if found > DAY_S or DAY_S % found:
        raise BadData(f"{table.where}: most rows are {found} s apart, which is no length of a bar; add --tf 1m")
    findings.add(
        "timeframe", Severity.INFO, f"the timeframe {interval_name(found)} was read from the distance of the rows"
    )
    return found


def _note_times(rows: CandleRows, time_column: str, findings: Findings) -> None:
    units = rows.times.units
    if len(units) > 1:
        names = " and ".join(sorted(_UNIT_WORDS[unit] for unit in units))
        findings.add("time unit", Severity.WARNING, f"the times are partly {names}; each was read as what it is")
    elif units and time_column.endswith("_ms") and units != {"ms"}:
        found = _UNIT_WORDS[next(iter(units))]
        findings.add("time unit", Severity.WARNING, f"the column {time_column} holds {found} and was read so")
    if rows.times.is_naive_text:
        findings.add("time zone", Severity.INFO, "the times name no zone and were read as UTC")
