"""Typed persistence of the risk manager: one method per named query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from mastertrade.domain.events import OrderFilled
from mastertrade.domain.market import Instrument, InstrumentStatus
from mastertrade.domain.orders import ApprovedOrder
from mastertrade.domain.risk import Check, TradingMode, TradingState, Verdict
from mastertrade.domain.strategy import Signal
from mastertrade.risk_manager.book_rows import BookRows
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.judge import SizedOrder
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries

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
        """First of all: locks trading states and the account's judgements until the transaction ends."""
        mode = await QUERIES.fetchval(
            tx,
            "begin_judging",
            account_id=signal.account_id,
            strategy_id=signal.strategy_id,
            instrument_id=signal.instrument_id,
        )
        return TradingMode(mode)

    async def load_case(self, tx: Transaction, signal: Signal, *, mode: TradingMode, now: datetime) -> Case:
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
        price, price_as_of = _newest_price(signal, row)
        return Case(
            signal=signal,
            instrument=_instrument(row),
            now=now,
            mode=mode,
            halts=row["halts"] or "",
            strategy_is_enabled=row["strategy_is_enabled"],
            risk_multiplier=row["risk_multiplier"],
            max_order_quantity=row["max_position_size"],
            account_venue=row["account_venue"],
            account_quote=row["quote_asset"],
            price=price,
            price_as_of=price_as_of,
            equity=row["equity"],
            high_water_mark=max(row["high_water_mark"] or Decimal(0), row["equity"]),
            day_start_equity=_day_start_equity(row, now),
            quote_free=row["quote_free"],
            base_free=row["base_free"],
            base_held=row["base_held"],
            pending_buys=row["pending_buys"],
            position_quantity=row["position_quantity"],
            in_flight=row["in_flight"],
        )

    async def commit_verdict(
        self,
        tx: Transaction,
        verdict: Verdict,
        *,
        equity: Decimal | None = None,
        order: SizedOrder | None = None,
        approval: ApprovedOrder | None = None,
    ) -> str:
        """``committed``, or what stands against it: already_judged, unknown_signal, halted, in_flight, insufficient.
        ``order`` and ``approval`` belong together: the second is the pass for the first."""
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
        )
        return outcome

    # --- the book ---

    async def mark_book(self, tx: Transaction, venues: Sequence[str], *, at: datetime) -> None:
        await QUERIES.execute(tx, "mark_book", venues=list(venues), at=at)

    async def move_position(self, tx: Transaction, fill: OrderFilled) -> None:
        """Brings the strategy's position to what it holds after the fill."""
        if fill.position_quantity > 0:
            await QUERIES.execute(
                tx,
                "move_position",
                id=str(fill.fill_id),
                strategy_id=fill.strategy_id,
                account_id=fill.account_id,
                instrument_id=fill.instrument_id,
                symbol=fill.symbol,
                quantity=fill.position_quantity,
                entry_price=fill.position_entry_price,
                price=fill.price,
                realized_pnl=fill.realized_pnl,
                at=fill.occurred_at,
            )
        else:
            await QUERIES.execute(
                tx,
                "end_position",
                strategy_id=fill.strategy_id,
                account_id=fill.account_id,
                instrument_id=fill.instrument_id,
                price=fill.price,
                realized_pnl=fill.realized_pnl,
                at=fill.occurred_at,
            )

    # --- trading state ---

    async def scope_exists(self, db: Database, kind: str, id: UUID | int | None) -> bool:
        is_number = isinstance(id, int)
        found: bool = await QUERIES.fetchval(
            db, "scope_exists", kind=kind, uuid=None if is_number else id, number=id if is_number else None
        )
        return found

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

    async def trading_states(self, db: Database) -> list[TradingState]:
        return [_trading_state(row) for row in await QUERIES.fetch(db, "trading_states")]


def _newest_price(signal: Signal, row: Row) -> tuple[Decimal, datetime]:
    """The last close, or the signal's own price while that is the newer one."""
    close, close_time = row["last_close"], row["last_close_time"]
    if close is not None and close_time > signal.bar_close:
        return Decimal(repr(close)), close_time
    return Decimal(repr(signal.price)), signal.bar_close


def _day_start_equity(row: Row, now: datetime) -> Decimal:
    """Of today's marks if there are any, else the last value of an earlier day; an account never marked starts now."""
    marked: Decimal | None = row["day_start_equity"] if row["marked_day"] == now.date() else row["marked_equity"]
    equity: Decimal = row["equity"]
    return marked or equity


def _instrument(row: Row) -> Instrument:
    return Instrument(
        id=row["id"],
        venue=row["venue"],
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        tick_size=row["tick_size"],
        lot_size=row["lot_size"],
        min_notional=row["min_notional"],
        maker_fee=row["maker_fee"],
        taker_fee=row["taker_fee"],
        status=InstrumentStatus(row["status"]),
    )


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
        "reduces": approval.reduces,
        "valid_until": approval.valid_until.isoformat(),
    }


postgres_database = RiskPostgresDatabase()
