"""Plain data of the older API: times, rows, enums and dicts with attributes."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

E = TypeVar("E", bound=Enum)


def utc_now() -> datetime:
    """The machine's time, for legacy wrappers; our own code uses the clock it was given."""
    return datetime.now(UTC)


def parse_datetime(value: datetime | date | str | int | float) -> datetime:
    """An aware UTC time of a datetime, date, ISO text (``Z``, offset, or none = UTC) or epoch seconds. ValueError
    otherwise."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value.strip())
    elif isinstance(value, bool):
        raise ValueError(f"{value} is not a time")
    else:
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError(f"{value} is not a time in epoch seconds") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_datetime_leniently(value: Any) -> Any:
    """As ``parse_datetime``, but what is no time comes back unchanged."""
    try:
        return parse_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return value


def row_to_dict(row: Mapping[str, Any]) -> dict[str, Any]:
    """A database row as the older API shows it: UUID as text, Decimal as float, the rest as it is."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(UUID(int=value.int))
    return float(value) if isinstance(value, Decimal) else value


def to_serializable(value: Any) -> Any:
    """``value`` as what JSON can hold, through dicts, sequences, sets, dataclasses and models. Times become ISO text,
    Decimals floats, and NaN or infinite numbers None, as the older API had it."""
    if isinstance(value, Enum):
        return to_serializable(value.value)
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if abs(number) < float("inf") else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(to_serializable(key)): to_serializable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_serializable(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_serializable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    return to_serializable(dump()) if callable(dump) else value


def get_attr(source: Any, name: str, default: Any = None) -> Any:
    """A field of a dict or of an object."""
    return source.get(name, default) if isinstance(source, Mapping) else getattr(source, name, default)


def coerce_enum(kind: type[E], value: Any, aliases: Mapping[str, E] | None = None) -> Any:
    """The member named by its value, name or alias in any letter case; anything else comes back unchanged."""
    if value is None or isinstance(value, kind):
        return value
    text = str(value.value if isinstance(value, Enum) else value).strip().lower()
    for member in kind:
        if text in (str(member.value).lower(), member.name.lower()):
            return member
    return (aliases or {}).get(text, value)


class AttrDict(dict[str, Any]):
    """A dict whose items are attributes too. Names of dict's own methods (``values``) are reached as items only."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        if type(value) is dict:
            value = self[name] = AttrDict(value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __copy__(self) -> "AttrDict":
        return AttrDict(self)
