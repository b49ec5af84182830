"""Exporting: one file a series, named so that an import understands it, in memory that does not grow with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection, catalogue
from mastertrade.market_data_service.exporting import rows as stored
from mastertrade.market_data_service.exporting.sinks import FileFormat, opened
from mastertrade.market_data_service.importing.naming import CANDLE_KINDS, Kind, Understood
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager

FAR = datetime(9000, 1, 1, tzinfo=UTC)
MOST_FILES = 100_000

Progress = Callable[[int, int], None]
"""Called with the rows written of a file so far, and about how many there are."""
FIELDS = {
    Kind.TRADES: stored.TRADES,
    Kind.FUNDING: stored.FUNDING,
    Kind.BOOK: stored.BOOK,
    Kind.TICKERS: stored.TICKERS,
    Kind.INSTRUMENTS: stored.INSTRUMENTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A file to be: what it holds, from where, and about how many rows."""

    path: Path
    content: Understood
    batches: AsyncIterator[list[Any]]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    path: Path
    content: Understood
    rows: int
    bytes: int
    seconds: float


class FileExporter:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._candles = CandlesPostgresDatabase()

    async def plan(
        self,
        folder: Path,
        *,
        selection: Selection = EVERYTHING,
        kinds: Sequence[Kind] = (Kind.CANDLES, Kind.MARK, Kind.INDEX),
        form: FileFormat = FileFormat.PARQUET,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Planned]:
        """What would be written. NotFound when nothing is there."""
        first, last = start or stored.BEGINNING, end or FAR
        planned: list[Planned] = []
        if CANDLE_KINDS & set(kinds):
            planned += await self._candle_files(folder, selection, kinds, form, first, last)
        planned += await self._kind_files(folder, selection, kinds, form, first, last)
        if Kind.INSTRUMENTS in kinds:
            planned += await self._instrument_files(folder, selection, form)
        if not planned:
            names = ", ".join(kinds)
            raise NotFound(f"nothing to export: no {names} of {selection}; `mastertrade data list` shows what there is")
        return planned

    async def write(self, one: Planned, *, progress: Progress | None = None) -> Exported:
        """The file is there when it is whole; a broken export leaves what stood there."""
        began = self._clock.monotonic()
        kind = one.content.kind
        assert kind is not None
        fields = FIELDS.get(kind, stored.CANDLES)
        schema = stored.schema_of(fields, is_text=not one.path.name.endswith(".parquet"))
        with opened(one.path, schema, one.content) as sink:
            async for columns in one.batches:
                await asyncio.to_thread(lambda part=columns: sink.add(stored.batch_of(part, schema)))  # type: ignore[misc]
                if progress is not None:
                    progress(sink.rows, max(one.rows, sink.rows))
        return Exported(
            path=one.path, content=one.content, rows=sink.rows, bytes=one.path.stat().st_size,
            seconds=self._clock.monotonic() - began,
        )  # fmt: skip

    async def _candle_files(
        self,
        folder: Path,
        selection: Selection,
        kinds: Sequence[Kind],
        form: FileFormat,
        first: datetime,
        last: datetime,
    ) -> list[Planned]:
        try:
            entries = await catalogue(self._manager, selection)
        except NotFound:
            return []  # there may be other kinds of it
        planned = []
        for entry in entries:
            content = candle_content(entry.venue, entry.symbol, entry.interval_s)
            begin, end = max(entry.first, first), min(entry.last + timedelta(seconds=entry.interval_s), last)
            if content.kind not in kinds or begin >= end:
                continue
            key = (entry.instrument_id, entry.interval_s)
            fills = await self._candles.synthetic_stretches(self._manager, *key)
            batches = stored.candles(self._manager, *key, begin, end, without=fills)
            planned.append(
                Planned(path=folder / _file_name(content, form), content=content, batches=batches, rows=entry.rows)
            )
        return planned

    async def _kind_files(
        self,
        folder: Path,
        selection: Selection,
        kinds: Sequence[Kind],
        form: FileFormat,
        first: datetime,
        last: datetime,
    ) -> list[Planned]:
        wanted = [kind.value for kind in kinds if kind in (Kind.TRADES, Kind.FUNDING, Kind.BOOK, Kind.TICKERS)]
        rows = await stored.QUERIES.fetch(
            self._manager, "exportable_kinds", kinds=wanted, venues=list(selection.venues) or None,
            symbols=list(selection.symbols) or None, limit=MOST_FILES,
        )  # fmt: skip
        planned = []
        markets: dict[str, tuple[list[str], int]] = {}
        read = {"trades": stored.trades, "funding": stored.funding, "book": stored.books}
        for row in rows:
            if row["first_time"] >= last or row["last_time"] < first:
                continue
            if row["kind"] == "tickers":
                symbols, count = markets.setdefault(row["venue"], ([], 0))
                markets[row["venue"]] = ([*symbols, row["symbol"]], count + row["rows"])
                continue
            content = Understood(kind=Kind(row["kind"]), venue=row["venue"], symbol=row["symbol"])
            begin = max(first, row["first_time"])
            batches = read[row["kind"]](self._manager, row["instrument_id"], begin, last)
            planned.append(
                Planned(path=folder / _file_name(content, form), content=content, batches=batches, rows=row["rows"])
            )
        for venue, (symbols, count) in markets.items():
            content = Understood(kind=Kind.TICKERS, venue=venue)
            batches = stored.tickers(self._manager, venue, symbols, first, last)
            planned.append(
                Planned(path=folder / _file_name(content, form), content=content, batches=batches, rows=count)
            )
        return planned

    async def _instrument_files(self, folder: Path, selection: Selection, form: FileFormat) -> list[Planned]:
        symbols = list(selection.symbols) or None
        rows = await stored.QUERIES.fetch(
            self._manager, "venues_with_instruments", venues=list(selection.venues) or None, symbols=symbols,
            limit=MOST_FILES,
        )  # fmt: skip
        planned = []
        for row in rows:
            content = Understood(kind=Kind.INSTRUMENTS, venue=row["venue"])
            batches = stored.instruments(self._manager, row["venue"], symbols)
            path = folder / _file_name(content, form)
            planned.append(Planned(path=path, content=content, batches=batches, rows=row["markets"]))
        return planned


def candle_content(venue: str, symbol: str, interval_s: int) -> Understood:
    """Mark and index prices are kept at venues of their own: ``binance.mark``."""
    name, _, suffix = venue.rpartition(".")
    kind = {"mark": Kind.MARK, "index": Kind.INDEX}.get(suffix) if name else None
    return Understood(kind=kind or Kind.CANDLES, venue=name if kind else venue, symbol=symbol, interval_s=interval_s)


def _file_name(content: Understood, form: FileFormat) -> str:
    """``kraken_BTC-USD-1m.parquet``, ``binance_BTC-USDT_USDT-8h-mark.csv``, ``kraken-tickers.csv.gz``."""
    assert content.kind is not None
    words = []
    if content.symbol:
        parts = parse_symbol(content.symbol)
        market = f"{parts.base}-{parts.quote}" + (f"_{parts.settle}" if parts.settle else "")
        words.append(f"{content.venue}_{market}")
    else:
        words.append(str(content.venue))
    if content.interval_s:
        words.append(interval_name(content.interval_s))
    if content.kind is not Kind.CANDLES:
        words.append(content.kind.value)
    return "-".join(words).replace("/", "_") + f".{form.value}"
