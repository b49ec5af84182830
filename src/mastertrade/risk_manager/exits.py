"""Exits the risk manager wants: raised as signals at every close until nothing is held, each the way of every order."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from mastertrade.domain.events import SignalRaised
from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Terms
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.messaging.bus import Bus
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id, to_json_object

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("exits.sql"))
VALID: Final = timedelta(seconds=60)
CERTAIN: Final = 100.0
FLATTEN, STOP, CIRCUIT_BREAKER = "flatten", "stop", "circuit_breaker"
CLOSED, NOTHING_HELD = "closed", "nothing_held"


class Exits:
    """An exit waits while an order of its position may still trade, an UNKNOWN one included."""

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def ask(self, tx: Transaction, *, at: datetime, timeframe_s: int, venues: Sequence[str] | None = None) -> int:
        """Raise a signal for each exit that can be asked for now; returns how many."""
        asked = 0
        rows = await QUERIES.fetch(tx, "open_exits", at=at, venues=None if venues is None else list(venues))
        for row in rows:
            if row["held"] < row["lot_size"] or not row["held"]:
                outcome = CLOSED if row["attempts"] else NOTHING_HELD
                await QUERIES.execute(tx, "end_exit", id=row["id"], at=at, outcome=outcome)
            elif not row["in_flight"] and row["close"] is not None:
                asked += await self._raise(tx, row, at, timeframe_s)
        return asked

    async def want(self, tx: Transaction, scope: str, *, kind: str, reason: str, actor: str, at: datetime) -> int:
        """How many positions of the scope were not being given up before."""
        count: int = await QUERIES.fetchval(tx, "want_exits", scope=scope, kind=kind, reason=reason, actor=actor, at=at)
        return count

    async def market_time(self, db: Database) -> datetime | None:
        moment: datetime | None = await QUERIES.fetchval(db, "market_time")
        return moment

    async def of_scope(self, db: Database, scope: str, *, since: datetime) -> list[dict[str, Any]]:
        """Those under way, and those since a time."""
        return [dict(row) for row in await QUERIES.fetch(db, "exits_of_scope", scope=scope, since=since)]

    async def _raise(self, tx: Transaction, row: Row, at: datetime, timeframe_s: int) -> bool:
        signal = _signal(row, at, timeframe_s)
        is_new = await QUERIES.fetchval(
            tx,
            "raise_exit_signal",
            id=signal.id,
            strategy_id=signal.strategy_id,
            account_id=signal.account_id,
            instrument_id=signal.instrument_id,
            timeframe_s=signal.timeframe_s,
            bar_close=signal.bar_close,
            price=Decimal(repr(signal.price)),
            evidence=signal.evidence,
            raised_at=signal.raised_at,
            valid_until=signal.valid_until,
            type=signal.type.value,
            terms=to_json_object(signal.terms),
        )
        if not is_new:
            return False
        await QUERIES.execute(tx, "exit_asked", id=row["id"], signal_id=signal.id)
        raised = SignalRaised(
            id=new_id(at), occurred_at=at, correlation_id=signal.id, causation_id=row["id"], signal=signal
        )
        await self._bus.publish(raised, within=tx)
        log.warning("exit of %s: %s", row["symbol"], row["reason"], extra={"kind": row["kind"], "actor": row["actor"]})
        return True


def _signal(row: Mapping[str, Any], at: datetime, timeframe_s: int) -> Signal:
    return Signal(
        id=new_id(at),
        strategy_id=row["strategy_id"],
        account_id=row["account_id"],
        instrument_id=row["instrument_id"],
        symbol=row["symbol"],
        type=SignalType.BUY if row["side"] == "short" else SignalType.SELL,
        timeframe_s=timeframe_s,
        bar_close=at,
        price=row["close"],
        confidence=CERTAIN,
        raised_at=at,
        valid_until=at + VALID,
        terms=Terms(reduce_only=row["market_kind"] == InstrumentKind.SWAP),
        evidence={"exit": row["kind"], "because": row["reason"], "wanted_by": row["actor"]},
    )
