"""Files that are written batch by batch, and are there only when they are whole."""

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from mastertrade.market_data_service.importing.labels import KEY, label_line, label_of
from mastertrade.market_data_service.importing.naming import Understood, read_name

ROWS_A_GROUP = 100_000
"""Rows of a row group of parquet: what its reader holds at once."""
GZIP_LEVEL = 6


class FileFormat(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"
    CSV_GZ = "csv.gz"


class Sink:
    """One file in the making; ``schema`` names its columns."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._write(batch)
        self.rows += batch.num_rows


@contextmanager
def opened(path: Path, schema: pa.Schema, content: Understood) -> Iterator[Sink]:
    """Written beside ``path`` and put there when the block ends well; what stood there before is replaced then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with ExitStack() as stack:
            yield Sink(_writer(stack, draft, path, schema, content))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _writer(stack: ExitStack, draft: Path, path: Path, schema: pa.Schema, content: Understood) -> Any:
    if path.name.endswith(".parquet"):
        labelled = schema.with_metadata({KEY: label_of(content)})
        writer = stack.enter_context(pa_parquet.ParquetWriter(draft, labelled, compression="zstd"))
        return lambda batch: writer.write_batch(batch.cast(labelled), row_group_size=ROWS_A_GROUP)
    raw = stack.enter_context(draft.open("wb"))
    stream: Any = raw
    if path.name.endswith(".gz"):
        # No time in its head: the same rows are the same bytes.
        packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, mtime=0)
        stream = stack.enter_context(packed)
    if not _is_said_by_its_name(path, content):
        stream.write(label_line(content).encode())
    options = pa_csv.WriteOptions(quoting_style="needed")
    return stack.enter_context(pa_csv.CSVWriter(stream, schema, write_options=options)).write_batch


def _is_said_by_its_name(path: Path, content: Understood) -> bool:
    found = read_name(Path(path.name))
    return (found.kind, found.venue, found.symbol, found.interval_s) == (
        content.kind, content.venue, content.symbol, content.interval_s,
    )  # fmt: skip
