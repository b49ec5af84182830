"""Which column of a table is what, by the names that exchanges and bots give them, or by their places."""

import re
from collections.abc import Mapping, Sequence

from mastertrade.market_data_service.importing.tables import Table
from mastertrade.market_data_service.validation import COLUMNS
from mastertrade.shared.errors import BadData

Layout = Mapping[str, str]
"""The name of the column for each role."""

TIME_NAMES = (
    "timestamp_ms", "timestamp_us", "open_time", "opentime", "time_open", "timestamp", "date", "datetime", "date_time",
    "time", "ts", "t", "start", "unix", "unix_timestamp", "epoch", "__index_level_0__", "index", "",
)  # fmt: skip
_CANDLE_NAMES = {
    "open": ("open", "o", "open_price", "open_mid"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "last"),
    "volume": ("volume", "vol", "v", "base_volume", "basevolume", "volume_base", "volumefrom", "volume_(btc)"),
}
_KLINE = ("time", *COLUMNS)
_SHOWN_NAMES = 12


def plain(name: str) -> str:
    return re.sub(r"[\s.]+", "_", name.strip().strip('"').lower())


def candle_layout(table: Table, *, base: str | None) -> Layout:
    """The columns of one series of candles."""
    if table.names is None:
        if table.width < len(_KLINE):
            raise BadData(
                f"{table.where}: has no header and {table.width} columns; candles need at least "
                f"{', '.join(_KLINE)} in this order"
            )
        return {role: str(place) for place, role in enumerate(_KLINE)}
    own = {"volume": (f"volume_{base.lower()}",)} if base else {}
    roles = {role: (*own.get(role, ()), *names) for role, names in _CANDLE_NAMES.items()}
    return find(table, {"time": TIME_NAMES, **roles}, what="candles")


def wide_layouts(table: Table) -> dict[str, Layout]:
    """Several series side by side, as ``BTC:open, BTC:high, …, ETH:open, …``; by the word before the colon."""
    found: dict[str, dict[str, str]] = {}
    for name in table.names or ():
        asset, colon, role = name.partition(":")
        if colon and role.lower() in COLUMNS:
            found.setdefault(asset.upper(), {})[role.lower()] = name
    whole = {asset: layout for asset, layout in found.items() if len(layout) == len(COLUMNS)}
    if not whole:
        return {}
    time = find(table, {"time": TIME_NAMES}, what="candles")["time"]
    return {asset: {"time": time, **layout} for asset, layout in whole.items()}


def find(
    table: Table, roles: Mapping[str, Sequence[str]], *, what: str, optional: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """The first known name of each role; BadData names what is missing."""
    by_name: dict[str, str] = {}
    for name in table.names or ():
        by_name.setdefault(plain(name), name)
    found = {role: by_name[hit] for role, names in roles.items() if (hit := _first(by_name, names)) is not None}
    missing = [role for role in roles if role not in found]
    if missing:
        names = table.names or []
        shown = ", ".join(name or "(no name)" for name in names[:_SHOWN_NAMES]) + (
            ", …" if len(names) > _SHOWN_NAMES else ""
        )
        raise BadData(
            f"{table.where}: {what} need {', '.join(roles)}; no column for {', '.join(missing)} among: {shown}"
        )
    for role, known in (optional or {}).items():
        hit = _first(by_name, known)
        if hit is not None:
            found[role] = by_name[hit]
    return found


def _first(by_name: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in by_name), None)
