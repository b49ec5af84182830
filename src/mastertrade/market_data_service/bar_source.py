"""Bars of any length out of the stored candles, the same for a backtest and for a strategy at work."""

from dataclasses import dataclass
from datetime import datetime

from mastertrade.market_data_service.binary_rows import decode_rows
from mastertrade.market_data_service.blocks import CandlesLeft, read_candles
from mastertrade.market_data_service.rollups import QUERIES
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import ceil_to_grid, empty_bars, floor_to_grid, join, resample
from mastertrade.shared.errors import DatabaseBusy, UsageError
from mastertrade.shared.postgres_manager import Database

ROWS_A_READ = 2_000_000
"""Candles of one statement: 96 MB of rows, or as much of sealed months."""
ATTEMPTS = 5
"""Retention may take months while they are read; the read then begins again with what stands there now."""
MOST_ROWS = 10_000_000
"""Candles behind one read; nineteen years of minutes. More is a mistake in the times asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Stored bars of one length and the time they reach over: candles, or, with ``rolled_from``, bars that were made of
    candles of that length and kept."""

    interval_s: int
    first_ms: int
    last_ms: int
    rolled_from: int | None = None


Piece = tuple[int, int, Layer]
"""From, to (both on the grid of the wanted bars), and what is read there."""


class DatabaseBars:
    """``BarSource`` over PostgreSQL. Bars are built from the finest candles stored of the instrument, so that all
    lengths tell one story; where those do not reach, from what was rolled up of them, then from coarser candles. A bar
    that lacks one of its candles is left out. Keeps nothing: each read sees what is stored then."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> Bars:
        """Closed bars with ``start <= bar start < end``. With ``as_of`` what was known then: none that closed later,
        and none of the revisions and late candles that came later."""
        if interval_s <= 0 or 86_400 % interval_s:
            raise UsageError(f"bars of {interval_s} s: the length must divide a day")
        from_ms = ceil_to_grid(to_milliseconds(start), interval_s)
        to_ms = ceil_to_grid(to_milliseconds(end), interval_s)
        if as_of is not None:
            to_ms = min(to_ms, floor_to_grid(to_milliseconds(as_of), interval_s))
        for _ in range(ATTEMPTS):
            try:
                return await self._read(instrument_id, interval_s, from_ms, to_ms, as_of)
            except CandlesLeft:
                continue
        raise DatabaseBusy(f"instrument {instrument_id}: candles leave while they are read, {ATTEMPTS} times by now")

    async def _read(
        self, instrument_id: int, interval_s: int, from_ms: int, to_ms: int, as_of: datetime | None
    ) -> Bars:
        pieces = plan(await self._layers(instrument_id, interval_s), interval_s, from_ms, to_ms)
        rows = sum((last - first) // (layer.interval_s * 1000) for first, last, layer in pieces)
        if rows > MOST_ROWS:
            raise UsageError(
                f"instrument {instrument_id}: {rows} candles between {to_datetime(pieces[0][0])} and "
                f"{to_datetime(pieces[-1][1])} are more than the {MOST_ROWS} of one read; ask for a shorter span"
            )
        bars = empty_bars(interval_s)
        for piece in pieces:
            bars = await self._append(bars, instrument_id, piece, as_of)
        return bars

    async def _append(self, bars: Bars, instrument_id: int, piece: Piece, as_of: datetime | None) -> Bars:
        from_ms, to_ms, layer = piece
        step_ms = max(1, ROWS_A_READ * layer.interval_s // bars.interval_s) * bars.interval_s * 1000
        for first_ms in range(from_ms, to_ms, step_ms):
            first, last = to_datetime(first_ms), to_datetime(min(first_ms + step_ms, to_ms))
            if layer.rolled_from is None:
                part = await read_candles(
                    self._db, instrument_id, layer.interval_s, first, last, known_at=as_of, is_all_there=True
                )
            else:
                packed = await QUERIES.fetchval(
                    self._db,
                    "rollup_columns",
                    instrument_id=instrument_id,
                    base_interval_s=layer.rolled_from,
                    interval_s=layer.interval_s,
                    first=first,
                    last=last,
                    as_of=as_of,
                )
                part = decode_rows(packed, layer.interval_s)
            bars = join(bars, resample(part, bars.interval_s))
        return bars

    async def _layers(self, instrument_id: int, interval_s: int) -> list[Layer]:
        """The most wanted first."""
        key = {"instrument_id": instrument_id, "interval_s": interval_s}
        candles = await QUERIES.fetch(self._db, "all_series", **key)
        layers = [
            Layer(
                interval_s=row["interval_s"],
                first_ms=to_milliseconds(row["first_open_time"]),
                last_ms=to_milliseconds(row["last_close_time"]),
            )
            for row in candles
        ]
        for row in await QUERIES.fetch(self._db, "rollup_layers", **key):
            ends = {"first_ms": to_milliseconds(row["first"]), "last_ms": to_milliseconds(row["last"])}
            layers.append(Layer(interval_s=row["interval_s"], rolled_from=row["base_interval_s"], **ends))
        return sorted(
            layers, key=lambda one: (one.rolled_from or one.interval_s, one.rolled_from or 0, -one.interval_s)
        )


def plan(layers: list[Layer], interval_s: int, from_ms: int, to_ms: int) -> list[Piece]:
    """What is read where, oldest first: each layer only where no more wanted one reaches."""
    free = [(from_ms, to_ms)] if from_ms < to_ms else []
    pieces: list[Piece] = []
    for layer in layers:
        first, last = ceil_to_grid(layer.first_ms, interval_s), floor_to_grid(layer.last_ms, interval_s)
        left = []
        for start, end in free:
            low, high = max(start, first), min(end, last)
            if low >= high:
                left.append((start, end))
                continue
            pieces.append((low, high, layer))
            left += [(one, other) for one, other in ((start, low), (high, end)) if one < other]
        free = left
    return sorted(pieces, key=lambda piece: piece[0])
