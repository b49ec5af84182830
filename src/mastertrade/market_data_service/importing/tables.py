"""Files that hold a table: csv with or without a header, parquet, feather, JSON arrays; in chunks of bounded size."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from mastertrade.market_data_service.importing import json_values
from mastertrade.market_data_service.importing.opening import Damage, open_parts
from mastertrade.shared.errors import BadData

CHUNK_ROWS = 50_000
"""Rows in memory at once: some megabytes, and one transaction of the candle store."""
CSV_BLOCK_BYTES = 1 << 20
HEAD_BYTES = 1 << 16
PARQUET_BUFFER_BYTES = 1 << 20
SHOWN_CHARACTERS = 200
WRONG_CELLS = "the line has another number of cells than the others"

Reject = Callable[[int, str, str], None]
"""Called with the number of a row, the reason, and the text of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file. ``numbers`` are their places in it, the first row after a header being 1."""

    columns: dict[str, Any]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(slots=True, kw_only=True)
class Table:
    """One table of a file. ``names`` are None when nothing in it names its columns; those of ``chunks`` are then
    ``0``, ``1``, …; ``first`` shows its first row."""

    where: str
    names: list[str] | None
    width: int
    first: list[str]
    read: Callable[[Sequence[str], Reject], Iterator[Chunk]]
    rows: int | None = None
    done: Callable[[], float] = field(default=lambda: 0.0)
    """How much of the file was read, as a fraction; only where ``rows`` is not known."""

    def chunks(self, wanted: Sequence[str], reject: Reject) -> Iterator[Chunk]:
        with _named_errors(self.where):
            yield from self.read(wanted, reject)


def open_tables(path: Path, damage: Damage) -> Iterator[Table]:
    """The tables of a file, one after the other: each must be read before the next is asked for."""
    size = path.stat().st_size if path.exists() else -1
    if size <= 0:
        what = "the file is empty (0 bytes)" if size == 0 else "there is no such file"
        raise BadData(f"{path}: {what}; check the path or fetch it again")
    with _named_errors(str(path)):
        lower = path.name.lower()
        if lower.endswith((".parquet", ".pq")):
            yield _parquet(path)
            return
        if lower.endswith((".feather", ".arrow", ".ipc")):
            yield _feather(path)
            return
        with open_parts(path, damage) as parts:
            for name, stream in parts:
                where = path.name if name in path.name else f"{path.name}/{name}"
                yield _text_table(where, name.lower(), stream, path)


@contextmanager
def _named_errors(where: str) -> Iterator[None]:
    try:
        yield
    except BadData:
        raise
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(f"{where}: cannot be read: {what}; fetch the file again") from error


def _parquet(path: Path) -> Table:
    # Not the whole row group ahead, which the library would read by itself.
    file = pa_parquet.ParquetFile(path, buffer_size=PARQUET_BUFFER_BYTES, memory_map=False, pre_buffer=False)
    names = list(file.schema_arrow.names)

    def read(wanted: Sequence[str], reject: Reject) -> Iterator[Chunk]:
        with file:
            # One column chunk after the other: threads would hold several in memory.
            batches = file.iter_batches(batch_size=CHUNK_ROWS, columns=list(wanted), use_threads=False)
            yield from _numbered(batches, wanted)

    return Table(where=path.name, names=names, width=len(names), first=[], read=read, rows=file.metadata.num_rows)


def _feather(path: Path) -> Table:
    file = pa.ipc.open_file(pa.OSFile(str(path), "rb"))
    names = list(file.schema.names)

    def read(wanted: Sequence[str], reject: Reject) -> Iterator[Chunk]:
        yield from _numbered((file.get_batch(index) for index in range(file.num_record_batches)), wanted)

    return Table(where=path.name, names=names, width=len(names), first=[], read=read, rows=None)


def _numbered(batches: Any, wanted: Sequence[str]) -> Iterator[Chunk]:
    before = 0
    for whole in batches:
        for start in range(0, whole.num_rows, CHUNK_ROWS):
            batch = whole.slice(start, CHUNK_ROWS)
            numbers = np.arange(before + 1, before + 1 + batch.num_rows, dtype=np.int64)
            yield Chunk(columns={name: batch.column(name) for name in wanted}, numbers=numbers)
            before += batch.num_rows


def _text_table(where: str, name: str, stream: BinaryIO, path: Path) -> Table:
    head = stream.read(HEAD_BYTES)
    if not head.strip():
        raise BadData(f"{where}: there is nothing in it; fetch the file again")
    if b"\0" in head:
        raise BadData(
            f"{where}: holds binary data that is no known format; fetch the file again, or give it its ending"
        )
    size = path.stat().st_size
    rest = cast(BinaryIO, io.BufferedReader(_Chained(head, stream), CSV_BLOCK_BYTES))
    is_json = ".json" in name or head.lstrip()[:1] in b"[{"
    table = _json(where, rest) if is_json else _csv(where, head, rest)
    table.done = lambda: _position(stream) / max(1, size)
    return table


def _position(stream: Any) -> float:
    """Bytes of the file that were read: of the compressed ones where it is compressed."""
    raw = getattr(getattr(stream, "raw", None), "_raw", stream)
    try:
        return float(raw.tell())
    except (OSError, ValueError):
        return 0.0


class _Chained(io.RawIOBase):
    """What was read already, and then the rest."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        part = self._head[: len(buffer)] or self._stream.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


# --- csv ---


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvHead:
    """``skipped`` bytes of comments stand before the first line that counts."""

    skipped: int
    delimiter: str
    first: list[str]
    has_header: bool


