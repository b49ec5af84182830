"""Values in and out, all imported from here: ids, and from the files beside exact numbers, plain data and JSON."""

import secrets
import threading
import time
from datetime import datetime
from uuid import UUID, uuid4, uuid5

from mastertrade.shared.exact_numbers import MAX_SCALE, MAX_WHOLE_DIGITS, decimal_of, exact_decimal
from mastertrade.shared.json_data import (
    decode,
    dump_json,
    encode,
    from_json_object,
    load_json,
    to_json_object,
)
from mastertrade.shared.plain_data import (
    AttrDict,
    coerce_enum,
    get_attr,
    parse_datetime,
    parse_datetime_leniently,
    row_to_dict,
    to_serializable,
    utc_now,
)

__all__ = [
    "LEGACY_NAMESPACE",
    "MAX_SCALE",
    "MAX_WHOLE_DIGITS",
    "AttrDict",
    "coerce_enum",
    "decimal_of",
    "decode",
    "dump_json",
    "encode",
    "ensure_text_id",
    "ensure_uuid",
    "exact_decimal",
    "from_json_object",
    "get_attr",
    "legacy_uuid",
    "load_json",
    "new_id",
    "parse_datetime",
    "parse_datetime_leniently",
    "row_to_dict",
    "to_json_object",
    "to_serializable",
    "utc_now",
]

LEGACY_NAMESPACE = UUID("6f1d3c52-8a4e-5b07-9c61-2d7e40b8a913")
"""The namespace of every UUIDv5 made of a legacy id. Written once and never changed: stored rows depend on it."""

_RANDOM_BITS = 74
_RANDOM_LIMIT = 1 << _RANDOM_BITS


class _IdSequence:
    """UUIDv7 numbers that rise: equal milliseconds count up from a random start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._random = 0

    def next(self, millisecond: int, *, never_back: bool) -> tuple[int, int]:
        with self._lock:
            if never_back:
                millisecond = max(millisecond, self._millisecond)
            step = self._random + 1 + secrets.randbits(32)
            if millisecond == self._millisecond and step < _RANDOM_LIMIT:
                self._random = step
            else:
                millisecond += millisecond == self._millisecond
                self._millisecond, self._random = millisecond, secrets.randbits(_RANDOM_BITS - 1)
            return millisecond, self._random


_wall_ids, _given_ids = _IdSequence(), _IdSequence()


def new_id(now: datetime | None = None) -> UUID:
    """A UUIDv7. Without ``now`` ids rise within the process even when the machine's clock goes back; with it, they rise
    as long as the times handed in do not fall."""
    if now is None:
        millisecond, number = _wall_ids.next(time.time_ns() // 1_000_000, never_back=True)
    else:
        millisecond, number = _given_ids.next(int(now.timestamp() * 1000), never_back=False)
    high, low = number >> 62, number & ((1 << 62) - 1)
    return UUID(int=(millisecond & (1 << 48) - 1) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def legacy_uuid(kind: str, text: str) -> UUID:
    """The UUID of a legacy text or integer id of one kind (``strategies``): the same in every process, for ever."""
    name = f"{kind}:{text}".encode("utf-8", "backslashreplace").decode("utf-8")
    return uuid5(LEGACY_NAMESPACE, name)


def ensure_uuid(value: UUID | str | int, kind: str = "strategies") -> UUID:
    """A UUID stays, text that is one is parsed, anything else becomes the UUID of a legacy id."""
    if isinstance(value, UUID):
        return UUID(int=value.int)
    text = str(value).strip()
    try:
        return UUID(text)
    except ValueError:
        return legacy_uuid(kind, text)


def ensure_text_id(value: object = None) -> str:
    """The id as text; a new random one when it is missing or empty."""
    return str(value) if value is not None and str(value) else str(uuid4())
