"""Files of units: written whole, flushed to the disk, and read back before anybody believes them."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from mastertrade.market_data_service.exporting.rows import batch_of, schema_of
from mastertrade.market_data_service.exporting.sinks import opened
from mastertrade.market_data_service.retention.content import ContentHash
from mastertrade.market_data_service.retention.units import FIELDS, Unit
from mastertrade.shared.errors import AlreadyRunning, BadData
from mastertrade.shared.postgres_manager import Database

ROWS_A_BATCH = 50_000
LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    rows: int
    content_hash: str


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """One process at a time writes to a folder of archives; the lock of a killed one is free."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"{folder}: another process archives into this folder; wait until it is done"
            ) from error
        yield


async def stored_content(db: Database, unit: Unit) -> Content:
    """What is stored of a unit now."""
    schema = schema_of(FIELDS[unit.kind], is_text=False)
    digest = ContentHash(unit.head, len(schema))
    async for columns in unit.batches(db):
        await asyncio.to_thread(lambda part=columns: digest.add(batch_of(part, schema)))  # type: ignore[misc]
    return Content(rows=digest.rows, content_hash=digest.hexdigest())


async def write_file(db: Database, unit: Unit, path: Path) -> tuple[Content, int]:
    """The file is there when it is whole and on the disk. What it should hold, and its bytes."""
    schema = schema_of(FIELDS[unit.kind], is_text=False)
    digest = ContentHash(unit.head, len(schema))

    with opened(path, schema, unit.content) as sink:

        def add(columns: list[Any]) -> None:
            batch = batch_of(columns, schema)
            digest.add(batch)
            sink.add(batch)

        async for columns in unit.batches(db):
            await asyncio.to_thread(add, columns)
    size = await asyncio.to_thread(_flush, path)
    return Content(rows=digest.rows, content_hash=digest.hexdigest()), size


def file_content(path: Path, unit: Unit) -> Content:
    """What a file holds, read to its end. BadData when it cannot be."""
    schema = schema_of(FIELDS[unit.kind], is_text=False)
    digest = ContentHash(unit.head, len(schema))
    for batch in file_batches(path, unit):
        digest.add(batch)
    return Content(rows=digest.rows, content_hash=digest.hexdigest())


def file_batches(path: Path, unit: Unit) -> Iterator[pa.RecordBatch]:
    schema = schema_of(FIELDS[unit.kind], is_text=False)
    try:
        with pa_parquet.ParquetFile(path) as file:
            if file.schema_arrow.names != schema.names:
                raise BadData(f"{path}: holds {', '.join(file.schema_arrow.names)} and not {', '.join(schema.names)}")
            for batch in file.iter_batches(ROWS_A_BATCH):
                yield batch.cast(schema)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path}: cannot be read: {error}; name the folder it is in now with --from") from error


def _flush(path: Path) -> int:
    """Onto the disk: the file, and its name in every folder that may be new. Its bytes."""
    for place in (path, path.parent, path.parent.parent, path.parent.parent.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return path.stat().st_size
