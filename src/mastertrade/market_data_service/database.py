"""The older system's market database: its names, arguments and answers, over the PostgreSQL layer. Holds no SQL.

A neutral answer (None, [], False) means "not found"; when the database fails, every method raises.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from mastertrade.domain.market import Instrument, legacy_symbol
from mastertrade.market_data_service import legacy
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.candle_store import CandleWriter
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.indicator_documents import IndicatorDocuments
from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.market_data_service.models import MarketData, OrderBookData, SymbolTracking, TradeData
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_documents import MarketDocumentsPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import EPOCH
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import to_serializable

log = logging.getLogger(__name__)

MOST_CANDLES = 100_000
"""Rows one answer may have."""
DAY_S = 86_400
MICROSECOND, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)


class Database(IndicatorDocuments):
    """Candles, trades, books, tracked symbols, sentiment and indicators for people and programs that know the older
    system's API."""

    application_name = "market_data_service"

    def __init__(
        self,
        manager: PostgresManager | None = None,
        *,
        clock: Clock | None = None,
        settings: MarketDataSettings | None = None,
    ) -> None:
        super().__init__(manager, clock=clock, settings=settings)
        self._postgres = MarketDataPostgresDatabase()
        self._candles = CandlesPostgresDatabase()
        self._documents = MarketDocumentsPostgresDatabase()

    # --- candles ---

    async def insert_market_data(self, data: MarketData | Mapping[str, Any]) -> None:
        """Store a closed candle; one of the same symbol, interval and time is replaced."""
        await self._store([legacy.market_data(data)])

    async def upsert_market_data(self, data: MarketData | Mapping[str, Any]) -> None:
        await self.insert_market_data(data)

    async def upsert_market_data_batch(self, data_list: Iterable[MarketData | Mapping[str, Any]]) -> None:
        """Store closed candles in one go; one that cannot be stored is logged and left out."""
        usable: dict[tuple[str, int], list[MarketData]] = {}
        for document in data_list:
            try:
                data = legacy.market_data(document)
                key = legacy.symbol_and_interval(data)
                legacy.bars_of([data], key[1], now=self._clock.now())
            except BadData as error:
                log.warning("a candle was left out: %s", error)
            else:
                usable.setdefault(key, []).append(data)
        for _, documents in sorted(usable.items()):
            await self._store(documents)

    async def get_latest_market_data(self, symbol: str, limit: int = 100) -> list[dict[str, Any]]:
        """The newest candles of the finest interval there is, newest first."""
        instrument = await self._instrument(symbol)
        series = None if instrument is None else await self._postgres.finest_series(self._db, instrument.id, DAY_S)
        if instrument is None or series is None:
            return []
        rows = await self._documents.legacy_candles(
            self._db,
            instrument.id,
            series.interval_s,
            series.first_open_time,
            series.last_close_time,
            limit=min(limit, MOST_CANDLES),
        )
        return [legacy.candle_dict(row) for row in rows]

    async def get_market_data_for_analysis(
        self, symbol: str, interval: str = "1m", hours_back: int = 24
    ) -> list[dict[str, Any]]:
        """Candles of the last hours, oldest first. An interval that is not stored is built from the finest that is."""
        instrument = await self._instrument(symbol)
        if instrument is None:
            return []
        interval_s, now = interval_seconds(interval), self._clock.now()
        start = max(EPOCH, now - timedelta(hours=hours_back))
        stored = await self._postgres.series(self._db, instrument_id=instrument.id)
        if all(one.interval_s != interval_s for one in stored):
            bars = await DatabaseBars(self._db).read(instrument.id, interval_s, start, now, as_of=now)
            return legacy.bar_dicts(bars[-MOST_CANDLES:], instrument.symbol)
        rows = await self._documents.legacy_candles(self._db, instrument.id, interval_s, start, now, limit=MOST_CANDLES)
        return [legacy.candle_dict(row) for row in reversed(rows)]

    async def get_symbol_info(self, symbol: str) -> dict[str, Any] | None:
        """The exchange filters: those of an imported document, else the instrument's rules."""
        document = await self._documents.symbol_document(self._db, legacy_symbol(symbol))
        if document is not None:
            return document
        instrument = await self._instrument(symbol)
        return None if instrument is None else legacy.symbol_info(instrument)

    # --- trades and order books ---

    async def insert_trade_data(self, data: TradeData | Mapping[str, Any]) -> None:
        trade = data if isinstance(data, TradeData) else TradeData.model_validate(dict(data))
        symbol, now = legacy_symbol(trade.symbol), self._clock.now()
        id = f"{symbol}_{(trade.timestamp - EPOCH) // MICROSECOND}"
        await self._documents.store_trade_document(
            self._db,
            id=id,
            symbol=symbol,
            ts=trade.timestamp,
            data={**to_serializable(trade), "id": id, "symbol": symbol},
            expires_at=now + timedelta(seconds=self._settings.trade_ttl_s),
            at=now,
        )

    async def insert_orderbook_data(self, data: OrderBookData | Mapping[str, Any]) -> None:
        book = data if isinstance(data, OrderBookData) else OrderBookData.model_validate(dict(data))
        symbol, now = legacy_symbol(book.symbol), self._clock.now()
        id = f"{symbol}_{(book.timestamp - EPOCH) // MILLISECOND}"
        await self._documents.store_order_book_document(
            self._db,
            id=id,
            symbol=symbol,
            ts=book.timestamp,
            data={**to_serializable(book), "id": id, "symbol": symbol},
            expires_at=now + timedelta(seconds=self._settings.order_book_ttl_s),
            at=now,
        )

    # --- tracked symbols ---

    async def add_symbol_tracking(self, symbol_data: SymbolTracking | Mapping[str, Any]) -> bool:
        """False when the symbol is tracked already."""
        given = symbol_data if isinstance(symbol_data, SymbolTracking) else SymbolTracking.model_validate(symbol_data)
        symbol = legacy_symbol(given.symbol)
        data = {**to_serializable(given), "id": symbol, "symbol": symbol}
        return await self._documents.add_tracking(self._db, symbol, data, at=self._clock.now())

    async def update_symbol_tracking(self, symbol: str, updates: Mapping[str, Any]) -> bool:
        now = self._clock.now()
        changes = {key: value for key, value in updates.items() if key not in legacy.IMMUTABLE}
        data = to_serializable({**changes, "updated_at": now})
        return await self._documents.update_tracking(self._db, legacy_symbol(symbol), data, at=now)

    async def set_symbol_tracking(self, symbol: str, tracking: bool) -> bool:
        return await self.update_symbol_tracking(symbol, {"tracking": tracking})

    async def remove_symbol_tracking(self, symbol: str) -> bool:
        return await self._documents.remove_tracking(self._db, legacy_symbol(symbol))

    async def ensure_symbol_tracking(self, symbol: str, metadata: Mapping[str, Any] | None = None) -> bool:
        """Track the symbol unless it is tracked already. True when it was added."""
        tracking = legacy.tracking_of(symbol, self._settings.default_exchange, metadata, at=self._clock.now())
        return await self.add_symbol_tracking(tracking)

    async def get_tracked_symbols(
        self, asset_type: str | None = None, exchange: str | None = None
    ) -> list[dict[str, Any]]:
        """Followed symbols by priority, then name."""
        return await self._documents.tracking(
            self._db, asset_type=asset_type, exchange=exchange, include_inactive=False
        )

    async def get_all_symbols(self, include_inactive: bool = False) -> list[dict[str, Any]]:
        return await self._documents.tracking(self._db, include_inactive=include_inactive)

    async def get_symbol_tracking_info(self, symbol: str) -> dict[str, Any] | None:
        found = await self._documents.tracking(self._db, symbol=legacy_symbol(symbol))
        return found[0] if found else None

    async def initialize_default_symbols(self) -> bool:
        """Track the symbols of DEFAULT_SYMBOLS. True when at least one was added."""
        added = [await self.ensure_symbol_tracking(symbol) for symbol in self._settings.default_symbols]
        return any(added)

    # --- inside ---

    async def _instrument(self, symbol: str) -> Instrument | None:
        return await self._postgres.instrument_by_legacy_symbol(
            self._db, legacy_symbol(symbol), venue=self._settings.default_exchange
        )

    async def _store(self, documents: list[MarketData]) -> None:
        """Candles of one series, with what their documents hold beside, in one transaction."""
        symbol, interval_s = legacy.symbol_and_interval(documents[0])
        now = self._clock.now()
        bars = legacy.bars_of(documents, interval_s, now=now)
        instrument = await self._instrument(symbol)
        if instrument is None:
            await self._postgres.add_instruments(self._db, [listing(self._settings.default_exchange, symbol)], at=now)
            instrument = await self._instrument(symbol)
            assert instrument is not None, "it was just added"
        writer = CandleWriter(manager=self._db)
        async with self._db.transaction(durable=False) as tx:
            span = await self._candles.lock_series(tx, instrument.id, interval_s, at=now)
            await writer.store(tx, instrument.id, bars, span, at=now)
            for data in documents:
                await self._documents.store_candle_document(
                    tx,
                    instrument.id,
                    interval_s,
                    data.timestamp,
                    quote_volume=data.quote_volume,
                    trades_count=data.trades_count,
                    data=legacy.extra_fields(data),
                    at=now,
                )


database = Database()
"""Not connected until somebody calls ``connect()``; the services never use it."""
