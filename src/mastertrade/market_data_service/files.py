"""A folder of recorded candles as a source: its past by series, and a replay batch by batch."""

import asyncio
import heapq
import logging
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from mastertrade.domain.market import Candle, canonical_symbol
from mastertrade.market_data_service.file_reading import SUFFIXES, estimated_rows, read_rows
from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import (
    CandleBatch,
    RefusedRows,
    SeriesHistory,
    to_datetime,
    to_milliseconds,
)
from mastertrade.market_data_service.validation import accept_rows
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData

log = logging.getLogger(__name__)

MAX_FILES = 500
"""Each file of a replay keeps one chunk in memory; 500 of them are about 1.2 GB."""
FEWEST_ROWS_TO_TELL = 10
"""Rows from which on the distance between them says whether the interval in the name is true."""
_NAME = re.compile(
    r"(?:(?P<venue>[a-z][a-z0-9]*)_)?(?P<base>[A-Z0-9]+)[_-](?P<quote>[A-Z0-9]+)"
    r"(?:-(?P<interval>[0-9]+[smhd])"
    r"|[_-](?P<settle>[A-Z0-9]+)-(?P<interval_of_swap>[0-9]+[smhd])(?:-(?:futures|swap|perp))?)(?:_[0-9_-]+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleFile:
    path: Path
    venue: str
    symbol: str
    interval_s: int


def describe_file(path: Path) -> CandleFile | None:
    """What the name of a file says, such as ``BTC_USDT-1m.csv.gz``, ``kraken_BTC-USD-1m.parquet``, or for a swap
    ``BTC_USDT_USDT-5m-futures.feather``; None when it is not the name of a candle file. Without a venue in it, the
    first word of the folder's name is the venue."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    found = _NAME.fullmatch(path.name.removesuffix(suffix)) if suffix else None
    if found is None:
        return None
    try:
        interval_s = interval_seconds(found["interval"] or found["interval_of_swap"])
    except ValueError:
        return None
    folder = re.match(r"[A-Za-z][A-Za-z0-9]*", path.resolve().parent.name)
    return CandleFile(
        path=path,
        venue=found["venue"] or (folder.group().lower() if folder else "file"),
        symbol=canonical_symbol(
            f"{found['base']}/{found['quote']}" + (f":{found['settle']}" if found["settle"] else "")
        ),
        interval_s=interval_s,
    )


class CandleFiles:
    """The candle files of a folder, or a single one. ``now`` is the moment after which a candle lies in the future."""

    def __init__(self, path: Path, *, now: datetime) -> None:
        self._now_ms = to_milliseconds(now)
        self._series, self.skipped = _find_files(path)
        if self.skipped:
            log.info("files without the name of a candle file were left out: %s", ", ".join(self.skipped))
        self._name = f"files:{path.resolve().name}"
        self._sound: set[Path] = set()
        self._refused = RefusedRows()
        self.interval_s = min(interval_s for _, interval_s in self._series)
        venues_and_symbols = sorted({key for key, _ in self._series})
        self.instruments = tuple(listing(venue, symbol) for venue, symbol in venues_and_symbols)

    @property
    def name(self) -> str:
        return self._name

    def refused(self) -> RefusedRows:
        return self._refused

    def history(self, until: datetime) -> Iterable[SeriesHistory]:
        until_ms = to_milliseconds(until)
        listings = {instrument.key: instrument for instrument in self.instruments}
        for (key, interval_s), files in sorted(self._series.items()):
            refused = RefusedRows()
            yield SeriesHistory(
                listing=listings[key],
                interval_s=interval_s,
                expected_rows=sum(estimated_rows(file.path) for file in files),
                chunks=self._closed_at(until_ms, files, interval_s, refused),
                refused=refused,
            )

    async def batches(
        self, ids: Mapping[tuple[str, str], int], after: datetime | None
    ) -> AsyncGenerator[CandleBatch, None]:
        """A file that was not read to its end before is read once in full first: a broken end must not be found out
        in the middle of a replay."""
        after_ms = None if after is None else to_milliseconds(after)
        self._refused = refused = RefusedRows()
        played = [(key, files) for (key, interval_s), files in self._series.items() if interval_s == self.interval_s]
        for _, files in played:
            if not all(file.path in self._sound for file in files):
                await asyncio.to_thread(self._read_through, files)
        rows = [
            _candles(self._chunks(files, self.interval_s, refused), ids[key], key, after_ms) for key, files in played
        ]
        for batch in _merge(rows, self.interval_s):
            yield batch
        if refused.total:
            log.warning("rows of the replay were refused", extra={"rows": refused.total, "first": str(refused.first)})

    def _closed_at(
        self, until_ms: int, files: list[CandleFile], interval_s: int, refused: RefusedRows
    ) -> Iterator[Bars]:
        """The files are read to their end even if only their beginning is wanted: that is how a broken one is found."""
        for bars in self._chunks(files, interval_s, refused):
            count = int(np.searchsorted(bars.time, until_ms - interval_s * 1000, side="right"))
            if count:
                yield bars[:count]

    def _read_through(self, files: list[CandleFile]) -> None:
        for _ in self._chunks(files, self.interval_s, RefusedRows()):
            pass

    def _chunks(self, files: list[CandleFile], interval_s: int, refused: RefusedRows) -> Iterator[Bars]:
        """Accepted rows of one series, whose files follow each other in time."""
        latest_ms: int | None = None
        for file in _in_time(files):
            own, kept = RefusedRows(), 0
            for raw in read_rows(file.path, own):
                bars = accept_rows(
                    raw,
                    where=file.path.name,
                    interval_s=interval_s,
                    after_ms=latest_ms,
                    now_ms=self._now_ms,
                    refused=own,
                )
                if len(bars):
                    if kept == 0:
                        _check_interval(file, bars)
                    kept += len(bars)
                    latest_ms = int(bars.time[-1])
                    yield bars
            refused.add_all(own)
            if own.total > kept:
                raise BadData(
                    f"{file.path}: {own.total} of {own.total + kept} rows are refused, first {own.first}; "
                    "nothing of it was stored: this is not the file its name says, or it is damaged"
                )
            self._sound.add(file.path)


def _find_files(path: Path) -> tuple[dict[tuple[tuple[str, str], int], list[CandleFile]], tuple[str, ...]]:
    """Files by (venue, symbol) and interval, and the names that were left out."""
    if not path.exists():
        raise BadData(f"{path}: there is no such folder or file; name a folder of candle files")
    paths = sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
    found = [(child, describe_file(child)) for child in paths]
    files = [file for _, file in found if file is not None]
    if not files:
        raise BadData(
            f"{path}: no candle files among {len(paths)} files; their names must look like BTC_USDT-1m.csv.gz or "
            "kraken_BTC-USD-1m.parquet (csv, csv.gz, parquet or feather)"
        )
    if len(files) > MAX_FILES:
        raise BadData(
            f"{path}: {len(files)} candle files are more than the {MAX_FILES} a replay takes; split the folder"
        )
    series: dict[tuple[tuple[str, str], int], list[CandleFile]] = {}
    for file in files:
        series.setdefault(((file.venue, file.symbol), file.interval_s), []).append(file)
    return series, tuple(child.name for child, file in found if file is None)


def _in_time(files: list[CandleFile]) -> list[CandleFile]:
    if len(files) == 1:
        return files
    return sorted(files, key=lambda file: int(next(iter(read_rows(file.path, RefusedRows()))).time[0]))


def _check_interval(file: CandleFile, bars: Bars) -> None:
    steps = np.diff(bars.time)
    if len(bars) >= FEWEST_ROWS_TO_TELL and not (steps == file.interval_s * 1000).any():
        raise BadData(
            f"{file.path}: its name says {file.interval_s} s from row to row, they are at least "
            f"{int(steps.min()) // 1000} s apart; name the file after its interval"
        )


def _candles(
    chunks: Iterator[Bars], instrument_id: int, key: tuple[str, str], after_ms: int | None
) -> Iterator[tuple[int, int, Candle]]:
    venue, symbol = key
    for bars in chunks:
        start = 0 if after_ms is None else int(np.searchsorted(bars.time, after_ms, side="right"))
        columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
        for time, open_, high, low, close, volume in zip(*(column[start:].tolist() for column in columns), strict=True):
            candle = Candle(
                instrument_id=instrument_id,
                venue=venue,
                symbol=symbol,
                interval_s=bars.interval_s,
                open_time=to_datetime(time),
                open=open_,
                high=high,
                low=low,
                close=close,
                volume=volume,
            )
            yield time, instrument_id, candle


def _merge(rows: list[Iterator[tuple[int, int, Candle]]], interval_s: int) -> Iterator[CandleBatch]:
    """All series walked side by side: rows of one time are one batch."""
    waiting: list[Candle] = []
    for _, _, candle in heapq.merge(*rows, key=lambda row: row[:2]):
        if waiting and candle.open_time != waiting[0].open_time:
            yield _batch(waiting, interval_s)
            waiting = []
        waiting.append(candle)
    if waiting:
        yield _batch(waiting, interval_s)


def _batch(candles: list[Candle], interval_s: int) -> CandleBatch:
    return CandleBatch(interval_s=interval_s, open_time=candles[0].open_time, candles=tuple(candles))
