"""What a file says about itself: exports write it where the name alone would not say it, imports believe it."""

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from mastertrade.market_data_service.importing.naming import Kind, Understood

KEY = "mastertrade"
_LINE = b"# mastertrade "
MOST_BYTES = 4_096


def label_of(understood: Understood) -> str:
    """One line of JSON."""
    names = ("kind", "venue", "symbol", "interval_s")
    return json.dumps({name: getattr(understood, name) for name in names})


def label_line(understood: Understood) -> str:
    """The first line of a csv."""
    return f"{_LINE.decode()}{label_of(understood)}\n"


def labelled(path: Path, named: Understood) -> Understood:
    """What the file says about itself; where it says nothing, what its name says."""
    try:
        found = _of_parquet(path) if path.name.lower().endswith(".parquet") else _of_text(path)
    except (OSError, EOFError, ValueError, zlib.error):
        return named  # whoever reads the rows says what is wrong with the file
    if not isinstance(found, dict) or "kind" not in found:
        return named
    kind = found["kind"]
    return replace(
        named,
        kind=Kind(kind) if kind in set(Kind) else named.kind,
        venue=found.get("venue"),
        symbol=found.get("symbol"),
        interval_s=found.get("interval_s"),
        settle_is_unknown=False,
        is_linear=False,
    )


def _of_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pa_parquet

    try:
        metadata = pa_parquet.read_metadata(path).metadata or {}
    except pa.ArrowException:
        return None
    return json.loads(metadata[KEY.encode()]) if KEY.encode() in metadata else None


def _of_text(path: Path) -> Any:
    with path.open("rb") as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        head = (gzip.GzipFile(fileobj=raw) if is_packed else raw).read(MOST_BYTES)
    line, _, _ = head.partition(b"\n")
    return json.loads(line.removeprefix(_LINE)) if line.startswith(_LINE) else None
