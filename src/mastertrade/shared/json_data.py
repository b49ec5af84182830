"""Our facts as JSON and back. The one file that knows msgspec."""

import dataclasses
import json
from collections.abc import Hashable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from mastertrade.shared.errors import BadData
from mastertrade.shared.exact_numbers import shortened

T = TypeVar("T")

_EXPONENT_LIMIT = 40


def encode(value: Any) -> Any:
    """``value`` as plain JSON-able data that ``decode`` gives back exactly: Decimal, UUID and time as text, enums by
    value. Numbers that are not finite, absurd exponents and times without zone are refused."""
    _check(value)
    return msgspec.to_builtins(value, enc_hook=_foreign)


def decode(kind: type[T], data: Any) -> T:
    """The value of type ``kind`` that ``encode`` was given. BadData names the field that does not fit."""
    try:
        value = msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise BadData(f"{getattr(kind, '__name__', kind)}: {error}") from error
    _check(value)
    return value


def to_json_object(value: Any) -> dict[str, Any]:
    """A dataclass as a JSON object."""
    data = encode(value)
    if not isinstance(data, dict):
        raise TypeError(f"{type(value).__name__} is not a dataclass: it does not become a JSON object")
    return data


def from_json_object(kind: type[T], data: Mapping[str, Any]) -> T:
    """The dataclass of a JSON object; fields it does not know are ignored, since a newer sender may have more."""
    return decode(kind, data)


def dump_json(value: Any) -> bytes:
    """JSON text. NaN and infinities are refused instead of becoming null; Decimals and times become text."""
    try:
        return json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_json_default
        ).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise BadData(f"this cannot be stored as JSON: {error}") from error


def load_json(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadData(f"this is not JSON: {error}") from error


def _json_default(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    _check(value)
    return msgspec.to_builtins(value, enc_hook=_foreign)


def _foreign(value: Any) -> Any:
    """Types msgspec does not know: models, and the scalars of array libraries."""
    for name in ("model_dump", "item"):
        convert = getattr(value, name, None)
        if callable(convert):
            return convert()
    if isinstance(value, UUID):
        return str(value)
    raise BadData(f"{type(value).__name__} has no form in JSON: {shortened(value)}")


@lru_cache(maxsize=1024)
def _field_names(kind: Hashable) -> tuple[str, ...] | None:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def _check(value: Any, name: str = "value") -> None:
    """Refuse what would survive encoding but not calculation. Text, whole numbers and bytes are harmless."""
    if value is None or isinstance(value, str | int | bytes | UUID):
        return
    if isinstance(value, float | Decimal | datetime):
        _check_number_or_time(value, name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(item, str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _check(item, name)
    else:
        for field in _field_names(cast(Hashable, type(value))) or ():
            _check(getattr(value, field), field)


def _check_number_or_time(value: float | Decimal | datetime, name: str) -> None:
    if isinstance(value, float):
        if not abs(value) < float("inf"):
            raise BadData(f"{name} is {value}: only finite numbers are facts")
    elif isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or max(abs(exponent), abs(value.adjusted())) > _EXPONENT_LIMIT:
            raise BadData(f"{name} is {shortened(value)}: only finite numbers within 1e±{_EXPONENT_LIMIT} are facts")
    elif value.tzinfo is None:
        raise BadData(f"{name} is {value} without a time zone: times are aware UTC")
