"""What several callers write at once goes to the disk once: steps of orders and fills, each with its event."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from mastertrade.domain.events import Event, OrderFilled, OrderUpdated
from mastertrade.domain.orders import OrderStatus
from mastertrade.messaging.bus import Bus
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Begin, Begun, Book, FillOutcome, Move, Step, Written
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, ConstraintViolated, DatabaseBusy, DatabaseError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

LARGEST_BATCH: Final = 64
"""Steps in one transaction: what they lock is held until all of them are written."""
OF_ONE_STEP: Final = (BadData, DatabaseBusy, DatabaseError)
"""What one step can be refused for, so that the others are written without it. A server that is lost, or a lease, is no
such thing."""
STOPPED: Final = ("expired", "halted", "cancelled")
"""Outcomes of beginning to send after which an order is final."""
S = TypeVar("S", Begin, Move, Book)


@dataclass(slots=True, eq=False)
class _Entry:
    step: Step
    written: Written | None = None
    error: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self.written is not None or self.error is not None


class Writer:
    """Whoever comes while others write waits; then one of the waiting writes the steps of all in one transaction: one
    flush instead of many, and nobody waits for another's locks. A step that is refused takes no other with it: each is
    written alone then. Written a second time, because nobody heard of the first, a step changes nothing."""

    def __init__(self, *, clock: Clock, bus: Bus, manager: PostgresManager, database: ExecutorPostgresDatabase) -> None:
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._database = database
        self._waiting: list[_Entry] = []
        self._writing = asyncio.Lock()

    async def begin(self, step: Begin) -> Begun:
        begun = _result(await self._write([step]))
        assert isinstance(begun, Begun)
        return begun

    async def move(self, step: Move) -> bool:
        """True when the order stood where the step says, and moved."""
        moved = _result(await self._write([step]))
        assert isinstance(moved, bool)
        return moved

    async def book(self, steps: Sequence[Book]) -> list[FillOutcome | Exception]:
        """In this order. In the place of a fill that cannot be booked stands why; any other error is raised."""
        outcomes: list[FillOutcome | Exception] = []
        for entry in await self._write(steps):
            outcome = entry.error if isinstance(entry.error, BadData | ConstraintViolated) else _result([entry])
            assert isinstance(outcome, FillOutcome | Exception)
            outcomes.append(outcome)
        return outcomes

    async def _write(self, steps: Sequence[Step]) -> list[_Entry]:
        own = [_Entry(step) for step in steps]
        self._waiting += own
        try:
            while not all(entry.is_over for entry in own):
                async with self._writing:
                    if not all(entry.is_over for entry in own):
                        await self._write_waiting()
        finally:  # a caller that was cancelled wants nothing written any more
            self._waiting = [entry for entry in self._waiting if entry not in own]
        return own

    async def _write_waiting(self) -> None:
        batch = self._waiting[:LARGEST_BATCH]
        try:
            await self._commit(batch)
        except OF_ONE_STEP:
            for entry in batch:
                try:
                    await self._commit([entry])
                except Exception as error:  # noqa: BLE001 its caller raises it
                    entry.error = error
        except Exception as error:  # noqa: BLE001 their callers raise it
            for entry in batch:
                entry.error = error
        self._waiting = [entry for entry in self._waiting if not entry.is_over]

    async def _commit(self, batch: Sequence[_Entry]) -> None:
        """Orders that begin come first, since halts are locked before balances; then moves; then fills."""
        begins, moves, books = _of(batch, Begin), _of(batch, Move), _of(batch, Book)
        results: list[Written] = []
        async with self._manager.transaction(is_bounded=True) as tx:
            events: list[Event] = []
            if begins:
                begun = await self._database.begin_sends(tx, list(begins.values()))
                events += [self._stopped(one) for one in begun if one.outcome in STOPPED]
                results += begun
            if moves:
                moved = await self._database.move_orders(tx, list(moves.values()))
                events += [self._moved(step) for step, has in zip(moves.values(), moved, strict=True) if has]
                results += moved
            if books:
                booked = await self._database.apply_fills(tx, list(books.values()))
                pairs = zip(books.values(), booked, strict=True)
                events += [order_filled(step, one) for step, one in pairs if one.outcome == "applied"]
                results += booked
            if events:
                await self._bus.publish(*events, within=tx)
        for entry, written in zip((*begins, *moves, *books), results, strict=True):
            entry.written = written

    def _stopped(self, begun: Begun) -> OrderUpdated:
        order = begun.order
        assert order is not None, "an order that was stopped is there"
        at = self._clock.now()
        return order_updated(order.id, order.account_id, order.instrument_id, order.status, at=at, reason=begun.outcome)

    def _moved(self, step: Move) -> OrderUpdated:
        order, reason = step.order, str(step.payload.get("reason", ""))
        at = self._clock.now()
        return order_updated(order.id, order.account_id, order.instrument_id, step.to, at=at, reason=reason)


def order_updated(
    order_id: UUID,
    account_id: UUID,
    instrument_id: int,
    status: OrderStatus,
    *,
    at: datetime,
    cause: Event | None = None,
    reason: str = "",
) -> OrderUpdated:
    return OrderUpdated(
        id=new_id(at),
        occurred_at=at,
        correlation_id=None if cause is None else cause.correlation_id,
        causation_id=order_id if cause is None else cause.id,
        order_id=order_id,
        account_id=account_id,
        instrument_id=instrument_id,
        status=status,
        reason=reason,
    )


def _of(batch: Sequence[_Entry], kind: type[S]) -> dict[_Entry, S]:
    return {entry: entry.step for entry in batch if isinstance(entry.step, kind)}


def _result(entries: Sequence[_Entry]) -> Written:
    (entry,) = entries
    if entry.error is not None:
        raise entry.error
    assert entry.written is not None, "over means one of both"
    return entry.written


def order_filled(step: Book, result: FillOutcome) -> OrderFilled:
    fill = step.fill
    assert result.order_id and result.instrument_id and result.symbol and result.side and result.status
    return OrderFilled(
        id=step.fill_id,
        occurred_at=fill.trade_time,
        correlation_id=result.signal_id,
        causation_id=result.order_id,
        fill_id=step.fill_id,
        order_id=result.order_id,
        strategy_id=result.strategy_id,
        account_id=step.account_id,
        instrument_id=result.instrument_id,
        symbol=result.symbol,
        side=result.side,
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        realized_pnl=result.realized_pnl,
        position_quantity=result.position_quantity,
        position_entry_price=result.position_entry_price,
        status=result.status,
    )
