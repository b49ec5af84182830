"""The older system's strategy database: its names, arguments and answers, over the PostgreSQL layer. Holds no SQL.

A neutral answer (None, [], False, {}) means "not found"; when the database fails, every method raises.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from mastertrade.domain.market import canonical_symbol
from mastertrade.domain.strategy import StrategyStatus
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.owned_database import OwnedDatabase
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import (
    decimal_of,
    ensure_uuid,
    get_attr,
    new_id,
    parse_datetime,
    to_serializable,
)
from mastertrade.strategies import all_templates
from mastertrade.strategy_service import legacy
from mastertrade.strategy_service.evaluation import template_of
from mastertrade.strategy_service.models import Signal, Strategy, StrategyConfig, StrategyResult
from mastertrade.strategy_service.postgres_database import StrategyPostgresDatabase
from mastertrade.strategy_service.registry import backtest_columns

StrategyId = str | UUID | int


class Database(OwnedDatabase):
    """The strategy service's tables for people and programs that know the older system's API."""

    application_name = "strategy_service"

    def __init__(self, manager: PostgresManager | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(manager, clock=clock)
        self._postgres = StrategyPostgresDatabase()

    # --- strategies ---

    async def get_active_strategies(self) -> list[Strategy]:
        """Active and enabled ones."""
        rows = await self._postgres.strategies(self._db, running=True)
        return [Strategy(**legacy.strategy_dict(row)) for row in rows]

    async def get_all_strategies(self) -> list[dict[str, Any]]:
        """Newest first; deleted ones appear as archived."""
        return [legacy.strategy_dict(row) for row in await self._postgres.strategies(self._db)]

    async def get_strategy(self, strategy_id: StrategyId) -> dict[str, Any] | None:
        id = await self._find(strategy_id)
        rows = await self._postgres.strategies(self._db, id=id) if id else []
        return legacy.strategy_dict(rows[0]) if rows else None

    async def create_strategy(self, strategy_config: StrategyConfig | Mapping[str, Any]) -> bool:
        """False when a strategy of this id exists. It trades on the only account of its environment, if any."""
        now = self._clock.now()
        columns = legacy.new_strategy(strategy_config, new_id(now))
        columns["template"] = template_of(columns["type"], all_templates())
        symbols = legacy.symbol_entries(get_attr(strategy_config, "symbols"))
        environment = {"live": "production"}.get(columns["activation_state"], columns["activation_state"])
        async with self._db.transaction() as tx:
            if not await self._postgres.insert_strategy(tx, at=now, **columns):
                return False
            await self._postgres.replace_symbols(tx, strategy_id=columns["id"], symbols=symbols)
            await self._postgres.configure_strategy(
                tx, strategy_id=columns["id"], environment=environment, account_id=None, at=now
            )
        return True

    async def update_strategy(self, strategy_id: StrategyId, updates: dict[str, Any]) -> dict[str, Any] | None:
        """Changes what is given of name, type, parameters, configuration, metadata, is_active, status, enabled,
        allocation and symbols (which replace the set); other keys are ignored."""
        id = await self._find(strategy_id)
        if id is None:
            return None
        async with self._db.transaction() as tx:
            row = await self._postgres.lock_strategy(tx, id=id)
            if row is None:
                return None
            merged = legacy.merged_strategy(row, updates)
            merged["template"] = template_of(merged["type"], all_templates()) if "type" in updates else row["template"]
            await self._postgres.save_strategy(tx, id=id, at=self._clock.now(), **merged)
            if "symbols" in updates:
                symbols = legacy.symbol_entries(updates["symbols"])
                await self._postgres.replace_symbols(tx, strategy_id=id, symbols=symbols)
        return await self.get_strategy(str(id))

    async def delete_strategy(self, strategy_id: StrategyId) -> bool:
        """Archives it: what it traded must stay explicable. False when it is unknown or already archived."""
        return await self.update_strategy_status(strategy_id, StrategyStatus.ARCHIVED.value)

    async def toggle_strategy_status(self, strategy_id: StrategyId) -> bool:
        id = await self._find(strategy_id)
        return id is not None and await self._postgres.toggle_status(self._db, id=id, at=self._clock.now())

    async def update_strategy_status(self, strategy_id: StrategyId, status: str) -> bool:
        wanted = StrategyStatus(legacy.status_of(status, None))
        id = await self._find(strategy_id)
        return id is not None and await self._postgres.set_status(self._db, id=id, status=wanted, at=self._clock.now())

    # --- signals and performance ---

    async def insert_signal(self, signal: Signal) -> bool:
        """Notes a signal for readers; only the strategy service's own signals go on to the risk manager."""
        id = await self._find(signal.strategy_id)
        return id is not None and await self._postgres.record_signal(
            self._db,
            id=new_id(self._clock.now()),
            strategy_id=id,
            symbol=canonical_symbol(signal.symbol),
            signal_type=signal.signal_type,
            confidence=signal.confidence,
            price=decimal_of(signal.price),
            quantity=None if signal.quantity is None else decimal_of(signal.quantity),
            metadata=to_serializable(signal.metadata),
            at=parse_datetime(signal.timestamp),
        )

    async def get_recent_signals(self, limit: int = 100) -> list[dict[str, Any]]:
        return [legacy.signal_dict(row) for row in await self._postgres.signals(self._db, limit=max(0, limit))]

    async def get_signals_by_strategy(self, strategy_id: StrategyId, limit: int = 100) -> list[dict[str, Any]]:
        id = await self._find(strategy_id)
        rows = await self._postgres.signals(self._db, strategy_id=id, limit=max(0, limit)) if id else []
        return [legacy.signal_dict(row) for row in rows]

    async def insert_strategy_performance(self, result: StrategyResult) -> bool:
        now, id = self._clock.now(), await self._find(result.strategy_id)
        summary = [{"type": s.signal_type, "confidence": s.confidence, "price": s.price} for s in result.signals]
        return id is not None and await self._postgres.record_performance(
            self._db,
            id=new_id(now),
            strategy_id=id,
            symbol=canonical_symbol(result.symbol),
            signals=to_serializable(summary),
            seconds=result.execution_time,
            error=result.error,
            at=now,
        )

    async def get_strategy_performance_summary(self, strategy_id: StrategyId, hours_back: int = 24) -> dict[str, Any]:
        since = self._clock.now() - timedelta(hours=max(0, hours_back))
        id = await self._find(strategy_id) or ensure_uuid(strategy_id)
        row = await self._postgres.performance_summary(self._db, strategy_id=id, since=since)
        return dict(row.items()) if row else {}

    # --- backtests and settings ---

    async def store_backtest_result(self, strategy_id: StrategyId, result: dict[str, Any]) -> None:
        """NotFound when there is no such strategy: a trial is never dropped silently."""
        id = await self._find(strategy_id)
        if id is None:
            raise NotFound(f"there is no strategy {strategy_id} to keep a backtest result for")
        await self._postgres.insert_backtest_result(
            self._db, strategy_id=id, at=self._clock.now(), **backtest_columns(result)
        )

    async def get_backtest_results(self, limit: int = 100) -> list[dict[str, Any]]:
        return [legacy.plain_dict(row) for row in await self._postgres.backtest_results(self._db, limit=max(0, limit))]

    async def upsert_setting(
        self,
        key: str,
        value: str,
        *,
        description: str | None = None,
        value_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        await self._postgres.put_setting(
            self._db,
            key=key,
            value=str(value),
            value_type=value_type,
            description=description,
            metadata=None if metadata is None else to_serializable(metadata),
            at=self._clock.now(),
        )

    async def get_setting(self, key: str) -> dict[str, Any] | None:
        row = await self._postgres.setting(self._db, key=key)
        return legacy.plain_dict(row) if row else None

    async def _find(self, strategy_id: StrategyId) -> UUID | None:
        """Any id an older caller may hold: a UUID, its text, a legacy text or an integer (rule R1)."""
        reference = legacy.reference_of(strategy_id)
        return await self._postgres.find_strategy(self._db, id=ensure_uuid(reference), reference=reference)


database = Database()
"""For callers of the older module; not connected until it is used, and no service imports it."""
