"""``mt.bars``: bars from a file, a folder, a data frame or arrays."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import resample
from mastertrade.research.columns import COLUMNS, TIMES, bars_of_columns, bars_of_rows
from mastertrade.shared.errors import BadData, UsageError

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".feather")


def bars(source: Any, *, interval: str | int | None = None) -> Bars:
    """Bars of one market, from

    - a path to a csv, csv.gz, parquet or feather file with a time column and open, high, low, close, volume,
    - a pandas or polars frame with these columns (a pandas index of times will do),
    - a mapping of column names to arrays, or rows of [time, open, high, low, close, volume] as exchanges send them.

    Times may be epoch numbers (s, ms, us, ns), datetimes or ISO text, and mean the start of the bar in UTC.
    ``interval`` ("5m", or seconds) merges shorter bars into bars of that length; a bar that lacks a part is left out.
    """
    found = source if isinstance(source, Bars) else _read(source)
    return found if interval is None else _resampled(found, interval_s_of(interval))


def folder_of_bars(folder: str | Path, *, interval: str | int | None = None) -> dict[str, Bars]:
    """Every candle file of a folder by its symbol; names such as ``BTC_USDT-1m.csv.gz`` tell it."""
    from mastertrade.market_data_service.files import describe_file  # it reads files in ways of its own: imports much

    path = Path(folder)
    if not path.is_dir():
        raise BadData(f"{path}: there is no such folder")
    found: dict[str, Bars] = {}
    for child in sorted(path.iterdir()):
        described = describe_file(child) if child.is_file() else None
        if described is not None:
            if described.symbol in found:
                raise BadData(f"{path}: more than one file holds {described.symbol}; name the file instead")
            found[described.symbol] = bars(child, interval=interval)
    if not found:
        raise BadData(f"{path}: no candle files; their names must look like BTC_USDT-1m.csv.gz")
    return found


def interval_s_of(interval: str | int) -> int:
    if isinstance(interval, int):
        return interval
    try:
        return interval_seconds(interval)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _read(source: Any) -> Bars:
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source))
    if isinstance(source, Mapping):
        return bars_of_columns(source, where="the mapping", interval_s=None)
    columns = getattr(source, "columns", None)
    if columns is not None:
        return _of_frame(source, [str(name) for name in columns])
    if hasattr(source, "__len__") and not isinstance(source, bytes):
        return bars_of_rows(source, where="the rows", interval_s=None)
    raise BadData(
        f"bars cannot be made of {type(source).__name__}; give a path, a pandas or polars frame, a mapping of columns, "
        "or rows of six numbers"
    )


def _of_frame(frame: Any, names: list[str]) -> Bars:
    """pandas and polars both hand out a column by its name."""
    columns = {name: frame[name].to_numpy() for name in names if name.strip().lower() in (*TIMES, *COLUMNS)}
    index = getattr(frame, "index", None)
    if index is not None and not any(name.strip().lower() in TIMES for name in names):
        if getattr(index, "tz", None) is not None:
            index = index.tz_convert("UTC").tz_localize(None)
        columns["time"] = index.to_numpy()
    else:
        for name in columns:
            if getattr(getattr(frame[name], "dt", None), "tz", None) is not None:  # pandas, with a zone
                columns[name] = frame[name].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    return bars_of_columns(columns or dict.fromkeys(names), where="the frame", interval_s=None)


def _read_file(path: Path) -> Bars:
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    if path.is_dir():
        raise BadData(f"{path}: is a folder; mt.folder(…) reads all its files by symbol")
    if suffix is None:
        raise BadData(f"{path}: bars are read from {', '.join(SUFFIXES)} files")
    import pyarrow as pa
    from pyarrow import csv, feather, parquet

    try:
        if suffix in (".csv", ".csv.gz"):
            table = csv.read_csv(path)
        elif suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            table = feather.read_table(path)
    except FileNotFoundError:
        raise BadData(f"{path}: there is no such file") from None
    except (OSError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(f"{path}: cannot be read: {what}; fetch the file again") from error
    wanted = {name for name in table.column_names if name.strip().lower() in (*TIMES, *COLUMNS)}
    columns = {name: _values(table.column(name)) for name in table.column_names if name in wanted}
    return bars_of_columns(columns or dict.fromkeys(table.column_names), where=str(path), interval_s=None)


def _values(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit))
    return column.to_numpy()


def _resampled(found: Bars, interval_s: int) -> Bars:
    try:
        return resample(found, interval_s)
    except ValueError as error:
        raise BadData(str(error)) from None
