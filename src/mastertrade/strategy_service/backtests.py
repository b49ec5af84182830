"""Stored backtests: studies whose trials several processes share, and runs with their account and trades."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np

from mastertrade.backtest.result import COST_PARTS, BacktestResult, ExitReason
from mastertrade.backtest.trials import Outcome, Parameters, Trial, Tried, as_trials
from mastertrade.quant import metrics
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import Database, PostgresManager, Row
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import dump_json, legacy_uuid, new_id, to_serializable

QUERIES = load_queries(Path(__file__).with_name("backtests.sql"))
PAGE: Final = 5_000
"""Trials read at once: with two years of daily returns 30 MB."""
PLANNED_AT_ONCE: Final = 20_000
STATEMENT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A sweep as it is stored. ``settings`` hold everything it takes to go on with it."""

    id: UUID
    kind: str
    strategy: str
    settings: Mapping[str, Any]
    objective: str
    planned: int
    seed: int
    data_hash: str
    code_hash: str
    status: str = "running"
    verdict: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One run with what it takes to make it again; ``metrics`` as JSON can carry them."""

    id: UUID
    strategy: str
    parameters: Parameters
    result: BacktestResult
    costs: Mapping[str, Any]
    settings: Mapping[str, Any]
    data_source: str
    data_hash: str
    code_hash: str
    metrics: Mapping[str, Any]
    verdict: str
    study_id: UUID | None = None
    legacy_type: str | None = None


class BacktestDatabase:
    """Studies, trials and runs. Every method takes the database it works in."""

    async def create_study(self, db: Database, study: Study, *, at: datetime) -> None:
        await QUERIES.execute(
            db,
            "insert_study",
            id=study.id,
            kind=study.kind,
            strategy=study.strategy,
            settings=to_serializable(study.settings),
            objective=study.objective,
            planned=study.planned,
            seed=study.seed,
            data_hash=study.data_hash,
            code_hash=study.code_hash,
            at=at,
        )

    async def study(self, db: Database, reference: str) -> Study:
        return _study(_only(await QUERIES.fetch(db, "study", prefix=_prefix(reference)), "study", reference))

    async def unfinished_study(self, db: Database, like: Study) -> Study | None:
        """The newest study that was begun with the same settings on the same bars and code, and is not over."""
        row = await QUERIES.fetchrow(
            db,
            "unfinished_study",
            kind=like.kind,
            strategy=like.strategy,
            settings=to_serializable(like.settings),
            objective=like.objective,
            seed=like.seed,
            data_hash=like.data_hash,
            code_hash=like.code_hash,
        )
        return None if row is None else _study(row)

    async def plan_trials(self, db: Database, study: Study, parameters: Sequence[Parameters], *, first: int) -> None:
        trials = as_trials(parameters, first=first, study_seed=study.seed)
        for begin in range(0, len(trials), PLANNED_AT_ONCE):
            rows = [
                {"number": one.number, "parameters": to_serializable(one.parameters), "seed": one.seed}
                for one in trials[begin : begin + PLANNED_AT_ONCE]
            ]
            await QUERIES.execute(db, "plan_trials", study_id=study.id, trials=rows, timeout_s=STATEMENT_S)

    async def claim_trials(self, db: Database, study_id: UUID, *, claimer: str, count: int) -> list[Trial]:
        """``claimer`` is the application name of a connection that stays open as long as the trials are worked on."""
        rows = await QUERIES.fetch(db, "claim_trials", study_id=study_id, claimer=claimer, count=count)
        found = [Trial(number=row["number"], parameters=row["parameters"], seed=row["seed"]) for row in rows]
        return sorted(found, key=lambda one: one.number)

    async def finish_trials(
        self, db: Database, study_id: UUID, outcomes: Sequence[tuple[Trial, Outcome]], *, at: datetime
    ) -> None:
        rows = [
            {
                "number": trial.number,
                "reason": outcome.failure and outcome.failure.replace("\x00", "\\x00"),
                "figures": dict(outcome.figures),
                "daily_returns": None if outcome.daily_returns is None else outcome.daily_returns.tolist(),
                "seconds": outcome.seconds,
            }
            for trial, outcome in outcomes
        ]
        await QUERIES.execute(db, "finish_trials", study_id=study_id, outcomes=rows, at=at, timeout_s=STATEMENT_S)

    async def trials(self, db: Database, study_id: UUID, *, first: int = 0) -> list[tuple[Tried, str]]:
        """Every trial from number ``first`` on with its status; what is not over has an empty outcome."""
        found: list[tuple[Tried, str]] = []
        while True:
            rows = await QUERIES.fetch(db, "trials", study_id=study_id, first=first, page=PAGE, timeout_s=STATEMENT_S)
            found += [(_tried(row), row["status"]) for row in rows]
            if len(rows) < PAGE:
                return found
            first = rows[-1]["number"] + 1

    async def study_progress(self, db: Database, study_id: UUID) -> Row:
        row = await QUERIES.fetchrow(db, "study_progress", study_id=study_id)
        assert row is not None
        return row

    async def finish_study(self, db: Database, study_id: UUID, *, verdict: str, at: datetime) -> None:
        await QUERIES.execute(db, "finish_study", id=study_id, verdict=verdict, at=at)

    async def studies(self, db: Database, *, page: int) -> list[Row]:
        return await QUERIES.fetch(db, "studies", page=page)

    async def save_run(self, manager: PostgresManager, run: StoredRun, *, at: datetime) -> None:
        """The run, its days and its trades in one transaction, and its row in the older table."""
        result = run.result
        columns: dict[str, Any] = {
            "parameters": to_serializable(run.parameters),
            "metrics": to_serializable(run.metrics),
            "period_start": _moment(int(result.time[0])),
            "period_end": _moment(int(result.time[-1]) + result.interval_s * 1000),
            "strategy": run.strategy,
            "at": at,
        }
        async with manager.transaction(statement_timeout_s=STATEMENT_S) as tx:
            await QUERIES.execute(
                tx,
                "insert_run",
                id=run.id,
                study_id=run.study_id,
                symbols=list(result.symbols),
                interval_s=result.interval_s,
                bars=result.bars,
                cash=result.cash,
                costs=to_serializable(run.costs),
                settings=to_serializable(run.settings),
                data_source=run.data_source,
                data_hash=run.data_hash,
                code_hash=run.code_hash,
                verdict=run.verdict,
                **columns,
            )
            await QUERIES.execute(tx, "insert_equity", run_id=run.id, **equity_columns(result))
            if result.trades:
                await QUERIES.execute(tx, "insert_trades", run_id=run.id, **trade_columns(result))
            await self._save_legacy(tx, run, columns)

    async def _save_legacy(self, tx: Database, run: StoredRun, columns: Mapping[str, Any]) -> None:
        interval_s = run.result.interval_s
        named = dump_json({"template": run.strategy, "parameters": columns["parameters"], "timeframe_s": interval_s})
        await QUERIES.execute(
            tx,
            "insert_legacy_result",
            id=new_id(columns["at"]),
            run_id=str(run.id),
            strategy_id=legacy_uuid("backtested strategies", named.decode()),
            name=f"backtest {run.strategy}",
            legacy_type=run.legacy_type or run.strategy,
            timeframe_s=interval_s if interval_s >= 60 else 60,
            **columns,
        )

    async def run(self, db: Database, reference: str) -> Row:
        return _only(await QUERIES.fetch(db, "run", prefix=_prefix(reference)), "run", reference)

    async def runs(self, db: Database, *, page: int) -> list[Row]:
        return await QUERIES.fetch(db, "runs", page=page)

    async def figures(self, db: Database, run_id: UUID) -> Row:
        row = await QUERIES.fetchrow(db, "figures", run_id=run_id)
        assert row is not None
        return row


def equity_columns(result: BacktestResult) -> dict[str, Any]:
    """A row a UTC day from the first bar to the last; days without bars repeat the day before."""
    curve = np.concatenate(([result.cash], result.equity))
    falls = (1.0 - curve / np.maximum.accumulate(curve))[1:]
    days = result.time // metrics.DAY_MS
    every = np.arange(days[0], days[-1] + 1)
    last = np.searchsorted(days, every, side="right") - 1
    begin = np.searchsorted(days, every, side="left")
    has_bars = last >= begin
    # A day without bars has no fall of its own: it stands where the day before ended.
    deepest = np.where(has_bars, np.maximum.reduceat(falls, np.minimum(begin, len(falls) - 1)), falls[last])
    held = np.concatenate(([0], np.cumsum(np.abs(result.invested) > 0.0)))
    return {
        "days": every.astype("datetime64[D]").astype(object).tolist(),
        "equity": result.equity[last].tolist(),
        "drawdown": np.clip(deepest, 0.0, 1.0).tolist(),
        "bars": (last + 1 - begin).tolist(),
        "invested_bars": (held[last + 1] - held[begin]).tolist(),
    }


def trade_columns(result: BacktestResult) -> dict[str, Any]:
    trades, rows = result.trades, result.trades.rows
    plain = ("quantity", "entry_price", "exit_price", "bars_held", "gross", *COST_PARTS)
    return {
        "number": list(range(1, len(trades) + 1)),
        **{name: rows[name].tolist() for name in plain},
        "net": trades.net.tolist(),
        "symbol": [trades.symbols[place] for place in rows["symbol"].tolist()],
        "side": ["long" if side > 0 else "short" for side in rows["side"].tolist()],
        "entry_time": [_moment(time) for time in rows["entry_time"].tolist()],
        "exit_time": [_moment(time) for time in rows["exit_time"].tolist()],
        "exit_reason": [ExitReason(reason).name.lower() for reason in rows["reason"].tolist()],
    }


def _study(row: Row) -> Study:
    return Study(**{name: row[name] for name in Study.__dataclass_fields__})


def _tried(row: Row) -> Tried:
    returns = row["daily_returns"]
    outcome = Outcome(
        figures=row["figures"],
        daily_returns=None if returns is None else np.array(returns, dtype=np.float64),
        failure=row["reason"],
        seconds=row["seconds"] or 0.0,
    )
    return Tried(trial=Trial(number=row["number"], parameters=row["parameters"], seed=row["seed"]), outcome=outcome)


def _only(rows: Sequence[Row], what: str, reference: str) -> Row:
    if not rows:
        raise NotFound(f"there is no backtest {what} {reference}; mastertrade backtest list shows them")
    if len(rows) > 1:
        raise UsageError(f"more than one {what} begins with {reference}; write more of its id")
    return rows[0]


def _prefix(reference: str) -> str:
    """What cannot be the beginning of an id matches nothing."""
    text = reference.strip().lower()
    return text if text and set(text) <= set("0123456789abcdef-") else "none"


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
