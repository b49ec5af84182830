"""The way back: rows out of files into the database. What is stored already stays as it is: it came later."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from mastertrade.market_data_service.candle_store import compare, covered_ranges, select
from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.postgres_candles import VALUES, CandlesPostgresDatabase, Span
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.retention.archive_files import file_batches, file_content
from mastertrade.market_data_service.retention.policies import QUERIES, DataKind
from mastertrade.market_data_service.retention.units import Retired, Unit, retired
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

RESTORE_TIMEOUT_S = 120.0
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Of the rows of a unit: those stored now, and those that were there already, with these or with newer numbers.
    Of a unit that was dropped for good nothing comes back, but a download may ask for it again."""

    retired: Retired
    stored: int
    kept: int

    @property
    def is_from_file(self) -> bool:
        return self.retired.file is not None


class Restoring:
    """``home`` is where an import writes what it rejects; ``folder`` is where the files are now, if they were moved."""

    def __init__(
        self,
        *,
        manager: PostgresManager,
        clock: Clock,
        home: Path,
        folder: Path | None = None,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._home = home
        self._folder = folder
        self._failpoints = failpoints or Failpoints()
        self._candles = CandlesPostgresDatabase()
        self._market = MarketDataPostgresDatabase()

    async def plan(
        self,
        selection: Selection,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        kinds: Sequence[DataKind] = tuple(DataKind),
    ) -> list[Retired]:
        """Units with some of the time, the newest file of each first: what it says beats what older ones say."""
        rows = await QUERIES.fetch(
            self._manager,
            "retired_units",
            states=["archived", "dropped"],
            kinds=[kind.value for kind in kinds],
            first=start or EVER[0],
            last=end or EVER[1],
            **selection.filters(),
        )
        found = [retired(row) for row in rows]
        return [one for one in found if one.state == "archived" or one.kind is DataKind.CANDLES]

    async def restore(self, one: Retired) -> Restored:
        """All of a unit or nothing, after its file was read to the end and is what was written."""
        instrument_id = await QUERIES.fetchval(self._manager, "instrument_of", venue=one.venue, symbol=one.symbol)
        unit = one.unit(instrument_id)
        if one.file is None:
            async with self._manager.transaction() as tx:
                await self._return(tx, one, unit)
            return Restored(retired=one, stored=0, kept=0)
        path = self._path(one, unit)
        content = await asyncio.to_thread(file_content, path, unit)
        if content.content_hash != one.content_hash:
            raise BadData(
                f"{path}: holds {content.rows} rows of hash {content.content_hash[:12]}, archived were {one.rows} of "
                f"hash {str(one.content_hash)[:12]}: nothing was restored; put back the file as it was"
            )
        if one.kind is DataKind.CANDLES:
            return await self._restore_candles(one, unit, path)
        return await self._import(one, unit, path)

    async def _restore_candles(self, one: Retired, unit: Unit, path: Path) -> Restored:
        at, stored, kept = self._clock.now(), 0, 0
        assert unit.instrument_id is not None
        await self._market.ensure_partitions(self._manager, unit.starts, unit.starts)
        parts = _bars_of(path, unit)
        async with self._manager.transaction(statement_timeout_s=RESTORE_TIMEOUT_S) as tx:
            span = await self._candles.lock_series(tx, unit.instrument_id, unit.interval_s, at=at)
            while (bars := await asyncio.to_thread(next, parts, None)) is not None:
                new = await self._store(tx, one, unit.instrument_id, bars, span, at)
                stored, kept = stored + new, kept + len(bars) - new
                self._failpoints.reach("restore.stored")
            await self._return(tx, one, unit)
        self._failpoints.reach("restore.committed")
        return Restored(retired=one, stored=stored, kept=kept)

    async def _store(self, tx: Transaction, one: Retired, id: int, bars: Bars, span: Span, at: datetime) -> int:
        first, last = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]) + bars.interval_s * 1000)
        known = await self._market.candle_columns(tx, id, bars.interval_s, first, last)
        is_fresh, is_other = compare(bars, known)
        if is_other.any():
            other = select(bars, is_other)
            await QUERIES.execute(
                tx,
                "record_replaced",
                instrument_id=id,
                interval_s=bars.interval_s,
                open_times=[to_datetime(time) for time in other.time.tolist()],
                **{name: getattr(other, name).tolist() for name in VALUES},
                first=first,
                last=last,
                known_at=one.retired_at,
            )
        if not is_fresh.any():
            return 0
        fresh = select(bars, is_fresh)
        await self._candles.copy_candles(tx, id, fresh)
        pinned = _pinned(fresh, span)
        if len(pinned):  # snapshots of the time between did not hold them; who looks back did see them
            await self._candles.record_arrivals(tx, id, pinned, at=one.starts)
        await self._candles.book_candles(
            tx, id, fresh, is_new=np.ones(len(fresh), dtype=np.bool_), stretches=list(covered_ranges(fresh)), at=at
        )
        return len(fresh)

    async def _import(self, one: Retired, unit: Unit, path: Path) -> Restored:
        """By the reader that understands files of these kinds; what is stored already it leaves alone."""
        from mastertrade.market_data_service.importing.importer import FileImporter

        importer = FileImporter(manager=self._manager, clock=self._clock, home=self._home)
        report = await importer.run(path, unit.content)
        if report.error is not None or report.rejected:
            raise BadData(
                f"{path}: {report.error or report.first_reject}: what could be stored is, see the rejects file"
            )
        self._failpoints.reach("restore.stored")
        async with self._manager.transaction() as tx:
            await QUERIES.execute(tx, "finish_return", id=one.id, at=self._clock.now())
        self._failpoints.reach("restore.committed")
        return Restored(retired=one, stored=report.rows_stored, kept=report.rows_read - report.rows_stored)

    async def _return(self, tx: Transaction, one: Retired, unit: Unit) -> None:
        at = self._clock.now()
        await QUERIES.execute(
            tx,
            "return_candles",
            instrument_id=unit.instrument_id,
            interval_s=unit.interval_s,
            first=one.starts,
            last=one.ends,
            is_forgotten=one.file is None,
            at=at,
        )
        await QUERIES.execute(tx, "finish_return", id=one.id, at=at)

    def _path(self, one: Retired, unit: Unit) -> Path:
        assert one.file is not None
        written = Path(one.file)
        return written if self._folder is None else unit.path(self._folder, 1).with_name(written.name)


def _bars_of(path: Path, unit: Unit) -> Iterator[Bars]:
    for batch in file_batches(path, unit):
        columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in VALUES}
        time = batch.column("timestamp").cast(pa.int64()).to_numpy(zero_copy_only=False)
        yield Bars(interval_s=unit.interval_s, time=time, **columns)


def _pinned(bars: Bars, span: Span) -> Bars:
    if span.pinned_from is None or span.pinned_to is None:
        return bars[:0]
    first, last = to_milliseconds(span.pinned_from), to_milliseconds(span.pinned_to)
    return select(bars, (bars.time >= first) & (bars.time < last))
