"""Typed persistence of positions, stops, alerts, metrics and logs: one method per query of book.sql. Columns go in by
name and rows come out; what they look like to the older system's callers is the matter of ``legacy.py``."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("book.sql"))


class BookRows:
    """Stateless: every method takes the database or transaction it works in."""

    # --- positions ---

    async def positions(
        self,
        db: Database,
        *,
        id: str | None = None,
        status: str | None = None,
        strategy_id: UUID | None = None,
        strategy_ref: str | None = None,
    ) -> list[Row]:
        return await QUERIES.fetch(
            db, "positions", id=id, status=status, strategy_id=strategy_id, strategy_ref=strategy_ref
        )

    async def insert_position(self, db: Database, **columns: Any) -> bool:
        """False when a position of this id exists."""
        return _changed(await QUERIES.execute(db, "insert_position", **columns))

    async def lock_position(self, tx: Transaction, id: str) -> Row | None:
        return await QUERIES.fetchrow(tx, "lock_position", id=id)

    async def save_position(self, tx: Transaction, **columns: Any) -> bool:
        return _changed(await QUERIES.execute(tx, "save_position", **columns))

    async def cancel_stops(self, tx: Transaction, position_id: str, *, at: datetime) -> None:
        await QUERIES.execute(tx, "cancel_stops", position_id=position_id, at=at)

    async def portfolio_value(self, db: Database) -> Decimal:
        value: Decimal = await QUERIES.fetchval(db, "portfolio_value")
        return value

    # --- stop-losses ---

    async def insert_stop(self, db: Database, **columns: Any) -> bool:
        """False when a stop of this id exists."""
        return _changed(await QUERIES.execute(db, "insert_stop", **columns))

    async def save_stop(self, db: Database, **columns: Any) -> bool:
        return _changed(await QUERIES.execute(db, "save_stop", **columns))

    async def active_stops(self, db: Database, position_id: str | None = None) -> list[Row]:
        """Most recently updated first."""
        return await QUERIES.fetch(db, "active_stops", position_id=position_id)

    async def tighten_stop(self, db: Database, id: str, *, stop_price: Decimal, at: datetime) -> bool:
        """False when the stop is not active or the price would loosen it."""
        return _changed(await QUERIES.execute(db, "tighten_stop", id=id, stop_price=stop_price, at=at))

    async def set_stop_status(self, db: Database, id: str, *, status: str, at: datetime) -> bool:
        return _changed(await QUERIES.execute(db, "set_stop_status", id=id, status=status, at=at))

    # --- metrics and alerts ---

    async def store_metrics(self, db: Database, metrics: Mapping[str, Any], *, timestamp: datetime) -> None:
        await QUERIES.execute(db, "store_metrics", metrics=metrics, timestamp=timestamp)

    async def metrics_since(self, db: Database, since: datetime) -> list[Row]:
        return await QUERIES.fetch(db, "metrics_since", since=since)

    async def store_alert(self, db: Database, **columns: Any) -> None:
        await QUERIES.execute(db, "store_alert", **columns)

    async def alerts(self, db: Database, *, status: str | None = None, since: datetime | None = None) -> list[Row]:
        return await QUERIES.fetch(db, "alerts", status=status, since=since)

    async def resolve_alert(self, db: Database, id: str, *, at: datetime) -> bool:
        return _changed(await QUERIES.execute(db, "resolve_alert", id=id, at=at))

    # --- drawdown ---

    async def track_drawdown(self, db: Database, value: Decimal, *, at: datetime) -> None:
        await QUERIES.execute(db, "track_drawdown", value=value, at=at)

    async def drawdown_extremes(self, db: Database) -> tuple[float, Decimal | None]:
        """The deepest drawdown of any day as a fraction, and the highest value; 0 and None before the first."""
        row = await QUERIES.fetchrow(db, "drawdown_extremes")
        assert row is not None, "an aggregate always answers with one row"
        return row["max_drawdown"] or 0.0, row["peak_value"]

    async def raise_peak(self, db: Database, value: Decimal, *, at: datetime) -> bool:
        return _changed(await QUERIES.execute(db, "raise_peak", value=value, at=at))

    # --- logs ---

    async def log_admin_action(self, db: Database, action: str, details: Mapping[str, Any], *, at: datetime) -> None:
        await QUERIES.execute(db, "log_admin_action", action=action, details=details, at=at)

    async def log_configuration_change(self, db: Database, changes: Mapping[str, Any], *, at: datetime) -> None:
        await QUERIES.execute(db, "log_configuration_change", changes=changes, at=at)

    async def log_adjustments(self, db: Database, adjustments: Mapping[str, Any], *, at: datetime) -> None:
        await QUERIES.execute(db, "log_adjustments", adjustments=adjustments, at=at)


def _changed(status: str) -> bool:
    """Whether a statement's status, such as ``UPDATE 1``, names a row."""
    return not status.endswith(" 0")
