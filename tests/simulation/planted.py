"""Bugs that somebody could write, each planted by replacing one piece of the executor. A simulation that does not catch
them proves nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import Order, OrderStatus
from mastertrade.order_executor import postgres_database
from mastertrade.order_executor.books import Books
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.sending import Sender, ticket_of
from mastertrade.order_executor.steps import Begun
from mastertrade.order_executor.watching import Watcher
from tests.simulation.virtual import RealDatabase

WINDOW = timedelta(seconds=5)
Plant = Callable[[pytest.MonkeyPatch, RealDatabase], None]

_move, _send, _apply, _hear = Books.move, Sender.send, Books.apply, Books.hear
_book_fills = Watcher._book_fills


def time_out_is_a_refusal(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def move(self: Books, order: Order, to: OrderStatus, **told: Any) -> None:
        unanswered = to is OrderStatus.UNKNOWN and order.status is OrderStatus.SUBMITTING
        await _move(self, order, OrderStatus.REJECTED if unanswered else to, **told)

    patch.setattr(Books, "move", move)


def sent_again_after_a_time_out(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def send(self: Sender, order: Order) -> None:
        await _send(self, order)
        now = await self._books._database.order_by_id(self._books._manager, order.id)
        if now is not None and now.status is OrderStatus.UNKNOWN:
            await _send(self, now)

    patch.setattr(Sender, "send", send)


def sent_again_after_a_restart(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def move(self: Books, order: Order, to: OrderStatus, **told: Any) -> None:
        await _move(self, order, to, **told)
        if told["payload"].get("reason") == "left without an answer":
            sender = _senders[self]
            await _send(sender, replace(order, status=OrderStatus.UNKNOWN, send_by=self._clock.now() + WINDOW))

    _senders: dict[Books, Sender] = {}
    begin = Sender.__init__

    def remember(self: Sender, **parts: Any) -> None:
        begin(self, **parts)
        _senders[parts["books"]] = self

    patch.setattr(Sender, "__init__", remember)
    patch.setattr(Books, "move", move)


def the_list_of_fills_is_passed_before_it_is_booked(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def book_fills(self: Watcher, only: Any = ()) -> int:
        if self._cursor is None:
            self._cursor = await self._database.cursor(self._manager, self._account_id)
        since = self._clock.now() - timedelta(days=1)
        symbols = await self._database.traded_symbols(self._manager, self._account_id, since=since)
        page = await self._answer(self._venue.fills(self._cursor, symbols))
        await self._database.save_cursor(self._manager, self._account_id, page.cursor, at=self._clock.now())
        self._cursor = page.cursor
        await asyncio.sleep(0.5)
        return await self._book(page.fills)

    patch.setattr(Watcher, "_book_fills", book_fills)


def news_of_a_trade_are_taken_for_its_booking(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def book_fills(self: Watcher, only: Any = ()) -> int:
        if not only:
            return await _book_fills(self)
        page = await self._answer(self._venue.fills(self._cursor or "", only))
        self._cursor = page.cursor  # "the stream has told them"
        self.hearing.books(page.fills, self._clock.now())
        return 0

    patch.setattr(Watcher, "_book_fills", book_fills)


def a_late_fill_is_ignored(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def apply(self: Books, account_id: Any, fills: Any) -> list[str]:
        found = await self._database.statuses(self._manager, [fill.client_order_id for fill in fills])
        kept = [fill for fill in fills if not found[fill.client_order_id].is_final]
        outcomes = iter(await _apply(self, account_id, kept))
        return [next(outcomes) if fill in kept else "duplicate" for fill in fills]

    patch.setattr(Books, "apply", apply)


def a_fill_is_booked_each_time_it_is_told(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    counted = iter(range(10**9))

    async def apply(self: Books, account_id: Any, fills: Any) -> list[str]:
        return await _apply(self, account_id, [replace(fill, exchange_trade_id=f"{next(counted)}") for fill in fills])

    patch.setattr(Books, "apply", apply)


def absent_at_the_first_no(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    patch.setattr("mastertrade.order_executor.watching.is_absent", lambda silence: True)


def a_repeated_approval_is_another_order(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    attempts = iter(range(1, 10**9))
    create = ExecutorPostgresDatabase.create_order

    async def create_order(self: ExecutorPostgresDatabase, tx: Any, approval: Any, *, at: Any) -> Any:
        patch.setattr(postgres_database, "FIRST_ATTEMPT", next(attempts))
        return await create(self, tx, approval, at=at)

    patch.setattr(ExecutorPostgresDatabase, "create_order", create_order)


def an_approval_is_gone_once_it_was_heard(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    from tests.simulation.world import World

    deliver = World._deliver

    async def acknowledge_first(self: World, process: Any, manager: Any, event: Any) -> None:
        self.delivered.add(event.approval.approval_id)
        await deliver(self, process, manager, event)

    patch.setattr(World, "_deliver", acknowledge_first)


def nothing_is_reserved_while_unknown(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def move(self: Books, order: Order, to: OrderStatus, **told: Any) -> None:
        await _move(self, order, to, **told)
        if to is OrderStatus.UNKNOWN:
            async with self._manager.transaction() as tx:
                release = "SELECT release_reservation(reservation_id, $2) FROM orders WHERE id = $1"
                await tx.execute(release, order.id, self._clock.now())

    patch.setattr(Books, "move", move)


def a_canceled_order_is_left_at_the_venue(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def hear(self: Books, order: Order, answer: Any) -> None:
        if answer.status is not OrderStatus.CANCELED:
            await _hear(self, order, answer)

    patch.setattr(Books, "hear", hear)


def what_was_left_is_taken_for_unsent(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def move(self: Books, order: Order, to: OrderStatus, **told: Any) -> None:
        is_left = told["payload"].get("reason") == "left without an answer"
        await _move(self, order, OrderStatus.CANCELED if is_left else to, **told)

    patch.setattr(Books, "move", move)


def an_old_approval_is_sent(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    begin = ExecutorPostgresDatabase.begin_sends

    async def begin_sends(self: ExecutorPostgresDatabase, tx: Any, steps: Any) -> list[Begun]:
        return await begin(self, tx, [replace(one, at=one.at - timedelta(hours=1)) for one in steps])

    patch.setattr(ExecutorPostgresDatabase, "begin_sends", begin_sends)


def sent_before_it_is_committed(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    begin = Sender.begin_within

    async def begin_and_send(self: Sender, tx: Any, order_id: Any) -> Begun:
        begun = await begin(self, tx, order_id)
        if begun.outcome == "send" and begun.order is not None:
            await self._venues[begun.order.account_id].place(ticket_of(begun.order))
        return begun

    patch.setattr(Sender, "begin_within", begin_and_send)


def fees_are_forgotten(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def apply(self: Books, account_id: Any, fills: Any) -> list[str]:
        return await _apply(self, account_id, [replace(fill, commission=Decimal(0)) for fill in fills])

    patch.setattr(Books, "apply", apply)


def reservations_are_never_given_back(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    """In this test's database alone, which goes with it."""
    real.run(
        real.manager.execute(
            "CREATE OR REPLACE FUNCTION release_reservation(p_reservation_id uuid, p_at timestamptz) RETURNS void "
            "LANGUAGE sql AS $$ SELECT $$"
        )
    )


PLANTED: tuple[Plant, ...] = (
    time_out_is_a_refusal,
    sent_again_after_a_time_out,
    sent_again_after_a_restart,
    the_list_of_fills_is_passed_before_it_is_booked,
    news_of_a_trade_are_taken_for_its_booking,
    a_late_fill_is_ignored,
    a_fill_is_booked_each_time_it_is_told,
    absent_at_the_first_no,
    a_repeated_approval_is_another_order,
    an_approval_is_gone_once_it_was_heard,
    nothing_is_reserved_while_unknown,
    a_canceled_order_is_left_at_the_venue,
    what_was_left_is_taken_for_unsent,
    an_old_approval_is_sent,
    sent_before_it_is_committed,
    fees_are_forgotten,
    reservations_are_never_given_back,
)
