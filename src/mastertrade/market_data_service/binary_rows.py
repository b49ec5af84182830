"""Candles in PostgreSQL's binary formats, whole arrays at a time: into COPY, and out of one aggregated value."""

import numpy as np

from mastertrade.quant.bars import Bars

MICROSECONDS_TO_2000 = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01."""
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_VALUES = ("open", "high", "low", "close", "volume")
_COPY_KINDS = {"instrument_id": ">i4", "interval_s": ">i4", "open_time": ">i8"} | dict.fromkeys(_VALUES, ">f8")
_COPY_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(part for name, kind in _COPY_KINDS.items() for part in ((f"{name}_length", ">i4"), (name, kind))),
    ]
)
COPY_COLUMNS = tuple(_COPY_KINDS)
_READ_ROW = np.dtype([("open_time", ">i8"), *((name, ">f8") for name in _VALUES)])


def encode_copy(instrument_id: int, bars: Bars) -> bytes:
    """A complete binary COPY stream of ``COPY_COLUMNS``."""
    rows = np.empty(len(bars), dtype=_COPY_ROW)
    rows["fields"] = len(COPY_COLUMNS)
    for column in COPY_COLUMNS:
        rows[f"{column}_length"] = _COPY_ROW[column].itemsize
    rows["instrument_id"] = instrument_id
    rows["interval_s"] = bars.interval_s
    rows["open_time"] = bars.time * 1000 - MICROSECONDS_TO_2000
    for column in _VALUES:
        rows[column] = getattr(bars, column)
    return _COPY_HEADER + rows.tobytes() + _COPY_TRAILER


def decode_rows(data: bytes | None, interval_s: int) -> Bars:
    """The bars of what the query ``candle_columns`` returns; None are no bars."""
    rows = np.frombuffer(data or b"", dtype=_READ_ROW)
    values = {name: np.ascontiguousarray(rows[name], dtype=np.float64) for name in _VALUES}
    return Bars(
        interval_s=interval_s, time=(rows["open_time"].astype(np.int64) + MICROSECONDS_TO_2000) // 1000, **values
    )
