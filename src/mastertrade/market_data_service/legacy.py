"""Between the older system's documents and ours: candles, tracked symbols, exchange filters."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from mastertrade.domain.market import Instrument, canonical_symbol, legacy_symbol, split_symbol
from mastertrade.market_data_service.intervals import interval_name, interval_seconds
from mastertrade.market_data_service.models import MarketData, SymbolTracking
from mastertrade.market_data_service.source import RefusedRows, to_datetime, to_milliseconds
from mastertrade.market_data_service.validation import RawRows, accept_rows
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.serialization import to_serializable

Document = BaseModel | Mapping[str, Any]
IMMUTABLE = ("id", "symbol")
"""What an update of a tracked symbol cannot change."""


def market_data(document: Document) -> MarketData:
    """The model of a document; BadData names the first field that does not fit."""
    if isinstance(document, MarketData):
        return document
    values = document.model_dump() if isinstance(document, BaseModel) else dict(document)
    try:
        return MarketData.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise BadData(
            f"candle of {values.get('symbol', 'no symbol')}: {field} {first['input']!r}: {first['msg']}"
        ) from error


def symbol_and_interval(data: MarketData) -> tuple[str, int]:
    try:
        return canonical_symbol(data.symbol), interval_seconds(data.interval)
    except ValueError as error:
        raise BadData(str(error)) from error


def bars_of(documents: list[MarketData], interval_s: int, *, now: datetime) -> Bars:
    """The documents of one series as bars, a later one of the same time replacing an earlier. BadData for the first
    that is no closed candle."""
    by_time = {to_milliseconds(one.timestamp): one for one in documents}
    ordered = [by_time[time] for time in sorted(by_time)]
    raw = RawRows(
        row=lambda index: index + 1,
        time=np.array(sorted(by_time), dtype=np.int64),
        has_time=np.ones(len(ordered), dtype=np.bool_),
        columns={
            name: np.array([getattr(one, field) for one in ordered], dtype=np.float64)
            for name, field in _FIELDS.items()
        },
        text=lambda column, index: str(getattr(ordered[index], _FIELDS.get(column, "timestamp"))),
    )
    refused = RefusedRows()
    where = f"{documents[0].symbol} {documents[0].interval}"
    bars = accept_rows(
        raw, where=where, interval_s=interval_s, after_ms=None, now_ms=to_milliseconds(now), refused=refused
    )
    if refused.first is not None:
        raise BadData(f"{where}: {refused.first.value}: {refused.first.rule}")
    return bars


def extra_fields(data: MarketData) -> dict[str, Any]:
    """What a document holds beyond the candle's own fields."""
    extras: dict[str, Any] = to_serializable(data.model_extra or {})
    return extras


def candle_dict(row: Row) -> dict[str, Any]:
    """A stored candle as the older API shows it: times as ISO text, numbers as floats."""
    return {
        **row["data"],
        "id": row["id"],
        "symbol": row["symbol"],
        "interval": row["interval"],
        "asset_type": row["asset_type"],
        "timestamp": row["ts"].isoformat(),
        **{name: row[name] for name in ("open_price", "high_price", "low_price", "close_price", "volume")},
        "quote_volume": row["quote_volume"] if row["quote_volume"] is not None else 0.0,
        "trades_count": row["trades_count"] if row["trades_count"] is not None else 0,
        "created_at": row["created_at"].isoformat(),
        "updated_at": row["updated_at"].isoformat(),
    }


def bar_dicts(bars: Bars, symbol: str) -> list[dict[str, Any]]:
    """Bars built from stored candles in the same shape, oldest first. What cannot be known of them is 0."""
    interval, legacy = interval_name(bars.interval_s), legacy_symbol(symbol)
    columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    dicts = []
    for time, open_, high, low, close, volume in zip(*(column.tolist() for column in columns), strict=True):
        opened = to_datetime(time)
        closed = (opened + timedelta(seconds=bars.interval_s)).isoformat()
        dicts.append(
            {
                "id": f"{legacy}_{interval}_{time // 1000}",
                "symbol": legacy,
                "interval": interval,
                "asset_type": "crypto",
                "timestamp": opened.isoformat(),
                "open_price": open_,
                "high_price": high,
                "low_price": low,
                "close_price": close,
                "volume": volume,
                "quote_volume": 0.0,
                "trades_count": 0,
                "created_at": closed,
                "updated_at": closed,
            }
        )
    return dicts


def symbol_info(instrument: Instrument) -> dict[str, Any]:
    """An instrument's rules as the exchange filters of the older API."""
    return {
        "id": legacy_symbol(instrument.symbol),
        "symbol": legacy_symbol(instrument.symbol),
        "base_asset": instrument.base,
        "quote_asset": instrument.quote,
        "is_active": instrument.status == "tradable",
        "min_qty": float(instrument.lot_size),
        "max_qty": None,
        "step_size": float(instrument.lot_size),
        "tick_size": float(instrument.tick_size),
        "min_notional": float(instrument.min_notional),
    }


def tracking_of(symbol: str, exchange: str, metadata: Mapping[str, Any] | None, *, at: datetime) -> SymbolTracking:
    """A new tracked symbol; base and quote are told apart by the quote's name. BadData when they cannot be."""
    try:
        base, quote = split_symbol(symbol)
    except ValueError as error:
        raise BadData(str(error)) from error
    given = {key: value for key, value in (metadata or {}).items() if key not in IMMUTABLE}
    name = f"{base}{quote}"
    values = {"base_asset": base, "quote_asset": quote, "exchange": exchange, "created_at": at, "updated_at": at}
    return SymbolTracking.model_validate({**values, **given, "id": name, "symbol": name})


_FIELDS = {
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "close": "close_price",
    "volume": "volume",
}
