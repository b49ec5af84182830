"""The hash of rows: over numbers and texts alone, the same however they are cut into pieces and wherever they are."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa


class ContentHash:
    """SHA-256 over a line that says whose rows these are, the number of rows, and a SHA-256 of each column: its values
    in little-endian bytes (times as integers; a text as its UTF-8 bytes), its text lengths and its missing values."""

    def __init__(self, head: str, columns: int) -> None:
        self._head = head
        self._digests = [tuple(hashlib.sha256() for _ in range(3)) for _ in range(columns)]
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for column, (values, lengths, missing) in zip(batch.columns, self._digests, strict=True):
            missing.update(np.asarray(column.is_null()).astype(np.uint8).tobytes())
            if pa.types.is_string(column.type):
                texts = [(text or "").encode() for text in column.to_pylist()]
                lengths.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
                values.update(b"".join(texts))
            else:
                values.update(_numbers(column).tobytes())

    def hexdigest(self) -> str:
        parts = [digest.hexdigest() for column in self._digests for digest in column]
        return hashlib.sha256("\n".join([self._head, str(self.rows), *parts, ""]).encode()).hexdigest()


def _numbers(column: Any) -> "np.ndarray[Any, Any]":
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