def read_head(head: bytes) -> CsvHead:
    """Where a csv begins, what separates its cells, and whether its first line names them."""
    skipped = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while True:
        line, newline, _ = head[skipped:].partition(b"\n")
        text = line.decode("utf-8", errors="replace").strip("\r")
        delimiter = max(",;\t|", key=text.count)
        is_note = not text.strip() or text.startswith("#") or (delimiter not in text and "://" in text)
        if not is_note or not newline:
            break
        skipped += len(line) + 1
    cells = [cell.strip().strip('"').strip() for cell in text.split(delimiter)]
    has_header = not any(_is_number(cell) for cell in cells)
    return CsvHead(skipped=skipped, delimiter=delimiter, first=cells, has_header=has_header)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv(where: str, head: bytes, stream: BinaryIO) -> Table:
    found = read_head(head)
    names = found.first if found.has_header else None
    stream.read(found.skipped)
    width = len(found.first)

    def read(wanted: Sequence[str], reject: Reject) -> Iterator[Chunk]:
        doubled = [name for name in wanted if found.first.count(name) > 1 and names is not None]
        if doubled:
            raise BadData(f"{where}: has the column {doubled[0]} more than once; it is needed once")
        left_out: list[int] = []

        def leave_out(line: pa_csv.InvalidRow) -> Literal["skip"]:
            row = (line.number or 1) - (1 if found.has_header else 0)
            left_out.append(row)
            if not line.text.startswith("#"):
                reject(row, f"{WRONG_CELLS} ({line.actual_columns} instead of {line.expected_columns})", line.text)
            return "skip"

        # One thread, so that the reader can number the lines it hands to leave_out.
        reader = pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(
                block_size=CSV_BLOCK_BYTES,
                use_threads=False,
                column_names=_unique(found.first) if found.has_header else [str(place) for place in range(width)],
                skip_rows=1 if found.has_header else 0,
            ),
            parse_options=pa_csv.ParseOptions(delimiter=found.delimiter, invalid_row_handler=leave_out),
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )
        for chunk in _numbered(reader, wanted):
            yield Chunk(columns=chunk.columns, numbers=file_rows(chunk.numbers, left_out))

    return Table(where=where, names=names, width=width, first=found.first, read=read)


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out


def file_rows(numbers: NDArray[np.int64], left_out: Sequence[int]) -> NDArray[np.int64]:
    """Places in the file of rows that are counted without those that were left out."""
    if not left_out:
        return numbers
    passed = np.sort(np.asarray(left_out, dtype=np.int64)) - np.arange(len(left_out))
    return numbers + np.searchsorted(passed, numbers, side="right")


# --- JSON ---

ROW_LISTS = ("data", "result", "list", "candles", "rows", "items", "trades", "tickers", "symbols")
"""Names under which programs and exchanges wrap a list of rows."""


def _json(where: str, stream: BinaryIO) -> Table:
    found = json_values.values(stream, where=where)
    first = next(found, None)
    if isinstance(first, dict) and (inner := _wrapped_rows(first)) is not None:
        found = iter(inner)
        first = next(found, None)
    if not isinstance(first, dict | list) or not first:
        raise BadData(f"{where}: holds no rows: an array of arrays, an array of objects or an object a line is needed")
    names = list(first) if isinstance(first, dict) else None

    def read(wanted: Sequence[str], reject: Reject) -> Iterator[Chunk]:
        rows = _Sound(_rows(where, chain([first], found), names, wanted, reject))
        while part := list(islice(rows, CHUNK_ROWS)):
            columns = {
                name: pa.array([cells[place] for _, cells in part], pa.string()) for place, name in enumerate(wanted)
            }
            yield Chunk(columns=columns, numbers=np.array([number for number, _ in part], dtype=np.int64))
        if rows.error is not None:
            raise rows.error

    shown = [_cell(value) or "" for value in (first.values() if isinstance(first, dict) else first)]
    return Table(where=where, names=names, width=len(first), first=shown, read=read)


class _Sound:
    """Rows up to a damage, which is kept: what stands before it is not lost."""

    def __init__(self, rows: Iterator[tuple[int, list[str | None]]]) -> None:
        self._rows = rows
        self.error: BadData | None = None

    def __iter__(self) -> "_Sound":
        return self

    def __next__(self) -> tuple[int, list[str | None]]:
        try:
            return next(self._rows)
        except BadData as error:
            self.error = error
            raise StopIteration from None


def _wrapped_rows(value: Any, depth: int = 0) -> list[Any] | None:
    """The rows inside an answer such as ``{"result": {"list": [[…], …]}}``."""
    if isinstance(value, list):
        return value if value and isinstance(value[0], list | dict) else None
    if isinstance(value, dict) and depth < 3:
        for name in ROW_LISTS:
            if name in value and (rows := _wrapped_rows(value[name], depth + 1)) is not None:
                return rows
    return None


def _rows(
    where: str, values: Iterator[Any], names: list[str] | None, wanted: Sequence[str], reject: Reject
) -> Iterator[tuple[int, list[str | None]]]:
    for number, value in enumerate(values, start=1):
        if names is None and isinstance(value, list) and all(int(name) < len(value) for name in wanted):
            yield number, [_cell(value[int(name)]) for name in wanted]
        elif names is not None and isinstance(value, dict):
            yield number, [_cell(value.get(name)) for name in wanted]
        else:
            reject(number, WRONG_CELLS, str(value)[:SHOWN_CHARACTERS])


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
