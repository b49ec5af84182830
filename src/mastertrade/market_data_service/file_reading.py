"""Candle files, row by row in chunks: csv, csv.gz, parquet and feather, whatever is in them."""

import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from mastertrade.market_data_service.source import RefusedExample, RefusedRows
from mastertrade.market_data_service.validation import COLUMNS, RawRows
from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.shared.errors import BadData

CHUNK_ROWS = 50_000
"""Rows in memory at once: a few megabytes a file."""
CSV_BLOCK_BYTES = 2 << 20
CSV_TIME = "timestamp_ms"
TIME_COLUMNS = (CSV_TIME, "date", "timestamp")
SUFFIXES = (".csv.gz", ".csv", ".parquet", ".feather")
SHOWN_CHARACTERS = 60
_TICKS_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}


def read_rows(path: Path, refused: RefusedRows) -> Iterator[RawRows]:
    """Chunks of the file in its order. BadData says what is broken when it is not a readable candle file at all; lines
    with too few or too many cells are counted in ``refused``."""
    try:
        if path.stat().st_size == 0:
            raise BadData(f"{path}: the file is empty (0 bytes); remove it or fetch it again")
    except OSError as error:
        raise BadData(f"{path}: cannot be opened: {error.strerror}; check the path and its permissions") from error
    seen = 0
    with _named_errors(path, lambda: seen):
        is_text = path.name.endswith((".csv", ".csv.gz"))
        for chunk in _read_csv(path, refused) if is_text else _read_tables(path):
            seen += len(chunk)
            yield chunk
    if seen == 0 and refused.total == 0:
        raise BadData(f"{path}: the file has a header but no rows; remove it or fetch it again")


def estimated_rows(path: Path) -> int:
    """About how many rows a file holds, without reading it; 0 when that cannot be told."""
    try:
        if path.suffix == ".parquet":
            return int(pa_parquet.ParquetFile(path).metadata.num_rows)
        if path.suffix == ".feather":
            with pa.ipc.open_file(str(path)) as reader:
                return sum(reader.get_batch(index).num_rows for index in range(reader.num_record_batches))
        with _open_binary(path) as head:
            start = head.read(1 << 16)
        size = path.stat().st_size
        if path.suffix == ".gz":
            # The last four bytes hold the length before compression; true below 4 GB.
            with path.open("rb") as raw:
                raw.seek(-4, 2)
                size = int.from_bytes(raw.read(4), "little")
        return round(size * int(start.count(b"\n")) / max(1, len(start)))
    except (OSError, EOFError, ValueError, pa.ArrowException):
        return 0


@contextmanager
def _named_errors(path: Path, rows_before: Callable[[], int]) -> Iterator[None]:
    try:
        yield
    except BadData:
        raise
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(
            f"{path}: cannot be read after row {rows_before()}: {what}; nothing of it was stored, fetch the file again"
        ) from error


def _open_binary(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _require_columns(path: Path, names: list[str], times: tuple[str, ...]) -> str:
    """The name of the time column; BadData unless the file has it and every price column once."""
    time_names = [name for name in times if name in names]
    missing = [name for name in COLUMNS if name not in names]
    if missing or not time_names:
        wanted = f"{' or '.join(times)}, {', '.join(COLUMNS)}"
        raise BadData(f"{path}: has the columns {', '.join(names) or 'none'}; a candle file needs {wanted}")
    doubled = [name for name in (time_names[0], *COLUMNS) if names.count(name) > 1]
    if doubled:
        raise BadData(f"{path}: has the column {doubled[0]} {names.count(doubled[0])} times; it is needed once")
    return time_names[0]


def _read_csv(path: Path, refused: RefusedRows) -> Iterator[RawRows]:
    with _open_binary(path) as head:
        first_line = head.readline(1 << 16).decode("utf-8-sig", errors="replace")
        has_more = bool(head.read(1))
    names = [name.strip('"') for name in first_line.rstrip("\r\n").split(",")] if first_line.strip() else []
    _require_columns(path, names, (CSV_TIME,))
    if not has_more:
        return
    left_out: list[int] = []

    def leave_out(line: pa_csv.InvalidRow) -> Literal["skip"]:
        rule, row = f"a row must have {line.expected_columns} cells", (line.number or 1) - 1
        left_out.append(row)
        shown = line.text if len(line.text) <= SHOWN_CHARACTERS else line.text[:SHOWN_CHARACTERS] + "…"
        refused.add(1, RefusedExample(where=path.name, row=row, value=shown, rule=rule))
        return "skip"

    wanted = [CSV_TIME, *COLUMNS]
    # One thread, so that the reader can number the lines it hands to leave_out.
    reader = pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=leave_out),
        convert_options=pa_csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
        ),
    )
    yield from _chunks(reader, CSV_TIME, left_out)


