"""Typed persistence of the strategy service: one method per named query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from mastertrade.domain.strategy import Signal, Strategy, StrategyStatus
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import decimal_of, new_id, to_json_object, to_serializable
from mastertrade.strategy_service.evaluation import Assignment, Evaluation

QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
MAX_ERROR_LENGTH = 500


class StrategyPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def due_assignments(
        self,
        db: Database,
        *,
        venues: Sequence[str],
        interval_s: int,
        close: datetime,
        account_ids: Sequence[UUID] | None,
    ) -> list[Assignment]:
        """Active, enabled strategies of the venues and accounts (None: all) whose bar, no shorter than the candles,
        closes at ``close``; once per instrument."""
        rows = await QUERIES.fetch(
            db,
            "due_assignments",
            venues=list(venues),
            interval_s=interval_s,
            close_s=int(close.timestamp()),
            account_ids=None if account_ids is None else list(account_ids),
        )
        return [Assignment(**row) for row in rows]

    async def insert_signal(self, tx: Transaction, signal: Signal) -> bool:
        """False when this bar has already raised it."""
        stored = await QUERIES.fetchval(
            tx,
            "insert_signal",
            id=signal.id,
            strategy_id=signal.strategy_id,
            account_id=signal.account_id,
            instrument_id=signal.instrument_id,
            symbol=signal.symbol,
            signal_type=signal.type.value,
            timeframe_s=signal.timeframe_s,
            bar_close=signal.bar_close,
            confidence=signal.confidence,
            price=decimal_of(signal.price),
            evidence=to_serializable(signal.evidence),
            raised_at=signal.raised_at,
            valid_until=signal.valid_until,
            terms=to_json_object(signal.terms),
            turns=signal.turns,
        )
        return stored is not None

    async def record_evaluations(self, tx: Transaction, evaluations: Sequence[Evaluation], *, at: datetime) -> None:
        await QUERIES.execute(
            tx,
            "record_evaluations",
            evaluations=[
                {
                    "id": str(new_id(at)),
                    "strategy_id": str(evaluation.assignment.strategy_id),
                    "symbol": evaluation.assignment.symbol,
                    "seconds": evaluation.seconds,
                    "error": evaluation.error and evaluation.error[:MAX_ERROR_LENGTH].replace("\x00", "\\x00"),
                    "signals": _summary(evaluation),
                }
                for evaluation in evaluations
            ],
            at=at,
        )

    async def strategies(
        self,
        db: Database,
        *,
        id: UUID | None = None,
        account_id: UUID | None = None,
        name: str | None = None,
        running: bool = False,
        archived: bool = True,
    ) -> list[Row]:
        """Strategy rows with ``symbols``, ``account_id`` and ``instrument_ids``, newest first."""
        return await QUERIES.fetch(
            db, "strategies", id=id, account_id=account_id, name=name, running=running, archived=archived
        )

    async def find_strategy(self, db: Database, *, id: UUID, reference: str) -> UUID | None:
        found: UUID | None = await QUERIES.fetchval(db, "find_strategy", id=id, reference=reference)
        return found

    async def lock_strategy_name(self, tx: Transaction, *, account_id: UUID, name: str) -> None:
        await QUERIES.execute(tx, "lock_strategy_name", account_id=account_id, name=name)

    async def insert_strategy(self, tx: Transaction, *, at: datetime, **columns: Any) -> bool:
        """False when the id, or its legacy id, is already taken."""
        return await QUERIES.fetchval(tx, "insert_strategy", at=at, **columns) is not None

    async def lock_strategy(self, tx: Transaction, *, id: UUID) -> Row | None:
        return await QUERIES.fetchrow(tx, "lock_strategy", id=id)

    async def save_strategy(self, tx: Transaction, *, at: datetime, **columns: Any) -> None:
        await QUERIES.execute(tx, "save_strategy", at=at, **columns)

    async def replace_symbols(
        self, tx: Transaction, *, strategy_id: UUID, symbols: Sequence[Mapping[str, Any]]
    ) -> None:
        """``symbols`` are mappings with symbol, weight and metadata."""
        await QUERIES.execute(tx, "clear_symbols", strategy_id=strategy_id)
        await QUERIES.execute(
            tx,
            "insert_symbols",
            strategy_id=strategy_id,
            symbols=to_serializable(symbols),
        )

    async def account_environment(self, db: Database, *, account_id: UUID) -> str | None:
        environment: str | None = await QUERIES.fetchval(db, "account_environment", id=account_id)
        return environment

    async def configure_strategy(
        self, tx: Transaction, *, strategy_id: UUID, environment: str, account_id: UUID | None, at: datetime
    ) -> None:
        await QUERIES.fetchrow(
            tx, "configure_strategy", strategy_id=strategy_id, environment=environment, account_id=account_id, at=at
        )

    async def set_status(self, db: Database, *, id: UUID, status: StrategyStatus, at: datetime) -> bool:
        """False when there is no such strategy, or it is to be archived and already is."""
        return await QUERIES.fetchval(db, "set_status", id=id, status=status.value, at=at) is not None

    async def toggle_status(self, db: Database, *, id: UUID, at: datetime) -> bool:
        return await QUERIES.fetchval(db, "toggle_status", id=id, at=at) is not None

    async def record_signal(self, db: Database, *, at: datetime, **columns: Any) -> bool:
        """A signal an older caller noted; False when there is no such strategy."""
        return await QUERIES.fetchval(db, "record_signal", at=at, **columns) is not None

    async def signals(self, db: Database, *, strategy_id: UUID | None = None, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "signals", strategy_id=strategy_id, limit=limit)

    async def record_performance(self, db: Database, *, at: datetime, **columns: Any) -> bool:
        return await QUERIES.fetchval(db, "record_performance", at=at, **columns) is not None

    async def performance_summary(self, db: Database, *, strategy_id: UUID, since: datetime) -> Row | None:
        return await QUERIES.fetchrow(db, "performance_summary", strategy_id=strategy_id, since=since)

    async def insert_backtest_result(self, db: Database, *, at: datetime, **columns: Any) -> None:
        await QUERIES.execute(db, "insert_backtest_result", id=new_id(at), at=at, **columns)

    async def backtest_results(self, db: Database, *, strategy_id: UUID | None = None, limit: int) -> list[Row]:
        return await QUERIES.fetch(db, "backtest_results", strategy_id=strategy_id, limit=limit)

    async def setting(self, db: Database, *, key: str) -> Row | None:
        return await QUERIES.fetchrow(db, "setting", key=key)

    async def put_setting(self, db: Database, *, at: datetime, **columns: Any) -> None:
        await QUERIES.execute(db, "put_setting", at=at, **columns)


def strategy_of(row: Row) -> Strategy:
    """A strategy row that is bound to an account and has a template, as the platform's own noun."""
    return Strategy(
        id=row["id"],
        name=row["name"],
        template=row["template"],
        parameters=row["parameters"],
        timeframe_s=row["timeframe_s"],
        account_id=row["account_id"],
        instrument_ids=tuple(row["instrument_ids"]),
        status=StrategyStatus(row["status"]),
    )


def _summary(evaluation: Evaluation) -> list[dict[str, Any]]:
    signal = evaluation.signal
    return [{"type": signal.type.value, "confidence": signal.confidence, "price": signal.price}] if signal else []
