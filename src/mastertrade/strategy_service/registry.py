"""Registry: the door for people and programs that create strategies, look at them and switch them on and off."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from mastertrade.domain.market import MINUTE_S, canonical_symbol
from mastertrade.domain.strategy import Strategy, StrategyStatus
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Row, Transaction
from mastertrade.shared.serialization import new_id, parse_datetime, to_serializable
from mastertrade.strategies.template import make, nearest_name
from mastertrade.strategy_service.evaluation import Templates
from mastertrade.strategy_service.postgres_database import StrategyPostgresDatabase, strategy_of

DAY_S = 86_400


class StrategyRegistry:
    def __init__(self, *, manager: PostgresManager, clock: Clock, templates: Templates) -> None:
        self._manager = manager
        self._clock = clock
        self._templates = templates
        self._database = StrategyPostgresDatabase()

    async def create_strategy(
        self,
        *,
        name: str,
        template: str,
        account_id: UUID,
        symbols: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
        timeframe_s: int = 900,
        status: StrategyStatus = StrategyStatus.ACTIVE,
    ) -> Strategy:
        """The strategy of this name on this account, made now if there is none. UsageError when there is one that runs
        something else: a name never changes its meaning silently."""
        if template not in self._templates:
            raise UsageError(f"strategy template {nearest_name(template, self._templates)}")
        if timeframe_s < MINUTE_S or timeframe_s % MINUTE_S or DAY_S % timeframe_s:
            raise UsageError(
                f"a timeframe of {timeframe_s} s cannot be used: it must be whole minutes that divide a day"
            )
        wanted = {
            "template": template,
            "parameters": make(self._templates[template], parameters or {}).parameters,
            "timeframe_s": timeframe_s,
            "symbols": sorted({canonical_symbol(symbol) for symbol in symbols}),
        }
        now = self._clock.now()
        async with self._manager.transaction() as tx:
            await self._database.lock_strategy_name(tx, account_id=account_id, name=name)
            rows = await self._of_name(tx, account_id, name)
            if not rows:
                await self._insert(tx, name, wanted, account_id, status, now)
                rows = await self._of_name(tx, account_id, name)
        _require_same(name, rows[0], wanted)
        return strategy_of(rows[0])

    async def list_strategies(self, account_id: UUID | None = None) -> list[Strategy]:
        """Every strategy that can run (it has a template and an account) and is not archived, newest first."""
        rows = await self._database.strategies(self._manager, account_id=account_id, archived=False)
        return [strategy_of(row) for row in rows if row["template"] and row["account_id"]]

    async def set_status(self, strategy_id: UUID, status: StrategyStatus) -> None:
        if not await self._database.set_status(self._manager, id=strategy_id, status=status, at=self._clock.now()):
            raise NotFound(f"there is no strategy {strategy_id} that could become {status}")

    async def store_backtest_result(self, strategy_id: UUID, result: Mapping[str, Any]) -> None:
        """Keep a trial: ``metrics``, ``parameters``, ``period_start``, ``period_end`` and optionally ``backtest_id``
        (the same id stored again stays one trial) and ``passed_criteria``."""
        if not await self._database.strategies(self._manager, id=strategy_id):
            raise NotFound(f"there is no strategy {strategy_id} to keep a backtest result for")
        await self._database.insert_backtest_result(
            self._manager, strategy_id=strategy_id, at=self._clock.now(), **backtest_columns(result)
        )

    async def _of_name(self, tx: Transaction, account_id: UUID, name: str) -> list[Row]:
        return await self._database.strategies(tx, account_id=account_id, name=name, archived=False)

    async def _insert(
        self,
        tx: Transaction,
        name: str,
        wanted: Mapping[str, Any],
        account_id: UUID,
        status: StrategyStatus,
        now: datetime,
    ) -> None:
        environment = await self._database.account_environment(tx, account_id=account_id)
        if environment is None:
            raise NotFound(f"there is no account {account_id} for strategy {name!r}; create the account first")
        strategy_id = new_id(now)
        await self._database.insert_strategy(
            tx,
            at=now,
            id=strategy_id,
            legacy_id=None,
            name=name,
            type=self._templates[wanted["template"]].legacy_type,
            template=wanted["template"],
            timeframe_s=wanted["timeframe_s"],
            parameters=wanted["parameters"],
            configuration={},
            metadata={},
            status=status.value,
            enabled=True,
            allocation=1.0,
            activation_state="live" if environment == "production" else environment,
        )
        entries = [{"symbol": symbol, "weight": 1.0, "metadata": {}} for symbol in wanted["symbols"]]
        await self._database.replace_symbols(tx, strategy_id=strategy_id, symbols=entries)
        await self._database.configure_strategy(
            tx, strategy_id=strategy_id, environment=environment, account_id=account_id, at=now
        )


def backtest_columns(result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a trial out of a result of any caller; numbers that are not finite become null."""
    start, end = result.get("period_start"), result.get("period_end")
    return {
        "backtest_id": result.get("backtest_id"),
        "metrics": to_serializable(result.get("metrics") or {}),
        "parameters": to_serializable(result.get("parameters") or {}),
        "passed_criteria": result.get("passed_criteria"),
        "period_start": None if start is None else parse_datetime(start),
        "period_end": None if end is None else parse_datetime(end),
    }


def _require_same(name: str, row: Row, wanted: Mapping[str, Any]) -> None:
    has = dict(row) | {"symbols": [entry["symbol"] for entry in row["symbols"]]}
    differences = [f"{key} {has[key]!r}, not {value!r}" for key, value in wanted.items() if has[key] != value]
    if differences:
        raise UsageError(
            f"strategy {name!r} already runs on this account with {'; '.join(differences)};"
            " give the new one another name"
        )
