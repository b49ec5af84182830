"""Typed persistence of the risk manager: one method per named query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from mastertrade.domain.events import OrderFilled
from mastertrade.domain.orders import ORDINARY, ApprovedOrder
from mastertrade.domain.risk import Check, TradingMode, TradingState, Verdict
from mastertrade.domain.strategy import Signal
from mastertrade.risk_manager.book_rows import BookRows
from mastertrade.risk_manager.judge import SizedOrder
from mastertrade.risk_manager.limits import GLOBAL, ScopedLimit, parse_limit_scope
from mastertrade.shared.errors import BadData, NotFound, UsageError
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import decimal_of, to_json_object

QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
COMMITTED = "committed"
ALREADY_JUDGED = "already_judged"
UNKNOWN_SIGNAL = "unknown_signal"
LARGEST_STATISTIC = 1e30
"""The schema's bound of a float; a value beyond it is kept in the check's words alone."""
HALT_TIMEOUT_S = 30.0
"""A halt waits for transactions that have read the trading state; none may idle for longer than ten seconds."""


class RiskPostgresDatabase(BookRows):
    """Judging, the book and the trading states here; positions, stops, alerts and logs in BookRows. Stateless: every
    method takes the database or transaction it works in."""

    # --- judging ---

    async def begin_judging(self, tx: Transaction, signal: Signal) -> TradingMode:
        """First of all: locks trading states and the account's judgements until the transaction ends. NotFound for a
        signal that is not stored, BadData for one that is stored otherwise."""
        row = await QUERIES.fetchrow(
            tx,
            "begin_judging",
            account_id=signal.account_id,
            strategy_id=signal.strategy_id,
            instrument_id=signal.instrument_id,
            symbol=signal.symbol,
            signal_type=signal.type.value,
            timeframe_s=signal.timeframe_s,
            bar_close=signal.bar_close,
            raised_at=signal.raised_at,
            valid_until=signal.valid_until,
            quantity=signal.quantity,
            limit_price=signal.limit_price,
            turns=signal.turns,
            terms=to_json_object(signal.terms),
            ordinary=to_json_object(ORDINARY),
            price=decimal_of(signal.price),
            signal_id=signal.id,
        )
        assert row is not None, "a SELECT without FROM"
        if row["is_as_stored"] is None:
            raise NotFound(f"signal {signal.id} is not stored: there is nothing to judge")
        if not row["is_as_stored"]:
            raise BadData(f"signal {signal.id} is stored otherwise than this event tells it: it is not judged")
        return TradingMode(row["mode"])

    async def load_facts(self, tx: Transaction, signal: Signal, *, now: datetime) -> Row:
        """The row a case is made of. NotFound when the signal names what does not exist."""
        row = await QUERIES.fetchrow(
            tx,
            "load_case",
            account_id=signal.account_id,
            strategy_id=signal.strategy_id,
            instrument_id=signal.instrument_id,
            now=now,
        )
        if row is None:
            raise NotFound(f"signal {signal.id} names an account, strategy or instrument that does not exist")
        return row

    async def limits_version(self, db: Database) -> int:
        version: int = await QUERIES.fetchval(db, "limits_version")
        return version

    async def limits(self, db: Database) -> list[ScopedLimit]:
        """Those that scopes have of their own now."""
        return [ScopedLimit(**dict(row)) for row in await QUERIES.fetch(db, "limit_rows")]

    async def commit_verdict(
        self,
        tx: Transaction,
        verdict: Verdict,
        *,
        equity: Decimal | None = None,
        limits_version: int | None = None,
        inputs: Mapping[str, Any] | None = None,
        order: SizedOrder | None = None,
        approval: ApprovedOrder | None = None,
    ) -> str:
        """``committed``, or what stands against it: already_judged, unknown_signal, halted, limits_changed, in_flight,
        insufficient. ``order`` and ``approval`` belong together: the second is the pass for the first."""
        outcome: str = await QUERIES.fetchval(
            tx,
            "commit_verdict",
            verdict_id=verdict.id,
            signal_id=verdict.signal_id,
            disposition=verdict.disposition.value,
            requested=verdict.requested_quantity,
            approved=verdict.approved_quantity,
            reason=verdict.reason,
            equity=equity,
            decided_at=verdict.decided_at,
            checks=[_check_row(check) for check in verdict.checks],
            approval=_approval_row(order, approval) if order and approval else None,
            limits_version=limits_version,
            inputs=inputs,
        )
        return outcome

    # --- the book ---

    async def mark_book(self, tx: Transaction, venues: Sequence[str], *, at: datetime) -> None:
        await QUERIES.execute(tx, "mark_book", venues=list(venues), at=at)

    async def move_position(self, tx: Transaction, fill: OrderFilled) -> None:
        """Brings the strategy's position to what it holds after the fill; one that was turned ends, and the other
        side's begins."""
        names: dict[str, Any] = {
            "strategy_id": fill.strategy_id,
            "account_id": fill.account_id,
            "instrument_id": fill.instrument_id,
            "price": fill.price,
            "at": fill.occurred_at,
        }
        if fill.closes_position:
            side = None if fill.position_quantity == 0 else "long" if fill.position_quantity > 0 else "short"
            await QUERIES.execute(tx, "end_position", realized_pnl=fill.realized_pnl, kept_side=side, **names)
        if fill.position_quantity != 0:
            await QUERIES.execute(
                tx,
                "move_position",
                id=str(fill.fill_id),
                symbol=fill.symbol,
                quantity=fill.position_quantity,
                entry_price=fill.position_entry_price,
                realized_pnl=Decimal(0) if fill.closes_position else fill.realized_pnl,
                **names,
            )

    # --- trading state ---

    async def find_scope(self, db: Database, text: str) -> str:
        """As it is stored: accounts and strategies may be written by name, instruments by symbol. UsageError for what
        is no scope and for a name that several share, NotFound for what there is no such thing of."""
        kind, id = parse_limit_scope(text)
        if kind in (GLOBAL, "class"):
            return GLOBAL if kind == GLOBAL else f"{kind}:{id}"
        found = await QUERIES.fetch(db, "scope_ids", kind=kind, name=text.strip().partition(":")[2])
        if not found:
            raise NotFound(f"there is no {kind} {id!r}; nothing was changed")
        if len(found) > 1:
            raise UsageError(f"{kind} {id!r} is one of {', '.join(row['id'] for row in found)}; write its id")
        return f"{kind}:{found[0]['id']}"

    async def halt_trading(self, tx: Transaction, *, scope: str, reason: str, actor: str, at: datetime) -> TradingState:
        row = await QUERIES.fetchrow(
            tx, "halt_trading", timeout_s=HALT_TIMEOUT_S, scope=scope, reason=reason, actor=actor, at=at
        )
        assert row is not None, "halt_trading always answers with the new state"
        return _trading_state(row)

    async def resume_trading(
        self, tx: Transaction, *, scope: str, reason: str, actor: str, at: datetime
    ) -> TradingState:
        row = await QUERIES.fetchrow(
            tx, "resume_trading", timeout_s=HALT_TIMEOUT_S, scope=scope, reason=reason, actor=actor, at=at
        )
        assert row is not None, "resume_trading always answers with the new state"
        return _trading_state(row)

    async def reduce_trading(
        self, tx: Transaction, *, scope: str, reason: str, actor: str, at: datetime
    ) -> TradingState:
        row = await QUERIES.fetchrow(
            tx, "reduce_trading", timeout_s=HALT_TIMEOUT_S, scope=scope, reason=reason, actor=actor, at=at
        )
        assert row is not None, "reduce_trading always answers with the new state"
        return _trading_state(row)

    async def trading_states(self, db: Database) -> list[TradingState]:
        return [_trading_state(row) for row in await QUERIES.fetch(db, "trading_states")]


