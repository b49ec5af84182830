"""Longer bars made of candles and kept: they follow every change of their candles, and stay when those are dropped.

The merging is the one every read uses, so a stored bar has the bits of one that is made on the spot. A bar that lacks
candles is stored too, and marked partial; no bar source shows it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection, SeriesEntry, catalogue
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import floor_to_grid, merge
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import Database, PostgresManager, Row, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "rollups.sql")
USUAL_INTERVALS_S = (300, 900, 3_600, 14_400, 86_400)
DAY_S = 86_400
ROLL_TIMEOUT_S = 60.0
VALUES = ("open", "high", "low", "close", "volume")

Progress = Callable[[int, int], None]
"""Called with the months done and those known of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupTotal:
    """What is kept of one series in one length; ``partial`` bars lack some of their candles."""

    venue: str
    symbol: str
    base_interval_s: int
    interval_s: int
    bars: int
    partial: int
    first_month: date
    last_month: date


class Rollups:
    """Ask for longer bars once; ``follow`` brings all that were asked for up to date."""

    def __init__(self, *, manager: PostgresManager, clock: Clock, failpoints: Failpoints | None = None) -> None:
        self._manager = manager
        self._clock = clock
        self._candles = CandlesPostgresDatabase()
        self._failpoints = failpoints or Failpoints()

    async def ask(
        self, selection: Selection = EVERYTHING, intervals_s: Sequence[int] = USUAL_INTERVALS_S
    ) -> list[SeriesEntry]:
        """Keep bars of these lengths of the selected series; a length that is no multiple of a series' is left out."""
        for interval_s in intervals_s:
            if interval_s <= 0 or DAY_S % interval_s:
                raise UsageError(f"bars of {interval_s} s: the length must divide a day")
        found = await catalogue(self._manager, selection)
        at = self._clock.now()
        for one in found:
            for interval_s in intervals_s:
                if interval_s > one.interval_s and interval_s % one.interval_s == 0:
                    key = {"instrument_id": one.instrument_id, "base_interval_s": one.interval_s}
                    await QUERIES.execute(self._manager, "ask_rollup", **key, interval_s=interval_s, at=at)
        return found

    async def follow(self, instrument_ids: Collection[int] | None = None, *, progress: Progress | None = None) -> int:
        """Roll up every month that changed or never was; the number of them. Each month is one transaction."""
        wanted = None if instrument_ids is None else sorted(instrument_ids)
        targets = await QUERIES.fetch(self._manager, "rollup_targets", instrument_ids=wanted)
        done = 0
        for target in targets:
            series = target["instrument_id"], target["base_interval_s"]
            months = await self._work(self._manager, *series)
            for place, month in enumerate(months):
                await self._roll_up(*series, target["intervals_s"], month["month"])
                if progress is not None:
                    progress(done + place + 1, done + len(months))
            done += len(months)
        return done

    async def totals(self, selection: Selection = EVERYTHING) -> list[RollupTotal]:
        filters = {name: values for name, values in selection.filters().items() if name != "intervals_s"}
        return [RollupTotal(**row) for row in await QUERIES.fetch(self._manager, "rollup_totals", **filters)]

    async def _work(self, db: Database, instrument_id: int, base_interval_s: int) -> list[Row]:
        return await QUERIES.fetch(db, "rollup_work", instrument_id=instrument_id, interval_s=base_interval_s)

    async def _roll_up(self, instrument_id: int, base_interval_s: int, intervals_s: list[int], month: date) -> None:
        at = self._clock.now()
        starts = datetime(month.year, month.month, 1, tzinfo=UTC)
        ends = (starts + timedelta(days=31)).replace(day=1)
        async with self._manager.transaction(durable=False, statement_timeout_s=ROLL_TIMEOUT_S) as tx:
            await self._candles.lock_series(tx, instrument_id, base_interval_s, at=at)
            now = [one for one in await self._work(tx, instrument_id, base_interval_s) if one["month"] == month]
            if not now:
                return  # somebody else was faster
            changed, unbuilt = now[0]["changed_from"], set(now[0]["unbuilt"] or ())
            # Whole days, since no bar is longer: the bars that a change touches are made anew with all their candles.
            day = ends if changed is None else to_datetime(floor_to_grid(to_milliseconds(changed), DAY_S))
            candles = await read_candles(tx, instrument_id, base_interval_s, starts if unbuilt else day, ends)
            for interval_s in intervals_s:
                first = starts if interval_s in unbuilt else day
                if first < ends:
                    part = candles[int(candles.time.searchsorted(to_milliseconds(first))) :]
                    await _store(tx, instrument_id, part, interval_s, month, first, at)
                    self._failpoints.reach("rollup.stored")
            key = {"instrument_id": instrument_id, "interval_s": base_interval_s}
            await QUERIES.execute(tx, "settle_month", **key, month=month)
        self._failpoints.reach("rollup.committed")


async def _store(
    tx: Transaction, instrument_id: int, candles: Bars, interval_s: int, month: date, first: datetime, at: datetime
) -> None:
    bars, parts = merge(candles, interval_s)
    await QUERIES.execute(
        tx,
        "store_rollup",
        instrument_id=instrument_id,
        base_interval_s=candles.interval_s,
        interval_s=interval_s,
        month=month,
        first=first,
        open_times=[to_datetime(time) for time in bars.time.tolist()],
        candles=parts.tolist(),
        at=at,
        **{name: getattr(bars, name).tolist() for name in VALUES},
    )
