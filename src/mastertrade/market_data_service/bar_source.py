"""Bars of any length out of the stored candles, the same for a backtest and for a strategy at work."""

from datetime import datetime

from mastertrade.market_data_service.blocks import read_candles
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import ceil_to_grid, empty_bars, floor_to_grid, join, resample
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import Database

ROWS_A_READ = 2_000_000
"""Candles of one statement: 96 MB of rows, or as much of sealed months."""
MOST_ROWS = 10_000_000
"""Candles behind one read; nineteen years of minutes. More is a mistake in the times asked for."""


class DatabaseBars:
    """``BarSource`` over PostgreSQL. Bars are built from the finest candles stored of the instrument, so that all
    lengths tell one story; a bar that lacks one of its candles is left out. Keeps nothing: each read sees what is
    stored then."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._database = MarketDataPostgresDatabase()

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> Bars:
        """Closed bars with ``start <= bar start < end``. With ``as_of`` what was known then: none that closed later,
        and none of the revisions and late candles that came later."""
        if interval_s <= 0 or 86_400 % interval_s:
            raise UsageError(f"bars of {interval_s} s: the length must divide a day")
        series = await self._database.finest_series(self._db, instrument_id, interval_s)
        if series is None:
            return empty_bars(interval_s)
        from_ms = max(
            ceil_to_grid(to_milliseconds(start), interval_s),
            floor_to_grid(to_milliseconds(series.first_open_time), interval_s),
        )
        to_ms = min(
            ceil_to_grid(to_milliseconds(end), interval_s),
            floor_to_grid(to_milliseconds(series.last_close_time), interval_s),
        )
        if as_of is not None:
            to_ms = min(to_ms, floor_to_grid(to_milliseconds(as_of), interval_s))
        return await self._fetch(instrument_id, interval_s, series.interval_s, from_ms, to_ms, as_of)

    async def _fetch(
        self,
        instrument_id: int,
        interval_s: int,
        base_interval_s: int,
        from_ms: int,
        to_ms: int,
        as_of: datetime | None,
    ) -> Bars:
        rows = (to_ms - from_ms) // (base_interval_s * 1000)
        if rows > MOST_ROWS:
            raise UsageError(
                f"instrument {instrument_id}: {rows} candles between {to_datetime(from_ms)} and {to_datetime(to_ms)} "
                f"are more than the {MOST_ROWS} of one read; ask for a shorter span"
            )
        step_ms = max(1, ROWS_A_READ * base_interval_s // interval_s) * interval_s * 1000
        bars = empty_bars(interval_s)
        for first_ms in range(from_ms, to_ms, step_ms):
            last_ms = min(first_ms + step_ms, to_ms)
            candles = await read_candles(
                self._db, instrument_id, base_interval_s, to_datetime(first_ms), to_datetime(last_ms), known_at=as_of
            )
            bars = join(bars, resample(candles, interval_s))
        return bars