def _trading_state(row: Row) -> TradingState:
    return TradingState(
        scope=row["scope"],
        mode=TradingMode(row["mode"]),
        reason=row["reason"],
        actor=row["actor"],
        version=row["version"],
        changed_at=row["changed_at"],
    )


def _check_row(check: Check) -> Mapping[str, Any]:
    return {
        "name": check.name,
        "value": _statistic(check.value),
        "limit": _statistic(check.limit),
        "unit": check.unit,
        "passed": check.passed,
        "detail": check.detail,
        "reduced_to": None if check.reduced_to is None else str(check.reduced_to),
    }


def _statistic(value: float | None) -> float | None:
    return value if value is not None and abs(value) < LARGEST_STATISTIC else None


def _approval_row(order: SizedOrder, approval: ApprovedOrder) -> Mapping[str, Any]:
    return {
        "id": str(approval.approval_id),
        "reservation_id": str(approval.reservation_id),
        "reserve_asset": order.reserve_asset,
        "reserve_amount": str(order.reserve_amount),
        "side": approval.side.value,
        "order_type": approval.type.value,
        "limit_price": None if approval.limit_price is None else str(approval.limit_price),
        "stop_price": None if order.stop_price is None else str(order.stop_price),
        "reduces": approval.reduces,
        "valid_until": approval.valid_until.isoformat(),
        "terms": to_json_object(approval.terms),
    }


postgres_database = RiskPostgresDatabase()
