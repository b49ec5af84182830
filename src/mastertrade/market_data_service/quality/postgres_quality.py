"""Typed persistence of checks and of what waits in quarantine: one method per named query of ``quality.sql``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mastertrade.market_data_service.catalogue import Selection, SeriesEntry
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.quality.rules import RULES, Found
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import empty_bars
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "quality.sql")
VALUES = ("open", "high", "low", "close", "volume")
MOST_ROWS = 100_000
MOST_OTHER_VENUES = 5
TRADES_TIMEOUT_S = 120.0
_RULES = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the last check of a series found by one rule, as it is stored."""

    rule: str
    severity: Severity
    rows: int
    places: int
    first_time: datetime | None
    last_time: datetime | None
    detail: str

    @property
    def what(self) -> str:
        known = _RULES.get(self.rule)
        return (known.what if known else self.rule) + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuality:
    """The last check of one series; the worst findings first."""

    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    starts: datetime
    ends: datetime
    rows: int
    score: float
    checked_at: datetime
    findings: tuple[Finding, ...] = ()

    @property
    def timeframe(self) -> str:
        return interval_name(self.interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVenue:
    instrument_id: int
    venue: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCandle:
    """A candle that waits, or waited, for a decision. ``other_closes`` are what other venues closed at then."""

    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    reason: str
    status: str
    held_at: datetime
    decided_at: datetime | None
    file: str | None
    close_before: float | None
    other_venues: list[str]
    other_closes: list[float]

    @property
    def timeframe(self) -> str:
        return interval_name(self.interval_s)


class QualityPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def counts_of_series(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime
    ) -> Row:
        row = await QUERIES.fetchrow(
            db, "counts_of_series", instrument_id=instrument_id, interval_s=interval_s, first=first, last=last
        )
        assert row is not None, "an aggregate returns one row"
        return row

    async def second_sources(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime
    ) -> list[OtherVenue]:
        """Series of the same pair at other venues that overlap the span, those with most candles first."""
        rows = await QUERIES.fetch(
            db,
            "second_sources",
            instrument_id=instrument_id,
            interval_s=interval_s,
            first=first,
            last=last,
            limit=MOST_OTHER_VENUES,
        )
        return [OtherVenue(**row) for row in rows]

    async def span_of_trades(self, db: Database, instrument_id: int) -> tuple[datetime, datetime, float] | None:
        """First and last trade of the instrument, and its tick."""
        row = await QUERIES.fetchrow(db, "span_of_trades", instrument_id=instrument_id)
        return None if row is None else (row["first"], row["last"], row["tick"])

    async def bars_of_trades(
        self, db: Database, instrument_id: int, interval_s: int, first: datetime, last: datetime
    ) -> Bars:
        rows = await QUERIES.fetch(
            db,
            "bars_of_trades",
            instrument_id=instrument_id,
            interval_s=interval_s,
            first=first,
            last=last,
            timeout_s=TRADES_TIMEOUT_S,
        )
        if not rows:
            return empty_bars(interval_s)
        time = np.array([row["time_ms"] for row in rows], dtype=np.int64)
        values = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in VALUES}
        return Bars(interval_s=interval_s, time=time, **values)

    async def save_report(
        self, tx: Transaction, entry: SeriesEntry, found: Sequence[Found], *, first: datetime, last: datetime,
        rows: int, score: float, at: datetime,
    ) -> None:  # fmt: skip
        key = {"instrument_id": entry.instrument_id, "interval_s": entry.interval_s}
        await QUERIES.execute(tx, "save_report", **key, starts=first, ends=last, rows=rows, score=score, at=at)
        await QUERIES.execute(tx, "forget_findings", **key)
        await QUERIES.execute(
            tx,
            "save_findings",
            **key,
            rules=[one.rule.name for one in found],
            severities=[one.rule.severity.value for one in found],
            rows=[one.rows for one in found],
            places=[one.places for one in found],
            firsts=[None if one.first_ms is None else to_datetime(one.first_ms) for one in found],
            lasts=[None if one.last_ms is None else to_datetime(one.last_ms) for one in found],
            details=[one.detail for one in found],
        )

    async def quality_reports(self, db: Database, selection: Selection) -> list[SeriesQuality]:
        """The last check of each series, the worst score first."""
        reports = []
        for row in await QUERIES.fetch(db, "quality_reports", **selection.filters(), limit=MOST_ROWS):
            findings = await QUERIES.fetch(
                db, "quality_findings", instrument_id=row["instrument_id"], interval_s=row["interval_s"]
            )
            told = [Finding(**{**one, "severity": Severity(one["severity"])}) for one in findings]
            order = {rule.name: place for place, rule in enumerate(RULES)}
            told.sort(key=lambda one: order.get(one.rule, len(order)))
            reports.append(SeriesQuality(**row, findings=tuple(told)))
        return reports

    async def held_candles(
        self,
        db: Database,
        selection: Selection,
        *,
        statuses: Sequence[str] | None = ("waiting",),
        times: Sequence[datetime] | None = None,
    ) -> list[HeldCandle]:
        rows = await QUERIES.fetch(
            db,
            "held_candles",
            **selection.filters(),
            statuses=None if statuses is None else list(statuses),
            times=None if times is None else list(times),
            limit=MOST_ROWS,
        )
        return [HeldCandle(**row) for row in rows]

    async def decide_candles(
        self,
        db: Database,
        instrument_id: int,
        interval_s: int,
        times: Sequence[datetime],
        *,
        status: str,
        at: datetime,
    ) -> int:
        """How many of them were still waiting."""
        rows = await QUERIES.fetch(
            db,
            "decide_candles",
            instrument_id=instrument_id,
            interval_s=interval_s,
            times=list(times),
            status=status,
            at=at,
        )
        return len(rows)
