"""The older system's risk database: its names, arguments and answers, over the PostgreSQL layer. Holds no SQL.

A neutral answer (None, [], False, 0.0) means "not found"; when the database fails, every method raises.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from mastertrade.risk_manager import legacy
from mastertrade.risk_manager import legacy_models as shapes
from mastertrade.risk_manager.legacy_figures import LegacyFigures
from mastertrade.risk_manager.models import RiskAlert, RiskMetrics, StopLossOrder
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import AttrDict, get_attr, parse_datetime, to_serializable

__all__ = ["RiskManagementDatabase", "RiskPostgresDatabase", "database"]

StrategyId = str | UUID | int


class RiskManagementDatabase(LegacyFigures):
    """The risk manager's tables for people and programs that know the older system's API."""

    application_name = "risk_manager"

    def __init__(self, manager: PostgresManager | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(manager, clock=clock)
        self._postgres = RiskPostgresDatabase()

    # --- positions ---

    async def get_current_positions(self, strategy_id: StrategyId | None = None) -> list[dict[str, Any]]:
        """Open ones, newest first."""
        strategy = legacy.strategy_columns(strategy_id)
        rows = await self._postgres.positions(self._db, status="open", **strategy)
        return [legacy.position_dict(row) for row in rows]

    async def get_all_active_positions(self) -> list[dict[str, Any]]:
        return await self.get_current_positions()

    async def get_position(self, position_id: str) -> dict[str, Any] | None:
        rows = await self._postgres.positions(self._db, id=str(position_id))
        return legacy.position_dict(rows[0]) if rows else None

    async def create_position(self, position_data: dict[str, Any]) -> str | None:
        """The id; a position that exists under it is left untouched."""
        columns = legacy.new_position(position_data, at=self._clock.now())
        await self._postgres.insert_position(self._db, **columns)
        return str(columns["id"])

    async def update_position(self, position_id: str, updates: dict[str, Any]) -> bool:
        """Values of unknown keys go to the metadata."""
        async with self._db.transaction() as tx:
            return await self._change(tx, str(position_id), updates)

    async def close_position(
        self, position_id: str, realized_pnl: float | str, close_price: float | None = None
    ) -> bool:
        """Cancels its stops too. Given a reason in words instead of the profit, computes it from the prices. False when
        there is no open position of this id."""
        async with self._db.transaction() as tx:
            row = await self._postgres.lock_position(tx, str(position_id))
            if row is None or row["status"] == "closed":
                return False
            price = legacy.optional_amount(close_price) or row["current_price"] or row["entry_price"]
            updates: dict[str, Any] = {"status": "closed", "current_price": price}
            if isinstance(realized_pnl, str):
                updates |= {"realized_pnl": legacy.profit(row, price), "close_reason": realized_pnl}
            else:
                updates["realized_pnl"] = realized_pnl
            return await self._change(tx, row["id"], updates)

    async def reduce_position(self, position_id: str, reduction_percent: float, reason: str) -> bool:
        if not reduction_percent >= 0:
            raise UsageError(f"a position cannot be reduced by {reduction_percent} percent: at least 0")
        async with self._db.transaction() as tx:
            row = await self._postgres.lock_position(tx, str(position_id))
            if row is None:
                return False
            left = max(1 - legacy.amount(reduction_percent) / 100, legacy.amount(0))
            now = self._clock.now()
            note = {"timestamp": now.isoformat(), "reduction_percent": reduction_percent, "reason": reason}
            notes = [*row["metadata"].get("adjustments", []), note]
            quantity = legacy.rounded(row["quantity"] * left)
            return await self._change(tx, row["id"], {"quantity": quantity, "metadata": {"adjustments": notes}})

    async def update_position_from_message(self, position_data: dict[str, Any]) -> bool:
        """Changes the position, or makes it when it is new."""
        if not position_data.get("id"):
            raise UsageError("a position message needs id")
        async with self._db.transaction() as tx:
            if await self._change(tx, str(position_data["id"]), position_data):
                return True
            columns = legacy.new_position(position_data, at=self._clock.now())
            return await self._postgres.insert_position(tx, **columns)

    async def get_portfolio_value(self) -> float:
        return float(await self._postgres.portfolio_value(self._db))

    async def get_total_portfolio_value(self) -> float:
        return await self.get_portfolio_value()

    async def _change(self, tx: Transaction, position_id: str, updates: Mapping[str, Any]) -> bool:
        row = await self._postgres.lock_position(tx, position_id)
        if row is None:
            return False
        columns = legacy.changed_position(row, updates, at=self._clock.now())
        if columns["status"] == "closed":
            await self._postgres.cancel_stops(tx, position_id, at=columns["at"])
        return await self._postgres.save_position(tx, **columns)

    # --- stop-losses ---

    async def create_stop_loss_order(self, order: StopLossOrder | Mapping[str, Any]) -> None:
        """Leaves an existing stop of the same id as it is."""
        await self._postgres.insert_stop(self._db, **shapes.new_stop(order, at=self._clock.now()))

    async def create_stop_loss(self, stop_loss_data: dict[str, Any]) -> bool:
        return await self._postgres.insert_stop(self._db, **shapes.new_stop(stop_loss_data, at=self._clock.now()))

    async def update_stop_loss_order(self, order: StopLossOrder | Mapping[str, Any]) -> None:
        await self._postgres.save_stop(self._db, **shapes.stop_columns(order), updated_at=self._clock.now())

    async def get_active_stop_loss_orders(self) -> list[StopLossOrder]:
        """Most recently updated first."""
        return [shapes.stop_order(row) for row in await self._postgres.active_stops(self._db)]

    async def get_active_stop_loss_by_position(self, position_id: str) -> StopLossOrder | None:
        rows = await self._postgres.active_stops(self._db, str(position_id))
        return shapes.stop_order(rows[0]) if rows else None

    async def update_trailing_stop(self, stop_loss_id: str, new_stop_price: float) -> bool:
        """False when the stop is not active, or when the price would move it against its position."""
        price = legacy.amount(new_stop_price)
        return await self._postgres.tighten_stop(self._db, stop_loss_id, stop_price=price, at=self._clock.now())

    async def update_stop_loss_status(self, stop_loss_id: str, status: str) -> bool:
        wanted = shapes.stop_status(status).value
        return await self._postgres.set_stop_status(self._db, stop_loss_id, status=wanted, at=self._clock.now())

    # --- metrics and alerts ---

    async def store_risk_metrics(self, metrics: RiskMetrics | Mapping[str, Any]) -> bool:
        """One row per UTC date, the last one wins."""
        given = get_attr(metrics, "timestamp")
        timestamp = parse_datetime(given) if given else self._clock.now()
        await self._postgres.store_metrics(self._db, to_serializable(metrics), timestamp=timestamp)
        return True

    async def get_historical_risk_metrics(self, days: int = 30) -> list[AttrDict]:
        """Newest first."""
        since = self._clock.now() - timedelta(days=max(0, days))
        return [shapes.metrics_row(row) for row in await self._postgres.metrics_since(self._db, since)]

    async def get_risk_metrics_history(self, days: int = 30) -> list[AttrDict]:
        return await self.get_historical_risk_metrics(days)

    async def store_risk_alert(self, alert: RiskAlert | dict[str, Any]) -> bool:
        """Upsert on the id; a missing id or time is filled in on the argument too."""
        columns = shapes.alert_columns(alert, at=self._clock.now())
        await self._postgres.store_alert(self._db, **columns)
        if isinstance(alert, RiskAlert):
            alert.id, alert.created_at = columns["id"], columns["created_at"]
        else:
            alert["id"] = columns["id"]
            alert["created_at"] = alert.get("created_at") or columns["created_at"]
        return True

    async def create_risk_alert(self, alert_data: dict[str, Any]) -> bool:
        return await self.store_risk_alert(alert_data)

    async def get_active_risk_alerts(self) -> list[AttrDict]:
        """Open ones, newest first."""
        return [shapes.alert_row(row) for row in await self._postgres.alerts(self._db, status="open")]

    async def get_risk_alerts(self, days: int = 30, status: str | None = None) -> list[RiskAlert]:
        since = self._clock.now() - timedelta(days=max(0, days))
        return [shapes.risk_alert(row) for row in await self._postgres.alerts(self._db, status=status, since=since)]

    async def resolve_risk_alert(self, alert_id: str) -> bool:
        return await self._postgres.resolve_alert(self._db, str(alert_id), at=self._clock.now())

    # --- drawdown ---

    async def update_drawdown_tracking(self, current_portfolio_value: float) -> bool:
        value = legacy.amount(current_portfolio_value)
        await self._postgres.track_drawdown(self._db, value, at=self._clock.now())
        return True

    async def get_max_drawdown(self) -> float:
        """A fraction, 0..1."""
        return (await self._postgres.drawdown_extremes(self._db))[0]

    async def get_portfolio_high_water_mark(self) -> float:
        return float((await self._postgres.drawdown_extremes(self._db))[1] or 0)

    async def get_peak_portfolio_value(self) -> float:
        return await self.get_portfolio_high_water_mark()

    async def update_peak_portfolio_value(self, portfolio_value: float) -> bool:
        """True when this is a new peak."""
        value, now = legacy.amount(portfolio_value), self._clock.now()
        if (await self._postgres.drawdown_extremes(self._db))[1] is None:
            await self._postgres.track_drawdown(self._db, value, at=now)
            return True
        return await self._postgres.raise_peak(self._db, value, at=now)

    # --- logs ---

    async def log_admin_action(self, **details: Any) -> None:
        action = str(details.pop("action", None) or "unspecified")
        await self._postgres.log_admin_action(self._db, action, to_serializable(details), at=self._clock.now())

    async def save_portfolio_limits(self, limits: Any) -> None:
        changes = {"kind": "portfolio_limits", **to_serializable(limits)}
        await self._postgres.log_configuration_change(self._db, changes, at=self._clock.now())

    async def store_configuration_change(self, changes: dict[str, Any]) -> None:
        await self._postgres.log_configuration_change(self._db, to_serializable(changes), at=self._clock.now())

    async def save_adjustment_history(self, adjustments: dict[str, Any]) -> None:
        await self._postgres.log_adjustments(self._db, to_serializable(adjustments), at=self._clock.now())


database = RiskManagementDatabase()
"""For callers of the older module; not connected until it is used, and no service imports it."""