def _read_tables(path: Path) -> Iterator[RawRows]:
    if path.suffix == ".parquet":
        with pa_parquet.ParquetFile(path, buffer_size=CSV_BLOCK_BYTES, pre_buffer=False) as file:
            time_column = _require_columns(path, list(file.schema_arrow.names), TIME_COLUMNS)
            _require_time(path, file.schema_arrow.field(time_column))
            columns = [time_column, *COLUMNS]
            yield from _chunks(file.iter_batches(batch_size=CHUNK_ROWS, columns=columns), time_column)
    else:
        with pa.ipc.open_file(str(path)) as file:
            time_column = _require_columns(path, list(file.schema.names), TIME_COLUMNS)
            _require_time(path, file.schema.field(time_column))
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
            yield from _chunks(batches, time_column)


def _require_time(path: Path, field: Any) -> None:
    is_number = field.name == CSV_TIME and pa.types.is_integer(field.type)
    if not (is_number or pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)):
        raise BadData(f"{path}: the column {field.name} holds {field.type}; it must hold UTC times")


def _chunks(batches: Any, time_column: str, left_out: Sequence[int] = ()) -> Iterator[RawRows]:
    rows_before = 0
    for whole in batches:
        for start in range(0, whole.num_rows, CHUNK_ROWS):
            batch = whole.slice(start, CHUNK_ROWS)
            yield _raw_rows(batch, time_column, rows_before, left_out)
            rows_before += batch.num_rows


def _raw_rows(batch: Any, time_column: str, rows_before: int, left_out: Sequence[int]) -> RawRows:
    time, has_time = _milliseconds(batch.column(time_column))

    def row(index: int) -> int:
        number = rows_before + index + 1
        for skipped in left_out:
            number += skipped <= number
        return number

    def text(column: str, index: int) -> str:
        return shown(batch.column(time_column if column == "time" else column)[index])

    columns = {name: floats(batch.column(name)) for name in COLUMNS}
    return RawRows(row=row, time=time, has_time=has_time, columns=columns, text=text)


def shown(cell: Any) -> str:
    if not cell.is_valid:
        return "(empty)"
    try:
        return str(cell.cast(pa.string()).as_py())
    except pa.ArrowException:
        return str(getattr(cell, "value", "(out of range)"))


def floats(column: Any) -> FloatArray:
    """Numbers, NaN where a cell is none. One bad cell makes its whole chunk take the slow way."""
    try:
        values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(values, dtype=np.float64)
    except pa.ArrowInvalid:
        return np.array([_float(cell) for cell in column.to_pylist()], dtype=np.float64)


def _float(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def _milliseconds(column: Any) -> tuple[TimeArray, NDArray[np.bool_]]:
    """Epoch milliseconds, and where there are any. A time between two of them is moved off every grid on purpose."""
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_string(kind):
        return _milliseconds_of_text(column)
    ticks = pc.cast(column, pa.int64())
    has_time = pc.is_valid(ticks).to_numpy(zero_copy_only=False).astype(np.bool_)
    numbers = pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if not pa.types.is_timestamp(kind):
        return numbers, has_time
    if kind.unit == "s":
        return numbers * 1000, has_time
    milliseconds, rest = np.divmod(numbers, _TICKS_PER_MS[kind.unit])
    return milliseconds + (rest != 0), has_time


def _milliseconds_of_text(column: Any) -> tuple[TimeArray, NDArray[np.bool_]]:
    try:
        numbers = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
        return numbers.astype(np.int64), np.ones(len(column), dtype=np.bool_)
    except pa.ArrowInvalid:
        values = [_integer(cell) for cell in column.to_pylist()]
        has_time = np.array([value is not None for value in values], dtype=np.bool_)
        return np.array([value or 0 for value in values], dtype=np.int64), has_time


def _integer(cell: Any) -> int | None:
    try:
        number = int(cell)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1 << 62 else None
