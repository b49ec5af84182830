"""What older callers do to orders, inside one transaction each: record them, move them, book what they report."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from mastertrade.domain.orders import Fill, OrderStatus
from mastertrade.messaging.bus import Bus
from mastertrade.order_executor import legacy, legacy_reports
from mastertrade.order_executor.answers import move_for
from mastertrade.order_executor.models import OrderRequest, Trade
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Book, Move
from mastertrade.order_executor.writing import order_filled
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database, PostgresManager, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import ensure_uuid, new_id, parse_datetime, to_json_object, to_serializable

QUERIES = load_queries(Path(__file__).with_name("legacy_queries.sql"))
SOURCE = "legacy"
HALT_TIMEOUT_S = 30.0
"""A halt waits for transactions that have read the trading state; none may idle for longer than ten seconds."""
log = logging.getLogger(__name__)


class LegacyOrders:
    """Every method takes the database or transaction it works in; ``manager`` gives what must follow one of its own.
    ``order`` is a row of ``lock``."""

    def __init__(self, clock: Clock, bus: Bus | None, manager: Callable[[], PostgresManager]) -> None:
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._postgres = ExecutorPostgresDatabase()

    async def find_strategy(self, db: Database, reference: str) -> UUID | None:
        """Any id an older caller may hold, as text: of a UUID, a legacy text or an integer (rule R1)."""
        found: UUID | None = await QUERIES.fetchval(db, "find_strategy", id=ensure_uuid(reference), reference=reference)
        return found

    async def record(self, tx: Transaction, request: OrderRequest) -> None:
        """Does nothing when the request's client id is taken."""
        now, environment = self._clock.now(), legacy.environment_of(request.environment).value
        symbol, reference = legacy.symbol_of(request.symbol), legacy.text_of(request.strategy_id)
        strategy_id = await self.find_strategy(tx, reference)
        account = await QUERIES.fetchrow(tx, "account_of_environment", environment=environment, strategy_id=strategy_id)
        if account is None:
            raise NotFound(
                f"there is no account in environment {environment}: name another environment in the order, or make an"
                " account there first (`mastertrade up` makes one in paper)"
            )
        instrument_id = await QUERIES.fetchval(tx, "instrument_on_venue", venue=account["venue"], symbol=symbol)
        if instrument_id is None:
            raise NotFound(
                f"{symbol} is not traded on {account['venue']}, the venue of account {account['name']}: load that"
                " market's candles first, or name another symbol"
            )
        signal_id, metadata = None, to_serializable(request.metadata)
        if request.signal_id is not None:
            signal_reference = legacy.text_of(request.signal_id)
            signal_id = await QUERIES.fetchval(tx, "find_signal", id=ensure_uuid(signal_reference, "signals"))
            if signal_id is None:
                metadata |= {"legacy_signal_id": signal_reference}
        await QUERIES.execute(
            tx,
            "record_order",
            id=new_id(now),
            client_order_id=legacy.text_of(request.client_order_id),
            account_id=account["id"],
            instrument_id=instrument_id,
            strategy_id=strategy_id,
            strategy_ref=reference,
            signal_id=signal_id,
            symbol=symbol,
            order_type=request.order_type,
            side=request.side,
            quantity=legacy_reports.amount_of(request.quantity),
            price=legacy_reports.optional_amount(request.price),
            stop_price=legacy_reports.optional_amount(request.stop_price),
            environment=environment,
            metadata=metadata,
            at=now,
        )

    async def lock(self, tx: Transaction, order_id: str | UUID) -> Row | None:
        return await QUERIES.fetchrow(tx, "lock_order", id=order_uuid(order_id))

    async def edit(self, tx: Transaction, order_id: UUID, updates: dict[str, Any]) -> None:
        await QUERIES.execute(
            tx,
            "edit_order",
            id=order_id,
            metadata=to_serializable(updates.get("metadata") or {}),
            price=legacy_reports.optional_amount(updates.get("price")),
            stop_price=legacy_reports.optional_amount(updates.get("stop_price")),
            at=self._clock.now(),
        )

    async def set_exchange_order_id(self, db: Database, order_id: str | UUID, exchange_order_id: str) -> bool:
        text = legacy.text_of(exchange_order_id)
        changed = text and await QUERIES.fetchval(
            db, "set_exchange_order_id", id=order_uuid(order_id), exchange_order_id=text, at=self._clock.now()
        )
        return bool(changed)

    async def move(self, tx: Transaction, order: Row, wanted: OrderStatus) -> bool:
        steps = legacy.moves_to(order, wanted)
        for step in steps:
            await self._step(tx, order["id"], step, told=wanted)
        return bool(steps)

    async def take_over(self, tx: Transaction, order_id: str | UUID, report: legacy_reports.ExchangeReport) -> bool:
        """Everything an exchange says about an order; True when that changed anything."""
        order = await self.lock(tx, order_id)
        if order is None:
            return False
        changed = False
        if report.exchange_order_id and report.exchange_order_id != order["exchange_order_id"]:
            changed = await self.set_exchange_order_id(tx, order["id"], report.exchange_order_id)
            order = await self.lock(tx, order["id"]) or order
        changed |= await self.book_total(tx, order, report)
        return await self._hear(tx, order["id"], report) or changed

    async def book_total(self, tx: Transaction, order: Row, report: legacy_reports.ExchangeReport) -> bool:
        """Books what the report's totals hold beyond the booked fills. An approved order's fills come from the venue's
        own list alone."""
        fill = legacy_reports.unbooked_fill(order, report, at=self._clock.now())
        return fill is not None and order["approval_id"] is None and await self._book(tx, order, fill)

    async def book_trade(self, tx: Transaction, trade: Trade) -> bool:
        """False when there is no such order, or its books hold the trade: by itself, or within a total told before."""
        order = await self.lock(tx, trade.order_id)
        if order is None:
            return False
        fill = legacy_reports.fill_of_trade(order, trade, at=parse_datetime(trade.trade_time))
        known = await QUERIES.fetchrow(
            tx, "trade_in_books", order_id=order["id"], exchange_trade_id=fill.exchange_trade_id
        )
        assert known is not None, "the query always answers with one row"
        if known["exchange_order_id"] is not None:
            return await self._book(tx, order, replace(fill, exchange_order_id=known["exchange_order_id"]))
        if known["is_counted"]:
            return False
        if fill.quantity <= known["left_in_totals"]:
            payload = to_json_object(fill) | {"counted_in": "total", "quantity": str(fill.quantity)}
            await QUERIES.execute(tx, "note_counted", order_id=order["id"], payload=payload, at=self._clock.now())
            return False
        return await self._book(tx, order, fill)

    async def _hear(self, tx: Transaction, order_id: UUID, report: legacy_reports.ExchangeReport) -> bool:
        """Moves the order as a venue's answer would. An exchange that knows an order has been sent it."""
        if report.status is None:
            return False
        row, order = await self.lock(tx, order_id), await self._postgres.order_by_id(tx, order_id)
        assert row is not None, "the order is locked by this transaction"
        assert order is not None, "the order is locked by this transaction"
        if order.status is OrderStatus.NEW and await self.move(tx, row, OrderStatus.SUBMITTING):
            order = replace(order, status=OrderStatus.SUBMITTING)
        to = move_for(order, legacy_reports.venue_order(order, report, report.status), at=self._clock.now())
        return to is not None and await self._step(tx, order_id, to, told=report.status)

    async def _step(self, tx: Transaction, order_id: UUID, to: OrderStatus, *, told: OrderStatus) -> bool:
        order = await self._postgres.order_by_id(tx, order_id)
        assert order is not None, "the order is locked by this transaction"
        step = Move(order=order, to=to, at=self._clock.now(), source=SOURCE, payload={"told": told.value})
        return (await self._postgres.move_orders(tx, [step]))[0]

    async def _book(self, tx: Transaction, order: Row, fill: Fill) -> bool:
        """As the executor books: a fill that contradicts the booked one is kept apart, and its instrument opens nothing
        more until someone looked."""
        now, account_id = self._clock.now(), order["account_id"]
        fill_id = new_id(now)
        step = Book(account_id=account_id, fill=fill, fill_id=fill_id, at=now)
        (result,) = await self._postgres.apply_fills(tx, [step])
        if result.outcome == "applied":
            if self._bus is not None:
                await self._bus.publish(order_filled(step, result), within=tx)
            return True
        if result.outcome == "conflict":
            payload = to_json_object(fill)
            await self._postgres.quarantine_fill(tx, account_id, reason=result.outcome, payload=payload, at=now)
            log.error("fill quarantined", extra={"reason": result.outcome, "fill": payload})
            reason = f"fill {fill.exchange_trade_id} contradicts the booked one"
            tx.on_commit(partial(self._halt, order["instrument_id"], reason))
        return False

    async def _halt(self, instrument_id: int, reason: str) -> None:
        """After the commit: a transaction that already holds balances would wait for judges who wait for them."""
        async with self._manager().transaction(statement_timeout_s=HALT_TIMEOUT_S) as tx:
            await self._postgres.halt_instrument(tx, instrument_id, reason=reason, at=self._clock.now())


def order_uuid(order_id: str | UUID) -> UUID:
    """A text that is no UUID becomes the UUID it was imported under, or that of no order."""
    return order_id if isinstance(order_id, UUID) else ensure_uuid(legacy.text_of(order_id), "orders")
