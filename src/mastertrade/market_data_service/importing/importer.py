"""Importing files: each one understood, read in bounded pieces, stored any number of times with the same result."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.candle_store import CandleStore, Loaded
from mastertrade.market_data_service.importing.candle_files import Part, Reading, read_candles
from mastertrade.market_data_service.importing.findings import Findings, Severity
from mastertrade.market_data_service.importing.instrument_files import MarketList, read_instruments
from mastertrade.market_data_service.importing.kind_files import read_kind
from mastertrade.market_data_service.importing.kind_writer import KindWriter
from mastertrade.market_data_service.importing.labels import labelled
from mastertrade.market_data_service.importing.naming import (
    CANDLE_KINDS,
    SUFFIXES,
    Kind,
    Understood,
    date_in_names,
    read_name,
    venue_of_folders,
)
from mastertrade.market_data_service.importing.opening import Damage, Identity, identify
from mastertrade.market_data_service.importing.rejects import Rejects
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.market_data_service.importing.tier_files import read_tiers
from mastertrade.market_data_service.kind_rows import moment
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_candles import VALUES
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_imports import ImportsPostgresDatabase
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, UsageError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

Progress = Callable[[int, int], None]
"""Called with the rows read of a file so far, and about how many it holds."""

LEAP = "the close leaps by more than ten deviations of the day before, and the next bar opens where the price was"
MOST_FILES = 10_000
T = TypeVar("T")


def find_files(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """The files named, and those in the folders named, each with its folder."""
    found: list[tuple[Path, Path | None]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file() and one.name.lower().endswith(SUFFIXES))
            if not inside:
                raise UsageError(f"{path}: no data file in this folder ({', '.join(SUFFIXES)})")
            found += [(one, path) for one in inside]
        else:
            found.append((path, None))
    if len(found) > MOST_FILES:
        raise UsageError(f"{len(found)} files are more than the {MOST_FILES} of one import; name fewer folders")
    return found


def venue_of_kind(venue: str, kind: Kind) -> str:
    """Mark and index prices are series of their own, at a venue of their own: ``binance.mark``."""
    return f"{venue}.{kind.value}" if kind in (Kind.MARK, Kind.INDEX) else venue


def recorded_at(path: Path) -> datetime | None:
    """What the name of the file or of its folder says about when it was recorded."""
    named = date_in_names(path)
    try:
        return datetime.fromisoformat(f"{named}+00:00") if named else None
    except ValueError:
        return None


def understand(
    path: Path,
    *,
    venue: str | None,
    symbol: str | None = None,
    interval_s: int | None = None,
    kind: Kind | None = None,
    folder: Path | None = None,
) -> Understood:
    """What is in a file, by its name and by what somebody says. BadData when it stays open.

    ``folder`` is the one in which the file was found, not named itself: it may hold files of several venues, so that
    names of files and folders say more than ``venue``.
    """
    named = labelled(path, read_name(path))
    if folder is not None:
        venue = named.venue or venue_of_folders(path, folder) or venue
    try:
        known = named.but(kind=kind, venue=venue, symbol=symbol, interval_s=interval_s)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if known.kind is None:
        raise BadData(
            f"{path}: its name does not say what it holds; add --tf 1m for candles, or --kind "
            f"{', '.join(one.value for one in Kind)}"
        )
    if known.venue is None and known.kind is not Kind.INSTRUMENTS:
        raise BadData(f"{path}: its name does not say from which venue it is; add --venue binance")
    return known


class FileImporter:
    """``home`` is where the rows that were rejected are written (below ``rejects``)."""

    def __init__(
        self, *, manager: PostgresManager, clock: Clock, home: Path, failpoints: Failpoints | None = None
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._home = home
        self._failpoints = failpoints or Failpoints()
        self._store = CandleStore(manager=manager, clock=clock, failpoints=failpoints)
        self._kind_store = KindStore(manager=manager, clock=clock)
        self._market = MarketDataPostgresDatabase()
        self._rules = InstrumentsPostgresDatabase()
        self._database = ImportsPostgresDatabase()

    async def run(self, path: Path, understood: Understood, *, progress: Progress | None = None) -> FileReport:
        """Import one file. A file that cannot be used, or not to its end, is reported and not raised."""
        began = self._clock.monotonic()
        report = FileReport(
            file=str(path), kind=understood.kind, venue=understood.venue, symbol=understood.symbol,
            interval_s=understood.interval_s,
        )  # fmt: skip
        try:
            identity = await asyncio.to_thread(identify, path)
        except OSError as error:
            report.error = f"{path}: cannot be opened: {error.strerror}; check the path and its permissions"
            return report
        report.sha256 = identity.sha256
        import_id = await self._begin(identity, report)
        rejects = Rejects(self._home, f"{path.name}.{identity.sha256[:8]}")
        findings = Findings()
        named = labelled(path, read_name(path)).venue
        if named is not None and understood.venue not in (None, named):
            findings.add("venue", Severity.WARNING, f"the name says {named}, it was imported as {understood.venue}")
        try:
            if understood.kind in CANDLE_KINDS:
                await self._candles(path, understood, import_id, report, rejects, findings, progress)
            elif understood.kind is Kind.TIERS:
                await self._tiers(path, understood, report, rejects, findings)
            elif understood.kind is Kind.INSTRUMENTS:
                await self._instruments(path, understood, report, rejects, findings, progress)
            else:
                await self._kinds(path, understood, report, rejects, findings, progress)
        except BadData as error:
            report.error = str(error) if path.name in str(error) else f"{path}: {error}"
        finally:
            rejects.close()
        self._sum_up(report, rejects, findings)
        report.seconds = self._clock.monotonic() - began
        await self._end(import_id, report)
        return report

    async def _candles(
        self,
        path: Path,
        understood: Understood,
        import_id: UUID,
        report: FileReport,
        rejects: Rejects,
        findings: Findings,
        progress: Progress | None,
    ) -> None:
        assert understood.kind is not None and understood.venue is not None
        venue = venue_of_kind(understood.venue, understood.kind)
        reading = Reading(findings=findings, damage=Damage())
        now_ms = to_milliseconds(self._clock.now())
        parts = read_candles(path, understood, now_ms=now_ms, reject=rejects.add, reading=reading)
        ids: dict[str, int] = {}
        try:
            while (part := await asyncio.to_thread(_next, parts)) is not None:
                if part.symbol not in ids:
                    ids[part.symbol] = await self._instrument(venue, part.symbol)
                await self._store_part(ids[part.symbol], part, import_id, report)
                self._failpoints.reach("import.stored")
                if progress is not None:
                    progress(reading.read, max(reading.read, reading.expected))
        finally:
            report.rows_read = reading.read
            report.duplicates = reading.duplicates
            report.interval_s = reading.interval_s or report.interval_s
            report.symbol = ", ".join(reading.symbols) or report.symbol

    async def _kinds(
        self,
        path: Path,
        understood: Understood,
        report: FileReport,
        rejects: Rejects,
        findings: Findings,
        progress: Progress | None,
    ) -> None:
        assert understood.venue is not None
        reading = Reading(findings=findings, damage=Damage())
        batches = read_kind(path, understood, reject=rejects.add, reading=reading)
        writer = KindWriter(
            store=self._kind_store, venue=understood.venue, instrument=self._instrument, rejects=rejects, report=report,
            now_us=to_milliseconds(self._clock.now()) * 1000,
        )  # fmt: skip
        await self._market.add_venues(self._manager, [understood.venue], at=self._clock.now())
        try:
            while (batch := await asyncio.to_thread(_next, batches)) is not None:
                await writer.write(batch)
                if progress is not None:
                    progress(reading.read, max(reading.read, reading.expected))
        finally:
            report.rows_read = reading.read
            report.symbol = report.symbol or writer.markets

    async def _instruments(
        self,
        path: Path,
        understood: Understood,
        report: FileReport,
        rejects: Rejects,
        findings: Findings,
        progress: Progress | None,
    ) -> None:
        reading = Reading(findings=findings, damage=Damage())
        lists = read_instruments(path, reject=rejects.add, reading=reading)
        venues: dict[str, int] = {}
        try:
            while (found := await asyncio.to_thread(_next, lists)) is not None:
                venue = found.venue or understood.venue
                if venue is None:
                    raise BadData(
                        f"{path}: neither its name nor its rows say from which venue it is; add --venue binance"
                    )
                if venue not in venues:
                    await self._market.add_venues(self._manager, [venue], at=self._clock.now())
                venues[venue] = venues.get(venue, 0) + len(found.markets)
                await self._learn(venue, found, report)
                if progress is not None:
                    progress(reading.read, reading.read)
        finally:
            report.rows_read = reading.read
            report.duplicates = reading.duplicates
            report.venue = ", ".join(venues) or report.venue
            report.symbol = f"{sum(venues.values())} markets"

    async def _learn(self, venue: str, found: MarketList, report: FileReport) -> None:
        at = self._clock.now()
        known_at = at if found.time_us is None else min(at, moment(found.time_us))
        markets = list(found.markets.values())
        added, changed = await self._rules.learn_instruments(
            self._manager,
            venue,
            [one.instrument for one in markets],
            assumed=[one.assumed for one in markets],
            known_at=known_at,
            at=at,
        )
        report.rows_stored += added
        report.revisions += changed
        report.unchanged += len(markets) - added - changed

    async def _tiers(
        self, path: Path, understood: Understood, report: FileReport, rejects: Rejects, findings: Findings
    ) -> None:
        assert understood.venue is not None
        reading = Reading(findings=findings, damage=Damage())
        known_at = recorded_at(path) or self._clock.now()
        markets = read_tiers(path, reject=rejects.add, reading=reading)
        try:
            while (found := await asyncio.to_thread(_next, markets)) is not None:
                symbol, tiers = found
                instrument_id = await self._instrument(understood.venue, symbol)
                is_new = await self._rules.learn_leverage_tiers(self._manager, instrument_id, tiers, known_at=known_at)
                report.rows_stored += is_new
                report.unchanged += not is_new
        finally:
            report.rows_read = reading.read
            report.symbol = f"{report.rows_stored + report.unchanged} markets"

    async def _store_part(self, instrument_id: int, part: Part, import_id: UUID, report: FileReport) -> None:
        bars, held = part.bars, part.held
        loaded = await self._store.load(instrument_id, bars) if len(bars) else Loaded()
        if len(held):
            confirmed, waiting = await self._decided(instrument_id, held)
            loaded += await self._store.load(instrument_id, confirmed) if len(confirmed) else Loaded()
            if len(waiting):
                at = self._clock.now()
                async with self._manager.transaction() as tx:
                    await self._database.hold_candles(
                        tx, instrument_id, waiting, reason=LEAP, import_id=import_id, at=at
                    )
            report.quarantined += len(waiting)
        report.rows_stored += loaded.new
        report.unchanged += loaded.unchanged
        report.revisions += loaded.revised

    async def _decided(self, instrument_id: int, held: Bars) -> tuple[Bars, Bars]:
        """Those that somebody confirmed before, and the others."""
        first, last = to_datetime(int(held.time[0])), to_datetime(int(held.time[-1]))
        accepted = await self._database.accepted_candles(self._manager, instrument_id, held.interval_s, first, last)
        rows = list(zip(held.time.tolist(), *(getattr(held, name).tolist() for name in VALUES), strict=True))
        places = [place for place, row in enumerate(rows) if row in accepted]
        others = [place for place, row in enumerate(rows) if row not in accepted]
        return _take(held, places), _take(held, others)

    async def _instrument(self, venue: str, symbol: str) -> int:
        parse_symbol(symbol)
        await self._market.add_instruments(self._manager, [listing(venue, symbol)], at=self._clock.now())
        found = await self._database.instrument_id(self._manager, venue, symbol)
        assert found is not None, "it was just added"
        return found

    async def _begin(self, identity: Identity, report: FileReport) -> UUID:
        at = self._clock.now()
        import_id = new_id(at)
        assert report.kind is not None
        await self._database.begin_import(
            self._manager,
            import_id,
            file=identity.path,
            bytes=identity.bytes,
            sha256=identity.sha256,
            kind=report.kind,
            venue=report.venue or "",
            symbol=report.symbol,
            interval_s=report.interval_s,
            at=at,
        )
        return import_id

    async def _end(self, import_id: UUID, report: FileReport) -> None:
        described = report.as_json()
        at: datetime = self._clock.now()
        await self._database.end_import(
            self._manager,
            import_id,
            symbol=report.symbol,
            interval_s=report.interval_s,
            counts=report.counts,
            findings=described["findings"],
            rejects_file=report.rejects_file,
            error=report.error,
            at=at,
        )

    @staticmethod
    def _sum_up(report: FileReport, rejects: Rejects, findings: Findings) -> None:
        report.rejected = rejects.total
        report.reasons = dict(rejects.counts)
        report.first_reject = rejects.first
        report.rejects_file = str(rejects.path) if rejects.total else None
        report.findings = findings.all()


def _next(parts: Iterator[T]) -> T | None:
    return next(parts, None)


def _take(bars: Bars, places: Sequence[int]) -> Bars:
    index = list(places)
    return Bars(
        interval_s=bars.interval_s, time=bars.time[index], **{name: getattr(bars, name)[index] for name in VALUES}
    )
