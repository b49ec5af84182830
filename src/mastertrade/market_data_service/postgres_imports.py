"""Typed persistence of imports and of what they hold back: one method per named query of ``imports.sql``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mastertrade.market_data_service.postgres_candles import VALUES
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.postgres_manager import Database, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "imports.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """One import of one file; ``ended_at`` is None where it was cut short, or still runs."""

    id: UUID
    file: str
    bytes: int
    sha256: str
    kind: str
    venue: str
    symbol: str | None
    interval_s: int | None
    rows_read: int
    rows_stored: int
    unchanged: int
    revisions: int
    rejected: int
    quarantined: int
    findings: list[dict[str, Any]]
    rejects_file: str | None
    error: str | None
    began_at: datetime
    ended_at: datetime | None


class ImportsPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def begin_import(
        self,
        db: Database,
        id: UUID,
        *,
        file: str,
        bytes: int,
        sha256: str,
        kind: str,
        venue: str,
        symbol: str | None,
        interval_s: int | None,
        at: datetime,
    ) -> None:
        await QUERIES.execute(
            db,
            "begin_import",
            id=id,
            file=file,
            bytes=bytes,
            sha256=sha256,
            kind=kind,
            venue=venue,
            symbol=symbol,
            interval_s=interval_s,
            at=at,
        )

    async def end_import(
        self,
        db: Database,
        id: UUID,
        *,
        symbol: str | None,
        interval_s: int | None,
        counts: dict[str, int],
        findings: Sequence[dict[str, Any]],
        rejects_file: str | None,
        error: str | None,
        at: datetime,
    ) -> None:
        """``counts`` holds rows_read, rows_stored, unchanged, revisions, rejected and quarantined."""
        await QUERIES.execute(
            db,
            "end_import",
            id=id,
            symbol=symbol,
            interval_s=interval_s,
            **counts,
            findings=list(findings),
            rejects_file=rejects_file,
            error=error,
            at=at,
        )

    async def imports(self, db: Database, *, limit: int = 100) -> list[ImportRecord]:
        """The latest first."""
        return [ImportRecord(**row) for row in await QUERIES.fetch(db, "imports", limit=limit)]

    async def instrument_id(self, db: Database, venue: str, symbol: str) -> int | None:
        found: int | None = await QUERIES.fetchval(db, "instrument_id", venue=venue, symbol=symbol)
        return found

    async def hold_candles(
        self, tx: Transaction, instrument_id: int, bars: Bars, *, reason: str, import_id: UUID | None, at: datetime
    ) -> None:
        await QUERIES.execute(
            tx,
            "hold_candles",
            instrument_id=instrument_id,
            interval_s=bars.interval_s,
            open_times=[to_datetime(time) for time in bars.time.tolist()],
            **{name: getattr(bars, name).tolist() for name in VALUES},
            reason=reason,
            import_id=import_id,
            at=at,
        )

    async def accepted_candles(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime
    ) -> set[tuple[int, float, float, float, float, float]]:
        """Candles of a span that somebody confirmed, as (open time in ms, open, high, low, close, volume)."""
        rows = await QUERIES.fetch(
            db, "accepted_candles", instrument_id=instrument_id, interval_s=interval_s, first=first, last=last
        )
        return {(to_milliseconds(row["open_time"]), *(row[name] for name in VALUES)) for row in rows}
